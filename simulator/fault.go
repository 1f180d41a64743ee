package simulator

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fidokey/fidokey/ctap2"
)

// A FaultKind is one of the constants.
type FaultKind string

// Faults of single reports, between HID and its doors. Keepalives are neither
// hit nor counted.
const (
	FaultLost          FaultKind = "lost"
	FaultRepeated      FaultKind = "repeated"
	FaultLate          FaultKind = "late"          // by DelayMS; others may overtake it
	FaultDamaged       FaultKind = "damaged"       // a byte of data is another
	FaultWrongChannel  FaultKind = "wrongChannel"  // belongs to nobody
	FaultWrongSequence FaultKind = "wrongSequence" // hits continuation packets only
	FaultUnplug        FaultKind = "unplug"        // the report is lost and the key gone, until PowerOn
)

// Faults of messages.
const (
	FaultNoKeepalive FaultKind = "noKeepalive" // a keepalive is not sent
	FaultBusy        FaultKind = "busy"        // a message is answered with ERR_CHANNEL_BUSY
	FaultStuck       FaultKind = "stuck"       // a command never ends, keepalives go on until it is cancelled
	FaultCanned      FaultKind = "canned"      // a command is answered with Answer
)

// Power cuts at a write to the storage: no answer comes, and the key is gone until
// PowerOn.
const (
	FaultCutBeforeWrite FaultKind = "cutBeforeWrite"
	FaultCutAfterWrite  FaultKind = "cutAfterWrite"
)

var faultKinds = []FaultKind{
	FaultLost, FaultRepeated, FaultLate, FaultDamaged, FaultWrongChannel, FaultWrongSequence, FaultUnplug,
	FaultNoKeepalive, FaultBusy, FaultStuck, FaultCanned, FaultCutBeforeWrite, FaultCutAfterWrite,
}

// A Fault is something that goes wrong with the reports, messages or commands to
// come.
type Fault struct {
	Kind  FaultKind `json:"kind"`
	ToKey bool      `json:"toKey,omitempty"` // hits reports that the host sends, not those that it gets
	Skip  uint      `json:"skip,omitempty"`  // so many go by unharmed
	Times uint      `json:"times,omitempty"` // hits so many; 0 is 1
	// DelayMS is for FaultLate, in milliseconds on the key's clock.
	DelayMS uint `json:"delayMs,omitempty"`
	// Command, if not 0, spares all but this one: for FaultStuck and FaultCanned.
	Command ctap2.Command `json:"command,omitempty"`
	// Answer is for FaultCanned: status byte and body, or nothing at all.
	Answer ctap2.Bytes `json:"answer,omitempty"`
}

// Faults are what is to go wrong with one key, at all of its doors.
type Faults struct {
	clock    Clock
	counters *counters
	powerOff func()

	some    atomic.Bool // there are any
	mu      sync.Mutex
	pending []Fault
}

func newFaults(clock Clock, c *counters, powerOff func()) *Faults {
	return &Faults{clock: clock, counters: c, powerOff: powerOff}
}

// Add plans a fault. Several may hit the same report; the first one planned
// decides.
func (f *Faults) Add(fault Fault) error {
	if !slices.Contains(faultKinds, fault.Kind) {
		return fmt.Errorf("simulator: fault %q: must be one of %v", fault.Kind, faultKinds)
	}
	fault.Times = max(fault.Times, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = append(f.pending, fault)
	f.some.Store(true)
	return nil
}

// Pending returns the faults that are still to come.
func (f *Faults) Pending() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.pending)
}

// Clear forgets what was planned.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = nil
	f.some.Store(false)
}

// none is the usual case, at no cost.
func (f *Faults) none() bool { return f == nil || !f.some.Load() }

// take returns the fault that hits now, if any, among those that concern this.
func (f *Faults) take(concerned func(Fault) bool) (hit Fault, ok bool) {
	if f.none() {
		return hit, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.pending {
		p := &f.pending[i]
		switch {
		case !concerned(*p) || ok:
		case p.Skip > 0:
			p.Skip--
		default:
			hit, ok = *p, true
			p.Times--
		}
	}
	f.pending = slices.DeleteFunc(f.pending, func(p Fault) bool { return p.Times == 0 })
	f.some.Store(len(f.pending) > 0)
	if ok {
		f.counters.fault(hit.Kind)
	}
	return hit, ok
}

// hits reports whether a fault of a kind hits now.
func (f *Faults) hits(kind FaultKind) bool {
	_, hit := f.take(func(p Fault) bool { return p.Kind == kind })
	return hit
}

// pass delivers a report, with what goes wrong. later calls a function after a
// time, in the way in which deliver may be called.
func (f *Faults) pass(report []byte, toKey bool, deliver func(report []byte), later func(d time.Duration, f func())) {
	isNext := report[4]&hidInitBit == 0
	fault, hit := f.take(func(p Fault) bool {
		switch p.Kind {
		case FaultLost, FaultRepeated, FaultLate, FaultDamaged, FaultWrongChannel, FaultUnplug:
			return p.ToKey == toKey
		case FaultWrongSequence:
			return p.ToKey == toKey && isNext
		}
		return false
	})
	if !hit {
		deliver(report)
		return
	}
	report = bytes.Clone(report)
	switch fault.Kind {
	case FaultLost:
		return
	case FaultUnplug:
		f.powerOff()
		return
	case FaultLate:
		later(time.Duration(fault.DelayMS)*time.Millisecond, func() { deliver(report) })
		return
	case FaultRepeated:
		deliver(report)
	case FaultDamaged:
		report[7] ^= 0xff
	case FaultWrongChannel:
		binary.BigEndian.PutUint32(report, ^binary.BigEndian.Uint32(report))
	case FaultWrongSequence:
		report[4] ^= 0x40
	}
	deliver(report)
}

// answer is what a command gets without being executed, if that is planned.
func (f *Faults) answer(ctx context.Context, msg []byte) (answer []byte, canned bool) {
	fault, hit := f.take(func(p Fault) bool {
		about := p.Command == 0 || len(msg) > 0 && p.Command == ctap2.Command(msg[0])
		return about && (p.Kind == FaultCanned || p.Kind == FaultStuck)
	})
	if hit && fault.Kind == FaultStuck {
		<-ctx.Done()
		return []byte{byte(ctap2.ErrKeepaliveCancel)}, true
	}
	return fault.Answer, hit
}

// cuttable is a Storage at whose writes power can be cut.
type cuttable struct {
	Storage
	faults *Faults
}

// Commit stores the changes or, with an error, does not, unless power was cut.
func (c cuttable) Commit(changes map[string][]byte) error {
	if c.faults.hits(FaultCutBeforeWrite) {
		c.faults.powerOff()
		return errPowerOff
	}
	err := c.Storage.Commit(changes)
	if err == nil && c.faults.hits(FaultCutAfterWrite) {
		c.faults.powerOff()
		return errPowerOff
	}
	return err
}
