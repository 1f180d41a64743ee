package conformance_test

import (
	"bytes"
	"crypto/ecdh"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"index/suffixarray"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/trace"
)

const testSeed = "seed"

// recording runs cases on a bench and returns the results with their trace.
func recording(t *testing.T, bench *conformance.Bench, sel conformance.Selection) ([]conformance.Result, *bytes.Buffer) {
	t.Helper()
	var text bytes.Buffer
	sel.Seed = testSeed
	sel.Trace = trace.NewWriter(&text, trace.Header{Version: trace.RunVersion})
	results := conformance.Run(t.Context(), bench, sel)
	if err := sel.Trace.Err(); err != nil {
		t.Fatal(err)
	}
	return results, &text
}

// played plays a trace.
func played(t *testing.T, text []byte, sel conformance.Selection) ([]conformance.Result, error) {
	t.Helper()
	recorded, err := trace.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	p, err := conformance.NewPlayback(recorded)
	if err != nil {
		t.Fatal(err)
	}
	return p.Run(t.Context(), sel)
}

// told is what two runs must have in common: all but the time of the clock.
func told(r *conformance.Result) string {
	text, err := json.Marshal(struct {
		ID, Variant, Outcome, Reason string
		Notes, Observed              []string
		Took                         time.Duration
	}{r.ID(), r.Variant, r.Outcome.String(), r.Reason, r.Notes, r.Observed, r.Took.Truncate(100 * time.Microsecond)})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// wrongStatus is a key that has another word for credentials that it does not know.
var wrongStatus = &lie{name: "wrong status", ctap: func(request, answer []byte) []byte {
	if len(request) > 0 && request[0] == 2 && answer[0] == 0x2e {
		return []byte{0x27}
	}
	return answer
}}

// TestPlayback records whole runs of keys with faults, on each door and on both, and
// plays them: every case ends as it did, after the same messages and the same time.
func TestPlayback(t *testing.T) {
	for name, tt := range map[string]struct {
		profile  string
		hid, nfc bool
		lie      *lie
	}{
		"a quirk":             {"quirk-protocol-two-fails", true, false, nil},
		"a lie on both doors": {"ctap-2.3", true, true, wrongStatus},
		"a lie over HID":      {"ctap-2.3", true, false, wrongStatus},
		"a lie over NFC":      {"ctap-2.3", false, true, wrongStatus},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				profile, err := simulator.LoadProfile(tt.profile)
				if err != nil {
					t.Fatal(err)
				}
				bench, key := newSimulated(t, profile)
				(&liar{told: tt.lie}).tell(bench)
				bench.Endurance = 5
				if !tt.hid {
					bench.Port = nil
				}
				if !tt.nfc {
					bench.Card = nil
				}
				want, text := recording(t, bench, conformance.Selection{})
				key.Close()
				got, err := played(t, text.Bytes(), conformance.Selection{})
				if err != nil {
					t.Fatal(err)
				}
				compareRuns(t, got, want, text.Len())
			})
		})
	}
}

const ownersPIN = "271828"

// TestPlaybackInUse is for a key whose owner has told the PIN: neither it nor a token
// is in the trace, or to be had with the seed, and the run is played all the same.
func TestPlaybackInUse(t *testing.T) {
	for _, door := range []string{"hid", "nfc"} {
		t.Run(door, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				bench, key := newSimulated(t, simulator.Full23())
				(&liar{told: wrongStatus}).tell(bench)
				if err := pin.Set(t.Context(), key.Authenticator(), infoOf(t, key), pin.Two, []byte(ownersPIN)); err != nil {
					t.Fatal(err)
				}
				bench.Release, bench.Become, bench.CutPower = false, nil, nil
				bench.PIN, bench.Endurance = ownersPIN, 5
				if door == "hid" {
					bench.Card = nil
				} else {
					bench.Port = nil
				}
				want, text := recording(t, bench, conformance.Selection{})
				if found, of := secretsIn(text.String(), want); found > 0 || of < 500 {
					t.Errorf("%d of %d secrets are in the trace", found, of)
				}
				if guessed, of := guessedKeys(want); guessed > 0 || of < 5 {
					t.Errorf("the seed tells %d of %d private keys", guessed, of)
				}
				key.Close()
				got, err := played(t, text.Bytes(), conformance.Selection{})
				if err != nil {
					t.Fatal(err)
				}
				for _, results := range [][]conformance.Result{got, want} {
					for i := range results {
						for j := range results[i].Messages { // other secrets, as long as the recorded ones
							clear(results[i].Messages[j].Data)
						}
					}
				}
				compareRuns(t, got, want, text.Len())
			})
		})
	}
}

// TestSecretsFound: what looks for secrets finds them where there is nothing to hide,
// on a key that may be reset.
func TestSecretsFound(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		bench, _ := newSimulated(t, simulator.Full23())
		want, text := recording(t, bench, conformance.Selection{Match: func(c *conformance.Case) bool { return c.Group() == "CM" }})
		if found, of := secretsIn(text.String(), want); found < of*9/10 || of < 100 {
			t.Errorf("%d of %d secrets found", found, of)
		}
		if guessed, of := guessedKeys(want); guessed < of/2 || of < 5 {
			t.Errorf("%d of %d private keys found", guessed, of)
		}
	})
}

// secretMembers are those of requests, by command, and under 0 those of the answer
// to clientPIN.
var secretMembers = map[byte][]int64{0: {2}, 1: {8}, 2: {6}, 6: {4, 5, 6}, 9: {5}, 10: {4}, 12: {5}, 13: {4}}

// secretsIn counts the secrets of all messages, and those of them that are in a text.
// Of each the first bytes do, for reports divide them.
func secretsIn(text string, results []conformance.Result) (found, of int) {
	index := suffixarray.New([]byte(text))
	has := func(b []byte) bool { return len(index.Lookup([]byte(hex.EncodeToString(b)), 1)) > 0 }
	for i := range results {
		for _, m := range results[i].Messages {
			message := m.Data
			if m.Door == conformance.DoorNFC {
				message = apduMessage(m)
			}
			var body map[int64]any
			if len(message) < 2 || cbor.Unmarshal(message[1:], &body) != nil || m.FromKey && len(body) != 1 {
				continue
			}
			for _, member := range secretMembers[message[0]] {
				if secret, ok := body[member].([]byte); ok && len(secret) >= 16 && !bytes.Equal(secret, make([]byte, len(secret))) {
					of++
					if has(secret[:6]) || has(secret[len(secret)-6:]) {
						found++
					}
				}
			}
		}
	}
	return found, of
}

func apduMessage(m conformance.Message) []byte {
	if !m.FromKey {
		return message(m.Data)
	}
	if m.About != 6 {
		return nil
	}
	return m.Data[:len(m.Data)-2]
}

// guessedKeys counts the public keys that a PIN was sent under, and those of which
// the seed tells the private key: all that its bytes could be is tried.
func guessedKeys(results []conformance.Result) (guessed, of int) {
	for i := range results {
		r := &results[i]
		if r.Part != "" || of == 8 {
			continue
		}
		var keys [][]byte
		for _, m := range r.Messages {
			if _, text, ok := bytes.Cut(m.Data, []byte{0x22, 0x58, 0x20}); ok && !m.FromKey && len(text) >= 32 {
				keys = append(keys, text[:32]) // the y of COSE
			}
		}
		if len(keys) == 0 {
			continue
		}
		of++
		if slices.ContainsFunc(candidates(r.Case.ID), func(y []byte) bool { return bytes.Equal(y, keys[0]) }) {
			guessed++
		}
	}
	return guessed, of
}

// candidates are the public keys that the dice of a case can make.
func candidates(id string) (all [][]byte) {
	for protocol := range 3 {
		for _, phase := range []string{"preparation", "case"} {
			thrown := conformance.Thrown(testSeed, id, protocol, phase, 512)
			for at := 0; at+32 <= len(thrown); at += 8 {
				if key, err := ecdh.P256().NewPrivateKey(thrown[at:][:32]); err == nil {
					all = append(all, key.PublicKey().Bytes()[33:])
				}
			}
		}
	}
	return all
}

// TestPlaybackDiffers: what is not as recorded ends the playback with an error that
// shows both, and nothing is reported of the case.
func TestPlaybackDiffers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		bench, _ := newSimulated(t, simulator.Full23())
		two := func(c *conformance.Case) bool { return c.ID == "INF-001" || c.ID == "INF-002" }
		want, text := recording(t, bench, conformance.Selection{Match: two})
		lines := strings.SplitAfter(text.String(), "\n")
		last := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, `"name":"INF-002"`) })
		one := func(c *conformance.Case) bool { return c.ID == "INF-002" }
		for name, tt := range map[string]struct {
			text    string
			sel     conformance.Selection
			results int
			err     string
		}{
			"all":             {text.String(), conformance.Selection{}, len(want), ""},
			"one":             {text.String(), conformance.Selection{Match: one}, 1, ""},
			"another request": {strings.Join(lines[:last+1], "") + strings.Replace(strings.Join(lines[last+1:], ""), "900001040", "900001050", 1), conformance.Selection{}, 1, "INF-002"},
			"cut off":         {strings.Join(lines[:last], ""), conformance.Selection{}, 1, "the recording ends"},
			"cut off within":  {strings.Join(lines[:last+1], ""), conformance.Selection{}, 1, "want nothing"},
			"too much":        {text.String() + `{"kind":"power"}` + "\n", conformance.Selection{}, len(want), "want power"},
		} {
			got, err := played(t, []byte(tt.text), tt.sel)
			if len(got) != tt.results || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %d results, error %v", name, len(got), err)
			}
			if err != nil && !errors.Is(err, trace.ErrDiffers) && !errors.Is(err, conformance.ErrCutOff) {
				t.Errorf("%s: error %v", name, err)
			}
		}
		for _, text := range []string{`{"kind":"cbor","request":"04"}`, `{"kind":"run"}`, `{"kind":"run","run":{"seed":"a"}}` + "\n" + `{"kind":"open"}`,
			`{"kind":"run","run":{"seed":"a"}}` + "\n" + `{"kind":"open","sizes":[64,1000000000000]}`} {
			recorded, err := trace.Read(strings.NewReader(`{"trace":2}` + "\n" + text))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conformance.NewPlayback(recorded); !errors.Is(err, trace.ErrFormat) {
				t.Errorf("%s: error %v", text, err)
			}
		}
	})
}

func compareRuns(t *testing.T, got, want []conformance.Result, size int) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d results, recorded %d", len(got), len(want))
	}
	failed, messages := 0, 0
	for i := range got {
		if is, was := told(&got[i]), told(&want[i]); is != was {
			t.Errorf("is  %s\nwas %s", is, was)
		}
		if is, was := exchange(&got[i]), exchange(&want[i]); is != was {
			t.Errorf("%s: is\n%.2000s\nwas\n%.2000s", got[i].ID(), is, was)
		}
		messages += len(got[i].Messages)
		if got[i].Outcome == conformance.Fail && got[i].Part == "" {
			failed++
		}
	}
	if failed == 0 || messages < 1000 {
		t.Errorf("%d failures, %d messages: that proves little", failed, messages)
	}
	t.Logf("%d results, %d cases fail, %d messages, a trace of %d bytes", len(got), failed, messages, size)
}

// exchange is what was said, without the times.
func exchange(r *conformance.Result) string {
	var text bytes.Buffer
	for _, m := range r.Messages {
		fmt.Fprintf(&text, "%v %s %08x %02x %x %d\n", m.FromKey, m.Door, m.Channel, m.Command, m.Data, m.Times)
	}
	return text.String()
}

// TestBabble: what a key says that never stops can be read again.
func TestBabble(t *testing.T) {
	const reports = 50000
	var text bytes.Buffer
	conformance.Babble(trace.NewWriter(&text, trace.Header{Version: trace.RunVersion}), reports)
	recorded, err := trace.Read(&text)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range recorded.Exchanges {
		n += len(e.Response)
	}
	if n != 64*reports || len(recorded.Exchanges) > 100 {
		t.Errorf("%d bytes on %d lines", n, len(recorded.Exchanges))
	}
}
