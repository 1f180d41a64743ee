package relyingparty

import (
	"cmp"
	"crypto/rand"
	"net/http"
	"time"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/webauthn"
)

// RegistrationChoice is what a person chooses for a registration. The words are
// those of WebAuthn; an empty one is the default of WebAuthn.
type RegistrationChoice struct {
	User             string           `json:"user"`
	UserVerification string           `json:"userVerification"`
	ResidentKey      string           `json:"residentKey"`
	Attestation      string           `json:"attestation"`
	Algorithms       []cose.Algorithm `json:"algorithms"`
	CredProtect      string           `json:"credProtect"` // credentialProtectionPolicy
	PRF              bool             `json:"prf"`
	LargeBlob        bool             `json:"largeBlob"`
	Exclude          bool             `json:"exclude"` // the credentials that the user has
}

// AuthenticationChoice is what a person chooses for a sign-in.
type AuthenticationChoice struct {
	UserVerification string `json:"userVerification"`
	// Allow names the registered credentials; else the key looks for discoverable
	// ones.
	Allow bool `json:"allow"`
	PRF   bool `json:"prf"`
	// LargeBlob reads the blob.
	LargeBlob bool `json:"largeBlob"`
}

// Credential is one that was registered.
type Credential struct {
	ID         webauthn.Base64URL `json:"id"`
	User       string             `json:"user"`
	UserHandle webauthn.Base64URL `json:"userHandle"`
	Algorithm  string             `json:"algorithm"`
	AAGUID     ctap2.AAGUID       `json:"aaguid"`
	Model      string             `json:"model,omitempty"`
	SignCount  uint32             `json:"signCount"`
	Registered time.Time          `json:"registered"`
	SignIns    int                `json:"signIns"`

	registration *webauthn.RegistrationResponse
}

// Ceremony is what was found in a response.
type Ceremony struct {
	Type         string                `json:"type"` // registration or assertion
	Verified     bool                  `json:"verified"`
	User         string                `json:"user"`
	CredentialID webauthn.Base64URL    `json:"credentialId"`
	Checks       []webauthn.Check      `json:"checks"`
	Attestation  *webauthn.Attestation `json:"attestation,omitempty"`
}

// pending is what a response must fit.
type pending struct {
	registration bool
	expires      time.Time
	user         string
	handle       []byte
	want         expected
}

// expected has the challenge in the form of JSON.
type expected struct {
	Challenge    webauthn.Base64URL
	UserVerified bool
	Algorithms   []cose.Algorithm
}

func random(size int) webauthn.Base64URL {
	b := make([]byte, size)
	rand.Read(b)
	return b
}

// salt is for prf: the same in registrations and sign-ins, so that a person sees
// the same secret again.
var salt = webauthn.Base64URL("fidokey rp serve")

// publicKey is what a browser takes.
type publicKey[Options any] struct {
	PublicKey Options `json:"publicKey"`
}

func (s *Server) registrationOptions(c *RegistrationChoice) (*publicKey[*webauthn.CreationOptions], error) {
	p := &pending{registration: true, user: cmp.Or(c.User, "alice"), handle: s.handleOf(cmp.Or(c.User, "alice"))}
	p.want = expected{random(32), c.UserVerification == "required", c.Algorithms}
	if len(p.want.Algorithms) == 0 {
		p.want.Algorithms = []cose.Algorithm{cose.ES256, cose.EdDSA, cose.RS256}
	}
	o := &webauthn.CreationOptions{
		RP:        webauthn.RPEntity{ID: s.config.RPID, Name: "fidokey rp serve"},
		User:      webauthn.UserEntity{ID: p.handle, Name: p.user, DisplayName: p.user},
		Challenge: p.want.Challenge, Timeout: uint(lifetime.Milliseconds()), Attestation: c.Attestation,
		AuthenticatorSelection: webauthn.AuthenticatorSelection{
			ResidentKey: c.ResidentKey, RequireResidentKey: c.ResidentKey == "required", UserVerification: c.UserVerification,
		},
	}
	for _, a := range p.want.Algorithms {
		o.PubKeyCredParams = append(o.PubKeyCredParams, webauthn.CredentialParameters{Type: ctap2.PublicKeyType, Algorithm: a})
	}
	o.Extensions.CredProps, o.Extensions.CredentialProtectionPolicy = true, c.CredProtect
	if c.PRF {
		o.Extensions.PRF = &webauthn.PRFInputs{Eval: &webauthn.PRFValues{First: salt}}
	}
	if c.LargeBlob {
		o.Extensions.LargeBlob = &webauthn.LargeBlobInputs{Support: new("preferred")}
	}
	if c.Exclude {
		o.ExcludeCredentials = s.descriptors(p.user)
	}
	s.expect(p)
	return &publicKey[*webauthn.CreationOptions]{o}, nil
}

func (s *Server) authenticationOptions(c *AuthenticationChoice) (*publicKey[*webauthn.RequestOptions], error) {
	p := &pending{want: expected{Challenge: random(32), UserVerified: c.UserVerification == "required"}}
	o := &webauthn.RequestOptions{
		Challenge: p.want.Challenge, RPID: s.config.RPID, Timeout: uint(lifetime.Milliseconds()), UserVerification: c.UserVerification,
	}
	if c.Allow {
		if o.AllowCredentials = s.descriptors(""); o.AllowCredentials == nil {
			return nil, &Error{http.StatusConflict, "nothing is registered"}
		}
	}
	if c.PRF {
		o.Extensions.PRF = &webauthn.PRFInputs{Eval: &webauthn.PRFValues{First: salt}}
	}
	if c.LargeBlob {
		o.Extensions.LargeBlob = &webauthn.LargeBlobInputs{Read: new(true)}
	}
	s.expect(p)
	return &publicKey[*webauthn.RequestOptions]{o}, nil
}

// handleOf returns the handle of a user, a new one if there is none.
func (s *Server) handleOf(user string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.credentials {
		if c.User == user {
			return c.UserHandle
		}
	}
	return random(32)
}

// descriptors name the credentials of a user, or all.
func (s *Server) descriptors(user string) (list webauthn.CredentialList) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.credentials {
		if user == "" || c.User == user {
			list = append(list, webauthn.CredentialDescriptor{Type: ctap2.PublicKeyType, ID: c.ID, Transports: c.registration.Response.Transports})
		}
	}
	return list
}

// expected is what the response must be.
func (s *Server) expected(p *pending) webauthn.Expected {
	want := s.config.Judge
	want.RPID, want.Origin = s.config.RPID, s.config.Origin
	want.Challenge, want.UserVerified, want.Algorithms = p.want.Challenge, p.want.UserVerified, p.want.Algorithms
	return want
}

// register judges a registration, and keeps the credential if it is a good one.
func (s *Server) register(r *webauthn.RegistrationResponse) (*Ceremony, error) {
	p, err := s.answered(r.Response.ClientDataJSON, true)
	if err != nil {
		return nil, err
	}
	want := s.expected(p)
	c := &Ceremony{
		Type: "registration", User: p.user, CredentialID: r.RawID,
		Checks: webauthn.CheckRegistration(r, want), Attestation: webauthn.DescribeAttestation(r, want),
	}
	if webauthn.Failed(c.Checks) == nil {
		if err := s.keep(p, r, c.Attestation); err != nil {
			return nil, err
		}
		c.Verified = true
	}
	s.report(c)
	return c, nil
}

func (s *Server) keep(p *pending, r *webauthn.RegistrationResponse, a *webauthn.Attestation) error {
	credential, data, err := r.Credential()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.find(credential.ID) != nil: // WebAuthn Level 3, section 7.1, step 26
		return &Error{http.StatusConflict, "this credential is registered already"}
	case len(s.credentials) >= maxCredentials:
		return &Error{http.StatusInsufficientStorage, "too many credentials: reset forgets them"}
	}
	s.credentials = append(s.credentials, &Credential{
		ID: credential.ID, User: p.user, UserHandle: p.handle, Algorithm: credential.PublicKey.Algorithm.String(),
		AAGUID: credential.AAGUID, Model: a.Model, SignCount: data.SignCount, Registered: time.Now(), registration: r,
	})
	return nil
}

// authenticate judges a sign-in by the credential that was registered.
func (s *Server) authenticate(r *webauthn.AuthenticationResponse) (*Ceremony, error) {
	p, err := s.answered(r.Response.ClientDataJSON, false)
	if err != nil {
		return nil, err
	}
	c, err := s.judgeSignIn(r, s.expected(p))
	if err == nil {
		s.report(c)
	}
	return c, err
}

func (s *Server) judgeSignIn(r *webauthn.AuthenticationResponse, want webauthn.Expected) (*Ceremony, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	credential := s.find(r.RawID)
	if credential == nil {
		return nil, &Error{http.StatusNotFound, "this credential is not registered here; it may have been before a reset"}
	}
	want.Registration, want.UserHandle, want.SignCount = credential.registration, credential.UserHandle, credential.SignCount
	c := &Ceremony{Type: "assertion", User: credential.User, CredentialID: r.RawID, Checks: webauthn.CheckAuthentication(r, want)}
	if c.Verified = webauthn.Failed(c.Checks) == nil; c.Verified {
		data, err := ctap2.ParseAuthenticatorData(r.Response.AuthenticatorData)
		if err != nil {
			return nil, err
		}
		credential.SignCount = data.SignCount
		credential.SignIns++
	}
	return c, nil
}
