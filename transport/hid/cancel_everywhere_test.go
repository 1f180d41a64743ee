package hid_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/hid"
)

// A tripwire is a Port that does something at the n-th report it moves, before
// or after it.
type tripwire struct {
	hid.Port
	moved, at int
	before    bool
	trip      func()
}

func (w *tripwire) move(io func([]byte) (int, error), report []byte) (int, error) {
	w.moved++
	if w.moved == w.at && w.before {
		w.trip()
	}
	n, err := io(report)
	if w.moved == w.at && !w.before {
		w.trip()
	}
	return n, err
}

func (w *tripwire) Read(report []byte) (int, error)  { return w.move(w.Port.Read, report) }
func (w *tripwire) Write(report []byte) (int, error) { return w.move(w.Port.Write, report) }

// longRegistration takes several reports, and so does its answer.
func longRegistration(t *testing.T) []byte {
	t.Helper()
	hash := sha256.Sum256(nil)
	exclude := []ctap2.Descriptor{{Type: ctap2.PublicKeyType, ID: bytes.Repeat([]byte{7}, 200)}}
	msg, err := ctap2.Encode(ctap2.MakeCredential{
		ClientDataHash: hash[:],
		RP:             ctap2.RP{ID: "example.com"},
		User:           ctap2.User{ID: []byte{1}, Name: "alice"},
		PubKeyCredParams: []ctap2.CredentialParameters{
			{Algorithm: cose.ES256, Type: ctap2.PublicKeyType},
		},
		ExcludeList: exclude,
	})
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// TestCancelEverywhere ends the context at each report of a registration, in
// either direction, right before and after it moves. The answer is whole or
// there is none, and the next command gets its own answer.
func TestCancelEverywhere(t *testing.T) {
	msg := longRegistration(t)
	for _, before := range []bool{false, true} {
		made, cancelled := 0, 0
		for at := 1; ; at++ {
			reached := false
			t.Run(fmt.Sprintf("report %d, before %v", at, before), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					touch := func(ctx context.Context, _ simulator.PresenceRequest) simulator.Presence {
						select {
						case <-time.After(200 * time.Millisecond):
							return simulator.PresenceTouched
						case <-ctx.Done():
							return simulator.PresenceNone
						}
					}
					key, err := simulator.New(simulator.Config{Presence: touch})
					if err != nil {
						t.Fatal(err)
					}
					defer key.Close()
					door := simulator.NewHID(key)
					defer door.Close()
					ctx, end := context.WithCancel(t.Context())
					wire := &tripwire{Port: door.Port(), before: before, trip: func() { reached = true; end() }}
					d, err := hid.Open(t.Context(), wire)
					if err != nil {
						t.Fatal(err)
					}
					defer d.Close()
					info, err := d.Exchange(t.Context(), []byte{4})
					if err != nil {
						t.Fatal(err)
					}

					wire.moved, wire.at = 0, at
					answer, err := d.Exchange(ctx, msg)
					switch {
					case err == nil:
						made++
						var resp ctap2.MakeCredentialResponse
						if err := ctap2.Decode(t.Context(), answer, ctap2.CommandMakeCredential, &resp); err != nil {
							t.Error(err)
						}
					case errors.Is(err, context.Canceled):
						cancelled++
					default:
						t.Errorf("error %v", err)
					}
					if again, err := d.Exchange(t.Context(), []byte{4}); err != nil || !bytes.Equal(again, info) {
						t.Errorf("next answer %x, error %v, want %x", again, err, info)
					}
				})
			})
			if !reached || t.Failed() {
				break
			}
		}
		t.Logf("before %v: %d registered, %d cancelled", before, made, cancelled)
		if made < 4 || cancelled < 7 {
			t.Errorf("%d registrations went through, %d were cancelled", made, cancelled)
		}
	}
}
