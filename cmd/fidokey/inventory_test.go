package main

import (
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
)

// answersAfter is how long each key of the inventory takes for an answer.
const answersAfter = 100 * time.Millisecond

// A slowKey takes its time, and stays when it is closed.
type slowKey struct{ transport.Device }

func (slowKey) Close() error { return nil }

func (k slowKey) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	time.Sleep(answersAfter)
	return k.Device.Exchange(ctx, msg)
}

// manyKeys are places with a slow key each.
func manyKeys(t testing.TB, n int) (places []place) {
	t.Helper()
	for i := range n {
		a, err := simulator.New(simulator.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { a.Close() })
		device := deviceInfo{Path: fmt.Sprintf("/dev/hidraw%d", i)}
		places = append(places, place{device, func(_ context.Context, prompt client.Prompt) (*openedKey, error) {
			dev := slowKey{a}
			return &openedKey{Key: client.New(dev, client.Options{Prompt: prompt}), device: device, dev: dev}, nil
		}})
	}
	return places
}

// inventories are the commands that ask all keys.
var inventories = map[string]func(ctx context.Context, e *env, places []place) error{
	"list": func(ctx context.Context, e *env, places []place) error { return e.list(e.identifyAll(ctx, places)) },
	"info --all": func(ctx context.Context, e *env, places []place) error {
		return e.onAll(ctx, places, client.Prompt{}, e.info)
	},
}

// TestInventory: 64 keys take at most half as long again as one. In a bubble time goes on
// only while all wait, so what counts is which key waits for which.
func TestInventory(t *testing.T) {
	for name, run := range inventories {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				took := func(n int) time.Duration {
					places := manyKeys(t, n)
					start := time.Now()
					if err := run(t.Context(), &env{stdout: io.Discard, stderr: io.Discard}, places); err != nil {
						t.Fatal(err)
					}
					return time.Since(start)
				}
				one, many := took(1), took(64)
				if one < answersAfter || many > one*3/2 {
					t.Errorf("one key takes %v, 64 take %v", one, many)
				}
			})
		})
	}
}

// BenchmarkInventory is what TestInventory counts, in time.
func BenchmarkInventory(b *testing.B) {
	for _, n := range []int{1, 8, 64} {
		places := manyKeys(b, n)
		for name, run := range inventories {
			b.Run(fmt.Sprintf("%s, %d keys", name, n), func(b *testing.B) {
				for b.Loop() {
					if err := run(b.Context(), &env{stdout: io.Discard, stderr: io.Discard}, places); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
