package conformance

import (
	"slices"
	"strings"
)

// A stage is a state of the key that a number of cases start from. Stages that
// shut one another out are taken one after the other.
type stage int

const (
	stageFramed   stage = iota + 1 // as it comes: framing, then getInfo, then all that needs no PIN
	stageAlwaysUV                  // alwaysUv on, no PIN
	stagePIN                       // PIN set
	stageEP                        // PIN set, enterprise attestation on
	stagePINUV                     // PIN set, alwaysUv on, no finger
	stageRPList                    // PIN set, the RP ID rplistRPID may see the minimum PIN length
	stagePolicy                    // PIN set; cases force a change and raise the minimum
	stageFinger                    // PIN set, finger enrolled by the cases that need one
	stageLockOut                   // PIN set, and locked by the cases
	stageReset                     // each case starts from a reset key
)

// rplistRPID is on the list for minPinLength in stageRPList.
const rplistRPID = "rplist.conformance.test"

// variants are the words for keys that are built differently.
var variants = []string{"no-u2f", "no-wink", "no-nfc-reset", "no-rk", "no-uv", "no-uvnotrqd", "nomcga", "no-credmgmt",
	"no-largeblobs", "no-config", "no-ep-support", "no-minpin", "largeblob", "preview", "certified"}

// lacking are the cases about what the full profile does not have, though no word of
// theirs says so, and the variant that has it.
var lacking = map[string]string{
	"INF-021": "largeblob",
	"INF-026": "nomcga",
	"INF-037": "certified",
	"MCR-011": "certified",
	"PIN-025": "certified",
}

// plays tells the variant that a case runs on, or an empty string.
func (b *Bench) plays() func(c *Case) string {
	if b.Become == nil {
		return (*Case).variant
	}
	return func(c *Case) string {
		if word := lacking[c.ID]; word != "" {
			return word
		}
		return c.variant()
	}
}

// variant is the word of a variant that the case asks for, or empty.
func (c *Case) variant() string {
	for _, w := range c.Words {
		if slices.Contains(variants, w) {
			return w
		}
	}
	return ""
}

// stage is what the key is set up for.
func (c *Case) stage() stage {
	number := c.ID[strings.IndexByte(c.ID, '-')+1:]
	switch group := c.Group(); {
	case c.needs("R") || group == "RST":
		return stageReset
	case group == "PIN" && number >= "048" && number <= "055", c.ID == "STA-003":
		return stageLockOut
	case c.word("alwaysUv") && c.word("nopin"):
		return stageAlwaysUV
	case c.word("nopin"):
		return stageFramed
	case c.word("alwaysUv"):
		return stagePINUV
	case c.word("ep"):
		return stageEP
	case c.word("rplist"):
		return stageRPList
	case c.word("force"), c.word("complexity"), group == "CFG" && number >= "015" && number <= "031":
		return stagePolicy
	case c.word("bio"), c.needs("B"):
		return stageFinger
	case c.needs("P"), c.ID == "MC-078":
		return stagePIN
	}
	return stageFramed
}

// prepare brings the key into the state that a case starts from.
func (r *runner) prepare(p *probe, variant string) {
	p.need(r.bench.Release || !p.Destructive(), "destructive, and the key is not released")
	want := p.Case.stage()
	if r.wire != nil && r.wire.dead != nil {
		r.disconnect()
	}
	if err := r.connect(); err != nil {
		p.fail("%v", err)
	}
	if r.base == nil {
		r.base = p.getInfo()
	}
	r.info = r.base
	switch {
	case p.needs("P"):
		p.need(p.option("clientPin") != nil, "the key has no PIN")
	case p.needs("B"):
		p.need(p.option("bioEnroll") != nil, "the key has no fingerprint sensor")
	}
	p.applicable()
	if !r.bench.Release {
		r.info, r.pin = p.getInfo(), r.bench.PIN
		p.need(want == stageFramed || want == stagePIN && r.pin != "", "starts from a reset key, or a PIN or setting that this key in use does not have")
		set := p.option("clientPin") == true
		p.need(!set || r.pin != "" || p.Group() == "HID" || p.Group() == "INF", "the PIN is not known")
		p.need(!set || !p.word("nopin"), "a PIN is set")
		return
	}
	if r.stage != want || want == stageReset || r.filling(p) {
		r.stage = 0
		r.enter(p, want)
		r.stage = want
	}
	r.info = p.getInfo()
}

// enter resets the key and sets a stage up.
func (r *runner) enter(p *probe, s stage) {
	r.factoryReset(p)
	if s == stageAlwaysUV {
		r.alwaysUV(p, true)
	}
	if s == stageFramed || s == stageAlwaysUV || s == stageReset && !p.needs("P") {
		return
	}
	p.need(p.option("clientPin") != nil, "the key has no PIN")
	p.setPIN(p.somePIN())
	switch s {
	case stageEP:
		p.need(p.option("ep") != nil, "the key has no enterprise attestation")
		p.configure(1, nil)
	case stagePINUV:
		p.need(p.option("alwaysUv") != nil, "the key has no option alwaysUv")
		p.configure(2, nil)
	case stageRPList:
		p.need(p.option("setMinPINLength") == true && p.extension("minPinLength"), "the key has no list of RP IDs for minPinLength")
		p.configure(3, m{2: []any{rplistRPID}})
	}
}

// alwaysUV switches that feature on or off on a fresh key.
func (r *runner) alwaysUV(p *probe, on bool) {
	p.need(p.option("alwaysUv") != nil || !on, "the key has no option alwaysUv")
	if p.option("alwaysUv") == !on {
		done := p.call(cmdConfig, m{1: 2}).status == success
		p.need(done || !p.needs("U"), "alwaysUv cannot be turned off")
		r.info = p.getInfo()
	}
}

// factoryReset wipes the key. A key that leaves the factory with alwaysUv on has
// it turned off.
func (r *runner) factoryReset(p *probe) {
	fresh := r.fresh
	r.fresh = false
	p.powerCycle()
	if r.wire == nil && p.like("no-nfc-reset") { // there is one case that can do without
		p.need(fresh, "the key cannot be reset over NFC, and the bench has no other door")
		return
	}
	long := p.getInfo()[infoLongTouchForReset] == true
	if long {
		p.touch(TouchLong)
	}
	p.ok(cmdReset, nil)
	p.touch(TouchAlways)
	r.pin = ""
	r.base = p.getInfo()
	r.info = r.base
	r.alwaysUV(p, false)
}

// filling says whether earlier cases left so many credentials that there may be
// too little room for the next.
func (r *runner) filling(p *probe) bool {
	r.info = p.getInfo()
	return num(r.info[infoRemaining]) < num(r.base[infoRemaining])/2
}

// released ends a case that would change a key in use for good.
func (p *probe) released() { p.need(p.bench.Release, "would change a key that is in use") }
