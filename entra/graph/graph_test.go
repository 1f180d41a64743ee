package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/log"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/fidokey/fidokey/entra/entratest"
)

const (
	bearer    = "bearer-that-nobody-may-see"
	anAAGUID  = "f1d0f1d0-0000-4000-8000-000000000001"
	firstUser = "user1@example.onmicrosoft.com"
)

// quick does not wait long.
var quick = policy.RetryOptions{RetryDelay: time.Millisecond, MaxRetryDelay: 2 * time.Second, MaxRetries: 3}

// stand starts a tenant and returns a client of it.
func stand(t *testing.T, c entratest.Config) (*entratest.Tenant, *Client) {
	t.Helper()
	if c.Tokens == nil {
		c.Tokens = []entratest.Token{{Value: bearer, Scopes: entratest.Everything}}
	}
	tenant, err := entratest.New(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(tenant)
	t.Cleanup(server.Close)
	return tenant, clientOf(t, server.URL)
}

func clientOf(t *testing.T, root string) *Client {
	t.Helper()
	credential, err := SignIn{Token: bearer}.Credential()
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(credential, Options{Cloud: Cloud{Name: "stand-in", Graph: root}, Retry: quick})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPlainHTTP: a token goes over TLS, or stays on this machine.
func TestPlainHTTP(t *testing.T) {
	credential, err := SignIn{Token: bearer}.Credential()
	if err != nil {
		t.Fatal(err)
	}
	for root, good := range map[string]bool{
		"http://graph.microsoft.com": false, "http://127.0.0.1.example.com": false, "ftp://127.0.0.1": false, "graph": false,
		"http://127.0.0.1:8080": true, "http://[::1]:80": true, "http://localhost:1": true, "https://graph.microsoft.us": true,
	} {
		if _, err := New(credential, Options{Cloud: Cloud{Graph: root}}); (err == nil) != good {
			t.Errorf("%s: %v", root, err)
		}
	}
}

func TestClouds(t *testing.T) {
	for _, name := range CloudNames() {
		c, err := CloudNamed(name)
		if err != nil || c.Name != name || !strings.HasPrefix(c.Graph, "https://") || !strings.HasPrefix(c.Authority, "https://") {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	for name, want := range map[string]Cloud{
		"global":   {"global", "https://graph.microsoft.com", "https://login.microsoftonline.com/"},
		"usgov-l4": {"usgov-l4", "https://graph.microsoft.us", "https://login.microsoftonline.us/"},
		"usgov-l5": {"usgov-l5", "https://dod-graph.microsoft.us", "https://login.microsoftonline.us/"},
		"china":    {"china", "https://microsoftgraph.chinacloudapi.cn", "https://login.chinacloudapi.cn/"},
	} {
		if c, err := CloudNamed(name); err != nil || c != want {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	if _, err := CloudNamed("moon"); err == nil || !strings.Contains(err.Error(), "usgov") {
		t.Error(err)
	}
}

// TestNationalClouds: what is not offered is not asked for.
func TestNationalClouds(t *testing.T) {
	tenant, c := stand(t, entratest.Config{Users: entratest.MakeUsers(1)})
	for _, name := range CloudNames() {
		c.cloud = name
		_, err := c.CreationOptions(t.Context(), firstUser, 0)
		if refused := errors.Is(err, ErrNotOffered) && errors.Is(c.Provisions(), ErrNotOffered); refused != (name != "global") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := tenant.Count("options"); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestCreationOptions: v1.0 and beta, wrapped or not, and the credentials to exclude in
// all three forms.
func TestCreationOptions(t *testing.T) {
	tenant, c := stand(t, entratest.Config{Users: entratest.MakeUsers(1)})
	var ids [][]byte
	for i := range 3 {
		ids = append(ids, bytes.Repeat([]byte{byte(i), 0xfb}, 8+i))
		if err := tenant.Add(firstUser, ids[i], anAAGUID, "key", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	for _, timeout := range []time.Duration{0, 5 * time.Minute, time.Hour, MaxChallengeTimeout} {
		for _, wrap := range []bool{false, true} {
			tenant.Switch(func(s *entratest.Switches) { s.WrapOptions = wrap })
			o, err := c.CreationOptions(t.Context(), firstUser, timeout)
			if err != nil {
				t.Fatal(err)
			}
			p := o.PublicKey
			handle, err := p.UserHandle()
			if err != nil || len(handle) != 51 || p.User.Name != firstUser || p.RP.ID != entratest.RPID {
				t.Errorf("%+v, %v", p.User, err)
			}
			left := time.Until(o.ChallengeTimeout.Time)
			if want := max(timeout, 5*time.Minute); left > want || left < want-time.Minute {
				t.Errorf("%v: valid for %v", timeout, left)
			}
			if len(p.Challenge) < 5000 || p.PubKeyCredParams[1].Alg != -257 || !p.Extensions.HMACCreateSecret {
				t.Errorf("challenge of %d characters, %+v", len(p.Challenge), p)
			}
			excluded, err := p.Excluded()
			if err != nil {
				t.Error(err)
			}
			for _, id := range ids {
				if !contains(excluded, id) {
					t.Errorf("%x is not in %x", id, excluded)
				}
			}
		}
	}
	for _, bad := range []time.Duration{time.Minute, MaxChallengeTimeout + time.Minute, 90*time.Minute + time.Second, -time.Minute} {
		if _, err := c.CreationOptions(t.Context(), firstUser, bad); err == nil {
			t.Errorf("%v is good", bad)
		}
	}
}

// TestPages: lists go on from page to page, and the token goes nowhere else.
func TestPages(t *testing.T) {
	tenant, c := stand(t, entratest.Config{Users: entratest.MakeUsers(47), PageSize: 10})
	n := 0
	for u, err := range c.Users(t.Context()) {
		if n++; err != nil || u.UPN != fmt.Sprintf("user%d@example.onmicrosoft.com", n) || u.Type != "Member" {
			t.Fatal(u, err)
		}
	}
	if n != 47 || tenant.Count("users") != 5 {
		t.Errorf("%d users in %d requests", n, tenant.Count("users"))
	}
	for range c.Users(t.Context()) {
		break
	}
	if tenant.Count("users") != 6 {
		t.Error("more was asked than was wanted")
	}
	for i := range 23 {
		if err := tenant.Add(firstUser, []byte{1, 2, byte(i)}, anAAGUID, "key", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := c.Methods(t.Context(), firstUser); err != nil || len(list) != 23 {
		t.Errorf("%d passkeys, %v", len(list), err)
	}
}

func TestForeignNextPage(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the stranger was asked") }))
	defer stranger.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"value":[],"@odata.nextLink":"%s/v1.0/users"}`, stranger.URL)
	}))
	defer server.Close()
	if _, err := clientOf(t, server.URL).Methods(t.Context(), firstUser); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Error(err)
	}
}

// TestRedirect: the token goes nowhere else, wherever a server points.
func TestRedirect(t *testing.T) {
	asked := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	_, err := clientOf(t, server.URL).Methods(t.Context(), firstUser)
	var e *Error
	if !errors.As(err, &e) || e.Status != http.StatusTemporaryRedirect || asked != 0 {
		t.Errorf("%v, %d requests elsewhere", err, asked)
	}
}

// TestBatch: the passkeys of many users, some of the answers throttled, some pages long,
// one user unknown.
func TestBatch(t *testing.T) {
	users := entratest.MakeUsers(50)
	tenant, c := stand(t, entratest.Config{Users: users, PageSize: 2})
	for i, u := range users {
		for k := range i % 5 {
			if err := tenant.Add(u.UPN, []byte{byte(i), byte(k), 3}, anAAGUID, "key", time.Now()); err != nil {
				t.Fatal(err)
			}
		}
	}
	tenant.Switch(func(s *entratest.Switches) { s.ThrottleBatchEvery = 3 })
	names := func(yield func(string) bool) {
		for i, u := range users {
			if i == 7 && !yield("o'nobody/#@example.com") || !yield(u.UPN) {
				return
			}
		}
	}
	found := map[string]UserMethods{}
	for u, err := range c.MethodsOf(t.Context(), names) {
		if err != nil {
			t.Fatal(err)
		}
		found[u.User] = u
	}
	if len(found) != 51 || !errors.Is(found["o'nobody/#@example.com"].Err, ErrNotFound) {
		t.Errorf("%d users, %v", len(found), found["o'nobody/#@example.com"].Err)
	}
	for i, u := range users {
		if m := found[u.UPN]; m.Err != nil || len(m.Methods) != i%5 {
			t.Errorf("%s: %d passkeys, %v", u.UPN, len(m.Methods), m.Err)
		}
	}
	if n := tenant.Count("batch"); n <= 3 || tenant.Count("throttled") == 0 {
		t.Errorf("%d batches, %d throttled", n, tenant.Count("throttled"))
	}
	tenant.Switch(func(s *entratest.Switches) { s.ThrottleBatchEvery = 1 })
	for u, err := range c.MethodsOf(t.Context(), slices.Values([]string{firstUser})) {
		if err != nil || !errors.Is(u.Err, ErrThrottled) {
			t.Errorf("always throttled: %v, %v", u.Err, err)
		}
	}
}

// TestManyUsers: a tenant of 500 users with throttling, as fast as twenty in a request
// allow.
func TestManyUsers(t *testing.T) {
	users := entratest.MakeUsers(500)
	tenant, c := stand(t, entratest.Config{Users: users})
	for i, u := range users {
		if err := tenant.Add(u.UPN, []byte{byte(i >> 8), byte(i)}, anAAGUID, "key", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	tenant.Switch(func(s *entratest.Switches) { s.ThrottleEvery, s.ThrottleBatchEvery = 9, 41 })
	n, start := 0, time.Now()
	ids := func(yield func(string) bool) {
		for u, err := range c.Users(t.Context()) {
			if err != nil || !yield(u.ID) {
				t.Error(err)
				return
			}
		}
	}
	for u, err := range c.MethodsOf(t.Context(), ids) {
		if err != nil || u.Err != nil || len(u.Methods) != 1 {
			t.Fatal(u, err)
		}
		n++
	}
	if n != 500 || tenant.Count("throttled") < 5 {
		t.Errorf("%d users, %d throttled", n, tenant.Count("throttled"))
	}
	t.Logf("%d batches in %v", tenant.Count("batch"), time.Since(start))
}

// TestPasskeys: all passkeys of a tenant, in as many requests as it takes and no more;
// without the report everybody is asked for, and the caller can tell.
func TestPasskeys(t *testing.T) {
	users := entratest.MakeUsers(130)
	tenant, c := stand(t, entratest.Config{Users: users, PageSize: 50})
	for i, u := range users[:65] {
		if err := tenant.Add(u.UPN, []byte{byte(i), 2, 3}, anAAGUID, "key", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	gather := func() (found []UserMethods) {
		for u, err := range c.Passkeys(t.Context()) {
			if err != nil || u.Err != nil || u.DisplayName == "" || !strings.Contains(u.UPN, "@") {
				t.Fatalf("%+v, %v", u, err)
			}
			found = append(found, u)
		}
		return found
	}
	found := gather()
	if len(found) != 65 || found[64].User != users[64].ID || found[64].UPN != users[64].UPN || len(found[64].Methods) != 1 || found[0].NoReport {
		t.Errorf("%d users, the last is %+v", len(found), found[len(found)-1])
	}
	if r, b := tenant.Count("report"), tenant.Count("batch"); r != 2 || b != 4 {
		t.Errorf("%d pages of the report, %d batches", r, b)
	}
	tenant.Switch(func(s *entratest.Switches) { s.OneCondition = true })
	if found = gather(); len(found) != 65 || tenant.Count("report") != 2+1+3 || tenant.Count("batch") != 4+4 {
		t.Errorf("without a filter: %d users, %d pages of the report, %d batches", len(found), tenant.Count("report")-2, tenant.Count("batch")-4)
	}
	tenant.Switch(func(s *entratest.Switches) { s.NonPremium = true })
	found = gather()
	if len(found) != 130 || !found[0].NoReport || len(found[0].Methods) != 1 || len(found[129].Methods) != 0 {
		t.Errorf("without the report: %d users, the first is %+v", len(found), found[0])
	}
	if u, b := tenant.Count("users"), tenant.Count("batch"); u != 3 || b != 4+4+7 {
		t.Errorf("without the report: %d pages of users, %d batches", u, b-8)
	}
}

// TestNoPermission: where the passkeys of nobody may be read, nobody else is asked for.
func TestNoPermission(t *testing.T) {
	scopes := slices.DeleteFunc(slices.Clone(entratest.Everything), func(s string) bool { return strings.HasPrefix(s, "UserAuth") })
	tenant, c := stand(t, entratest.Config{Users: entratest.MakeUsers(100), Tokens: []entratest.Token{{Value: bearer, Scopes: scopes}}})
	tenant.Switch(func(s *entratest.Switches) { s.NonPremium = true })
	_, err := all(c.Passkeys(t.Context()))
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, ErrForbidden) || !strings.Contains(e.Hint, "UserAuthMethod-Passkey.Read.All") || tenant.Count("batch") != 1 {
		t.Errorf("%v, %d batches", err, tenant.Count("batch"))
	}
}

// TestThrottledInBatch: what is throttled within a batch, and nothing else, is asked for
// again, not before the time that Graph says.
func TestThrottledInBatch(t *testing.T) {
	users := entratest.MakeUsers(20)
	tenant, c := stand(t, entratest.Config{Users: users})
	for i, u := range users {
		if err := tenant.Add(u.UPN, []byte{byte(i), 2, 3}, anAAGUID, "key", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	tenant.Switch(func(s *entratest.Switches) { s.ThrottleBatchEvery, s.RetryAfter = 15, 1 })
	start := time.Now()
	found, err := all(c.Passkeys(t.Context()))
	if err != nil || len(found) != 20 || slices.ContainsFunc(found, func(u UserMethods) bool { return u.Err != nil || len(u.Methods) != 1 }) {
		t.Errorf("%v, %v", found, err)
	}
	if b, n, waited := tenant.Count("batch"), tenant.Count("throttled"), time.Since(start); b != 2 || n != 1 || tenant.Count("list") != 20 || waited < time.Second {
		t.Errorf("%d batches, %d throttled, %d lists, after %v", b, n, tenant.Count("list"), waited)
	}
}

// TestBatchAnswers: an answer that is missing, double or foreign is no answer.
func TestBatchAnswers(t *testing.T) {
	for _, responses := range []string{`[]`, `[{"id":"0","status":200,"body":{}},{"id":"0","status":200,"body":{}}]`, `[{"id":"7","status":200}]`} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"responses":%s}`, responses)
		}))
		failed := false
		for _, err := range clientOf(t, server.URL).MethodsOf(t.Context(), slices.Values([]string{"a", "b"})) {
			failed = err != nil
		}
		if server.Close(); !failed {
			t.Errorf("%s is good", responses)
		}
	}
}

// TestRetryAfter: what is throttled is asked again, not before the time that Graph says,
// and not if that is too long.
func TestRetryAfter(t *testing.T) {
	tenant, c := stand(t, entratest.Config{Users: entratest.MakeUsers(1)})
	tenant.Switch(func(s *entratest.Switches) { s.ThrottleEvery, s.RetryAfter = 2, 1 })
	if _, err := c.Policy(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := c.Policy(t.Context()); err != nil || time.Since(start) < time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
	tenant.Switch(func(s *entratest.Switches) { s.ThrottleEvery, s.RetryAfter = 1, 1000 })
	_, err := c.Policy(t.Context())
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, ErrThrottled) || e.RetryAfter != 1000*time.Second {
		t.Errorf("%v", err)
	}
}

// TestPostedOnce: a registration that may have been carried out is not posted again.
func TestPostedOnce(t *testing.T) {
	for _, answer := range []struct {
		status int
		header string
		posts  int
	}{{500, "", 1}, {503, "", 1}, {504, "", 1}, {503, "1", 2}, {429, "", 2}} {
		posts := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if posts++; posts == 2 {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			if answer.header != "" {
				w.Header().Set("Retry-After", answer.header)
			}
			w.WriteHeader(answer.status)
		}))
		_, err := clientOf(t, server.URL).Register(t.Context(), firstUser, Registration{})
		if server.Close(); err == nil || posts != answer.posts {
			t.Errorf("%v: %d posts, %v", answer, posts, err)
		}
	}
}

// TestErrors: each error has Graph's words, its request ID, its kind and a hint.
func TestErrors(t *testing.T) {
	guest := entratest.User{ID: "7", UPN: "guest@example.com", Type: "Guest"}
	tenant, c := stand(t, entratest.Config{Users: append(entratest.MakeUsers(2), guest)})
	ctx := t.Context()
	tenant.Switch(func(s *entratest.Switches) { s.RefuseSelf = "user2@example.onmicrosoft.com" })
	_, noUser := c.CreationOptions(ctx, "nobody@example.com", 0)
	_, notForGuests := c.CreationOptions(ctx, guest.UPN, 0)
	_, self := c.CreationOptions(ctx, "user2@example.onmicrosoft.com", 0)
	_, malformed := c.Register(ctx, firstUser, Registration{DisplayName: "key"})
	gone := c.Delete(ctx, firstUser, "AAAA0")
	tenant.Switch(func(s *entratest.Switches) {
		s.NonPremium, s.MissingPermissions = true, []string{"UserAuthMethod-Passkey.ReadWrite.All"}
	})
	_, forbidden := c.Methods(ctx, firstUser)
	_, premium := all(c.UserRegistrations(ctx))
	_, premiumToo := all(c.SignIns(ctx, time.Now()))
	other, err := SignIn{Token: "another"}.Credential()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := New(other, Options{Cloud: Cloud{Graph: c.root.String()}, Retry: quick})
	if err != nil {
		t.Fatal(err)
	}
	_, unauthorized := stranger.Policy(ctx)
	for name, want := range map[string]struct {
		err        error
		kind       error
		code, hint string
	}{
		"no user":     {noUser, ErrNotFound, "Request_ResourceNotFound", "no such user"},
		"guest":       {notForGuests, nil, "badRequest", "self-service setup"},
		"self":        {self, nil, "methodNotAllowed", "another administrator"},
		"malformed":   {malformed, nil, "badRequest", "AAGUID"},
		"gone":        {gone, ErrNotFound, "itemNotFound", "no such"},
		"forbidden":   {forbidden, ErrForbidden, "Authorization_RequestDenied", "UserAuthMethod-Passkey.Read.All or UserAuthenticationMethod.Read.All"},
		"non-premium": {premium, ErrNonPremium, nonPremium, "licence"},
		"sign-ins":    {premiumToo, ErrNonPremium, nonPremium, "licence"},
		"token":       {unauthorized, ErrUnauthorized, "InvalidAuthenticationToken", "expired"},
	} {
		var e *Error
		if !errors.As(want.err, &e) {
			t.Errorf("%s: %v", name, want.err)
			continue
		}
		if e.Code != want.code || !strings.Contains(e.Hint, want.hint) || len(e.RequestID) != 36 || !strings.Contains(e.Error(), e.RequestID) {
			t.Errorf("%s: %v; %s", name, e, e.Hint)
		}
		for _, kind := range []error{ErrNotFound, ErrForbidden, ErrNonPremium, ErrUnauthorized, ErrConflict, ErrThrottled} {
			if errors.Is(e, kind) != (kind == want.kind) {
				t.Errorf("%s: is it %q?", name, kind)
			}
		}
	}
}

// TestGatewayError: what stands before Graph has other words, and steers no terminal.
func TestGatewayError(t *testing.T) {
	e := newError(listTask, 502, http.Header{"Request-Id": {"\x1b[2Jabc"}}, []byte("<html>Bad gateway</html>"))
	if e.Error() != "list of passkeys: Graph refuses with status 502 (request-id  [2Jabc)" {
		t.Errorf("%q", e)
	}
}

// TestAwaitMethod: a new passkey that is not everywhere yet is waited for.
func TestAwaitMethod(t *testing.T) {
	finds := 3
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if finds--; finds > 0 {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprint(w, `{"id":"AAAA0","creationDateTime":"2026-01-02T03:04:05Z"}`)
	}))
	defer server.Close()
	c := clientOf(t, server.URL)
	m, err := c.AwaitMethod(t.Context(), firstUser, "AAAA0", 10*time.Second)
	if err != nil || m.Created.Year() != 2026 {
		t.Errorf("%+v, %v", m, err)
	}
	finds = 100
	if _, err := c.AwaitMethod(t.Context(), firstUser, "AAAA0", 300*time.Millisecond); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.AwaitMethod(ctx, firstUser, "AAAA0", time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestPolicy: what is set is there afterwards, and the type is added where it is missing.
func TestPolicy(t *testing.T) {
	_, c := stand(t, entratest.Config{})
	if err := c.SetPolicy(t.Context(), json.RawMessage(` {"state": "disabled"}`)); err != nil {
		t.Fatal(err)
	}
	text, err := c.Policy(t.Context())
	var p struct{ State string }
	if err != nil || json.Unmarshal(text, &p) != nil || p.State != "disabled" {
		t.Errorf("%s, %v", text, err)
	}
	if err := c.SetPolicy(t.Context(), json.RawMessage(`{}`)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{`"{}"`, `[]`, `null`, `{`, ``} {
		if err := c.SetPolicy(t.Context(), json.RawMessage(bad)); err == nil {
			t.Errorf("%s is good", bad)
		}
	}
}

func TestStrengths(t *testing.T) {
	_, c := stand(t, entratest.Config{Strengths: []entratest.Strength{{ID: "s1", DisplayName: "Keys of ours"}}})
	ctx := t.Context()
	allowed := func(aaguid string) json.RawMessage {
		return json.RawMessage(fmt.Sprintf(`{"allowedAAGUIDs":[%q],"appliesToCombinations":["fido2"]}`, aaguid))
	}
	if err := c.SetCombination(ctx, "s1", "", allowed(anAAGUID)); err != nil {
		t.Fatal(err)
	}
	list, err := c.Combinations(ctx, "s1")
	var one struct {
		ID             string
		AllowedAAGUIDs []string
	}
	if err != nil || len(list) != 1 || json.Unmarshal(list[0], &one) != nil || one.AllowedAAGUIDs[0] != anAAGUID {
		t.Fatalf("%s, %v", list, err)
	}
	other := "f1d0f1d0-0000-4000-8000-000000000002"
	if err := c.SetCombination(ctx, "s1", one.ID, allowed(other)); err != nil {
		t.Fatal(err)
	}
	strengths, err := c.Strengths(ctx)
	if err != nil || len(strengths) != 1 || !bytes.Contains(strengths[0], []byte(other)) || bytes.Contains(strengths[0], []byte(anAAGUID)) {
		t.Errorf("%s, %v", strengths, err)
	}
	if err := c.SetCombination(ctx, "s2", "", allowed(other)); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := c.DeleteCombination(ctx, "s1", one.ID); err != nil {
		t.Error(err)
	}
	if list, err := c.Combinations(ctx, "s1"); err != nil || len(list) != 0 {
		t.Errorf("%s, %v", list, err)
	}
	if err := c.DeleteCombination(ctx, "s1", one.ID); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestReports(t *testing.T) {
	users := entratest.MakeUsers(30)
	users[3].Groups = []string{"g1", "g2"}
	tenant, c := stand(t, entratest.Config{Users: users, PageSize: 4, SignIns: []json.RawMessage{
		json.RawMessage(`{"id":"old","createdDateTime":"2026-01-01T00:00:00Z"}`),
		json.RawMessage(`{"id":"new","createdDateTime":"2026-02-01T00:00:00Z","userPrincipalName":"new","status":{"errorCode":50126},
			"authenticationDetails":[{"authenticationMethod":"FIDO2 security key","authenticationMethodDetail":null,"succeeded":true}]}`),
	}})
	for _, u := range users[:9] {
		if err := tenant.Add(u.UPN, []byte(u.UPN), anAAGUID, "key", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	everybody, err := all(c.UserRegistrations(t.Context()))
	if err != nil || len(everybody) != 30 {
		t.Errorf("%d users, %v", len(everybody), err)
	}
	some, err := all(c.UserRegistrations(t.Context(), PasskeyMethods...))
	if err != nil || len(some) != 9 || some[0].Methods[0] != "passKeyDeviceBound" || some[0].UPN != firstUser {
		t.Errorf("%+v, %v", some, err)
	}
	logged, err := all(c.SignIns(t.Context(), time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)))
	if err != nil || len(logged) != 1 || logged[0].UPN != "new" || logged[0].Status.ErrorCode != 50126 || !logged[0].Details[0].Succeeded {
		t.Errorf("%+v, %v", logged, err)
	}
	groups, err := c.Groups(t.Context(), users[3].UPN)
	if err != nil || !slices.Equal(groups, users[3].Groups) {
		t.Errorf("%v, %v", groups, err)
	}
	u, err := c.User(t.Context(), users[3].UPN)
	if err != nil || u.ID != users[3].ID {
		t.Errorf("%v, %v", u, err)
	}
}

// TestTokenIsNowhere: neither azcore's log with everything in it, nor an error, nor any
// print has the token.
func TestTokenIsNowhere(t *testing.T) {
	var mu sync.Mutex
	var logged strings.Builder
	log.SetListener(func(_ log.Event, text string) {
		mu.Lock()
		defer mu.Unlock()
		logged.WriteString(text)
	})
	defer log.SetListener(nil)
	tenant, c := stand(t, entratest.Config{Users: entratest.MakeUsers(1)})
	tenant.Switch(func(s *entratest.Switches) { s.ThrottleEvery = 2 })
	said := []string{}
	for range 3 {
		_, err := c.Methods(t.Context(), "nobody@example.com")
		said = append(said, fmt.Sprintf("%v %+v", err, err))
	}
	s := SignIn{Token: bearer, Secret: bearer, Tenant: "t", Client: "c"}
	text, err := json.Marshal(s.Token)
	if err != nil {
		t.Fatal(err)
	}
	_, broken := SignIn{Token: bearer + "\n" + bearer}.Credential()
	said = append(said, fmt.Sprint(s), fmt.Sprintf("%+v %#v %q %s %x", s, s, s.Token, s.Secret, s.Token), string(text), fmt.Sprint(broken))
	credential, err := s.Credential()
	if err != nil {
		t.Fatal(err)
	}
	said = append(said, fmt.Sprintf("%v %+v %#v", credential, credential, credential))
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(logged.String(), "REDACTED") || broken == nil {
		t.Errorf("the log is not what it should be, or a broken token is good: %v\n%s", broken, &logged)
	}
	for _, text := range append(said, logged.String()) {
		if strings.Contains(text, bearer) || strings.Contains(text, fmt.Sprintf("%x", bearer)) {
			t.Errorf("the token is in %s", text)
		}
	}
}

// TestSignIn: a client secret and a device code get tokens from a stand-in over TLS; a
// wrong secret gets none and is in no error.
func TestSignIn(t *testing.T) {
	config := entratest.Config{
		Tenant: "11111111-2222-4333-8444-555555555555", Client: "application", Secret: "secret-of-the-application",
		TokenScopes: entratest.Everything, Users: entratest.MakeUsers(1),
	}
	tenant, err := entratest.New(config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(tenant)
	defer server.Close()
	cloud := Cloud{Name: "stand-in", Graph: server.URL, Authority: server.URL}
	message := ""
	ways := map[string]SignIn{
		"secret":      {Secret: Secret(config.Secret)},
		"wrong":       {Secret: "another-secret-of-it"},
		"device code": {DeviceCode: func(m string) { message = m; tenant.Agree() }},
	}
	for name, way := range ways {
		way.Cloud, way.Tenant, way.Client, way.Transport = cloud, config.Tenant, config.Client, server.Client()
		credential, err := way.Credential()
		if err != nil {
			t.Fatal(name, err)
		}
		c, err := New(credential, Options{Cloud: cloud, Retry: quick, Transport: server.Client()})
		if err != nil {
			t.Fatal(name, err)
		}
		_, err = c.Policy(t.Context())
		if (err != nil) != (name == "wrong") || err != nil && strings.Contains(err.Error(), "another-secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !strings.Contains(message, "STANDIN1") || tenant.Count("token") != 2 {
		t.Errorf("%q, %d tokens", message, tenant.Count("token"))
	}
	for _, way := range []SignIn{{}, {Secret: "x"}, {DeviceCode: func(string) {}}} {
		if _, err := way.Credential(); err == nil {
			t.Errorf("%v is good", slices.Collect(maps.Keys(ways)))
		}
	}
}

// TestWaiting: who asks too often hears how long Graph wants to be left alone, before that
// time is over.
func TestWaiting(t *testing.T) {
	tenant, err := entratest.New(entratest.Config{Users: entratest.MakeUsers(1), Tokens: []entratest.Token{{Value: bearer, Scopes: entratest.Everything}}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(tenant)
	defer server.Close()
	credential, err := SignIn{Token: bearer}.Credential()
	if err != nil {
		t.Fatal(err)
	}
	var told []time.Duration
	c, err := New(credential, Options{Cloud: Cloud{Graph: server.URL}, Retry: quick, Waiting: func(d time.Duration) {
		told = append(told, d)
		tenant.Switch(func(s *entratest.Switches) { s.ThrottleEvery = 0 })
	}})
	if err != nil {
		t.Fatal(err)
	}
	tenant.Switch(func(s *entratest.Switches) { s.ThrottleEvery, s.RetryAfter = 1, 1 })
	if _, err := c.Methods(t.Context(), firstUser); err != nil || !slices.Equal(told, []time.Duration{time.Second}) {
		t.Errorf("%v, %v", told, err)
	}
}
