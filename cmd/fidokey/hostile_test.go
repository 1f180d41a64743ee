package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/internal/hostiletest"
	"github.com/fidokey/fidokey/simulator"
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
		snapshot, err := s.key.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		args, tries := hostileCall(cmd, call.Args)
		for seed := range uint64(3) {
			dice := rand.New(rand.NewPCG(seed, 7))
			change := func(_, answer []byte) []byte { return nasty(dice, answer) }
			args := slices.Clone(args)
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
			person := &obedient{key: s.key}
			code, said := person.run(t, again)
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
			if n := commands["06.04"] + commands["06.05"] + commands["06.09"]; n > tries {
				t.Errorf("seed %d: %d PIN tries: %s", seed, n, said)
			}
			if n := commands["07"]; n > 1 || n == 1 && !slices.Contains(args, "reset") {
				t.Errorf("seed %d: %d resets", seed, n)
			}
			if err := s.key.Restore(t.Context(), snapshot); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// hostileCall is what a command is called with, and how often it may send the PIN. A reset
// is one that destroys, with somebody who unplugs the key. Of the suite there are few cases,
// since each waits for answers that do not come, and sends the PIN for itself.
func hostileCall(cmd *cobra.Command, args []string) (call []string, tries uint64) {
	switch strings.Join(words(cmd), " ") {
	case "reset":
		return append(slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "--dry-run" }), "--yes"), 2
	case "conformance run":
		cases := []string{"INF-001", "MC-001", "GA-052"}
		others := slices.DeleteFunc(slices.Clone(args), func(a string) bool { return strings.HasSuffix(a, "*") })
		return append(others, cases...), uint64(len(cases))
	}
	return args, 2
}

// An obedient person reads what a command says, and unplugs the key for a moment when told
// to.
type obedient struct {
	key  *simulator.Authenticator
	said bytes.Buffer
	busy sync.WaitGroup
	once sync.Once
}

func (o *obedient) Write(b []byte) (int, error) {
	o.said.Write(b)
	if strings.Contains(o.said.String(), "Unplug your") {
		o.once.Do(func() {
			o.busy.Go(func() {
				o.key.PowerOff()
				time.Sleep(300 * time.Millisecond)
				o.key.PowerOn()
			})
		})
	}
	return len(b), nil
}

// run is output with the person there.
func (o *obedient) run(t *testing.T, call *exec.Cmd) (code int, said string) {
	t.Helper()
	call.Stdout, call.Stderr = o, o
	err := call.Run()
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		t.Fatal(err)
	}
	o.busy.Wait()
	return call.ProcessState.ExitCode(), o.said.String()
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
