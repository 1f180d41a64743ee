package client_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/simulator"
)

// wireFaults hit reports, and in both directions.
var wireFaults = []simulator.FaultKind{
	simulator.FaultLost, simulator.FaultRepeated, simulator.FaultLate, simulator.FaultDamaged,
	simulator.FaultWrongChannel, simulator.FaultWrongSequence, simulator.FaultUnplug,
}

var otherFaults = []simulator.FaultKind{
	simulator.FaultNoKeepalive, simulator.FaultBusy, simulator.FaultStuck,
	simulator.FaultCutBeforeWrite, simulator.FaultCutAfterWrite,
}

// reportPositions are how many reports go by before one is hit. A flow with a PIN
// has some 20 in each direction.
const reportPositions = 20

// everyFault returns each fault at each position.
func everyFault() (all []simulator.Fault) {
	for _, kind := range wireFaults {
		for skip := range uint(reportPositions) {
			for _, toKey := range []bool{false, true} {
				all = append(all, simulator.Fault{Kind: kind, ToKey: toKey, Skip: skip, DelayMS: 700})
			}
		}
	}
	for _, kind := range otherFaults {
		for skip := range uint(5) {
			all = append(all, simulator.Fault{Kind: kind, Skip: skip})
		}
	}
	return all
}

// cannedAnswers are what a key may say to authenticatorClientPIN instead of doing
// it.
var cannedAnswers = []string{
	"", "00", "00a0", "0080", "00a1", "00ff", // nothing, no map, cut off
	"00a10308", "00a10301", "00a10300", "00a203080" + "4f5", "00a1031903e8", // retries
	"00a1024100", "00a10250" + zeros16, "00a1025820" + zeros16 + zeros16, "00a1025830" + zeros16 + zeros16 + zeros16, // tokens
	"00a101a0", "00a101a50102033818200121582000" + zeros31 + "22582000" + zeros31, // keys, one of them on no curve
	"01", "02", "11", "12", "14", "2d", "2f", "30", "31", "32", "33", "34", "35", "36", "37", "38", "39", "3e", "3f", "40", "7f", "f1",
}

const (
	zeros16 = "00000000000000000000000000000000"
	zeros31 = "00000000000000000000000000000000000000000000000000000000000000"
)

func everyCanned(t *testing.T) (all []simulator.Fault) {
	for _, s := range cannedAnswers {
		answer, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		for skip := range uint(5) {
			all = append(all, simulator.Fault{Kind: simulator.FaultCanned, Command: ctap2.CommandClientPIN, Skip: skip, Answer: answer})
		}
	}
	return all
}

// TestNoTryWithoutPrompt runs the flows on every profile with every fault, with
// the right PIN and with a wrong one, and counts tries at the key. Every profile
// meets every flow, and every fault meets every flow; not all three.
func TestNoTryWithoutPrompt(t *testing.T) {
	states, sample := newPrepared(), ctaptest.Sample(t, 10)
	t.Run("sound", func(t *testing.T) {
		t.Parallel()
		for i, profile := range simulator.ProfileNames() {
			for j, f := range flows {
				if (i+j)%sample != 0 {
					continue
				}
				for _, entered := range []string{rightPIN, wrongPIN} {
					checkTries(t, states, trial{profile: profile, flow: f, pin: entered})
				}
			}
		}
	})
	faults := slices.Concat(everyFault(), everyCanned(t))
	t.Run("faults", func(t *testing.T) {
		t.Parallel()
		profiles := []string{"default", "ctap-2.0", "fingerprint", "quirk-protocol-two-fails"}
		for n, fault := range faults {
			for m, f := range flows {
				if (n+m)%sample != 0 {
					continue
				}
				tr := trial{profile: profiles[(n+m)%len(profiles)], flow: f, pin: rightPIN, faults: []simulator.Fault{fault}}
				if (n/len(profiles)+m)%2 == 1 {
					tr.pin = wrongPIN
				}
				if n%3 == 0 {
					tr.first = &flows[(n/3)%len(flows)]
				}
				checkTries(t, states, tr)
			}
		}
	})
	t.Run("profiles", func(t *testing.T) {
		t.Parallel()
		n, turn := 0, 0
		for _, profile := range simulator.ProfileNames() {
			for _, f := range flows {
				for _, entered := range []string{rightPIN, wrongPIN} {
					// A stride that has no divisor in common with the number of
					// faults meets them all.
					n += 89
					if turn++; turn%sample != 0 {
						continue
					}
					checkTries(t, states, trial{profile: profile, flow: f, pin: entered, faults: faults[n%len(faults):][:1]})
				}
			}
		}
	})
}

// TestFlowsWork: what the proofs are about happens. Without a fault every flow
// works on one of these keys, asks for the PIN once and sends it once.
func TestFlowsWork(t *testing.T) {
	states := newPrepared()
	for _, f := range flows {
		var seen []string
		works := false
		for _, profile := range []string{"default", "ctap-2.0", "ctap-2.1", "fingerprint"} {
			o := states.sound(t, profile, f)
			works = works || o.err == nil && o.person.prompts == 1 && len(o.sent) == 1
			seen = append(seen, fmt.Sprintf("%s: %v, %d prompts, %v", profile, o.err, o.person.prompts, o.sent))
		}
		if !works {
			t.Errorf("%s: %s", f.name, strings.Join(seen, "; "))
		}
	}
}

// TestNoTryUnderFalseStatus: a key that takes a try and says PIN_AUTH_INVALID or
// INVALID_PARAMETER, which elsewhere mean that the protocol fails. The second
// protocol is not tried.
func TestNoTryUnderFalseStatus(t *testing.T) {
	states := newPrepared()
	wrong := ctap2.ErrPINInvalid
	for _, status := range []ctap2.Status{ctap2.ErrPINAuthInvalid, ctap2.ErrInvalidParameter} {
		profile := simulator.DefaultProfile()
		profile.Name = "wrong PIN is " + status.String()
		profile.Quirks.Statuses = []simulator.StatusQuirk{{Command: ctap2.CommandClientPIN, From: &wrong, To: status}}
		states.add(t, profile)
		for _, f := range flows {
			checkTries(t, states, trial{profile: profile.Name, flow: f, pin: wrongPIN})
		}
	}
}

func checkTries(t *testing.T, states *prepared, tr trial) {
	t.Helper()
	t.Run(tr.String(), func(t *testing.T) {
		o := tr.run(t, states)
		o.person.leftNothing(t, o.err)
		if lost := o.lost(); lost > o.person.prompts {
			t.Errorf("%d tries lost after %d prompts: %v, %v", lost, o.person.prompts, o.sent, o.err)
		} else if lost > 0 && tr.pin == rightPIN && !tr.spoilsPIN() {
			t.Errorf("%d tries lost with the right PIN: %v, %v", lost, o.sent, o.err)
		}
		if again := sentAgain(o.sent, o.person.prompts); again != "" {
			t.Errorf("a PIN was sent again: %s: %v", again, o.sent)
		}
	})
}

// spoilsPIN reports whether a fault may make the right PIN wrong or end the
// command between the try and its forgiveness. Nobody can help that.
func (tr trial) spoilsPIN() bool {
	return slices.ContainsFunc(tr.faults, func(f simulator.Fault) bool {
		switch f.Kind {
		case simulator.FaultDamaged:
			return f.ToKey
		case simulator.FaultCutBeforeWrite, simulator.FaultCutAfterWrite:
			return true
		}
		return false
	})
}

// sentAgain looks for a PIN that was sent after an answer which may have cost a
// try: any but PIN_AUTH_INVALID and INVALID_PARAMETER, as keys give under a
// protocol that they fail with. Each prompt stands for one PIN.
func sentAgain(sent []string, prompts int) string {
	spent := 0
	for _, s := range sent {
		if spent == prompts {
			return s
		}
		if !strings.HasSuffix(s, " 33") && !strings.HasSuffix(s, " 02") {
			spent++
		}
	}
	return ""
}

// TestNoTryOnBlockedKey: nobody is asked, and nothing is tried, when the key takes
// no PIN or has few tries left.
func TestNoTryOnBlockedKey(t *testing.T) {
	states, sample := newPrepared(), ctaptest.Sample(t, 10)
	for i, profile := range simulator.ProfileNames() {
		state := states.get(t, profile)
		if !state.hasPIN || state.profile.GetInfo.Options[ctap2.OptionUV] {
			continue // the finger takes the place of the PIN
		}
		for j, f := range flows {
			if (i+j)%sample != 0 {
				continue
			}
			sound := states.sound(t, profile, f)
			for _, wrong := range []int{3, 6} {
				tr := trial{profile: profile, flow: f, pin: rightPIN, before: wrongPINs(wrong)}
				name := tr.String() + ", after three wrong PINs"
				if wrong == 6 {
					name = tr.String() + ", two tries left"
				}
				t.Run(name, func(t *testing.T) {
					o := tr.run(t, states)
					o.person.leftNothing(t, o.err)
					if o.before != o.after || o.before != uint(allRetries-wrong) {
						t.Errorf("%d tries before, %d afterwards", o.before, o.after)
					}
					// Such a key does not say beforehand that it takes none.
					silent := wrong == 3 && state.profile.Quirks.OmitPowerCycleState
					if !silent && (o.person.prompts != 0 || len(o.sent) != 0) {
						t.Errorf("a PIN was asked for %d times, sent %v", o.person.prompts, o.sent)
					}
					want := error(ctap2.ErrPINAuthBlocked)
					if wrong == 6 {
						want = client.ErrLastTries
					}
					needsPIN := sound.err == nil && sound.person.prompts > 0
					if needsPIN && !errors.Is(o.err, want) {
						t.Errorf("error %v, want %v", o.err, want)
					}
				})
			}
		}
	}
}

// wrongPINs spends tries, with a power cycle after three of them where more are to
// follow.
func wrongPINs(n int) func(t *testing.T, a *simulator.Authenticator) {
	return func(t *testing.T, a *simulator.Authenticator) {
		info, err := ctap2.Do(t.Context(), a, ctap2.GetInfo{})
		if err != nil {
			t.Fatal(err)
		}
		grant := pin.Grant{Permissions: ctap2.PermissionGA, RPID: "example.com"}
		if no, _ := info.Option(ctap2.OptionNoMcGaWithPIN); no {
			grant = pin.Grant{Permissions: ctap2.PermissionCM}
		}
		for i := range n {
			if i > 0 && i%3 == 0 {
				a.PowerCycle()
			}
			_, err := pin.GetToken(t.Context(), a, info, pin.One, []byte(wrongPIN), grant)
			var refused *pin.Error
			if !errors.As(err, &refused) {
				t.Fatal(err)
			}
		}
		if n > 3 {
			a.PowerCycle()
		}
	}
}
