package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/fidokey/fidokey/trace"
	"github.com/fidokey/fidokey/transport/nfc"
)

// A Selection says which cases run and who hears of their results.
type Selection struct {
	// Match takes a case or leaves it out; nil takes all.
	Match func(c *Case) bool
	// Begin is called when the key is ready for a case; nil is nobody.
	Begin func(c *Case)
	// Strict makes it a warning when an answer is right but not the one named
	// first, which is the one of the simulator.
	Strict bool
	// Seed is what the random bytes of the run come from; empty is one by chance.
	Seed string
	// Report is called for each result, the parts of a case before the case; nil
	// is nobody.
	Report func(r *Result)
	// Trace is where all that goes between the run and the key is written, so that
	// a [Playback] can play it; nil is nowhere. Its header has trace.RunVersion.
	Trace *trace.Writer

	begin func(c *Case) bool // is called before each case, and says whether to go on
}

// implementations has the code of the cases.
var implementations = sync.OnceValue(func() cases {
	return merge(hidCases(), infoCases(), mcCases(), mcrCases(), gaCases(), gnaCases(), pinCases(), rstCases(), cmCases(), cbrCases(), xcpCases(), xhsCases(),
		staCases(), cfgCases(), bioCases(), lbCases(), xcbCases(), xlbCases(), xmpCases(), nfcCases(), u2fCases())
})

// Missing returns the identifiers of cases that have no implementation.
func Missing() []string {
	var missing []string
	for i := range allCases() {
		if implementations()[allCases()[i].ID] == nil {
			missing = append(missing, allCases()[i].ID)
		}
	}
	return missing
}

// Run runs the cases stage after stage and returns their results, the parts of a
// case before the case. It ends early when ctx does.
func Run(ctx context.Context, bench *Bench, sel Selection) []Result {
	if sel.Seed == "" {
		sel.Seed = NewSeed()
	}
	plays := bench.plays()
	cases := order(sel.Match, plays)
	if sel.Trace != nil {
		taped, end := recorded(bench, &sel, cases)
		bench = taped
		defer end()
	}
	r := newRunner(bench, sel)
	defer r.close()
	for _, c := range cases {
		if ctx.Err() != nil || sel.begin != nil && !sel.begin(c) {
			break
		}
		r.runCase(ctx, c, r.play(plays(c)))
	}
	return r.results
}

func newRunner(bench *Bench, sel Selection) *runner {
	return &runner{bench: bench, sel: sel}
}

// play has the key play a variant, if the bench can do that, and returns what it
// plays.
func (r *runner) play(word string) (variant string) {
	if word == r.asked {
		return r.playing
	}
	r.asked = word
	if r.bench.Become == nil || word == "" && r.playing == "" {
		return ""
	}
	r.playing = ""
	if err := r.bench.Become(word); err == nil {
		r.playing = word
	}
	r.stage, r.base, r.pin, r.fresh = 0, nil, "", true
	r.disconnect()
	return r.playing
}

// A runner holds what is the same for all cases.
type runner struct {
	dice
	bench   *Bench
	sel     Selection
	results []Result

	wire           *wire
	card           nfc.Card      // while the key lies on a reader
	applet         bool          // is selected
	cardFailed     bool          // to answer: it may have been taken away
	cid            uint32        // our channel
	base           map[int]any   // what getInfo said on the fresh key
	info           map[int]any   // what getInfo said when the case began
	pin            string        // what we set; empty: none
	stage          stage         // that the key is set up for; 0: none
	made           []*credential // discoverable, on a key in use
	serial         int           // of the run, so that each has an RP ID of its own
	cutting        bool          // the power is about to go: no answer is no fault
	log            *messageLog   // of the case at work
	asked, playing string        // variants: what the last case wants, and what the key is
	fresh          bool          // from the factory: the key has just become what it plays
	pinRefused     bool          // the PIN of a key in use, which is never tried again
}

// runCase runs one case, once for each PIN/UV auth protocol where that matters.
func (r *runner) runCase(ctx context.Context, c *Case, variant string) {
	f := implementations()[c.ID]
	if f == nil {
		r.add(Result{Case: c, Variant: variant, Outcome: Fail, Reason: "no code belongs to this case"})
		return
	}
	var whole Result
	protocols := []int{0}
	for i := 0; i < len(protocols); i++ {
		p := r.attempt(ctx, c, variant, protocols[i], func(p *probe) {
			if list := p.protocols(); i == 0 && c.byProtocol() && len(list) > 0 {
				protocols = list
			}
			if p.protocol == 0 {
				p.protocol = p.bestProtocol()
			}
			if r.sel.Begin != nil {
				r.sel.Begin(c)
			}
			r.log = newLog() // without what it took to get here
			r.dice = newDice(r.sel.Seed, c, p.protocol, "case")
			f(p)
		})
		if ctx.Err() != nil && p.outcome == Fail {
			return // by who ended the run, not by the key
		}
		result := p.result("")
		result.Variant = variant
		if len(protocols) > 1 {
			result.Part = fmt.Sprintf("protocol%d", p.protocol)
		}
		for _, part := range p.parts {
			part.Variant, part.Part = variant, strings.TrimPrefix(result.Part+"."+part.Part, ".")
			r.add(part)
		}
		if len(protocols) > 1 {
			r.add(result)
		}
		whole = whole.join(result)
		if p.outcome == Fail {
			r.stage = 0
		}
	}
	whole.Part = ""
	r.add(whole)
}

// attempt prepares the key for a case and runs it.
func (r *runner) attempt(ctx context.Context, c *Case, variant string, protocol int, f func(p *probe)) *probe {
	r.serial++
	r.log, r.dice = newLog(), newDice(r.sel.Seed, c, protocol, "preparation")
	p := &probe{runner: r, Case: c, ctx: ctx, protocol: protocol}
	p.run(func(p *probe) {
		r.prepare(p, variant)
		f(p)
	})
	log := r.log
	r.log = nil                          // what follows is no part of the case
	p.ctx = context.WithoutCancel(p.ctx) // and done, whoever ended the run
	p.cleanUp()
	r.log = log
	return p
}

func (r *runner) add(result Result) {
	r.results = append(r.results, result)
	if r.sel.Report != nil {
		r.sel.Report(&result)
	}
}

// byProtocol says whether the case differs by PIN/UV auth protocol.
func (c *Case) byProtocol() bool {
	switch c.Group() {
	case "PIN", "CM", "CFG", "LB", "XHS":
		return c.needs("P") || c.Group() == "PIN" || c.Group() == "XHS"
	case "MC", "GA":
		return strings.Contains(c.Title, "pinUvAuthParam") || strings.Contains(c.Title, "oken")
	}
	return false
}

// cleanUp ends what a case left running. On a key in use it deletes the
// discoverable credentials.
func (p *probe) cleanUp() {
	p.cutting = false
	if p.bench.CutPower != nil {
		p.bench.CutPower(0, false)
	}
	if p.bench.Touch != nil {
		p.bench.Touch(TouchAlways)
	}
	if p.bench.Finger != nil {
		p.bench.Finger(FingerFirst)
	}
	if made := p.made; len(made) > 0 {
		p.made = nil
		p.run(func(p *probe) {
			for _, c := range made {
				params := p.token(permCM, "").manage(6, m{2: descriptor(c.id)})
				p.want(p.call(cmdCredentialManagement, params), success, eNoCredentials)
			}
		})
	}
	switch {
	case p.cardFailed:
		p.disconnect()
		p.dirty()
	case p.wire != nil && p.runner.card != nil: // off the reader, back to USB
		p.disconnect()
	case p.wire != nil && p.wire.dead != nil:
		p.disconnect()
		p.dirty()
	case p.wire != nil && p.outcome == Fail:
		p.wire.send(p.cid, hidCancel, nil)
		p.wire.drain()
		p.disconnect()
	}
}

var errNoDoor = errors.New("conformance: the bench has neither a HID port nor a card reader")

// connect opens the doors and a channel.
func (r *runner) connect() error {
	if r.wire == nil && r.bench.Port != nil {
		port, err := r.bench.Port()
		if err != nil {
			return err
		}
		r.wire = newWire(port, func(n int) []byte { return r.random(n) }) // by the dice of each case
		r.wire.log = func(m Message) { r.log.add(m) }
		if r.cid, err = r.wire.open(); err != nil {
			r.disconnect()
			return err
		}
	}
	switch {
	case r.wire != nil || r.card != nil:
		return nil
	case r.bench.Card == nil:
		return errNoDoor
	}
	return r.openCard()
}

// openCard puts the key on the reader.
func (r *runner) openCard() error {
	card, err := r.bench.Card()
	r.card, r.applet, r.cardFailed = card, false, false
	return err
}

func (r *runner) disconnect() {
	r.cardFailed = false
	if r.wire != nil {
		r.wire.port.Close()
		r.wire = nil
	}
	r.dropCard()
}

// close leaves the key as it was built.
func (r *runner) close() {
	r.disconnect()
	if r.asked != "" && r.bench.Become != nil {
		_ = r.bench.Become("") // a simulated key
	}
}

func (r *runner) cycle(ctx context.Context) error {
	r.disconnect()
	if err := r.bench.PowerCycle(ctx); err != nil {
		return err
	}
	return r.connect()
}
