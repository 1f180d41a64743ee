package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/simulator"
)

// TestTwoProcesses has programs use one key at the same time, behind a door that
// lets all of them in. The key itself says that it is busy, and they wait for it: each
// does what it was asked to, nothing is made twice, and no PIN try is lost. Where
// another program's token voided theirs, they say so, and what was made is counted.
func TestTwoProcesses(t *testing.T) {
	s, dir := &station{}, t.TempDir()
	device, stop, err := s.start("ctap-2.1", "12345678")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if err := os.WriteFile(filepath.Join(dir, "pin"), []byte("12345678\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const programs, rounds = 2, 8
	var all sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for p := range programs {
		all.Go(func() {
			for n := range rounds {
				call := exec.Command("fidokey", "register", "--rp", "example.com", "--user", fmt.Sprintf("user-%d-%d", p, n),
					"--pin-file", "pin", "--device", device, "--timeout", "20s")
				call.Dir = dir
				code, said := output(t, call)
				mu.Lock()
				switch {
				case code == exitOK:
					made++
				case code == exitPIN && strings.Contains(said, "PIN_AUTH_INVALID"):
				default:
					t.Errorf("program %d, round %d: exit code %d: %s", p, n, code, said)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if made < rounds {
		t.Errorf("%d of %d credentials were made", made, programs*rounds)
	}
	rps, err := s.client().Credentials(t.Context())
	if err != nil || len(rps) != 1 || len(rps[0].Credentials) != made {
		t.Errorf("%d credentials were made, and the key has %+v, %v", made, rps, err)
	}
	if left, err := pin.GetRetries(t.Context(), s.key); err != nil || left.Left != 8 {
		t.Errorf("%+v tries left, %v", left, err)
	}
	t.Logf("%d of %d", made, programs*rounds)

	// While one waits for a touch the other is told so, in its time, and the touch is
	// the first one's.
	s.touch.Set(simulator.Touch{Action: simulator.TouchNever})
	waiting := exec.Command("fidokey", "register", "--rp", "slow.example", "--user", "alice", "--pin-file", "pin", "--device", device, "--timeout", "60s")
	waiting.Dir = dir
	said := &watchedBuffer{}
	waiting.Stderr = said
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	for !said.contains("Touch") && waiting.ProcessState == nil {
		time.Sleep(10 * time.Millisecond)
	}
	code, told := output(t, exec.Command("fidokey", "info", "--device", device, "--timeout", "1s"))
	if code != exitFailure || !strings.Contains(told, "Another program uses the key") {
		t.Errorf("exit code %d: %s", code, told)
	}
	s.touch.Answer(simulator.PresenceTouched)
	if err := waiting.Wait(); err != nil {
		t.Errorf("%v: %s", err, said.bytes())
	}
}
