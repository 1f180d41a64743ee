package nfc_test

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
	"github.com/fidokey/fidokey/transport/nfc"
)

// A tripwire is a Card that does something at its n-th APDU: before, after or
// while it is transmitted.
type tripwire struct {
	nfc.Card
	sent, at int
	when     string
	trip     func()
}

func (w *tripwire) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	w.sent++
	if w.sent != w.at {
		return w.Card.Transmit(ctx, apdu)
	}
	switch w.when {
	case "before":
		w.trip()
	case "during":
		time.AfterFunc(time.Millisecond, w.trip)
	case "after":
		defer w.trip()
	}
	return w.Card.Transmit(ctx, apdu)
}

// longRegistration takes three blocks, and its answer comes in parts.
func longRegistration(t *testing.T) []byte {
	t.Helper()
	hash := sha256.Sum256(nil)
	msg, err := ctap2.Encode(ctap2.MakeCredential{
		ClientDataHash:   hash[:],
		RP:               ctap2.RP{ID: "example.com"},
		User:             ctap2.User{ID: []byte{1}, Name: "alice"},
		PubKeyCredParams: []ctap2.CredentialParameters{{Algorithm: cose.ES256, Type: ctap2.PublicKeyType}},
		ExcludeList:      []ctap2.Descriptor{{Type: ctap2.PublicKeyType, ID: bytes.Repeat([]byte{7}, 400)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// TestCancelEverywhere ends the context at each APDU of a registration. The
// answer is whole or there is none, and the next command gets its own answer.
func TestCancelEverywhere(t *testing.T) {
	msg := longRegistration(t)
	for name, options := range map[string][]nfc.Option{
		"chained":        nil,
		"extended":       {nfc.ExtendedLength()},
		"without status": {nfc.WithoutStatusUpdates()},
	} {
		for _, when := range []string{"before", "during", "after"} {
			made, cancelled := 0, 0
			for at := 1; ; at++ {
				reached := false
				t.Run(fmt.Sprintf("%s, %s APDU %d", name, when, at), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						touch := func(ctx context.Context, _ simulator.PresenceRequest) simulator.Presence {
							select {
							case <-time.After(250 * time.Millisecond):
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
						ctx, end := context.WithCancel(t.Context())
						card := simulator.NewCard(key)
						wire := &tripwire{Card: card, when: when, trip: func() { reached = true; end() }}
						d, err := nfc.Open(t.Context(), wire, options...)
						if err != nil {
							t.Fatal(err)
						}
						defer d.Close()
						info, err := d.Exchange(t.Context(), []byte{4})
						if err != nil {
							t.Fatal(err)
						}
						// The tap itself counts as a touch, once.
						if _, err := d.Exchange(t.Context(), msg); err != nil {
							t.Fatal(err)
						}

						wire.sent, wire.at = 0, at
						answer, err := d.Exchange(ctx, msg)
						wire.at = 0
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
						if _, err := d.Exchange(t.Context(), msg); err != nil {
							t.Errorf("next registration: %v", err)
						}
					})
				})
				if !reached || t.Failed() {
					break
				}
			}
			t.Logf("%s, %s: %d registered, %d cancelled", name, when, made, cancelled)
			// Once the key has done it, that is told, in however many parts.
			if name != "extended" && when == "after" && made < 3 || made < 1 || cancelled < 1 {
				t.Errorf("%s, %s: %d registrations went through, %d were cancelled", name, when, made, cancelled)
			}
		}
	}
}

// TestChainOfU2FIsBroken: a key puts the next command behind half a chain.
func TestChainOfU2FIsBroken(t *testing.T) {
	v := readVectors(t)
	d, card := open(t, script("9000"))
	ctx, end := context.WithCancel(t.Context())
	card.transmit = func(context.Context, []byte) ([]byte, error) {
		end()
		return unhex("9000"), nil
	}
	long := append(unhex("0002030000012c"), append(make([]byte, 300), 0, 0)...)
	if _, err := d.Message(ctx, long); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	wantAPDUs(t, card, append(unhex("10020300f0"), make([]byte, 240)...), v.NFCCTAPGetResponseCancel)
}
