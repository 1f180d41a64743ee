package graph

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"
)

const methodsPath = "/authentication/fido2Methods"

// CreationOptions is what the service wants to have made (webauthnCredentialCreationOptions).
// Members that are not listed do not concern the key.
type CreationOptions struct {
	ChallengeTimeout Time             `json:"challengeTimeoutDateTime"`
	PublicKey        PublicKeyOptions `json:"publicKey"`
	Value            *json.RawMessage `json:"value,omitempty"` // some samples wrap everything in it
}

// PublicKeyOptions are WebAuthn's PublicKeyCredentialCreationOptions as Graph has them.
type PublicKeyOptions struct {
	RP struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"rp"`
	User struct {
		ID          string `json:"id"` // base64url
		Name        string `json:"name"`
		DisplayName string `json:"displayName"`
	} `json:"user"`
	Challenge        string `json:"challenge"` // base64url of a long text, and as such in the client data
	PubKeyCredParams []struct {
		Type string `json:"type"`
		Alg  int    `json:"alg"`
	} `json:"pubKeyCredParams"`
	Timeout            int `json:"timeout"`
	ExcludeCredentials []struct {
		ID         string   `json:"id"` // see DecodeExcluded
		Type       string   `json:"type"`
		Transports []string `json:"transports"`
	} `json:"excludeCredentials"`
	AuthenticatorSelection struct {
		AuthenticatorAttachment string `json:"authenticatorAttachment"`
		RequireResidentKey      bool   `json:"requireResidentKey"`
		UserVerification        string `json:"userVerification"`
	} `json:"authenticatorSelection"`
	Attestation string `json:"attestation"`
	Extensions  struct {
		HMACCreateSecret                  bool   `json:"hmacCreateSecret"`
		CredentialProtectionPolicy        string `json:"credentialProtectionPolicy"`
		EnforceCredentialProtectionPolicy bool   `json:"enforceCredentialProtectionPolicy"`
	} `json:"extensions"`
}

// Excluded returns the credentials that the account has already.
func (o *PublicKeyOptions) Excluded() (ids [][]byte, err error) {
	for _, c := range o.ExcludeCredentials {
		readings, err := DecodeExcluded(c.ID)
		if err != nil {
			return nil, fmt.Errorf("excludeCredentials: %q: %w", printable(c.ID), err)
		}
		ids = append(ids, readings...)
	}
	return ids, nil
}

// UserHandle returns the bytes of user.id.
func (o *PublicKeyOptions) UserHandle() ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(o.User.ID)
}

// The times that CreationOptions may be asked to be valid for.
const (
	MinChallengeTimeout = 5 * time.Minute
	MaxChallengeTimeout = 43200 * time.Minute
)

// CreationOptions asks for what a new passkey of a user is to be made with. The options
// are valid for five minutes. Another time, in whole minutes, is for the beta version of
// Graph, which is asked if timeout is not 0.
func (c *Client) CreationOptions(ctx context.Context, user string, timeout time.Duration) (*CreationOptions, error) {
	if err := c.Provisions(); err != nil {
		return nil, err
	}
	k := call{task: optionsTask, method: http.MethodGet, path: userPath("v1.0", user, methodsPath+"/creationOptions")}
	if timeout != 0 {
		if timeout < MinChallengeTimeout || timeout > MaxChallengeTimeout || timeout%time.Minute != 0 {
			return nil, fmt.Errorf("%s: a time of %v is not within 5 and 43200 whole minutes", optionsTask.name, timeout)
		}
		k.path = userPath("beta", user, fmt.Sprintf("%s/creationOptions(challengeTimeoutInMinutes=%d)", methodsPath, timeout/time.Minute))
	}
	o := &CreationOptions{}
	if err := c.do(ctx, k, o); err != nil {
		return nil, err
	}
	if o.Value != nil {
		wrapped := *o.Value
		if err := json.Unmarshal(wrapped, o); err != nil {
			return nil, fmt.Errorf("%s: %w", optionsTask.name, err)
		}
	}
	if o.PublicKey.Challenge == "" || o.PublicKey.RP.ID == "" {
		return nil, errors.New(optionsTask.name + ": Graph's answer has no challenge or no RP ID")
	}
	return o, nil
}

// Registration is a new credential on its way to the service. The byte strings go out in
// base64url without padding, and no other members may.
type Registration struct {
	DisplayName       string // at most MaxDisplayName characters
	CredentialID      []byte
	ClientDataJSON    []byte
	AttestationObject []byte
	HMACCreateSecret  *bool // the extension's answer; nil: none
}

// MaxDisplayName is how many characters the name of a passkey may have.
const MaxDisplayName = 30

// MarshalJSON returns the body of the request.
func (r Registration) MarshalJSON() ([]byte, error) {
	encode := base64.RawURLEncoding.EncodeToString
	outputs := map[string]any{}
	if r.HMACCreateSecret != nil {
		outputs["hmacCreateSecret"] = *r.HMACCreateSecret
	}
	return json.Marshal(map[string]any{
		"displayName": r.DisplayName,
		"publicKeyCredential": map[string]any{
			"id":                     encode(r.CredentialID),
			"response":               map[string]any{"clientDataJSON": encode(r.ClientDataJSON), "attestationObject": encode(r.AttestationObject)},
			"clientExtensionResults": outputs,
		},
	})
}

// Method is a passkey of a user (fido2AuthenticationMethod).
type Method struct {
	ID                      string   `json:"id"`
	DisplayName             string   `json:"displayName"`
	Created                 Time     `json:"createdDateTime"`
	AAGUID                  string   `json:"aaGuid"`
	Model                   string   `json:"model"`
	AttestationCertificates []string `json:"attestationCertificates"` // SHA-1 in lower case
	AttestationLevel        string   `json:"attestationLevel"`        // attested, notAttested
	PasskeyType             string   `json:"passkeyType"`             // deviceBound, synced
}

// CredentialID is what the key calls this passkey.
func (m *Method) CredentialID() ([]byte, error) { return DecodeMethodID(m.ID) }

// UnmarshalJSON knows the name that the time had before.
func (m *Method) UnmarshalJSON(text []byte) error {
	type plain Method
	older := struct {
		*plain
		Created Time `json:"creationDateTime"`
	}{plain: (*plain)(m)}
	if err := json.Unmarshal(text, &older); err != nil {
		return err
	}
	if m.Created.IsZero() {
		m.Created = older.Created
	}
	return nil
}

// Register posts a new passkey. It is posted again only where the service said that it
// was throttled: whether one that was lost on the way was registered is for Method to
// find out.
func (c *Client) Register(ctx context.Context, user string, r Registration) (*Method, error) {
	m := &Method{}
	k := call{task: registerTask, method: http.MethodPost, path: userPath("v1.0", user, methodsPath), body: r}
	if err := c.do(c.retriedSafely(ctx), k, m); err != nil {
		return nil, err
	}
	return m, nil
}

// Methods lists the passkeys of a user.
func (c *Client) Methods(ctx context.Context, user string) ([]Method, error) {
	return all(pages[Method](ctx, c, call{task: listTask, path: userPath("v1.0", user, methodsPath)}))
}

// Method returns one passkey of a user.
func (c *Client) Method(ctx context.Context, user, id string) (*Method, error) {
	m := &Method{}
	k := call{task: listTask, method: http.MethodGet, path: userPath("v1.0", user, methodsPath+"/"+url.PathEscape(id))}
	if err := c.do(ctx, k, m); err != nil {
		return nil, err
	}
	return m, nil
}

// AwaitMethod is Method for one that was registered just now: Graph may not find it
// until all of its servers have it. It asks again, waiting longer each time, until within
// has passed.
func (c *Client) AwaitMethod(ctx context.Context, user, id string, within time.Duration) (*Method, error) {
	end := time.Now().Add(within)
	for wait := 100 * time.Millisecond; ; wait *= 2 {
		m, err := c.Method(ctx, user, id)
		if err == nil || !errors.Is(err, ErrNotFound) || time.Now().Add(wait).After(end) {
			return m, err
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Delete deletes a passkey of a user. The credential on the key stays.
func (c *Client) Delete(ctx context.Context, user, id string) error {
	return c.do(ctx, call{task: deleteTask, method: http.MethodDelete, path: userPath("v1.0", user, methodsPath+"/"+url.PathEscape(id))}, nil)
}

// page is one page of a list.
type page[T any] struct {
	Value    []T    `json:"value"`
	NextLink string `json:"@odata.nextLink"`
}

// pages follows a list from page to page. After an error it ends, and so it does where
// a page is the next one of itself or of one that comes after it.
func pages[T any](ctx context.Context, c *Client, k call) iter.Seq2[T, error] {
	k.method = http.MethodGet
	return func(yield func(T, error) bool) {
		seen := map[string]bool{}
		for k := k; ; {
			var p page[T]
			if err := c.do(ctx, k, &p); err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, v := range p.Value {
				if !yield(v, nil) {
					return
				}
			}
			if p.NextLink == "" {
				return
			}
			if seen[p.NextLink] {
				var none T
				yield(none, fmt.Errorf("%s: Graph's list has no end: a page comes again", k.task))
				return
			}
			seen[p.NextLink] = true
			k.path, k.query = p.NextLink, nil
		}
	}
}

// all collects a list; an error takes the place of what came before it.
func all[T any](list iter.Seq2[T, error]) (values []T, err error) {
	for v, err := range list {
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}
