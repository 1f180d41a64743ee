package entratest

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

// asked sends a request as somebody who may do everything.
func asked(t *testing.T, tenant *Tenant, method, path, body string) (status int, answer string) {
	t.Helper()
	r := httptest.NewRequest("GET", "/", strings.NewReader(body))
	r.Method, r.URL.Path, r.URL.RawQuery = method, path, ""
	if before, query, ok := strings.Cut(path, "?"); ok {
		r.URL.Path, r.URL.RawQuery = before, query
	}
	r.Header.Set("Authorization", "Bearer token")
	if strings.Contains(path, "oauth2") {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	tenant.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// FuzzWorld reads a tenant's files: what is taken makes a tenant that answers all that is
// asked of it, and a policy that can be changed.
func FuzzWorld(f *testing.F) {
	const root = "MIIBCDCBsKADAgECAgEBMAoGCCqGSM49BAMCMAAwIhgPMDAwMTAxMDEwMDAwMDBaGA8yMDI3MTEyMjAwMDAwMFowADBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABA"
	f.Add([]byte(strings.Replace(world, `"ROOT"`, "", 1)), []byte(OpenPolicy))
	f.Add([]byte(strings.Replace(world, "ROOT", root, 1)), []byte(OpenPolicy))
	f.Add([]byte(`{"pageSize":-1,"signIns":[null,{"createdDateTime":"2026-01-02T03:04:05Z","id":"1"}],"tenantId":"t","clientId":"c"}`), []byte(OpenPolicy))
	f.Add([]byte(`{"users":[{},{"id":""}],"strengths":[{"id":"s1","allowedCombinations":[],"combinationConfigurations":[null,{"id":"c1"},[]]}]}`), []byte(`null`))
	f.Add([]byte(`{}`), []byte(`{"state":"enabled","passkeyProfiles":[null,{}],"includeTargets":[null],"defaultPasskeyProfile":""}`))
	f.Add([]byte(`{}`), []byte(`{"STATE":"enabled","PASSKEYPROFILES":[{}]}`))
	f.Fuzz(func(t *testing.T, world, policy []byte) {
		c, err := ParseConfig(world)
		if err != nil {
			return
		}
		c.Policy, c.Tokens = policy, []Token{{"token", Everything}}
		tenant, err := New(c)
		if err != nil {
			return
		}
		user := "/v1.0/users/" + MakeUsers(1)[0].ID
		for _, q := range [][3]string{
			{"GET", "/v1.0/users", ""}, {"GET", user, ""}, {"GET", user + "/transitiveMemberOf/microsoft.graph.group", ""},
			{"GET", user + "/authentication/fido2Methods", ""}, {"GET", user + "/authentication/fido2Methods/creationOptions", ""},
			{"GET", policyAt, ""}, {"PATCH", policyAt, `{"@odata.type":"` + policyType + `","isAttestationEnforced":true}`},
			{"PATCH", policyAt, `{"@odata.type":"` + policyType + `","passkeyProfiles":[{"id":"` + defaultProfile + `","name":"A"},null]}`},
			{"GET", strengthsAt + "?$expand=combinationConfigurations", ""}, {"GET", strengthsAt + "/s1/combinationConfigurations", ""},
			{"PATCH", strengthsAt + "/s1/combinationConfigurations/c1", `{"@odata.type":"#microsoft.graph.fido2CombinationConfiguration","appliesToCombinations":["fido2"]}`},
			{"GET", "/v1.0/reports/authenticationMethods/userRegistrationDetails", ""}, {"GET", "/beta/auditLogs/signIns", ""},
		} {
			if status, answer := asked(t, tenant, q[0], q[1], q[2]); status >= 500 {
				t.Errorf("%s %s: %d %s", q[0], q[1], status, answer)
			}
		}
	})
}

// FuzzTenant sends anything to a tenant: it is never the tenant's own fault, nobody is let
// in without a token, and the policy is one that can be read.
func FuzzTenant(f *testing.F) {
	const user = "/v1.0/users/user1@example.onmicrosoft.com"
	for _, seed := range [][3]string{
		{"GET", user + "/authentication/fido2Methods?$top=1&$skiptoken=0", ""}, {"GET", user + "?$select=id", ""},
		{"POST", user + "/authentication/fido2Methods", `{"displayName":"a","publicKeyCredential":{"id":"AA","response":{"clientDataJSON":"e30","attestationObject":"oA"},"clientExtensionResults":{}}}`},
		{"GET", "/beta/users/user1@example.onmicrosoft.com/authentication/fido2Methods/creationOptions(challengeTimeoutInMinutes=5)", ""},
		{"PATCH", policyAt, OpenPolicy}, {"PATCH", policyAt, `{"@odata.type":"` + policyType + `","passkeyProfiles":[null]}`},
		{"POST", strengthsAt + "/s1/combinationConfigurations", `{"@odata.type":"#microsoft.graph.fido2CombinationConfiguration","appliesToCombinations":["fido2"],"allowedAAGUIDs":["2fc0579f-8113-47ea-b116-bb5a8db9202a"]}`},
		{"PATCH", strengthsAt + "/s1/combinationConfigurations/c1", `{}`}, {"DELETE", strengthsAt + "/s1/combinationConfigurations/c1", ""},
		{"GET", "/v1.0/reports/authenticationMethods/userRegistrationDetails?$filter=methodsRegistered/any(x:x eq 'fido2')", ""},
		{"GET", "/v1.0/auditLogs/signIns?$filter=createdDateTime ge 2026-01-02T03:04:05Z", ""},
		{"POST", "/v1.0/$batch", `{"requests":[{"id":"1","method":"GET","url":"/users"},{"id":"2","method":"POST","url":"/$batch","body":{"requests":[]}},{"id":"3","method":"\n","url":"%"}]}`},
		{"POST", "/t/oauth2/v2.0/token", "client_id=c&grant_type=client_credentials&scope=x/.default&client_assertion=a.b.c&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		{"POST", "/t/oauth2/v2.0/token", "client_id=c&grant_type=device_code&device_code=0"}, {"POST", "/t/oauth2/v2.0/devicecode", ""}, {"POST", "/device", ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		if method == "" || strings.ContainsFunc(method, func(r rune) bool { return r < 'A' || r > 'Z' }) || !strings.HasPrefix(path, "/") {
			return
		}
		tenant, err := New(Config{
			Users: MakeUsers(2), Tokens: []Token{{"token", Everything}}, Tenant: "t", Client: "c", Secret: "secret",
			Strengths: []Strength{{ID: "s1", Combinations: []json.RawMessage{json.RawMessage(`{"id":"c1"}`)}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		status, answer := asked(t, tenant, method, path, body)
		if status >= 500 {
			t.Errorf("%s %q %q: %d %s", method, path, body, status, answer)
		}
		if strings.Contains(answer, `"access_token"`) && !strings.Contains(body, "secret") {
			t.Errorf("%s %q %q gives a token", method, path, body)
		}
		if status, answer := asked(t, tenant, "GET", user+"/authentication/fido2Methods/creationOptions", ""); status >= 500 {
			t.Errorf("then %d %s", status, answer)
		}
	})
}
