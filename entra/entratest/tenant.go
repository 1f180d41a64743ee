// Package entratest is a stand-in for a tenant of Microsoft Entra ID: the part of
// Microsoft Graph that deals with passkeys, over HTTP, with a policy, users and checks of
// its own. Nothing of it leaves the machine, and nothing real is in it.
//
// It shares no code with the client and the rules that are tested against it, so that a
// mistake cannot agree with itself; signatures and attestation statements are judged by
// github.com/go-webauthn/webauthn. What is not known of the real service is switchable,
// and so are the errors that a test wants: see Switches.
package entratest

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// RPID is the relying party of real Entra passkeys.
const RPID = "login.microsoft.com"

// TenantID is the tenant's, where Config has no other.
const TenantID = "11111111-2222-4333-8444-555555555555"

// Config is the tenant's world. All of it may be left out.
type Config struct {
	Policy    json.RawMessage   `json:"policy"` // the passkey policy; nil: enabled for everybody, nothing restricted
	Users     []User            `json:"users"`
	Strengths []Strength        `json:"strengths"` // nil: one of Microsoft's and one that allows every passkey
	SignIns   []json.RawMessage `json:"signIns"`
	Models    map[string]Model  `json:"models"` // by AAGUID in lower case: what the service knows from metadata
	Tokens    []Token           `json:"-"`
	PageSize  int               `json:"pageSize"` // of lists; 0: 100
	Now       func() time.Time  `json:"-"`

	// Tenant and Client are the IDs that the token endpoint goes by, Secret and
	// Certificates are what the client proves itself with, one or the other. TokenScopes
	// are in the tokens that it gives.
	Tenant      string   `json:"tenantId"`
	Client      string   `json:"clientId"`
	Secret      string   `json:"-"`
	TokenScopes []string `json:"-"`

	Certificates []*x509.Certificate `json:"-"`
}

// User is an account.
type User struct {
	ID          string    `json:"id"`
	UPN         string    `json:"userPrincipalName"`
	DisplayName string    `json:"displayName"`
	Type        string    `json:"userType"` // "": Member
	Disabled    bool      `json:"disabled"`
	Groups      []string  `json:"groups"`
	Methods     []string  `json:"methodsRegistered"` // besides the passkeys
	Passkeys    []Passkey `json:"passkeys"`
}

// Passkey is one that a user has from the beginning.
type Passkey struct {
	CredentialID []byte    `json:"credentialId"` // in base64
	AAGUID       string    `json:"aaGuid"`
	Model        string    `json:"model"` // "": what the service knows of the AAGUID
	DisplayName  string    `json:"displayName"`
	Created      time.Time `json:"createdDateTime"`
	Synced       bool      `json:"synced"`
	Attested     bool      `json:"attested"`
}

// Strength is an authentication strength.
type Strength struct {
	ID           string            `json:"id"`
	DisplayName  string            `json:"displayName"`
	BuiltIn      bool              `json:"builtIn"`             // nobody can change it
	Allowed      []string          `json:"allowedCombinations"` // nil: passkeys
	Combinations []json.RawMessage `json:"combinationConfigurations"`
}

// Model is what the service knows of an AAGUID.
type Model struct {
	Name  string
	Roots []*x509.Certificate // of attestation; a listed certificate may be the key's own
}

// Token is a bearer and what it permits; Everything permits all.
type Token struct {
	Value  string
	Scopes []string
}

// Everything lists the permissions that there are.
var Everything = []string{
	"UserAuthMethod-Passkey.ReadWrite.All", "User.Read.All", "GroupMember.Read.All", "AuditLog.Read.All",
	"Policy.Read.All", "Policy.ReadWrite.AuthenticationMethod",
}

// Switches make the tenant fail, and choose where it is not known what the real one does.
type Switches struct {
	ThrottleEvery      int `json:"throttleEvery"`      // the nth request is answered with 429; 0: none
	ThrottleBatchEvery int `json:"throttleBatchEvery"` // the nth within batches
	RetryAfter         int `json:"retryAfter"`         // seconds that go with a 429; 0: the header is missing

	ExpireChallenges    bool     `json:"expireChallenges"`    // challenges have expired when they come back
	ReplicationReads    int      `json:"replicationReads"`    // a new method is not found so many times
	NonPremium          bool     `json:"nonPremium"`          // the reports ask for a licence
	OneCondition        bool     `json:"oneCondition"`        // the registration report filters by one method only
	MissingPermissions  []string `json:"missingPermissions"`  // no token has these
	RefuseRegistrations bool     `json:"refuseRegistrations"` // with 400, whatever is posted
	LoseRegistrations   bool     `json:"loseRegistrations"`   // what is posted is kept, and answered with 503
	ExcludeEncoding     string   `json:"excludeEncoding"`     // base64url, base64, counted; "": each in turn
	CheckCrossOrigin    bool     `json:"checkCrossOrigin"`    // refuse crossOrigin: true
	CheckHMACSecret     bool     `json:"checkHmacSecret"`     // refuse a key without hmac-secret
	CheckSignCount      bool     `json:"checkSignCount"`      // refuse a counter other than 0
	WrapOptions         bool     `json:"wrapOptions"`         // creation options in a member "value"
	RefuseSelf          string   `json:"refuseSelf"`          // this user is who is signed in: 405
	LosePolicyChanges   bool     `json:"losePolicyChanges"`   // a changed policy or strength is answered as such, and not kept
}

// Tenant is the stand-in, an http.Handler.
type Tenant struct {
	mux http.Handler
	now func() time.Time

	mu         sync.Mutex
	config     Config
	switches   Switches
	policy     map[string]json.RawMessage
	tokens     map[string][]string
	challenges map[string]*challenge
	methods    map[string][]*method // by user ID
	codes      map[string]bool      // device codes: whether the person has agreed
	refreshes  map[string]bool      // refresh tokens that are good
	assertions map[string]bool      // IDs of those that were used
	handles    []byte               // makes user handles
	requests   int
	batched    int
	encoded    int
	counts     map[string]int
}

// New returns a tenant.
func New(c Config) (*Tenant, error) {
	if c.Policy == nil {
		c.Policy = json.RawMessage(OpenPolicy)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.PageSize == 0 {
		c.PageSize = 100
	}
	if c.Strengths == nil {
		c.Strengths = defaultStrengths()
	}
	if c.Tenant == "" {
		c.Tenant = TenantID
	}
	t := &Tenant{
		now: c.Now, config: c, tokens: map[string][]string{}, challenges: map[string]*challenge{},
		methods: map[string][]*method{}, codes: map[string]bool{}, refreshes: map[string]bool{}, assertions: map[string]bool{}, handles: random(32), counts: map[string]int{},
	}
	if err := json.Unmarshal(c.Policy, &t.policy); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if _, err := readPolicy(t.policy); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if t.policy == nil {
		return nil, errors.New("policy: it is null")
	}
	for _, token := range c.Tokens {
		t.tokens[token.Value] = token.Scopes
	}
	for i := range c.Users {
		for _, p := range c.Users[i].Passkeys {
			t.add(&c.Users[i], p)
		}
	}
	t.mux = t.routes()
	return t, nil
}

// MakeUsers makes up n members: user1@example.onmicrosoft.com and so on.
func MakeUsers(n int) (users []User) {
	for i := range n {
		users = append(users, User{
			ID:  fmt.Sprintf("00000000-0000-4000-a000-%012x", i+1),
			UPN: fmt.Sprintf("user%d@example.onmicrosoft.com", i+1), DisplayName: fmt.Sprintf("User %d", i+1),
		})
	}
	return users
}

// Switch changes the switches.
func (t *Tenant) Switch(change func(s *Switches)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.switches)
}

// Agree makes the person behind every device code agree.
func (t *Tenant) Agree() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for code := range t.codes {
		t.codes[code] = true
	}
}

// Count returns how often an operation was carried out: "register", "options", "batch"
// and so on; "throttled" counts what was not.
func (t *Tenant) Count(operation string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts[operation]
}

// Registered returns the credential IDs of a user, by UPN.
func (t *Tenant) Registered(upn string) (ids [][]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if u := t.user(upn); u != nil {
		for _, m := range t.methods[u.ID] {
			ids = append(ids, m.credentialID)
		}
	}
	return ids
}

// Add gives a user a passkey that was registered before the test began.
func (t *Tenant) Add(upn string, credentialID []byte, aaguid, name string, created time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := t.user(upn)
	if u == nil {
		return fmt.Errorf("there is no user %s", upn)
	}
	t.add(u, Passkey{CredentialID: credentialID, AAGUID: aaguid, DisplayName: name, Created: created})
	return nil
}

func (t *Tenant) add(u *User, p Passkey) {
	m := checked{made: made{aaguid: strings.ToLower(p.AAGUID), synced: p.Synced}, model: p.Model, certificates: []string{}}
	if m.model == "" {
		m.model = t.config.Models[m.aaguid].Name
	}
	if !p.Attested {
		m.attested = errors.New("it was added without")
	}
	t.methods[u.ID] = append(t.methods[u.ID], &method{credentialID: p.CredentialID, json: m.describe(p.DisplayName, counted(p.CredentialID), rfc3339(p.Created))})
}

// user finds one by UPN or ID.
func (t *Tenant) user(name string) *User {
	i := slices.IndexFunc(t.config.Users, func(u User) bool {
		return strings.EqualFold(u.UPN, name) || strings.EqualFold(u.ID, name)
	})
	if i < 0 {
		return nil
	}
	return &t.config.Users[i]
}

// handle is the user handle: "OF:", the tenant, and 32 bytes that are opaque.
func (t *Tenant) handle(u *User) []byte {
	opaque := sha256.Sum256(append(slices.Clone(t.handles), u.ID...))
	return slices.Concat([]byte("OF:"), microsoftGUID(t.config.Tenant), opaque[:])
}

// microsoftGUID has the first three groups of a GUID the other way round.
func microsoftGUID(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != 16 {
		return make([]byte, 16)
	}
	slices.Reverse(b[:4])
	slices.Reverse(b[4:6])
	slices.Reverse(b[6:8])
	return b
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// newGUID makes a random one.
func newGUID() string {
	b := random(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return guid(b)
}

// guid writes 16 bytes in their order.
func guid(b []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

var base64url = base64.RawURLEncoding.Strict()
