package entratest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const (
	sam     = "user1@example.onmicrosoft.com"
	methods = "/v1.0/users/" + sam + "/authentication/fido2Methods"
)

// visitor asks the tenant with requests written by hand.
type visitor struct {
	*testing.T
	tenant *Tenant
	now    time.Time
}

func visit(t *testing.T, c Config) *visitor {
	t.Helper()
	v := &visitor{T: t, now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	c.Now = func() time.Time { return v.now }
	if c.Users == nil {
		c.Users = MakeUsers(2)
	}
	c.Tokens = []Token{{"token", Everything}}
	var err error
	if v.tenant, err = New(c); err != nil {
		t.Fatal(err)
	}
	return v
}

// ask returns the status and the body.
func (v *visitor) ask(method, path, body string) (int, map[string]any) {
	v.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer token")
	w := httptest.NewRecorder()
	v.tenant.ServeHTTP(w, r)
	var answer map[string]any
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			v.Fatalf("%s: %v", w.Body, err)
		}
	}
	return w.Code, answer
}

// parts is a registration that holds, before a test breaks it.
type parts struct {
	kind, challenge, origin string
	cross                   bool
	rpID                    string
	flags                   byte
	count                   uint32
	id, postedID            []byte
	algorithm               int
	format                  string
	aaguid                  []byte
	statement               func(signed []byte) []byte // CBOR; nil: an empty one
	name                    string
	encode                  func([]byte) string
	body                    func(string) string
	path                    string
}

func (v *visitor) options() string {
	v.Helper()
	status, answer := v.ask("GET", methods+"/creationOptions", "")
	if status != 200 {
		v.Fatal(answer)
	}
	return answer["publicKey"].(map[string]any)["challenge"].(string)
}

func (v *visitor) good() *parts {
	id := random(32)
	return &parts{
		kind: "webauthn.create", challenge: v.options(), origin: "https://login.microsoft.com", rpID: "login.microsoft.com", flags: 0x45,
		id: id, postedID: id, algorithm: -7, format: "none", name: "Blue key", encode: base64.RawURLEncoding.EncodeToString, path: methods,
		body: func(s string) string { return s },
	}
}

// post makes a key pair and posts what the parts say.
func (v *visitor) post(p *parts) (int, string) {
	v.Helper()
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		v.Fatal(err)
	}
	point, err := pair.PublicKey.Bytes() // 04 x y
	if err != nil {
		v.Fatal(err)
	}
	var data bytes.Buffer
	hash := sha256.Sum256([]byte(p.rpID))
	data.Write(hash[:])
	data.WriteByte(p.flags)
	binary.Write(&data, binary.BigEndian, p.count)
	data.Write(append(p.aaguid, make([]byte, 16)...)[:16])
	binary.Write(&data, binary.BigEndian, uint16(len(p.id)))
	data.Write(p.id)
	data.Write([]byte{0xa5, 1, 2, 3, byte(0x20 - 1 - p.algorithm), 0x20, 1, 0x21, 0x58, 32})
	data.Write(point[1:33])
	data.Write([]byte{0x22, 0x58, 32})
	data.Write(point[33:])
	clientData := fmt.Sprintf(`{"type":%q,"challenge":%q,"origin":%q,"crossOrigin":%t}`, p.kind, p.challenge, p.origin, p.cross)
	statement := []byte{0xa0}
	if p.statement != nil {
		hash := sha256.Sum256([]byte(clientData))
		statement = p.statement(append(bytes.Clone(data.Bytes()), hash[:]...))
	}
	object := fmt.Appendf([]byte{0xa3, 0x63}, "fmt%c%s\x67attStmt%s\x68authData\x58", 0x60+len(p.format), p.format, statement)
	object = append(append(object, byte(data.Len())), data.Bytes()...)
	body := fmt.Sprintf(`{"displayName":%q,"publicKeyCredential":{"id":%q,"response":{"clientDataJSON":%q,"attestationObject":%q}}}`,
		p.name, p.encode(p.postedID), p.encode([]byte(clientData)), p.encode(object))
	status, answer := v.ask("POST", p.path, p.body(body))
	text, err := json.Marshal(answer)
	if err != nil {
		v.Fatal(err)
	}
	return status, string(text)
}

// TestRegistrationChecks breaks one thing at a time.
func TestRegistrationChecks(t *testing.T) {
	v := visit(t, Config{})
	if status, text := v.post(v.good()); status != http.StatusCreated || !strings.Contains(text, `"notAttested"`) {
		t.Fatal(status, text)
	}
	for name, c := range map[string]struct {
		breaks func(p *parts)
		says   string
	}{
		"type":              {func(p *parts) { p.kind = "webauthn.get" }, "client data"},
		"unknown challenge": {func(p *parts) { p.challenge = "AAAA" }, "unknown"},
		"expired":           {func(*parts) { v.now = v.now.Add(5*time.Minute + time.Second) }, "expired"},
		"other user":        {func(p *parts) { p.path = strings.Replace(methods, "user1", "user2", 1) }, "another user"},
		"origin":            {func(p *parts) { p.origin = "https://login.microsoftonline.com" }, "client data"},
		"RP ID":             {func(p *parts) { p.rpID = "login.microsoftonline.com" }, "RP Hash"},
		"not verified":      {func(p *parts) { p.flags = 0x41 }, "User verification"},
		"not present":       {func(p *parts) { p.flags = 0x44 }, "User presence"},
		"no credential":     {func(p *parts) { p.flags = 0x05 }, ""},
		"another ID":        {func(p *parts) { p.postedID = random(32) }, "credential ID"},
		"algorithm":         {func(p *parts) { p.algorithm = -8 }, ""},
		"format":            {func(p *parts) { p.format = "apple" }, "format apple"},
		"name":              {func(p *parts) { p.name = strings.Repeat("ä", 31) }, "30 characters"},
		"padding":           {func(p *parts) { p.encode = base64.URLEncoding.EncodeToString }, "base64url"},
		"base64": {func(p *parts) {
			p.encode = base64.RawStdEncoding.EncodeToString
			p.postedID = bytes.Repeat([]byte{0xff}, 32)
		}, "base64url"},
		"string":  {func(p *parts) { p.body = func(s string) string { b, _ := json.Marshal(s); return string(b) } }, "missing a fido2AuthenticationMethod entity"},
		"list":    {func(p *parts) { p.body = func(s string) string { return "[" + s + "]" } }, "missing a fido2"},
		"no JSON": {func(p *parts) { p.body = func(s string) string { return s[1:] } }, "JSON"},
		"rawId": {func(p *parts) {
			p.body = func(s string) string { return strings.Replace(s, `"id":`, `"rawId":"AA","id":`, 1) }
		}, "rawId"},
		"no credential member": {func(p *parts) { p.body = func(string) string { return `{"displayName":"x"}` } }, "publicKeyCredential"},
	} {
		p := v.good()
		c.breaks(p)
		if status, text := v.post(p); status != http.StatusBadRequest || !strings.Contains(text, c.says) || !strings.Contains(text, `"request-id"`) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	for name, change := range map[string]func(p *parts){
		"crossOrigin": func(p *parts) { p.cross = true },
		"counter":     func(p *parts) { p.count = 7 },
		"@odata.type": func(p *parts) {
			p.body = func(s string) string { return strings.Replace(s, "{", `{"@odata.type":"x",`, 1) }
		},
		"30 characters": func(p *parts) { p.name = strings.Repeat("ä", 30) },
	} {
		p := v.good()
		change(p)
		if status, text := v.post(p); status != http.StatusCreated {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	v.tenant.Switch(func(s *Switches) { s.CheckCrossOrigin, s.CheckSignCount, s.CheckHMACSecret = true, true, true })
	for _, p := range []*parts{{cross: true}, {count: 7}, {}} {
		bad := v.good()
		bad.cross, bad.count = p.cross, p.count
		if status, text := v.post(bad); status != http.StatusBadRequest {
			t.Errorf("switched on: %d %s", status, text)
		}
	}
}

// TestOnce: a challenge is good once, a credential too.
func TestOnce(t *testing.T) {
	v := visit(t, Config{})
	p := v.good()
	if status, text := v.post(p); status != http.StatusCreated {
		t.Fatal(text)
	}
	if status, text := v.post(p); status != http.StatusBadRequest {
		t.Error("the challenge is good twice:", status, text)
	}
	p.challenge = v.options()
	if status, text := v.post(p); status != http.StatusConflict {
		t.Error("the credential is good twice:", status, text)
	}
	id := counted(p.id)
	if status, answer := v.ask("GET", methods+"/"+id, ""); status != 200 || answer["id"] != id {
		t.Error(status, answer)
	}
	for _, want := range []int{204, 404} {
		if status, answer := v.ask("DELETE", methods+"/"+id, ""); status != want {
			t.Error(status, answer)
		}
	}
}

// TestOptionsForms: v1.0 has types and no time, beta has a time within bounds.
func TestOptionsForms(t *testing.T) {
	v := visit(t, Config{})
	beta := strings.Replace(methods, "v1.0", "beta", 1)
	for path, want := range map[string]int{
		methods + "/creationOptions":                                       200,
		methods + "/creationOptions?challengeTimeoutInMinutes=10":          400,
		beta + "/creationOptions":                                          200,
		beta + "/creationOptions(challengeTimeoutInMinutes=5)":             200,
		beta + "/creationOptions?challengeTimeoutInMinutes=43200":          200,
		beta + "/creationOptions(challengeTimeoutInMinutes=4)":             400,
		beta + "/creationOptions?challengeTimeoutInMinutes=43201":          400,
		beta + "/creationOptions(challengeTimeoutInMinutes=x)":             400,
		strings.Replace(methods, "user1", "user9", 1) + "/creationOptions": 404,
	} {
		status, answer := v.ask("GET", path, "")
		if status != want {
			t.Errorf("%s: %d %v", path, status, answer)
		}
		if _, typed := answer["@odata.type"]; status == 200 && typed != strings.HasPrefix(path, "/v1.0") {
			t.Errorf("%s: @odata.type: %v", path, typed)
		}
	}
	text, err := base64.RawURLEncoding.DecodeString(v.options())
	if err != nil || bytes.Count(text, []byte(".")) != 4 || len(text) != 5198 {
		t.Errorf("the challenge is a text of %d bytes, %v", len(text), err)
	}
	_, answer := v.ask("GET", methods+"/creationOptions", "")
	handle, err := base64.RawURLEncoding.DecodeString(answer["publicKey"].(map[string]any)["user"].(map[string]any)["id"].(string))
	if err != nil || !bytes.HasPrefix(handle, []byte("OF:\x11\x11\x11\x11\x22\x22\x33\x43\x84\x44\x55")) || len(handle) != 51 {
		t.Errorf("%x, %v", handle, err)
	}
}

// TestPolicyRules: what the service refuses of a policy, and what follows what.
func TestPolicyRules(t *testing.T) {
	v := visit(t, Config{})
	typed := func(members string) string { return `{"@odata.type":"` + policyType + `",` + members + `}` }
	profile := func(id, enforcement string) string {
		name := "P"
		if id == defaultProfile {
			name = "Default passkey profile"
		}
		return fmt.Sprintf(`{"id":%q,"name":%q,"passkeyTypes":"deviceBound","attestationEnforcement":%q,"keyRestrictions":{"isEnforced":true,"enforcementType":"allow","aaGuids":["F1D0F1D0-0000-4000-8000-000000000001"]}}`, id, name, enforcement)
	}
	long := strings.Repeat(`"f1d0f1d0-0000-4000-8000-000000000001",`, 600)
	for name, c := range map[string]struct {
		body, says string
	}{
		"no type":          {`{"state":"disabled"}`, "@odata.type"},
		"unknown member":   {typed(`"weather":"fine"`), "weather"},
		"state":            {typed(`"state":"maybe"`), "state"},
		"default deleted":  {typed(`"passkeyProfiles":[` + profile("b", "disabled") + `]`), "default passkey profile"},
		"default renamed":  {typed(`"passkeyProfiles":[` + strings.Replace(profile(defaultProfile, "disabled"), "Default passkey", "My", 1) + `]`), "renamed"},
		"in use":           {typed(`"includeTargets":[{"id":"all_users","targetType":"group","allowedPasskeyProfiles":["c"]}]`), "assigned"},
		"four profiles":    {typed(`"passkeyProfiles":[` + profile(defaultProfile, "disabled") + strings.Repeat(","+profile("", "disabled"), 3) + `]`), "3 passkey profiles"},
		"too long":         {typed(`"keyRestrictions":{"isEnforced":true,"enforcementType":"allow","aaGuids":[` + strings.TrimSuffix(long, ",") + `]}`), "20480"},
		"600 in a profile": {typed(`"passkeyProfiles":[` + strings.Replace(profile(defaultProfile, "disabled"), `"F1D0F1D0-0000-4000-8000-000000000001"`, strings.TrimSuffix(long, ","), 1) + `]`), "20480"},
		"no GUID":          {typed(`"keyRestrictions":{"isEnforced":true,"enforcementType":"allow","aaGuids":["x"]}`), "no GUID"},
		"enforcement":      {typed(`"passkeyProfiles":[` + profile(defaultProfile, "always") + `]`), "attestationEnforcement"},
	} {
		status, answer := v.ask("PATCH", policyAt, c.body)
		if text := fmt.Sprint(answer); status != 400 || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if _, p := v.ask("GET", policyAt, ""); p["state"] != "enabled" || p["isAttestationEnforced"] != false {
		t.Errorf("a refused change was made: %v", p)
	}
	// The older members follow the default profile, and it follows them.
	if status, answer := v.ask("PATCH", policyAt, typed(`"passkeyProfiles":[`+profile(defaultProfile, "registrationOnly")+`,`+profile("", "disabled")+`]`)); status != 204 {
		t.Fatal(answer)
	}
	_, p := v.ask("GET", policyAt, "")
	profiles := p["passkeyProfiles"].([]any)
	if id := profiles[1].(map[string]any)["id"].(string); p["isAttestationEnforced"] != true || len(id) != 36 || p["keyRestrictions"].(map[string]any)["enforcementType"] != "allow" {
		t.Errorf("%v", p)
	}
	if status, answer := v.ask("PATCH", policyAt, typed(`"isAttestationEnforced":false`)); status != 204 {
		t.Fatal(answer)
	}
	_, p = v.ask("GET", policyAt, "")
	if first := p["passkeyProfiles"].([]any)[0].(map[string]any); first["attestationEnforcement"] != "disabled" {
		t.Errorf("%v", p)
	}
	// A list replaces the old one as a whole.
	if status, _ := v.ask("PATCH", policyAt, typed(`"passkeyProfiles":[`+profile(defaultProfile, "disabled")+`]`)); status != 204 {
		t.Error(status)
	}
	if _, p = v.ask("GET", policyAt, ""); len(p["passkeyProfiles"].([]any)) != 1 {
		t.Errorf("%v", p["passkeyProfiles"])
	}
}

// TestSizeLimit: 580 AAGUIDs fit besides one profile and one target, 600 do not.
func TestSizeLimit(t *testing.T) {
	v := visit(t, Config{})
	body := func(n int) string {
		list := strings.TrimSuffix(strings.Repeat(`"f1d0f1d0-0000-4000-8000-000000000001",`, n), ",")
		return `{"@odata.type":"` + policyType + `","keyRestrictions":{"isEnforced":true,"enforcementType":"allow","aaGuids":[` + list + `]}}`
	}
	for n, want := range map[int]int{580: 204, 600: 400} {
		if status, answer := v.ask("PATCH", policyAt, body(n)); status != want {
			t.Errorf("%d: %d %v", n, status, answer)
		}
	}
}

// TestStrengthRules: what the service refuses of an authentication strength.
func TestStrengthRules(t *testing.T) {
	v := visit(t, Config{Strengths: append(defaultStrengths(), Strength{ID: "x", DisplayName: "Certificates", Allowed: []string{"x509CertificateMultiFactor"}})})
	const (
		own  = strengthsAt + "/00000000-0000-0000-0000-000000000004/combinationConfigurations"
		ours = strengthsAt + "/5c5c5c5c-0000-4000-8000-000000000001/combinationConfigurations"
		good = `{"@odata.type":"#microsoft.graph.fido2CombinationConfiguration","allowedAAGUIDs":["f1d0f1d0-0000-4000-8000-000000000001"],"appliesToCombinations":["fido2"]}`
	)
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", own, good, 400},
		{"POST", strengthsAt + "/x/combinationConfigurations", good, 400},
		{"POST", strengthsAt + "/y/combinationConfigurations", good, 404},
		{"POST", ours, strings.Replace(good, "#microsoft", "#other", 1), 400},
		{"POST", ours, strings.Replace(good, "f1d0f1d0-", "", 1), 400},
		{"PATCH", ours + "/nowhere", good, 404},
		{"DELETE", ours + "/nowhere", "", 404},
		{"POST", ours, good, 201},
	} {
		if status, answer := v.ask(c.method, c.path, c.body); status != c.status {
			t.Errorf("%s %s: %d %v", c.method, c.path, status, answer)
		}
	}
	_, list := v.ask("GET", ours, "")
	id := list["value"].([]any)[0].(map[string]any)["id"].(string)
	if status, _ := v.ask("DELETE", ours+"/"+id, ""); status != 204 {
		t.Error(status)
	}
	if _, list := v.ask("GET", ours, ""); len(list["value"].([]any)) != 0 {
		t.Errorf("%v", list)
	}
}

// TestBatchLimit: twenty requests and no more.
func TestBatchLimit(t *testing.T) {
	v := visit(t, Config{})
	for n, want := range map[int]int{0: 400, 1: 200, 20: 200, 21: 400} {
		one := `{"id":"1","method":"GET","url":"/users"},`
		status, answer := v.ask("POST", "/v1.0/$batch", `{"requests":[`+strings.TrimSuffix(strings.Repeat(one, n), ",")+`]}`)
		if status != want {
			t.Errorf("%d: %d %v", n, status, answer)
		}
	}
}

// TestNoToken: without one nothing is told.
func TestNoToken(t *testing.T) {
	v := visit(t, Config{})
	for _, path := range []string{policyAt, methods, "/v1.0/users"} {
		w := httptest.NewRecorder()
		v.tenant.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 401 || w.Header().Get("request-id") == "" {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if _, err := New(Config{Policy: json.RawMessage(`[]`)}); err == nil {
		t.Error("a list is a policy")
	}
}

// TestReportFilter: one kind of filter is understood, and no other is passed over.
func TestReportFilter(t *testing.T) {
	v := visit(t, Config{})
	if err := v.tenant.Add(sam, []byte("credential"), zeroAAGUID, "key", v.now); err != nil {
		t.Fatal(err)
	}
	const at = "/v1.0/reports/authenticationMethods/userRegistrationDetails?$filter="
	for filter, want := range map[string]int{
		"methodsRegistered/any(x:x%20eq%20'passKeyDeviceBound')":                                                  1,
		"methodsRegistered/any(x:%20x%20eq%20'passKeySynced')":                                                    0,
		"methodsRegistered/any(x:x%20eq%20'email')%20or%20methodsRegistered/any(x:x%20eq%20'passKeyDeviceBound')": 1,
		"methodsRegistered/any(x:x%20eq%20'a'%20and%20x%20eq%20'b')":                                              -1,
		"userType%20eq%20'member'": -1,
	} {
		status, answer := v.ask("GET", at+filter, "")
		if want < 0 && status != 400 || want >= 0 && (status != 200 || len(answer["value"].([]any)) != want) {
			t.Errorf("%s: %d %v", filter, status, answer)
		}
	}
}
