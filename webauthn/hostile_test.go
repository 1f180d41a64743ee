package webauthn_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/internal/hostiletest"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/webauthn"
)

// TestHostileKey registers and signs in with keys that say anything. What comes out can
// be sent, and is judged without a panic; the PIN is not tried more than twice, which is
// what a key of two protocols may cost.
func TestHostileKey(t *testing.T) {
	profile, err := simulator.LoadProfile("ctap-2.3")
	if err != nil {
		t.Fatal(err)
	}
	const seeds = 300
	made, signed := 0, 0
	for seed := range uint64(seeds) {
		dice := rand.New(rand.NewPCG(seed, 0))
		hostile := false
		a, err := simulator.New(simulator.Config{Profile: profile, Answers: func(_ context.Context, _, answer []byte) []byte {
			if !hostile || dice.IntN(5) > 0 {
				return answer
			}
			return hostiletest.Spoil(dice, answer)
		}})
		if err != nil {
			t.Fatal(err)
		}
		pin := func() ([]byte, error) { return []byte("12345678"), nil }
		key := client.New(a, client.Options{Prompt: client.Prompt{
			PIN:    func(context.Context, client.PINRequest) ([]byte, error) { return pin() },
			NewPIN: func(context.Context, client.NewPINRequest) ([]byte, error) { return pin() },
		}})
		if err := key.SetPIN(t.Context()); err != nil {
			t.Fatal(err)
		}
		page := webauthn.Client{Origin: "https://login.example.com"}
		create := creationOptions(t, `, "attestation": "direct", "authenticatorSelection": {"residentKey": "required", "userVerification": "required"},
			"extensions": {"credProps": true, "hmacCreateSecret": true, "credBlob": "AAAA", "minPinLength": true, "largeBlob": {"support": "preferred"}}`)
		get := requestOptions(t, `, "userVerification": "required", "extensions": {"getCredBlob": true, "largeBlob": {"read": true}, "hmacGetSecret": {"salt1": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}`)
		// A credential for the sign-in, which the key makes while it is good.
		if _, err := page.Create(t.Context(), key, create); err != nil {
			t.Fatal(err)
		}
		a.ResetCounters()
		hostile = true
		if r, err := page.Create(t.Context(), key, create); err == nil {
			made++
			text, err := json.Marshal(r)
			if err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			judge(t, r, webauthn.Expected{RPID: "example.com", Origin: page.Origin})
			var again webauthn.RegistrationResponse
			if err := json.Unmarshal(text, &again); err != nil {
				t.Errorf("seed %d: %s: %v", seed, text, err)
			}
		}
		if r, err := page.Get(t.Context(), key, get, nil); err == nil {
			signed++
			if _, err := json.Marshal(r); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		}
		commands := a.Counters().Commands
		if tries := commands["06.05"] + commands["06.09"]; tries > 4 {
			t.Errorf("seed %d: %d PIN tries", seed, tries)
		}
		key.Close()
	}
	if made < seeds/10 || signed < seeds/10 || made == seeds || signed == seeds {
		t.Errorf("of %d, %d were made and %d signed in", seeds, made, signed)
	}
}
