// Package enrol makes a passkey on a key for a user of Microsoft Entra ID, and registers
// it: creation options from Graph, a PIN if the key has none, the credential, the post,
// and a look at what the tenant has afterwards. If the tenant does not take the
// credential it is deleted from the key again.
package enrol

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra/graph"
	"github.com/fidokey/fidokey/webauthn"
)

// Request is whom a passkey is for.
type Request struct {
	User    string        // UPN or ID
	Name    string        // of the passkey, at most graph.MaxDisplayName characters
	Timeout time.Duration // of the options; 0: five minutes. See graph.CreationOptions
	// ReadBack is how long the tenant may take to show the passkey; 0: 30 seconds.
	ReadBack time.Duration
}

// Result is a registered passkey.
type Result struct {
	Method       *graph.Method
	CredentialID []byte
	UserHandle   []byte
	AAGUID       ctap2.AAGUID
	PINSet       bool     // the key had none
	NotSent      []string // extensions that the key does not have
}

// ErrUnknown means that nobody knows whether the tenant has the passkey, for Graph could
// not be asked any more. The credential is still on the key.
var ErrUnknown = errors.New("whether the tenant has registered the passkey is not known; the credential stays on the key")

// ErrReadBack means that the tenant took the passkey and shows another one, or none.
var ErrReadBack = errors.New("the tenant took the passkey, but does not show it as it is")

// Register makes and registers a passkey. The Prompt of the key is asked for its PIN, and
// for a new one where it has none. An error may come with a Result: then what it says has
// happened nevertheless.
func Register(ctx context.Context, g *graph.Client, key *client.Key, r Request) (*Result, error) {
	if n := len([]rune(r.Name)); n > graph.MaxDisplayName {
		return nil, fmt.Errorf("the name has %d characters; Entra takes %d", n, graph.MaxDisplayName)
	}
	options, err := g.CreationOptions(ctx, r.User, r.Timeout)
	if err != nil {
		return nil, err
	}
	wanted, clientDataJSON, err := translate(&options.PublicKey)
	if err != nil {
		return nil, err
	}
	result := &Result{UserHandle: wanted.User.ID}
	if result.PINSet, err = setFirstPIN(ctx, key); err != nil {
		return nil, err
	}
	made, err := key.Register(ctx, wanted)
	if err != nil {
		return result, err
	}
	result.CredentialID, result.NotSent = made.Data.Credential.ID, made.Extensions.NotSent
	result.AAGUID = made.Data.Credential.AAGUID
	if err := result.post(ctx, g, key, r, clientDataJSON, made); err != nil {
		return result, err
	}
	return result, nil
}

// setFirstPIN sets a PIN on a key that has neither one nor its own user verification.
func setFirstPIN(ctx context.Context, key *client.Key) (bool, error) {
	info, err := key.Info(ctx)
	if err != nil {
		return false, err
	}
	if verifies, _ := info.Option(ctap2.OptionUV); verifies {
		return false, nil
	}
	if set, supported := info.Option(ctap2.OptionClientPIN); set || !supported {
		return false, nil
	}
	return true, key.SetPIN(ctx)
}

// translate turns creation options into what the key is asked for, and the client data.
func translate(o *graph.PublicKeyOptions) (r client.Registration, clientDataJSON []byte, err error) {
	challenge, err := base64.RawURLEncoding.DecodeString(o.Challenge)
	if err != nil {
		return r, nil, fmt.Errorf("the challenge of the creation options is not base64url: %w", err)
	}
	handle, err := o.UserHandle()
	if err != nil {
		return r, nil, fmt.Errorf("the user handle of the creation options is not base64url: %w", err)
	}
	excluded, err := o.Excluded()
	if err != nil {
		return r, nil, err
	}
	clientDataJSON = webauthn.ClientData{Type: webauthn.TypeCreate, Challenge: challenge, Origin: "https://" + o.RP.ID}.JSON()
	r = client.Registration{
		ClientDataHash:   webauthn.Hash(clientDataJSON),
		RP:               ctap2.RP{ID: o.RP.ID, Name: o.RP.Name},
		User:             ctap2.User{ID: handle, Name: o.User.Name, DisplayName: o.User.DisplayName},
		Discoverable:     true, // Entra has no other passkeys
		UserVerification: client.Required,
	}
	for _, p := range o.PubKeyCredParams {
		r.Parameters = append(r.Parameters, ctap2.CredentialParameters{Algorithm: cose.Algorithm(p.Alg), Type: ctap2.PublicKeyType})
	}
	for _, id := range excluded {
		r.Exclude = append(r.Exclude, ctap2.Descriptor{ID: id, Type: ctap2.PublicKeyType})
	}
	r.Extensions.HMACSecret = o.Extensions.HMACCreateSecret
	r.Extensions.EnforceCredProtect = o.Extensions.EnforceCredentialProtectionPolicy
	r.Extensions.CredProtect, err = protection(o.Extensions.CredentialProtectionPolicy)
	return r, clientDataJSON, err
}

// protection reads a level by WebAuthn's name. A higher one than the service asks for is
// never taken: Windows' logon is said not to work with it.
func protection(name string) (client.CredProtect, error) {
	switch strings.ToLower(name) {
	case "":
		return 0, nil
	case "userverificationoptional":
		return client.UserVerificationOptional, nil
	case "userverificationoptionalwithcredentialidlist":
		return client.UserVerificationOptionalWithCredentialIDList, nil
	case "userverificationrequired":
		return client.UserVerificationRequired, nil
	}
	return 0, fmt.Errorf("the credential protection %q of the creation options is unknown", name)
}

// post registers the credential, or deletes it again.
func (r *Result) post(ctx context.Context, g *graph.Client, key *client.Key, asked Request, clientDataJSON []byte, made *client.Registered) error {
	response, err := webauthn.NewRegistration(clientDataJSON, made.MakeCredentialResponse, nil)
	if err != nil {
		return r.undo(ctx, key, err)
	}
	id := graph.EncodeMethodID(r.CredentialID)
	readBack := asked.ReadBack
	if readBack == 0 {
		readBack = 30 * time.Second
	}
	posted, err := g.Register(ctx, asked.User, graph.Registration{
		DisplayName: asked.Name, CredentialID: r.CredentialID, ClientDataJSON: clientDataJSON,
		AttestationObject: response.Response.AttestationObject, HMACCreateSecret: made.Extensions.HMACSecret,
	})
	if err == nil {
		id = posted.ID
	} else if refused(err) {
		return r.undo(ctx, key, err)
	}
	// After an interruption the tenant is asked, too: it may have the passkey.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readBack+30*time.Second)
	defer cancel()
	shown, failed := g.AwaitMethod(ctx, asked.User, id, readBack)
	switch {
	case failed == nil:
		r.Method = shown
		return r.compare(shown)
	case err == nil: // the answer to the post has all that there is
		r.Method = posted
		return fmt.Errorf("%w: %w", ErrReadBack, failed)
	case errors.Is(failed, graph.ErrNotFound):
		return r.undo(ctx, key, err)
	}
	return fmt.Errorf("%w: %w; %w", ErrUnknown, err, failed)
}

// refused is true if the service has certainly not registered the passkey.
func refused(err error) bool {
	var e *graph.Error
	return errors.As(err, &e) && e.Status < 500 && !errors.Is(e, graph.ErrConflict)
}

// compare holds what the tenant shows against what the key made.
func (r *Result) compare(m *graph.Method) error {
	id, err := m.CredentialID()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrReadBack, err)
	}
	if string(id) != string(r.CredentialID) {
		return fmt.Errorf("%w: it has another credential ID", ErrReadBack)
	}
	if !strings.EqualFold(m.AAGUID, r.AAGUID.String()) {
		return fmt.Errorf("%w: it has the AAGUID %s, the key %v", ErrReadBack, m.AAGUID, r.AAGUID)
	}
	return nil
}

// undo deletes the credential that the tenant has not taken, also after an interruption.
func (r *Result) undo(ctx context.Context, key *client.Key, because error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), client.DefaultTimeout)
	defer cancel()
	if _, err := key.DeleteCredential(ctx, r.CredentialID); err != nil {
		return fmt.Errorf("%w\nThe credential that was made for it is still on the key (%s), for it could not be deleted: %w",
			because, base64.RawURLEncoding.EncodeToString(r.CredentialID), err)
	}
	r.CredentialID = nil
	return fmt.Errorf("%w\nThe credential that was made for it is deleted from the key again", because)
}
