package bench

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/trace"
)

// cases takes some of the conformance cases.
func cases(ids ...string) conformance.Selection {
	return conformance.Selection{Match: func(c *conformance.Case) bool { return slices.Contains(ids, c.ID) }}
}

func outcomes(r *Run) map[string]conformance.Outcome {
	m := map[string]conformance.Outcome{}
	for _, result := range r.Results {
		if result.Part == "" {
			m[result.Case.ID] = result.Outcome
		}
	}
	return m
}

// Cases of each kind: framing, a touch, a PIN, a reset, and one that destroys.
const (
	aFrame, aTouch, aPIN, aReset = "HID-001", "MC-001", "PIN-006", "RST-001"
)

// TestRun runs cases on a key that is released, and leaves it as new.
func TestRun(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	b := newBench(t, Options{Owner: "nightly"}, blue.entry("blue", released))
	p := place(t, b, "blue")
	v, err := p.Adopt(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run, err := p.Run(t.Context(), v, cases(aFrame, aTouch, aPIN, aReset))
	if err != nil {
		t.Fatal(err)
	}
	if len(outcomes(run)) != 4 || len(run.Retries) != 0 || run.Touches == 0 {
		t.Errorf("%v, %+v, %d touches", outcomes(run), run.Retries, run.Touches)
	}
	for id, o := range outcomes(run) {
		if o != conformance.Pass {
			t.Errorf("%s: %v", id, o)
		}
	}
	if v := judge(t, p); !v.Released || v.Store.PIN {
		t.Errorf("afterwards: %+v", v)
	}
}

// TestRunInUse: on a key that is not released only cases run that leave it as it
// was, those with a PIN if the bench has it.
func TestRunInUse(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	blue.setPIN(t, "271828")
	blue.passkey(t, "271828")
	t.Setenv("BLUE_PIN", "271828")
	b := newBench(t, Options{}, blue.entry("blue", "    pin: {env: BLUE_PIN}\n"), blue.entry("nopin", ""))
	for name, want := range map[string]map[string]conformance.Outcome{
		"blue":  {aFrame: conformance.Pass, aReset: conformance.NotApplicable, "CM-003": conformance.Pass},
		"nopin": {aFrame: conformance.Pass, aReset: conformance.NotApplicable, "CM-003": conformance.NotApplicable},
	} {
		p := place(t, b, name)
		run, err := p.Run(t.Context(), judge(t, p), cases(aFrame, aReset, "CM-003"))
		if err != nil {
			t.Fatal(err)
		}
		for id, o := range outcomes(run) {
			if o != want[id] {
				t.Errorf("%s: %s: %v, want %v", name, id, o, want[id])
			}
		}
	}
	m, err := blue.client("271828").CredentialMetadata(t.Context())
	if err != nil || m.Existing != 1 {
		t.Errorf("afterwards: %+v, %v", m, err)
	}
}

// TestInterruptedRun: what a run left on the key when it was interrupted is the
// bench's, and its PIN is not tried.
func TestInterruptedRun(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	t.Setenv("BLUE_PIN", "271828")
	b := newBench(t, Options{Owner: "nightly"}, blue.entry("blue", released+"    pin: {env: BLUE_PIN}\n"))
	p := place(t, b, "blue")
	if _, err := p.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	running := NewHolder("nightly", os.Getpid())
	if _, err := p.note(t.Context(), &running); err != nil {
		t.Fatal(err)
	}
	blue.setPIN(t, "999999") // by a case
	v := judge(t, p)
	if !v.Released || !strings.Contains(v.Reason, "a run of nightly that was interrupted") {
		t.Errorf("%+v", v)
	}
	if s, err := blue.client("").PINState(t.Context()); err != nil || s.Retries.Left != 8 {
		t.Errorf("%+v, %v", s, err)
	}
	run, err := p.Run(t.Context(), v, cases("CM-003")) // which sets one
	if err != nil {
		t.Fatal(err)
	}
	if run.Reset == nil || run.Reset.Sent > 10000 {
		t.Errorf("no reset at the end: %+v", run)
	}
	if v := judge(t, p); !v.Released || v.Reason != "" || v.Store.PIN {
		t.Errorf("afterwards: %+v", v)
	}
}

// TestRetries: a case whose transport failed runs again; one in which the key is
// wrong does not.
func TestRetries(t *testing.T) {
	for name, c := range map[string]struct {
		fault   simulator.Fault
		retries int
		want    conformance.Outcome
	}{
		"unplugged once":  {simulator.Fault{Kind: simulator.FaultUnplug, ToKey: true, Skip: 2}, 1, conformance.Pass},
		"wrong answer":    {simulator.Fault{Kind: simulator.FaultCanned, Command: 4, Answer: []byte{0x7f}, Times: 100}, 0, conformance.Fail},
		"unplugs forever": {simulator.Fault{Kind: simulator.FaultUnplug, ToKey: true, Skip: 2, Times: 1000}, 2, conformance.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			blue := newSoft(t, "ctap-2.3")
			b := newBench(t, Options{}, blue.entry("blue", ""))
			b.Times.Enumerate = time.Second
			p := place(t, b, "blue")
			v := judge(t, p)
			if err := blue.key.Faults().Add(c.fault); err != nil {
				t.Fatal(err)
			}
			// A key that drops off the bus comes back by itself.
			ctx, cancel := context.WithCancel(t.Context())
			var back sync.WaitGroup
			back.Go(func() {
				for ctx.Err() == nil {
					blue.key.PowerOn()
					time.Sleep(20 * time.Millisecond)
				}
			})
			var reported []string
			sel := cases("INF-001")
			sel.Report = func(r *conformance.Result) { reported = append(reported, r.ID()) }
			var recorded bytes.Buffer
			sel.Trace = trace.NewWriter(&recorded, trace.Header{Version: trace.RunVersion})
			run, err := p.Run(t.Context(), v, sel)
			cancel()
			back.Wait()
			if err != nil {
				t.Fatal(err)
			}
			if o := outcomes(run)["INF-001"]; o != c.want || len(run.Retries) != c.retries {
				t.Errorf("%v, want %v; retries %+v, want %d\n%v", o, c.want, run.Retries, c.retries, run.Results)
			}
			if n := len(slices.DeleteFunc(reported, func(id string) bool { return id != "INF-001" })); n != 1 {
				t.Errorf("reported %d times", n)
			}
			for _, r := range run.Retries {
				if r.Case != "INF-001" || r.Fault == "" {
					t.Errorf("%+v", r)
				}
			}
			playsAgain(t, &recorded, run.Results)
		})
	}
}

// TestRetryOfSlowMessage: a message of which a report comes too late is the transport's
// fault, though it is the key that says so.
func TestRetryOfSlowMessage(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	b := newBench(t, Options{}, blue.entry("blue", ""))
	p := place(t, b, "blue")
	v := judge(t, p)
	if err := blue.key.Faults().Add(simulator.Fault{Kind: simulator.FaultLost, ToKey: true, Skip: 5}); err != nil {
		t.Fatal(err)
	}
	run, err := p.Run(t.Context(), v, cases("MC-001"))
	if err != nil {
		t.Fatal(err)
	}
	if o := outcomes(run)["MC-001"]; o != conformance.Pass || len(run.Retries) != 1 || !strings.Contains(run.Retries[0].Fault, "MSG_TIMEOUT") {
		t.Errorf("%v, retries %+v, %v", o, run.Retries, run.Results)
	}
}

// playsAgain plays a recording without the bench: of cases that ran again, the last
// try counts.
func playsAgain(t *testing.T, recorded *bytes.Buffer, want []conformance.Result) {
	t.Helper()
	read, err := trace.Read(recorded)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p, err := conformance.NewPlayback(read)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Run(t.Context(), conformance.Selection{})
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d results, recorded %d, error %v", len(got), len(want), err)
		}
		for i := range got {
			if got[i].ID() != want[i].ID() || got[i].Outcome != want[i].Outcome || got[i].Reason != want[i].Reason {
				t.Errorf("is  %v\nwas %v", &got[i], &want[i])
			}
		}
	})
}

// TestLock: who has a key, how long others wait, and what becomes of locks whose
// holder is gone.
func TestLock(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	one := newBench(t, Options{}, blue.entry("blue", ""), blue.entry("green", ""))
	two := newBench(t, Options{}, blue.entry("blue", ""), blue.entry("green", ""))
	two.State = one.State
	p, q := place(t, one, "blue"), place(t, two, "blue")
	lock, err := p.Lock(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Lock(t.Context(), 0); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "(process ") {
		t.Error(err)
	}
	if other, err := place(t, two, "green").Lock(t.Context(), 0); err != nil {
		t.Errorf("another key: %v", err)
	} else if err := other.Unlock(); err != nil {
		t.Error(err)
	}
	if _, err := q.Unlock(false); !errors.Is(err, ErrLocked) {
		t.Error(err)
	}
	// Who waits gets it.
	got := make(chan error, 1)
	go func() {
		waited, err := q.Lock(t.Context(), 10*time.Second)
		if err == nil {
			err = waited.Unlock()
		}
		got <- err
	}()
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
	if h, err := p.Holder(); h != nil || err != nil {
		t.Errorf("%v, %v", h, err)
	}
	// Who is interrupted while waiting leaves.
	if lock, err = p.Lock(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.Lock(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if was, err := q.Unlock(true); err != nil || was == nil || was.Owner != lock.Owner {
		t.Errorf("%v, %v", was, err)
	}
	if again, err := q.Lock(t.Context(), 0); err != nil {
		t.Error(err)
	} else if err := lock.Unlock(); err != nil { // which is not its lock any more
		t.Error(err)
	} else if h, _ := p.Holder(); h == nil || *h != again.Holder {
		t.Errorf("%v has it", h)
	}
}

// TestStaleLock: a lock of a process that is gone, of one that only has its number,
// and of one on another machine.
func TestStaleLock(t *testing.T) {
	gone := exec.Command(os.Args[0], "-test.run=^$")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	blue := newSoft(t, "ctap-2.3")
	b := newBench(t, Options{}, blue.entry("blue", ""))
	p := place(t, b, "blue")
	own := NewHolder("", os.Getpid())
	late := own
	late.Since = time.Now().Add(-24 * time.Hour)
	away := NewHolder("", gone.Process.Pid)
	away.Host = "elsewhere.example"
	over, hour := NewHolder("", os.Getpid()), NewHolder("", gone.Process.Pid)
	over.Until, hour.Until = time.Now().Add(-time.Second).UTC().Round(0), time.Now().Add(time.Hour).UTC().Round(0)
	for name, c := range map[string]struct {
		holder Holder
		stale  bool
	}{
		"alive":    {own, false},
		"gone":     {NewHolder("", gone.Process.Pid), true},
		"reused":   {late, true},
		"far away": {away, false},
		"over":     {over, true},
		"an hour":  {hour, false},
	} {
		if _, err := os.Stat("/proc/self"); name == "reused" && err != nil {
			continue
		}
		if c.holder.Stale() != c.stale {
			t.Errorf("%s: stale %v", name, !c.stale)
		}
		if _, err := p.LockFor(t.Context(), c.holder, 0); err != nil {
			t.Fatal(err)
		}
		lock, err := p.Lock(t.Context(), 0)
		if c.stale && (err != nil || lock.Broken == nil || lock.Broken.PID != c.holder.PID) || !c.stale && !errors.Is(err, ErrLocked) {
			t.Errorf("%s: %+v, %v", name, lock, err)
		}
		if _, err := p.Unlock(true); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLockOfAJob: programs that a job starts use the keys that it has locked.
func TestLockOfAJob(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	job := newBench(t, Options{Owner: "job 12"}, blue.entry("blue", ""))
	step := newBench(t, Options{Owner: "job 12"}, blue.entry("blue", ""))
	step.State = job.State
	lock, err := place(t, job, "blue").Lock(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	p := place(t, step, "blue")
	inner, err := p.Lock(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := inner.Unlock(); err != nil {
		t.Fatal(err)
	}
	if h, err := p.Holder(); err != nil || h == nil || *h != lock.Holder {
		t.Errorf("%v, %v", h, err)
	}
	// The shell that has started this program has locked the key.
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	other := newBench(t, Options{}, blue.entry("blue", ""))
	if _, err := place(t, other, "blue").LockFor(t.Context(), NewHolder("", os.Getppid()), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := place(t, other, "blue").Lock(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

// TestManyWant: of many who want a key at once one has it.
func TestManyWant(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	b := newBench(t, Options{}, blue.entry("blue", ""))
	var mu sync.Mutex
	inside, most, got := 0, 0, 0
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			lock, err := place(t, b, "blue").Lock(t.Context(), time.Minute)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			inside++
			most, got = max(most, inside), got+1
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			inside--
			mu.Unlock()
			if err := lock.Unlock(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most != 1 || got != 10 {
		t.Errorf("%d at once, %d in all", most, got)
	}
}

// TestDamagedState is told of, and nothing is done.
func TestDamagedState(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	b := newBench(t, Options{}, blue.entry("blue", released))
	p := place(t, b, "blue")
	if _, err := p.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"blue.json", "blue.lock"} {
		if err := os.WriteFile(filepath.Join(b.State, name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Judge(t.Context()); err == nil || !strings.Contains(err.Error(), "blue.json") {
		t.Error(err)
	}
	if _, err := p.Lock(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "blue.lock") {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(b.State, "blue.json"), []byte(`{"identity": {"device": "tcp:other"}, "store": {}, "noted": "2026-01-01T00:00:00Z"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if v := judge(t, p); v.Released || !v.Noted.IsZero() {
		t.Errorf("what was noted of another key counts: %+v", v)
	}
}
