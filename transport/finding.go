package transport

import "context"

// A Finding is something that a key did otherwise than the specification says,
// and that was tolerated.
type Finding struct {
	What  string // as in "map keys are out of order"
	Where string // the answer or message, as in "authenticatorGetInfo"
	Raw   []byte // the bytes in question, as they came; they may hold secrets
}

type findingKey struct{}

// WithFindings returns a context with which whoever tolerates something reports
// it to f. f must not block; it may be called from several goroutines.
func WithFindings(ctx context.Context, f func(Finding)) context.Context {
	return context.WithValue(ctx, findingKey{}, f)
}

// Tolerate calls the function given to [WithFindings], if any.
func Tolerate(ctx context.Context, f Finding) {
	if report, ok := ctx.Value(findingKey{}).(func(Finding)); ok {
		report(f)
	}
}
