package conformance_test

import (
	"bytes"
	"crypto/sha256"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/conformance/simulated"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/simulator"
)

// TestKeyInUse runs what may run on a key that is not released, and looks
// whether the key is as before.
func TestKeyInUse(t *testing.T) {
	for name, code := range map[string]string{"with PIN": "271828", "PIN not told": "", "no PIN": ""} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				bench, key := newSimulated(t, simulator.Full23())
				bench.Release, bench.Become, bench.CutPower = false, nil, nil
				bench.PIN, bench.Endurance = code, 20
				if name != "no PIN" {
					info := infoOf(t, key)
					if err := pin.Set(t.Context(), key.Authenticator(), info, pin.Two, []byte("271828")); err != nil {
						t.Fatal(err)
					}
				}
				before := infoOf(t, key)
				noFailures(t, bench)
				after := infoOf(t, key)
				if *before.RemainingDiscoverableCredentials != *after.RemainingDiscoverableCredentials ||
					!reflect.DeepEqual(before.Options, after.Options) || *before.MinPINLength != *after.MinPINLength ||
					*before.ForcePINChange != *after.ForcePINChange {
					t.Errorf("getInfo before\n%+v\nand after\n%+v", before, after)
				}
				retries, err := pin.GetRetries(t.Context(), key.Authenticator())
				if err != nil || retries.Left != 8 {
					t.Errorf("%v, %v", retries, err)
				}
				if name == "no PIN" {
					return
				}
				if err := pin.Change(t.Context(), key.Authenticator(), after, pin.Two, []byte("271828"), []byte("314159")); err != nil {
					t.Errorf("the PIN has changed: %v", err)
				}
			})
		})
	}
}

func infoOf(t *testing.T, key *simulated.Key) *ctap2.GetInfoResponse {
	t.Helper()
	info, err := ctap2.Do(t.Context(), key.Authenticator(), ctap2.GetInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// TestWrongPINOnce: a PIN that is not that of the key in use costs one try, however
// many cases want it.
func TestWrongPINOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		bench, key := newSimulated(t, simulator.Full23())
		bench.Release, bench.Become, bench.CutPower, bench.PowerCycle = false, nil, nil, nil
		bench.PIN, bench.Endurance = "314159", 20
		if err := pin.Set(t.Context(), key.Authenticator(), infoOf(t, key), pin.Two, []byte("271828")); err != nil {
			t.Fatal(err)
		}
		results := conformance.Run(t.Context(), bench, conformance.Selection{})
		retries, err := pin.GetRetries(t.Context(), key.Authenticator())
		if err != nil || retries.Left != 7 {
			t.Errorf("%v, %v", retries, err)
		}
		if last := results[len(results)-1]; len(results) < 700 || last.Outcome != conformance.NotApplicable {
			t.Errorf("%d results, the last is %v", len(results), &last)
		}
	})
}

// TestNoSecretInMessages: the PIN of a key in use is in nothing that is reported,
// neither as text nor in bytes.
func TestNoSecretInMessages(t *testing.T) {
	const code = "27182818"
	hash := sha256.Sum256([]byte(code))
	inBubble(t, func(t *testing.T) {
		bench, key := newSimulated(t, simulator.Full23())
		bench.Release, bench.Become, bench.CutPower = false, nil, nil
		bench.PIN, bench.Endurance = code, 20
		if err := pin.Set(t.Context(), key.Authenticator(), infoOf(t, key), pin.Two, []byte(code)); err != nil {
			t.Fatal(err)
		}
		messages := 0
		conformance.Run(t.Context(), bench, conformance.Selection{Report: func(r *conformance.Result) {
			for _, text := range append(append(r.Notes, r.Observed...), r.Reason, r.String()) {
				if strings.Contains(text, code) {
					t.Errorf("%s: %s", r.ID(), text)
				}
			}
			for _, m := range r.Messages {
				messages++
				if bytes.Contains(m.Data, []byte(code)) || bytes.Contains(m.Data, hash[:16]) {
					t.Errorf("%s: %v", r.ID(), &m)
				}
			}
		}})
		if messages < 1000 {
			t.Errorf("only %d messages", messages)
		}
	})
}

// TestUnattended: a key that nobody touches fails no case, and waits for none.
func TestUnattended(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		bench, _ := newSimulated(t, simulator.Full23())
		bench.Touch(conformance.TouchNever)
		bench.Release, bench.Become, bench.CutPower, bench.Touch, bench.Card = false, nil, nil, nil, nil
		bench.Unattended = true
		count, untouched := map[conformance.Outcome]int{}, 0
		start := time.Now()
		conformance.Run(t.Context(), bench, conformance.Selection{Report: func(r *conformance.Result) {
			if r.Outcome == conformance.Fail {
				t.Error(r)
			}
			if strings.Contains(r.Reason, "nobody is there") {
				untouched++
			}
			if r.Part == "" {
				count[r.Outcome]++
			}
		}})
		if took := time.Since(start); untouched < 50 || count[conformance.Pass] < 150 || took > 15*time.Minute {
			t.Errorf("%d cases ended for want of a touch; %v in %v", untouched, count, took)
		}
	})
}
