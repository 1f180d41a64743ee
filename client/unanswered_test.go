package client_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

// A parrot says the same to everything.
type parrot []byte

func (p parrot) Exchange(context.Context, []byte) ([]byte, error) { return p, nil }
func (parrot) Close() error                                       { return nil }

// TestUnreadableAnswers: a command that changes something may have been done if its
// answer cannot be read, and the error says what.
func TestUnreadableAnswers(t *testing.T) {
	credential := func(sub ctap2.CredentialSubCommand) func(*client.Key) error {
		return func(k *client.Key) error {
			return errorOf(client.Do(t.Context(), k, ctap2.CredentialManagement{SubCommand: sub}))
		}
	}
	finger := func(sub ctap2.BioSubCommand) func(*client.Key) error {
		return func(k *client.Key) error {
			return errorOf(client.Do(t.Context(), k, ctap2.BioEnrollment{Preview: true, SubCommand: sub}))
		}
	}
	pin := func(sub ctap2.PINSubCommand) func(*client.Key) error {
		return func(k *client.Key) error { return errorOf(client.Do(t.Context(), k, ctap2.ClientPIN{SubCommand: sub})) }
	}
	for name, c := range map[string]struct {
		send func(k *client.Key) error
		says string // "": it changes nothing
	}{
		"setPIN":           {pin(ctap2.SetPIN), "the PIN may have been set"},
		"changePIN":        {pin(ctap2.ChangePIN), "the PIN may have been changed"},
		"getPINRetries":    {pin(ctap2.GetPINRetries), ""},
		"deleteCredential": {credential(ctap2.DeleteCredential), "the credential may have been deleted"},
		"update":           {credential(ctap2.UpdateUserInformation), "the user's names may have been changed"},
		"getCredsMetadata": {credential(ctap2.GetCredsMetadata), ""},
		"sample":           {finger(ctap2.EnrollCaptureNextSample), "the fingerprint may have been stored"},
		"name":             {finger(ctap2.SetFriendlyName), "the fingerprint may have been named"},
		"remove":           {finger(ctap2.RemoveEnrollment), "the fingerprint may have been removed"},
		"fingers":          {finger(ctap2.EnumerateEnrollments), ""},
		"large blobs": {func(k *client.Key) error {
			return errorOf(client.Do(t.Context(), k, ctap2.LargeBlobs{Set: []byte{1}}))
		}, "the large blobs may have been written"},
		"makeCredential": {func(k *client.Key) error {
			return errorOf(client.Do(t.Context(), k, ctap2.MakeCredential{RP: ctap2.RP{ID: "example.com"}}))
		}, "the credential may have been made"},
		"sent as it is": {func(k *client.Key) error {
			return errorOf(k.Send(t.Context(), ctap2.CommandReset, nil))
		}, "the key may have been reset"},
		"getInfo": {func(k *client.Key) error { return errorOf(client.Do(t.Context(), k, ctap2.GetInfo{})) }, ""},
	} {
		answer := parrot{0, 0x80}
		if name == "sent as it is" {
			answer = nil // to which all else is an answer
		}
		err := c.send(client.New(answer, client.Options{}))
		if !errors.Is(err, ctap2.ErrMalformed) || errors.Is(err, client.ErrMayBeDone) != (c.says != "") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUnreadableCredential: what is wrong may be found later than in the CBOR.
func TestUnreadableCredential(t *testing.T) {
	for name, data := range map[string][]byte{"no authenticator data": nil, "no credential": make([]byte, 37)} {
		a, err := simulator.New(simulator.Config{Answers: func(_ context.Context, request, answer []byte) []byte {
			if request[0] != byte(ctap2.CommandMakeCredential) {
				return answer
			}
			return edited(answer, func(m map[int]any) { m[2] = data })
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if _, err := client.New(a, client.Options{}).Register(t.Context(), registration()); !errors.Is(err, ctap2.ErrMalformed) ||
			!errors.Is(err, client.ErrMayBeDone) || strings.Count(err.Error(), "the credential may have been made") != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
