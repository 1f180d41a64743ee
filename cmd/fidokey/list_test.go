package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/transport/nfc"
)

// TestTakenAway: a key that is taken off its reader while the list is made is not in it,
// and nobody waits for it; one that was named stays, with the reason.
func TestTakenAway(t *testing.T) {
	waited := false
	gone := place{deviceInfo{Path: "pcsc:reader"}, func(ctx context.Context, _ client.Prompt) (*openedKey, error) {
		waited = waited || ctx.Value(asksNobody{}) == nil
		return nil, fmt.Errorf("reader: %w", nfc.ErrNoCard)
	}}
	broken := place{deviceInfo{Path: "/dev/hidraw7"}, func(context.Context, client.Prompt) (*openedKey, error) {
		return nil, context.DeadlineExceeded
	}}
	e := new(env)
	if keys := e.identifyAll(t.Context(), []place{gone, broken}); len(keys) != 1 || keys[0].Index != 1 || keys[0].Device.Path != "/dev/hidraw7" || keys[0].Error == "" {
		t.Errorf("%+v", keys)
	}
	e.global.device = "pcsc:reader"
	if keys := e.identifyAll(t.Context(), []place{gone}); len(keys) != 1 || keys[0].Error == "" {
		t.Errorf("named: %+v", keys)
	}
	if waited {
		t.Error("the person was waited for")
	}
}
