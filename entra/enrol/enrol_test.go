package enrol

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/entra/entratest"
	"github.com/fidokey/fidokey/entra/graph"
	"github.com/fidokey/fidokey/simulator"
)

const (
	sam    = "user1@example.onmicrosoft.com"
	thePIN = "12345678"
)

// bench is a tenant and a simulated key.
type bench struct {
	*testing.T
	tenant *entratest.Tenant
	graph  *graph.Client
	sim    *simulator.Authenticator
	key    *client.Key
	// before may answer a request in place of the tenant: then it returns false.
	before func(w http.ResponseWriter, r *http.Request) bool
}

// newBench knows the model of the key, unless change takes it away.
func newBench(t *testing.T, profile string, change func(c *entratest.Config)) *bench {
	t.Helper()
	p, err := simulator.LoadProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t}
	if b.sim, err = simulator.New(simulator.Config{Profile: p}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.sim.Close() })
	pin := func() ([]byte, error) { return []byte(thePIN), nil }
	b.key = client.New(b.sim, client.Options{Prompt: client.Prompt{
		PIN:    func(context.Context, client.PINRequest) ([]byte, error) { return pin() },
		NewPIN: func(context.Context, client.NewPINRequest) ([]byte, error) { return pin() },
	}})
	der, err := b.sim.AttestationRoot()
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	c := entratest.Config{
		Users: entratest.MakeUsers(3), Tokens: []entratest.Token{{Value: "token", Scopes: entratest.Everything}},
		Models: map[string]entratest.Model{p.GetInfo.AAGUID.String(): {Name: "Simulated key", Roots: []*x509.Certificate{root}}},
	}
	if change != nil {
		change(&c)
	}
	if b.tenant, err = entratest.New(c); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b.before == nil || b.before(w, r) {
			b.tenant.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	credential, err := graph.SignIn{Token: "token"}.Credential()
	if err != nil {
		t.Fatal(err)
	}
	b.graph, err = graph.New(credential, graph.Options{Cloud: graph.Cloud{Graph: server.URL}, Retry: policy.RetryOptions{RetryDelay: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) register(user string) (*Result, error) {
	return Register(b.Context(), b.graph, b.key, Request{User: user, Name: "Blue key", ReadBack: time.Second})
}

// onKey returns how many credentials the key has.
func (b *bench) onKey() int {
	b.Helper()
	list, err := b.key.CredentialsFor(b.Context(), entratest.RPID)
	if err != nil {
		b.Fatal(err)
	}
	return len(list)
}

// TestRegister: from a fresh key to an enrolled user; a second passkey for the same user
// is excluded, whatever the form of the list, and one for another user is not.
func TestRegister(t *testing.T) {
	for _, form := range []string{"base64url", "base64", "counted"} {
		b := newBench(t, "ctap-2.3", nil)
		b.tenant.Switch(func(s *entratest.Switches) { s.ExcludeEncoding, s.ReplicationReads = form, 2 })
		r, err := b.register(sam)
		if err != nil {
			t.Fatal(err)
		}
		m := r.Method
		if !r.PINSet || m.AAGUID != r.AAGUID.String() || m.DisplayName != "Blue key" || m.PasskeyType != "deviceBound" || len(r.UserHandle) != 51 {
			t.Errorf("%+v of %+v", m, r)
		}
		if m.AttestationLevel != "attested" || m.Model != "Simulated key" || len(m.AttestationCertificates) != 1 || len(m.AttestationCertificates[0]) != 40 {
			t.Errorf("attestation: %+v", m)
		}
		if ids := b.tenant.Registered(sam); len(ids) != 1 || !bytes.Equal(ids[0], r.CredentialID) || b.onKey() != 1 {
			t.Errorf("registered are %x, on the key are %d", ids, b.onKey())
		}
		if _, err := b.register(sam); err == nil || !strings.Contains(err.Error(), "CREDENTIAL_EXCLUDED") {
			t.Errorf("%s: again: %v", form, err)
		}
		second, err := b.register("user2@example.onmicrosoft.com")
		if err != nil || second.PINSet || b.onKey() != 2 {
			t.Errorf("another user: %+v, %v", second, err)
		}
	}
}

// TestRefused: what the tenant does not take is not on the key afterwards either.
func TestRefused(t *testing.T) {
	for name, change := range map[string]func(s *entratest.Switches){
		"refused": func(s *entratest.Switches) { s.RefuseRegistrations = true },
		"expired": func(s *entratest.Switches) { s.ExpireChallenges = true },
	} {
		b := newBench(t, "ctap-2.3", nil)
		b.tenant.Switch(change)
		r, err := b.register(sam)
		var e *graph.Error
		if !errors.As(err, &e) || e.Status != 400 || !strings.Contains(err.Error(), "deleted from the key again") || r.CredentialID != nil {
			t.Errorf("%s: %v", name, err)
		}
		if b.onKey() != 0 || len(b.tenant.Registered(sam)) != 0 {
			t.Errorf("%s: something is left", name)
		}
	}
}

// TestNothingMade: where the tenant gives no options the key stays as it was.
func TestNothingMade(t *testing.T) {
	b := newBench(t, "ctap-2.3", nil)
	if _, err := b.register("nobody@example.com"); !errors.Is(err, graph.ErrNotFound) {
		t.Error(err)
	}
	_, err := Register(t.Context(), b.graph, b.key, Request{User: sam, Name: strings.Repeat("ü", 31)})
	if err == nil || b.tenant.Count("options") != 0+1 {
		t.Errorf("%v, %d options", err, b.tenant.Count("options"))
	}
	state, err := b.key.PINState(t.Context())
	if err != nil || state.Set {
		t.Errorf("%+v, %v", state, err)
	}
}

// TestLostAnswer: a post whose answer was lost is found registered, and kept.
func TestLostAnswer(t *testing.T) {
	b := newBench(t, "ctap-2.3", nil)
	b.tenant.Switch(func(s *entratest.Switches) { s.LoseRegistrations = true })
	r, err := b.register(sam)
	if err != nil || r.Method == nil || b.onKey() != 1 || b.tenant.Count("register") != 1 {
		t.Errorf("%+v, %v, %d posts", r, err, b.tenant.Count("register"))
	}
}

// TestUnknown: where Graph is gone after the post, nobody knows, and nothing is deleted.
func TestUnknown(t *testing.T) {
	b, down := newBench(t, "ctap-2.3", nil), false
	b.before = func(w http.ResponseWriter, r *http.Request) bool {
		if down = down || r.Method == http.MethodPost; down {
			w.WriteHeader(http.StatusBadGateway)
		}
		return !down
	}
	r, err := b.register(sam)
	if !errors.Is(err, ErrUnknown) || r.Method != nil || r.CredentialID == nil || b.onKey() != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestInterrupted: whoever ends the program while it posts finds the key and the tenant
// in agreement, whether the post has arrived or not.
func TestInterrupted(t *testing.T) {
	for _, arrives := range []bool{false, true} {
		b := newBench(t, "ctap-2.3", nil)
		ctx, interrupt := context.WithCancel(t.Context())
		b.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost {
				return true
			}
			if arrives {
				b.tenant.ServeHTTP(httptest.NewRecorder(), r)
			}
			io.Copy(io.Discard, r.Body) // else the server does not see that the client is gone
			interrupt()
			<-r.Context().Done()
			return false
		}
		_, err := Register(ctx, b.graph, b.key, Request{User: sam, Name: "Blue key", ReadBack: 300 * time.Millisecond})
		if (err == nil) != arrives {
			t.Errorf("arrives: %v: %v", arrives, err)
		}
		if n := map[bool]int{false: 0, true: 1}[arrives]; b.onKey() != n || len(b.tenant.Registered(sam)) != n {
			t.Errorf("arrives: %v: %d on the key, %d in the tenant", arrives, b.onKey(), len(b.tenant.Registered(sam)))
		}
	}
}

// TestReadBackFails: a passkey that the tenant took is never deleted from the key.
func TestReadBackFails(t *testing.T) {
	b := newBench(t, "ctap-2.3", nil)
	b.tenant.Switch(func(s *entratest.Switches) { s.ReplicationReads = 1000 })
	r, err := b.register(sam)
	if !errors.Is(err, ErrReadBack) || r.Method == nil || b.onKey() != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A policy of the reference cases, made of the open one.
func policyWith(t *testing.T, change func(p map[string]any)) json.RawMessage {
	t.Helper()
	var p map[string]any
	if err := json.Unmarshal([]byte(entratest.OpenPolicy), &p); err != nil {
		t.Fatal(err)
	}
	change(p)
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func restriction(kind string, aaguids ...string) map[string]any {
	return map[string]any{"isEnforced": true, "enforcementType": kind, "aaGuids": append([]string{}, aaguids...)}
}

// TestReferenceCases: what the stand-in makes of policy and key, as Entra is said to.
func TestReferenceCases(t *testing.T) {
	aaguid := simulator.AAGUID
	simulated := strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", aaguid[:4], aaguid[4:6], aaguid[6:8], aaguid[8:10], aaguid[10:]))
	one := func(change func(profile map[string]any)) func(map[string]any) {
		return func(p map[string]any) { change(p["passkeyProfiles"].([]any)[0].(map[string]any)) }
	}
	attested := one(func(p map[string]any) { p["attestationEnforcement"] = "registrationOnly" })
	forget := func(c *entratest.Config) { c.Models = nil }
	group := func(c *entratest.Config) { c.Users[0].Groups = []string{"in", "out"} }
	for name, c := range map[string]struct {
		profile string
		policy  func(p map[string]any)
		config  func(c *entratest.Config)
		refusal string // "": accepted
	}{
		"attested":           {"ctap-2.3", attested, nil, ""},
		"self attestation":   {"default", attested, nil, "no certificate"},
		"no metadata":        {"ctap-2.3", attested, forget, "no metadata"},
		"allow list":         {"default", one(func(p map[string]any) { p["keyRestrictions"] = restriction("allow", simulated) }), nil, ""},
		"allow list without": {"default", one(func(p map[string]any) { p["keyRestrictions"] = restriction("allow") }), nil, "allow list"},
		"block list":         {"default", one(func(p map[string]any) { p["keyRestrictions"] = restriction("block", simulated) }), nil, "block list"},
		"block list without": {"default", one(func(p map[string]any) {
			p["keyRestrictions"] = restriction("block", "f1d0f1d0-0000-4000-8000-000000000009")
		}), nil, ""},
		"synced only": {"default", one(func(p map[string]any) { p["passkeyTypes"] = "synced" }), nil, "deviceBound"},
		"two profiles": {"default", func(p map[string]any) {
			attested(p)
			p["passkeyProfiles"] = append(p["passkeyProfiles"].([]any), map[string]any{"id": "b", "name": "B", "passkeyTypes": "synced", "attestationEnforcement": "disabled", "keyRestrictions": restriction("block")})
			p["includeTargets"].([]any)[0].(map[string]any)["allowedPasskeyProfiles"] = []string{p["defaultPasskeyProfile"].(string), "b"}
		}, nil, "certificate vouches for the key; B:"},
		"legacy": {"default", func(p map[string]any) { p["defaultPasskeyProfile"], p["isAttestationEnforced"] = nil, true }, nil, "no certificate"},
		"excluded group": {"default", func(p map[string]any) {
			p["includeTargets"] = []any{map[string]any{"id": "in"}}
			p["excludeTargets"] = []any{map[string]any{"id": "out"}}
		}, group, "excludes"},
		"included group":  {"default", func(p map[string]any) { p["includeTargets"] = []any{map[string]any{"id": "in"}} }, group, ""},
		"not targeted":    {"default", func(p map[string]any) { p["includeTargets"] = []any{map[string]any{"id": "other"}} }, group, "does not target"},
		"disabled":        {"default", func(p map[string]any) { p["state"] = "disabled" }, nil, "disabled"},
		"no self-service": {"default", func(p map[string]any) { p["isSelfServiceRegistrationAllowed"] = false }, nil, "Self-service"},
		"guest":           {"default", func(map[string]any) {}, func(c *entratest.Config) { c.Users[0].Type = "Guest" }, "Guests"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, c.profile, func(config *entratest.Config) {
				config.Policy = policyWith(t, c.policy)
				if c.config != nil {
					c.config(config)
				}
			})
			_, err := b.register(sam)
			if c.refusal == "" && err != nil || c.refusal != "" && (err == nil || !strings.Contains(err.Error(), c.refusal)) {
				t.Errorf("%v", err)
			}
			if want := map[bool]int{true: 1, false: 0}[c.refusal == ""]; len(b.tenant.Registered(sam)) != want {
				t.Errorf("%d are registered", len(b.tenant.Registered(sam)))
			}
		})
	}
}

// TestProtection knows WebAuthn's names only.
func TestProtection(t *testing.T) {
	var levels []client.CredProtect
	for _, name := range []string{"", "userVerificationOptional", "userVerificationOptionalWithCredentialIDList", "userVerificationRequired"} {
		level, err := protection(name)
		if err != nil {
			t.Error(err)
		}
		levels = append(levels, level)
	}
	if !slices.Equal(levels, []client.CredProtect{0, 1, 2, 3}) {
		t.Error(levels)
	}
	if _, err := protection("always"); err == nil {
		t.Error("always is a level")
	}
}
