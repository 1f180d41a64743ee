package hid

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/transport"
)

// TestWatch tells of each change once, whatever the order of the list, and of a
// list that cannot be read.
func TestWatch(t *testing.T) {
	a, b := Info{Path: "a"}, Info{Path: "b"}
	unreadable := errors.New("unreadable")
	looks := []struct {
		keys []Info
		err  error
	}{{nil, nil}, {nil, nil}, {[]Info{b}, nil}, {[]Info{b, a}, nil}, {[]Info{a, b}, nil}, {nil, unreadable}, {nil, unreadable}, {[]Info{a}, nil}}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var told []string
		n := 0
		err := watch(ctx, func() ([]Info, error) {
			look := looks[min(n, len(looks)-1)]
			n++
			return slices.Clone(look.keys), look.err
		}, func(keys []Info, err error) {
			said := fmt.Sprint(len(keys), err)
			for _, k := range keys {
				said += k.Path
			}
			told = append(told, said)
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended with %v", err)
		}
		want := []string{"0 <nil>", "1 <nil>b", "2 <nil>ab", "0 unreadable", "1 <nil>a"}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
	err := watch(t.Context(), func() ([]Info, error) { return nil, transport.ErrUnsupported }, func([]Info, error) { t.Error("told of nothing") })
	if !errors.Is(err, transport.ErrUnsupported) {
		t.Error(err)
	}
}
