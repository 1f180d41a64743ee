package main

import (
	"encoding/json"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/internal/hostiletest"
)

// longestAnswer fits into the reports of one message.
const longestAnswer = 7609

// nasty puts what no screen should show into the texts of an answer, but where it would
// end everything: the key still speaks FIDO 2 and makes public keys.
func nasty(dice hostiletest.Dice, answer []byte) []byte {
	var members any
	if len(answer) < 2 || answer[0] != 0 || ctapcbor.Unmarshal(answer[1:], &members) != nil {
		return answer
	}
	var change func(v any) any
	change = func(v any) any {
		switch v := v.(type) {
		case string:
			if strings.HasPrefix(v, "FIDO_") || v == ctap2.PublicKeyType || v == "packed" || v == "none" {
				return v
			}
			return hostiletest.Nasty[dice.IntN(len(hostiletest.Nasty))] + v
		case []any:
			for i := range v {
				v[i] = change(v[i])
			}
		case map[any]any:
			for name := range v {
				v[name] = change(v[name])
			}
		}
		return v
	}
	body, err := ctapcbor.Marshal(change(members))
	if err != nil || len(body) >= longestAnswer {
		return answer
	}
	return append([]byte{0}, body...)
}

// unfit is what must not reach a terminal: all that is not printed, but for the ends of
// lines.
func unfit(r rune) bool { return !unicode.IsPrint(r) && r != '\n' }

// TestHostileScreens has every command speak to a key of which all texts are nasty, and
// to one that says anything. Nothing of that is printed as it came, no command panics or
// hangs, each has one of the exit codes that there are, and no PIN is tried more than
// once.
func TestHostileScreens(t *testing.T) {
	prepare := func(s *station) {
		_, err := s.client().Register(t.Context(), client.Registration{
			ClientDataHash: make([]byte, 32), RP: ctap2.RP{ID: "example.com", Name: "Example"}, User: ctap2.User{ID: []byte("id"), Name: "alice", DisplayName: "Alice"},
			Parameters: []ctap2.CredentialParameters{{Algorithm: cose.ES256, Type: ctap2.PublicKeyType}}, Discoverable: true,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	onEveryCommand(t, "fingerprint", "12345678", prepare, func(t *testing.T, s *station, cmd *cobra.Command, call *exec.Cmd) {
		if name := strings.Join(words(cmd), " "); name == "reset" || strings.HasPrefix(name, "conformance") {
			t.Skip("a suite judges bytes, and has limits of its own")
		}
		snapshot, err := s.key.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(3) {
			dice := rand.New(rand.NewPCG(seed, 7))
			change := func(_, answer []byte) []byte { return nasty(dice, answer) }
			args := slices.Clone(call.Args)
			if seed == 1 && !noJSON(cmd) {
				args = append(args, "--json")
			}
			if seed == 2 {
				change = func(_, answer []byte) []byte {
					if dice.IntN(3) > 0 {
						return answer
					}
					if changed := hostiletest.Spoil(dice, answer); len(changed) > 0 && len(changed) <= longestAnswer {
						return changed
					}
					return answer
				}
			}
			s.answers.Store(&change)
			s.key.ResetCounters()
			again := exec.Command(args[0], args[1:]...)
			again.Dir = call.Dir
			hangs := time.AfterFunc(time.Minute, func() { again.Process.Kill() })
			code, said := output(t, again)
			if !hangs.Stop() {
				t.Errorf("seed %d: it hangs", seed)
			}
			s.answers.Store(nil)
			if code < 0 || code > 9 {
				t.Errorf("seed %d: exit code %d", seed, code)
			}
			if strings.Contains(said, "goroutine ") || strings.Contains(said, "panic:") {
				t.Errorf("seed %d: %s", seed, said)
			}
			if i := strings.IndexFunc(said, unfit); i >= 0 {
				t.Errorf("seed %d: %q is printed", seed, said[max(0, i-40):min(len(said), i+40)])
			}
			commands := s.key.Counters().Commands
			if tries := commands["06.04"] + commands["06.05"] + commands["06.09"]; tries > 2 {
				t.Errorf("seed %d: %d PIN tries: %s", seed, tries, said)
			}
			if err := s.key.Restore(t.Context(), snapshot); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestHarmless: JSON that a terminal would obey is JSON that says the same, and does not
// steer it.
func TestHarmless(t *testing.T) {
	for _, text := range append([]string{"plain, äöü, 鍵, 🔑", "\U000e0001", "\x7f"}, hostiletest.Nasty...) {
		text = strings.ToValidUTF8(text, "\ufffd") // which is what JSON has
		written, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		written = escapeUnprintable(written)
		var read string
		if err := json.Unmarshal(written, &read); err != nil || read != text || strings.ContainsFunc(string(written), unfit) {
			t.Errorf("%q is written %q and read %q, %v", text, written, read, err)
		}
	}
}
