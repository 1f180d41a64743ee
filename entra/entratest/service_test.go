package entratest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// vendor vouches for keys of a model.
type vendor struct {
	*testing.T
	key    *ecdsa.PrivateKey
	root   *x509.Certificate
	aaguid []byte
}

func newVendor(t *testing.T) *vendor {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v := &vendor{T: t, key: key, aaguid: random(16)}
	v.root = v.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "Root"}, IsCA: true})
	return v
}

func (v *vendor) sign(c *x509.Certificate) *x509.Certificate {
	v.Helper()
	c.SerialNumber, c.NotBefore, c.NotAfter, c.BasicConstraintsValid = big.NewInt(1), time.Unix(0, 0), time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC), true
	parent := v.root
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, v.key.Public(), v.key)
	if err != nil {
		v.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		v.Fatal(err)
	}
	return made
}

// leaf names a model; nil: none.
func (v *vendor) leaf(aaguid []byte) *x509.Certificate {
	c := &x509.Certificate{Subject: pkix.Name{CommonName: "Batch", Organization: []string{"Vendor"}, Country: []string{"US"}, OrganizationalUnit: []string{"Authenticator Attestation"}}}
	if aaguid != nil {
		value, err := asn1.Marshal(aaguid)
		if err != nil {
			v.Fatal(err)
		}
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}, Value: value}}
	}
	return v.sign(c)
}

// packed is a statement of the format, with what the vendor signs.
func (v *vendor) packed(leaf *x509.Certificate) func(signed []byte) []byte {
	return func(signed []byte) []byte {
		hash := sha256.Sum256(signed)
		signature, err := ecdsa.SignASN1(rand.Reader, v.key, hash[:])
		if err != nil {
			v.Fatal(err)
		}
		text, err := cbor.Marshal(map[string]any{"alg": -7, "sig": signature, "x5c": [][]byte{leaf.Raw}})
		if err != nil {
			v.Fatal(err)
		}
		return text
	}
}

const attestedPolicy = `{"state":"enabled","isSelfServiceRegistrationAllowed":true,"isAttestationEnforced":%t,
	"keyRestrictions":{"isEnforced":false,"enforcementType":"block","aaGuids":[]},
	"includeTargets":[{"id":"all_users","targetType":"group"}],"excludeTargets":[]}`

// TestAttested: the signature and the AAGUID of the certificate always count, the chain
// where attestation is enforced.
func TestAttested(t *testing.T) {
	acme, other := newVendor(t), newVendor(t)
	for name, c := range map[string]struct {
		change           func(p *parts)
		enforced, status int    // where attestation is not enforced
		level            string // there
		says             string // where it is
	}{
		"good":                     {func(*parts) {}, 201, 201, "attested", ""},
		"names no model":           {func(p *parts) { p.statement = acme.packed(acme.leaf(nil)) }, 201, 201, "attested", ""},
		"names another model":      {func(p *parts) { p.statement = acme.packed(acme.leaf(random(16))) }, 400, 400, "", "attestation"},
		"another vendor's":         {func(p *parts) { p.statement = other.packed(other.leaf(acme.aaguid)) }, 400, 201, "notAttested", "attestation"},
		"signed by another":        {func(p *parts) { p.statement = other.packed(acme.leaf(acme.aaguid)) }, 400, 400, "", "attestation"},
		"a model without metadata": {func(p *parts) { p.aaguid, p.statement = other.aaguid, other.packed(other.leaf(other.aaguid)) }, 400, 201, "notAttested", "no metadata"},
		"none":                     {func(p *parts) { p.format, p.statement = "none", nil }, 400, 201, "notAttested", "no certificate vouches"},
		"synced":                   {func(p *parts) { p.flags = 0x4d }, 400, 201, "attested", "synced"},
	} {
		for enforced, want := range map[bool]int{true: c.enforced, false: c.status} {
			v := visit(t, Config{
				Models: map[string]Model{guid(acme.aaguid): {Name: "Acme", Roots: []*x509.Certificate{acme.root}}},
				Policy: json.RawMessage(fmt.Sprintf(attestedPolicy, enforced)),
			})
			p := v.good()
			leaf := acme.leaf(acme.aaguid)
			p.format, p.aaguid, p.statement = "packed", acme.aaguid, acme.packed(leaf)
			c.change(p)
			status, text := v.post(p)
			level := `"attestationLevel":"` + c.level + `"`
			if status != want || status == 201 && !enforced && !strings.Contains(text, level) || status == 400 && enforced && !strings.Contains(text, c.says) {
				t.Errorf("%s, enforced %t: %d %s", name, enforced, status, text)
			}
			if thumbprint := fmt.Sprintf(`"attestationCertificates":["%x"]`, sha1.Sum(leaf.Raw)); name == "good" && !strings.Contains(text, thumbprint) {
				t.Errorf("%s: %s", name, text)
			}
			if name == "synced" && status == 201 && !strings.Contains(text, `"passkeyType":"synced"`) {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
}

// TestGates: where the policy lets the user have no passkey there are no options either.
func TestGates(t *testing.T) {
	for name, c := range map[string]struct{ from, to, says string }{
		"open":         {"x", "x", ""},
		"disabled":     {`"state":"enabled"`, `"state":"disabled"`, "disabled"},
		"self-service": {`"isSelfServiceRegistrationAllowed":true`, `"isSelfServiceRegistrationAllowed":false`, "Self-service"},
		"not targeted": {"all_users", "g2", "does not target"},
		"targeted":     {"all_users", "g1", ""},
		"excluded":     {`"excludeTargets":[]`, `"excludeTargets":[{"id":"g1","targetType":"group"}]`, "excludes"},
		"guest":        {"x", "x", "Guests"},
	} {
		users := MakeUsers(1)
		users[0].Groups = []string{"g1"}
		if name == "guest" {
			users[0].Type = "Guest"
		}
		v := visit(t, Config{Users: users, Policy: json.RawMessage(strings.Replace(fmt.Sprintf(attestedPolicy, false), c.from, c.to, 1))})
		want := map[bool]int{true: 200, false: 400}[c.says == ""]
		if status, answer := v.ask("GET", methods+"/creationOptions", ""); status != want || !strings.Contains(fmt.Sprint(answer), c.says) {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
}

// TestExcluded: what the user has, in the form that is chosen, or each in turn.
func TestExcluded(t *testing.T) {
	v := visit(t, Config{})
	id := []byte{0xfb, 0xff, 0xbf, 1}
	for range 3 {
		if err := v.tenant.Add(sam, id, zeroAAGUID, "key", v.now); err != nil {
			t.Fatal(err)
		}
	}
	forms := map[string]string{"base64url": "-_-_AQ", "base64": "+/+/AQ==", "counted": "-_-_AQ2"}
	for form := range forms {
		v.tenant.Switch(func(s *Switches) { s.ExcludeEncoding = form })
		if got := v.excludes(); !slices.Equal(got, []string{forms[form], forms[form], forms[form]}) {
			t.Errorf("%s: %v", form, got)
		}
	}
	v.tenant.Switch(func(s *Switches) { s.ExcludeEncoding = "" })
	if got := v.excludes(); !slices.Equal(got, []string{forms["base64url"], forms["base64"], forms["counted"]}) {
		t.Error(got)
	}
}

func (v *visitor) excludes() (ids []string) {
	_, answer := v.ask("GET", methods+"/creationOptions", "")
	for _, one := range answer["publicKey"].(map[string]any)["excludeCredentials"].([]any) {
		ids = append(ids, one.(map[string]any)["id"].(string))
	}
	return ids
}

// TestSwitches: the errors that a test may want.
func TestSwitches(t *testing.T) {
	v := visit(t, Config{})
	v.tenant.Switch(func(s *Switches) { s.ThrottleEvery, s.RetryAfter = 2, 7 })
	for _, want := range []string{"200 ", "429 7", "200 "} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/v1.0/users", nil)
		r.Header.Set("Authorization", "Bearer token")
		v.tenant.ServeHTTP(w, r)
		if got := fmt.Sprint(w.Code, " ", w.Header().Get("Retry-After")); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	v.tenant.Switch(func(s *Switches) { *s = Switches{ExpireChallenges: true} })
	if status, text := v.post(v.good()); status != 400 || !strings.Contains(text, "expired") {
		t.Error(status, text)
	}
	v.tenant.Switch(func(s *Switches) { *s = Switches{ReplicationReads: 2} })
	p := v.good()
	if status, text := v.post(p); status != 201 {
		t.Error(status, text)
	}
	for _, want := range []int{404, 404, 200} {
		if status, _ := v.ask("GET", methods+"/"+counted(p.id), ""); status != want {
			t.Error(status, want)
		}
	}
	v.tenant.Switch(func(s *Switches) { *s = Switches{LoseRegistrations: true} })
	if status, text := v.post(v.good()); status != 503 || len(v.tenant.Registered(sam)) != 2 {
		t.Error(status, text)
	}
	v.tenant.Switch(func(s *Switches) { *s = Switches{RefuseSelf: sam} })
	if status, answer := v.ask("GET", methods+"/creationOptions", ""); status != 405 {
		t.Error(status, answer)
	}
	v.tenant.Switch(func(s *Switches) { *s = Switches{NonPremium: true} })
	if _, answer := v.ask("GET", "/v1.0/reports/authenticationMethods/userRegistrationDetails", ""); !strings.Contains(fmt.Sprint(answer), nonPremium) {
		t.Error(answer)
	}
}

// TestTokens: who is given one, what it permits, and that each proof is good once.
func TestTokens(t *testing.T) {
	v := visit(t, Config{Tenant: "t", Client: "app", Secret: "secret", TokenScopes: []string{"Policy.Read.All"}})
	ask := func(path string, form string) (int, map[string]any) {
		r := httptest.NewRequest("POST", path, strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		v.tenant.ServeHTTP(w, r)
		var answer map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		return w.Code, answer
	}
	const good = "grant_type=client_credentials&client_id=app&client_secret=secret&scope=https%3A%2F%2Fgraph%2F.default"
	for name, form := range map[string]string{
		"invalid_client":         strings.Replace(good, "=secret", "=other", 1),
		"unauthorized_client":    strings.Replace(good, "=app", "=other", 1),
		"invalid_scope":          strings.Replace(good, ".default", "Policy.Read.All", 1),
		"unsupported_grant_type": strings.Replace(good, "client_credentials", "password", 1),
		"bad_verification_code":  "grant_type=device_code&client_id=app&device_code=x",
		"invalid_grant":          "grant_type=refresh_token&client_id=app&refresh_token=x",
	} {
		if status, answer := ask("/t/oauth2/v2.0/token", form); status != 400 || answer["error"] != name {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
	if _, answer := ask("/other/oauth2/v2.0/token", good); answer["error"] != "unauthorized_client" {
		t.Error(answer)
	}
	_, answer := ask("/t/oauth2/v2.0/token", good)
	for path, want := range map[string]int{policyAt: 200, "/v1.0/users": 403, methods: 403} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Authorization", "Bearer "+answer["access_token"].(string))
		w := httptest.NewRecorder()
		if v.tenant.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	_, answer = ask("/t/oauth2/v2.0/devicecode", "client_id=app")
	form := "grant_type=device_code&client_id=app&scope=offline_access&device_code=" + url.QueryEscape(answer["device_code"].(string))
	if _, answer := ask("/t/oauth2/v2.0/token", form); answer["error"] != "authorization_pending" {
		t.Error(answer)
	}
	v.tenant.Agree()
	for _, want := range []int{http.StatusOK, http.StatusBadRequest} {
		status, answer := ask("/t/oauth2/v2.0/token", form)
		if status != want {
			t.Error(status, answer)
		}
		if want != http.StatusOK {
			continue
		}
		again := fmt.Sprintf("grant_type=refresh_token&client_id=app&refresh_token=%v", answer["refresh_token"])
		if status, answer := ask("/t/oauth2/v2.0/token", again); status != want || answer["access_token"] == nil || answer["refresh_token"] != nil {
			t.Error(status, answer)
		}
	}
	for name, assertion := range map[string]string{"no JWT": "x", "not signed": base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + ".e30."} {
		const kind = "&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion="
		if _, answer := ask("/t/oauth2/v2.0/token", strings.Replace(good, "client_secret=secret", kind+assertion, 1)); answer["error"] != "invalid_client" {
			t.Errorf("%s: %v", name, answer)
		}
	}
}
