package simulator

import (
	"fmt"
	"maps"
	"sync"
)

// Counts say what a key was asked and how often.
type Counts struct {
	// Commands has two hexadecimal digits of the command, and for commands with
	// subcommands two of these: "06.09". Instructions of U2F are "u2f.02".
	Commands map[string]uint64 `json:"commands"`
	// Statuses has the status byte behind the command: "01 2e".
	Statuses map[string]uint64 `json:"statuses"`
	// Touches has what the person did: "touched", "long", "declined" or "none".
	Touches map[string]uint64 `json:"touches"`
	// Faults has the kinds of faults that took effect.
	Faults map[string]uint64 `json:"faults"`
	// PowerCycles is how often power was cut.
	PowerCycles uint64 `json:"powerCycles"`
}

func newCounts() Counts {
	return Counts{
		Commands: map[string]uint64{}, Statuses: map[string]uint64{},
		Touches: map[string]uint64{}, Faults: map[string]uint64{},
	}
}

// counters are Counts at work.
type counters struct {
	mu  sync.Mutex
	now Counts
}

func newCounters() *counters { return &counters{now: newCounts()} }

func (c *counters) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = newCounts()
}

func (c *counters) counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Counts{
		Commands: maps.Clone(c.now.Commands), Statuses: maps.Clone(c.now.Statuses),
		Touches: maps.Clone(c.now.Touches), Faults: maps.Clone(c.now.Faults),
		PowerCycles: c.now.PowerCycles,
	}
}

// command counts a request with its answer.
func (c *counters) command(msg, answer []byte) {
	name := "empty"
	if len(msg) > 0 {
		name = fmt.Sprintf("%02x", msg[0])
		if sub := subCommand(msg); sub != 0 {
			name += fmt.Sprintf(".%02x", sub)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Commands[name]++
	if len(answer) > 0 {
		c.now.Statuses[fmt.Sprintf("%s %02x", name, answer[0])]++
	}
}

// u2f counts a U2F command as one of CTAP2: "u2f.02".
func (c *counters) u2f(ins byte, sw statusWord) {
	name := fmt.Sprintf("u2f.%02x", ins)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Commands[name]++
	c.now.Statuses[fmt.Sprintf("%s %04x", name, uint16(sw))]++
}

func (c *counters) touch(p Presence) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Touches[p.String()]++
}

func (c *counters) fault(k FaultKind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Faults[string(k)]++
}

func (c *counters) powerCycle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.PowerCycles++
}
