package simulator_test

import (
	"bytes"
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/simulator"
)

// faulty runs f in a bubble with a key that can be plagued, behind a host.
func faulty(t *testing.T, f func(k *key, h *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := newKey(t)
		defer k.Close()
		h := newHost(t, simulator.NewHID(k.Authenticator).Port())
		defer h.port.Close()
		f(k, h)
	})
}

func (k *key) plague(faults ...simulator.Fault) {
	k.Helper()
	for _, f := range faults {
		if err := k.Faults().Add(f); err != nil {
			k.Fatal(err)
		}
	}
}

// reports reads the reports that come within a second.
func (h *host) reports() (all [][]byte) {
	h.Helper()
	h.port.SetReadDeadline(time.Now().Add(time.Second))
	defer h.port.SetReadDeadline(time.Time{})
	for {
		report := make([]byte, 64)
		if _, err := h.port.Read(report); err == os.ErrDeadlineExceeded {
			return all
		} else if err != nil {
			h.Fatal(err)
		}
		all = append(all, report)
	}
}

// TestWireFaults asks for a PING of two reports and looks at what comes.
func TestWireFaults(t *testing.T) {
	ping := bytes.Repeat([]byte{0xaa}, 100)
	const first, second = 0, 1
	for _, tt := range []struct {
		fault simulator.Fault
		check func(t *testing.T, got, sound [][]byte) bool
	}{
		{simulator.Fault{Kind: simulator.FaultLost}, func(t *testing.T, got, sound [][]byte) bool {
			return len(got) == 1 && bytes.Equal(got[0], sound[second])
		}},
		{simulator.Fault{Kind: simulator.FaultLost, Skip: 1}, func(t *testing.T, got, sound [][]byte) bool {
			return len(got) == 1 && bytes.Equal(got[0], sound[first])
		}},
		{simulator.Fault{Kind: simulator.FaultLost, Times: 2}, func(t *testing.T, got, sound [][]byte) bool {
			return len(got) == 0
		}},
		{simulator.Fault{Kind: simulator.FaultRepeated}, func(t *testing.T, got, sound [][]byte) bool {
			return len(got) == 3 && bytes.Equal(got[0], got[1]) && bytes.Equal(got[2], sound[second])
		}},
		{simulator.Fault{Kind: simulator.FaultDamaged}, func(t *testing.T, got, sound [][]byte) bool {
			return len(got) == 2 && got[0][7] == 0x55 && bytes.Equal(got[0][8:], sound[first][8:])
		}},
		{simulator.Fault{Kind: simulator.FaultWrongChannel}, func(t *testing.T, got, sound [][]byte) bool {
			return len(got) == 2 && !bytes.Equal(got[0][:4], sound[0][:4]) && bytes.Equal(got[0][4:], sound[first][4:])
		}},
		{simulator.Fault{Kind: simulator.FaultWrongSequence}, func(t *testing.T, got, sound [][]byte) bool {
			return len(got) == 2 && bytes.Equal(got[0], sound[first]) && got[1][4] == 0x40
		}},
		{simulator.Fault{Kind: simulator.FaultUnplug, Skip: 1}, func(t *testing.T, got, sound [][]byte) bool {
			return len(got) == 1
		}},
		{simulator.Fault{Kind: simulator.FaultWrongSequence, ToKey: true}, func(t *testing.T, got, sound [][]byte) bool {
			return len(got) == 1 && got[0][4] == 0xbf && got[0][7] == 4 // ERR_INVALID_SEQ
		}},
		{simulator.Fault{Kind: simulator.FaultLost, ToKey: true, Skip: 1}, func(t *testing.T, got, sound [][]byte) bool {
			return len(got) == 0 // for half a second of the key's clock
		}},
		{simulator.Fault{Kind: simulator.FaultBusy}, func(t *testing.T, got, sound [][]byte) bool {
			return len(got) == 1 && got[0][4] == 0xbf && got[0][7] == 6 // ERR_CHANNEL_BUSY
		}},
	} {
		t.Run(string(tt.fault.Kind), func(t *testing.T) {
			faulty(t, func(k *key, h *host) {
				h.send(0x81, ping)
				sound := h.reports()
				k.plague(tt.fault)
				h.send(0x81, ping)
				if got := h.reports(); !tt.check(t, got, sound) {
					t.Errorf("%+v: %x", tt.fault, got)
				}
				if n := k.Counters().Faults[string(tt.fault.Kind)]; n != uint64(max(tt.fault.Times, 1)) {
					t.Errorf("%d faults counted", n)
				}
				if left := k.Faults().Pending(); len(left) != 0 {
					t.Errorf("still to come: %v", left)
				}
				k.PowerOn()
				k.clock.Advance(time.Second)
				h.reports()
				h.open()
				h.exchange([]byte{getInfo})
			})
		})
	}
}

// TestLateReport: a report that is late comes when its time has come.
func TestLateReport(t *testing.T) {
	faulty(t, func(k *key, h *host) {
		k.plague(simulator.Fault{Kind: simulator.FaultLate, DelayMS: 3000})
		h.send(0x81, []byte("x"))
		if got := h.reports(); len(got) != 0 {
			t.Errorf("too early: %x", got)
		}
		k.clock.Advance(3 * time.Second)
		if got := h.reports(); len(got) != 1 {
			t.Errorf("after 3 s: %x", got)
		}
	})
}

func TestStuck(t *testing.T) {
	faulty(t, func(k *key, h *host) {
		k.plague(simulator.Fault{Kind: simulator.FaultStuck, Command: getInfo})
		h.send(0x90, []byte{getInfo})
		for range 100 {
			if command, _ := h.message(); command != wireKeepalive {
				t.Fatalf("%#02x", command)
			}
		}
		h.send(0x91, nil)
		if answer, _ := h.answer(); !bytes.Equal(answer, []byte{keepaliveCancel}) {
			t.Errorf("%x", answer)
		}
	})
}

func TestMissingKeepalive(t *testing.T) {
	faulty(t, func(k *key, h *host) {
		k.touch = func(context.Context) simulator.Presence { time.Sleep(time.Second); return simulator.PresenceTouched }
		k.plague(simulator.Fault{Kind: simulator.FaultNoKeepalive, Times: 1000})
		h.send(0x90, []byte{selection})
		if answer, keepalives := h.answer(); answer[0] != ok || keepalives != 0 {
			t.Errorf("%x after %d keepalives", answer, keepalives)
		}
		k.Faults().Clear()
		h.send(0x90, []byte{selection})
		if _, keepalives := h.answer(); keepalives < 10 {
			t.Errorf("%d keepalives", keepalives)
		}
	})
}

func TestCannedAnswers(t *testing.T) {
	faulty(t, func(k *key, h *host) {
		k.plague(
			simulator.Fault{Kind: simulator.FaultCanned, Command: getInfo, Skip: 1, Answer: []byte{0, 0xa0}},
			simulator.Fault{Kind: simulator.FaultCanned, Command: selection})
		if answer := h.exchange([]byte{getInfo}); len(answer) < 10 {
			t.Errorf("first: %x", answer)
		}
		if answer := h.exchange([]byte{getInfo}); !bytes.Equal(answer, []byte{0, 0xa0}) {
			t.Errorf("second: %x", answer)
		}
		if answer := h.exchange([]byte{selection}); len(answer) != 0 {
			t.Errorf("nothing: %x", answer)
		}
		if answer, err := k.Exchange(k.Context(), []byte{selection}); err != nil || answer[0] != ok {
			t.Errorf("afterwards: %x, %v", answer, err)
		}
	})
}

func TestUnknownFault(t *testing.T) {
	if err := newKey(t).Faults().Add(simulator.Fault{Kind: "gremlins"}); err == nil {
		t.Error("it was taken")
	}
}
