// Package enrol makes a passkey on a key for a user of Microsoft Entra ID, and registers
// it: creation options from Graph, a PIN if the key has none, the credential, the post,
// and a look at what the tenant has afterwards. If the tenant does not take the
// credential it is deleted from the key again.
package enrol

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra/graph"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/webauthn"
)

// Request is whom a passkey is for.
type Request struct {
	User    string        // UPN or ID
	Name    string        // of the passkey, at most graph.MaxDisplayName characters
	Timeout time.Duration // of the options; 0: five minutes. See graph.CreationOptions
	// ReadBack is how long the tenant may take to show the passkey; 0: 30 seconds.
	ReadBack time.Duration
	// PINs is how many PINs Prompt.NewPIN is asked for, if the key refuses one by rules
	// that it does not tell; 0: one. It is for PINs that chance makes.
	PINs int
	// Earlier are credentials that were made for the user before, and of which it was
	// not known whether the tenant has them. If it has one, that is the passkey.
	Earlier [][]byte
	// Record is told of each Step; nil: nobody is. Its error ends the registration as
	// any other.
	Record func(Step) error
}

// A Step is one that changes something, on the key or in the tenant. What was recorded
// of it tells after a crash how far things have come.
type Step struct {
	Kind         StepKind
	RPID         string // of StepMaking
	UserHandle   []byte // of StepMaking
	CredentialID []byte // of StepMade, StepUndone and StepRegistered
	Method       string // of StepRegistered: the ID in Entra
}

// StepKind says which step it is.
type StepKind int

const (
	StepPINSet     StepKind = iota // the key has its first PIN
	StepMaking                     // the key will be asked for a credential
	StepMade                       // it has made one, which will be posted
	StepRegistered                 // the tenant has it
	StepUndone                     // the tenant does not, and neither does the key
)

// Result is a registered passkey.
type Result struct {
	Method       *graph.Method
	CredentialID []byte
	UserHandle   []byte
	AAGUID       ctap2.AAGUID
	PINSet       bool     // the key had none
	NotSent      []string // extensions that the key does not have
	Earlier      bool     // nothing was made: it is one of Request.Earlier
}

// ErrUnknown means that nobody knows whether the tenant has the passkey, for Graph could
// not be asked any more. The credential is still on the key.
var ErrUnknown = errors.New("whether the tenant has registered the passkey is not known; the credential stays on the key")

// ErrReadBack means that the tenant took the passkey and shows another one, or none.
var ErrReadBack = errors.New("the tenant took the passkey, but does not show it as it is")

// errExpired means that the tenant's options were too old when the credential came.
var errExpired = errors.New("the tenant's options have expired")

// Register makes and registers a passkey. The Prompt of the key is asked for its PIN, and
// for a new one where it has none. An error may come with a Result: then what it says has
// happened nevertheless. If the tenant's options have expired before the key was touched,
// it is asked for new ones, once.
func Register(ctx context.Context, g *graph.Client, key *client.Key, r Request) (*Result, error) {
	if n := len([]rune(r.Name)); n > graph.MaxDisplayName {
		return nil, fmt.Errorf("the name has %d characters; Entra takes %d", n, graph.MaxDisplayName)
	}
	if r.Record == nil {
		r.Record = func(Step) error { return nil }
	}
	result, err := register(ctx, g, key, r)
	if errors.Is(err, errExpired) && result.CredentialID == nil && ctx.Err() == nil {
		first := result.PINSet
		if result, err = register(ctx, g, key, r); result != nil {
			result.PINSet = result.PINSet || first
		}
	}
	return result, err
}

// register is Register with one try.
func register(ctx context.Context, g *graph.Client, key *client.Key, r Request) (*Result, error) {
	options, err := g.CreationOptions(ctx, r.User, r.Timeout)
	if err != nil {
		return nil, err
	}
	received := time.Now()
	wanted, clientDataJSON, err := translate(&options.PublicKey)
	if err != nil {
		return nil, err
	}
	for _, c := range wanted.Exclude {
		if slices.ContainsFunc(r.Earlier, func(id []byte) bool { return bytes.Equal(id, c.ID) }) {
			return earlier(ctx, g, r, c.ID)
		}
	}
	result := &Result{UserHandle: wanted.User.ID}
	if result.PINSet, err = setFirstPIN(ctx, key, r); err != nil {
		return result, err
	}
	made, err := result.make(ctx, key, r, wanted)
	if err != nil {
		return result, err
	}
	err = result.post(ctx, g, key, r, clientDataJSON, made)
	if old := time.Since(received) >= cmp.Or(r.Timeout, graph.MinChallengeTimeout); err != nil && refused(err) && (old || strings.Contains(err.Error(), "expired")) {
		err = fmt.Errorf("%w: %w", errExpired, err)
	}
	return result, err
}

// earlier is the passkey that the tenant has from an earlier try.
func earlier(ctx context.Context, g *graph.Client, r Request, id []byte) (*Result, error) {
	m, err := g.AwaitMethod(ctx, r.User, graph.EncodeMethodID(id), r.readBack())
	if err != nil {
		return nil, err
	}
	result := &Result{Method: m, CredentialID: id, Earlier: true}
	return result, r.Record(Step{Kind: StepRegistered, CredentialID: id, Method: m.ID})
}

// setFirstPIN sets a PIN on a key that has neither one nor its own user verification.
func setFirstPIN(ctx context.Context, key *client.Key, r Request) (bool, error) {
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
	for tries := 1; ; tries++ {
		err = key.SetPIN(ctx)
		if err == nil || tries >= r.PINs || !errors.Is(err, ctap2.ErrPINPolicyViolation) {
			break
		}
	}
	if err != nil {
		return false, err
	}
	return true, r.Record(Step{Kind: StepPINSet})
}

// make has the key make the credential.
func (r *Result) make(ctx context.Context, key *client.Key, asked Request, wanted client.Registration) (*client.Registered, error) {
	if err := asked.Record(Step{Kind: StepMaking, RPID: wanted.RP.ID, UserHandle: wanted.User.ID}); err != nil {
		return nil, err
	}
	made, err := key.Register(ctx, wanted)
	if err != nil {
		if notMade(err) {
			err = errors.Join(err, asked.Record(Step{Kind: StepUndone}))
		}
		return nil, err
	}
	r.CredentialID, r.NotSent = made.Data.Credential.ID, made.Extensions.NotSent
	r.AAGUID = made.Data.Credential.AAGUID
	if err := asked.Record(Step{Kind: StepMade, CredentialID: r.CredentialID}); err != nil {
		return nil, r.undo(ctx, key, asked, err)
	}
	return made, nil
}

// notMade is true if the key has certainly made nothing: it said so, or was not asked.
func notMade(err error) bool {
	var refused *ctap2.Error
	var wrongPIN *pin.Error
	if errors.As(err, &refused) || errors.As(err, &wrongPIN) {
		return true
	}
	for _, unasked := range []error{
		client.ErrPINNeeded, client.ErrLastTries, client.ErrPINChangeNeeded, client.ErrNoPIN, client.ErrPINUnsupported, client.ErrNoDiscoverable,
		client.ErrNoUserVerification, client.ErrU2FOnly, client.ErrExtensionUnsupported,
	} {
		if errors.Is(err, unasked) {
			return true
		}
	}
	return false
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

func (r *Request) readBack() time.Duration { return cmp.Or(r.ReadBack, 30*time.Second) }

// post registers the credential, or deletes it again.
func (r *Result) post(ctx context.Context, g *graph.Client, key *client.Key, asked Request, clientDataJSON []byte, made *client.Registered) error {
	response, err := webauthn.NewRegistration(clientDataJSON, made.MakeCredentialResponse, nil)
	if err != nil {
		return r.undo(ctx, key, asked, err)
	}
	id := graph.EncodeMethodID(r.CredentialID)
	posted, err := g.Register(ctx, asked.User, graph.Registration{
		DisplayName: asked.Name, CredentialID: r.CredentialID, ClientDataJSON: clientDataJSON,
		AttestationObject: response.Response.AttestationObject, HMACCreateSecret: made.Extensions.HMACSecret,
	})
	if err != nil && refused(err) {
		return r.undo(ctx, key, asked, err)
	}
	if err == nil {
		id, r.Method = posted.ID, posted
		if err := r.registered(asked); err != nil {
			return err
		}
	}
	// After an interruption the tenant is asked, too: it may have the passkey.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), asked.readBack()+30*time.Second)
	defer cancel()
	shown, failed := g.AwaitMethod(ctx, asked.User, id, asked.readBack())
	switch {
	case failed == nil && err != nil:
		r.Method = shown
		return errors.Join(r.registered(asked), r.compare(shown))
	case failed == nil:
		r.Method = shown
		return r.compare(shown)
	case err == nil: // the answer to the post has all that there is
		return fmt.Errorf("%w: %w", ErrReadBack, failed)
	case errors.Is(failed, graph.ErrNotFound):
		return r.undo(ctx, key, asked, err)
	}
	return fmt.Errorf("%w: %w; %w", ErrUnknown, err, failed)
}

func (r *Result) registered(asked Request) error {
	return asked.Record(Step{Kind: StepRegistered, CredentialID: r.CredentialID, Method: r.Method.ID})
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
func (r *Result) undo(ctx context.Context, key *client.Key, asked Request, because error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), client.DefaultTimeout)
	defer cancel()
	if _, err := key.DeleteCredential(ctx, r.CredentialID); err != nil {
		return fmt.Errorf("%w\nThe credential that was made for it is still on the key (%s), for it could not be deleted: %w",
			because, base64.RawURLEncoding.EncodeToString(r.CredentialID), err)
	}
	id := r.CredentialID
	r.CredentialID = nil
	because = fmt.Errorf("%w\nThe credential that was made for it is deleted from the key again", because)
	return errors.Join(because, asked.Record(Step{Kind: StepUndone, CredentialID: id}))
}
