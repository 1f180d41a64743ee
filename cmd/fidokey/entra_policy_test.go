package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fidokey/fidokey/entra/entratest"
)

// disturbed is a tenant in which somebody else changes something right before the nth
// request of a kind.
func disturbed(t *testing.T, n int32, method, path string, change func(ask func(method, path, body string))) *entratest.Tenant {
	t.Helper()
	tenant, err := entratest.New(entratest.Config{
		Users: entratest.MakeUsers(1), Tokens: []entratest.Token{{Value: "token", Scopes: entratest.Everything}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, body string) {
		w, r := httptest.NewRecorder(), httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer token")
		if tenant.ServeHTTP(w, r); w.Code >= 300 {
			t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	}
	var seen atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == method && strings.HasPrefix(r.URL.Path, path) && seen.Add(1) == n {
			change(ask)
		}
		tenant.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Setenv(graphRootVariable, server.URL)
	t.Setenv(graphTokenVariable, "token")
	return tenant
}

const (
	policyPath    = "/v1.0/policies/authenticationMethodsPolicy/authenticationMethodConfigurations/fido2"
	strengthsPath = "/v1.0/identity/conditionalAccess/authenticationStrength/policies"
	aModel        = "2fc0579f-8113-47ea-b116-bb5a8db9202a"
)

// TestChangedMeanwhile: what somebody else has changed between read and write is not
// written over.
func TestChangedMeanwhile(t *testing.T) {
	elsewhere := func(ask func(method, path, body string)) {
		ask("PATCH", policyPath, `{"@odata.type":"#microsoft.graph.fido2AuthenticationMethodConfiguration","isSelfServiceRegistrationAllowed":false}`)
	}
	tenant := disturbed(t, 2, "GET", policyPath, elsewhere)
	code, said := output(t, exec.Command("fidokey", "entra", "policy", "allow", aModel, "--enforce", "--yes"))
	if code != exitSafety || !strings.Contains(said, "somebody else has changed the passkey policy") || !strings.Contains(said, "isSelfServiceRegistrationAllowed: true -> false") {
		t.Errorf("exit code %d:\n%s", code, said)
	}
	if n := tenant.Count("setPolicy"); n != 1 {
		t.Errorf("%d writes, and one is of somebody else", n)
	}
	code, said = output(t, exec.Command("fidokey", "entra", "policy", "allow", aModel, "--enforce", "--yes"))
	if n := tenant.Count("setPolicy"); code != exitOK || n != 2 {
		t.Errorf("exit code %d, %d writes:\n%s", code, n, said)
	}
}

func TestStrengthChangedMeanwhile(t *testing.T) {
	const ours = strengthsPath + "/5c5c5c5c-0000-4000-8000-000000000001/combinationConfigurations"
	tenant := disturbed(t, 2, "GET", strengthsPath, func(ask func(method, path, body string)) {
		ask("POST", ours, fmt.Sprintf(`{"@odata.type":"#microsoft.graph.fido2CombinationConfiguration","allowedAAGUIDs":[%q],"appliesToCombinations":["fido2"]}`, aModel))
	})
	code, said := output(t, exec.Command("fidokey", "entra", "strength", "allow", "Security keys", "Windows Hello", "--enforce", "--yes"))
	if code != exitSafety || !strings.Contains(said, "+ allowedAAGUIDs: "+aModel) {
		t.Errorf("exit code %d:\n%s", code, said)
	}
	if n := tenant.Count("setCombination"); n != 1 {
		t.Errorf("%d writes, and one is of somebody else", n)
	}
}

// TestNothingPosted: what changes nothing, a dry run, and what is refused send nothing.
func TestNothingPosted(t *testing.T) {
	tenant := disturbed(t, 0, "", "", nil)
	for _, c := range []struct {
		args string
		code int
	}{
		{"policy allow " + aModel + " --yes", exitOK},
		{"policy allow " + aModel + " --enforce --dry-run", exitOK},
		{"policy block " + aModel + " --yes", exitUsage},
		{"policy block " + aModel + " --enforce --dry-run --all-profiles", exitOK},
		{"strength allow 5c5c5c5c-0000-4000-8000-000000000001 " + aModel + " --yes", exitOK},
		{"strength allow 5c5c5c5c-0000-4000-8000-000000000001 " + aModel + " --enforce --dry-run", exitOK},
		{"strength allow 00000000-0000-0000-0000-000000000004 " + aModel + " --enforce --yes", exitVerify},
		{"strength remove 5c5c5c5c-0000-4000-8000-000000000001 " + aModel + " --yes", exitUsage},
	} {
		if code, said := output(t, exec.Command("fidokey", append([]string{"entra"}, strings.Fields(c.args)...)...)); code != c.code {
			t.Errorf("%s: exit code %d:\n%s", c.args, code, said)
		}
	}
	if n := tenant.Count("setPolicy") + tenant.Count("setCombination") + tenant.Count("deleteCombination"); n != 0 {
		t.Errorf("%d writes", n)
	}
	if n := tenant.Count("policy") + tenant.Count("strengths"); n != 8 {
		t.Errorf("%d reads", n)
	}
}

// TestPolicyFull: so many models as fit are allowed, and one more is refused before it
// is sent.
func TestPolicyFull(t *testing.T) {
	tenant := disturbed(t, 0, "", "", nil)
	list := func(n int) string {
		var lines []string
		for i := range n {
			lines = append(lines, fmt.Sprintf("f1d0f1d0-0000-4000-8000-%012x", i))
		}
		return strings.Join(lines, "\n")
	}
	allow := func(n int, code int, says string) {
		t.Helper()
		call := exec.Command("fidokey", "entra", "policy", "allow", "--from-inventory=-", "--enforce", "--yes")
		call.Stdin = strings.NewReader(list(n))
		if got, said := output(t, call); got != code || !strings.Contains(said, says) {
			t.Errorf("%d models: exit code %d:\n%.2000s", n, got, said)
		}
	}
	allow(587, exitVerify, "there may be 20480")
	allow(586, exitOK, "0 more AAGUIDs fit")
	if n := tenant.Count("setPolicy"); n != 1 {
		t.Errorf("%d writes", n)
	}
}
