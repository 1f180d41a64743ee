// Package bench is a hardware bench: security keys with a switch in their power
// supply and something that touches them, so that tests run on them at night.
//
//	b, err := bench.Load("bench.yaml")
//	place, err := b.Place("blue")
//	lock, err := place.Lock(ctx, wait)
//	verdict, err := place.Judge(ctx)
//	run, err := place.Run(ctx, verdict, conformance.Selection{})
//
// A bench file (docs/hil.md, docs/schema/bench.json) says how each key is told from
// others, what switches its power and touches it, and whether it may be wiped. A
// [Place] is where one key is. Nothing is done to a key that is not the one that
// the file describes, and what destroys something only if the file releases the key
// and nothing is on it that the bench does not know: see [Place.Judge].
//
// A [Switch] is a driver, for power as for touch. A key that blinks says so in its
// keepalives, so the bench looks at what goes by on its port, and touches then.
package bench
