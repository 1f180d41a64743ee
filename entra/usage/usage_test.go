package usage

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"golang.org/x/net/html"

	"github.com/fidokey/fidokey/entra/entratest"
	"github.com/fidokey/fidokey/entra/graph"
)

const (
	blue = "f1d0f1d0-0000-4000-8000-000000000001"
	red  = "f1d0f1d0-0000-4000-8000-000000000002"
)

// names knows one model.
func names(aaguid string) string { return map[string]string{blue: "Blue Key"}[aaguid] }

func day(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 12, 0, 0, 0, time.UTC)
}

// made is a passkey.
func made(id, aaguid string, created time.Time) graph.Method {
	return graph.Method{ID: graph.EncodeMethodID([]byte(id)), AAGUID: aaguid, Created: graph.Time{Time: created}, PasskeyType: "deviceBound", AttestationLevel: "attested", DisplayName: "key " + id}
}

// member is somebody with passkeys.
func member(name string, methods ...graph.Method) Person {
	return Person{UserMethods: graph.UserMethods{User: "id of " + name, UPN: name, Methods: methods}, Kind: Member}
}

func usersOf(people []Person) (users []graph.UserMethods) {
	for _, p := range people {
		users = append(users, p.UserMethods)
	}
	return users
}

func TestModels(t *testing.T) {
	second := made("b", strings.ToUpper(blue), day(2026, 1, 1))
	second.AttestationLevel, second.PasskeyType = "notAttested", "synced"
	third := made("c", red, day(2026, 1, 1))
	third.Model = "Red of Microsoft"
	models := Models(usersOf([]Person{
		member("a", made("a", blue, day(2026, 1, 1)), second), member("b", third), member("c", made("d", "", day(2026, 1, 1)), made("e", blue, day(2026, 1, 1))), member("d"),
	}), names)
	want := []Model{
		{AAGUID: blue, Name: "Blue Key", Passkeys: 3, Users: 2, DeviceBound: 2, Synced: 1, Attested: 2},
		{AAGUID: red, Name: "Red of Microsoft", Model: "Red of Microsoft", Passkeys: 1, Users: 1, DeviceBound: 1, Attested: 1},
		{Name: "no AAGUID", Passkeys: 1, Users: 1, DeviceBound: 1, Attested: 1},
	}
	if !slices.Equal(models[:1], want[:1]) || !slices.Contains(models, want[1]) || !slices.Contains(models, want[2]) || len(models) != 3 {
		t.Errorf("%+v", models)
	}
}

// TestCompare: whose the credentials of a key are, and which passkeys of its model are on
// another; of users who have nothing to do with the key none are told.
func TestCompare(t *testing.T) {
	users := usersOf([]Person{
		member("sam@example.com", made("one", blue, time.Time{}), made("not here", blue, time.Time{}), made("red", red, time.Time{})),
		member("kim@example.com", made("kim's", blue, time.Time{})),
	})
	key := []Credential{{[]byte("one"), "Sam@example.com"}, {[]byte("gone"), "ex@example.com"}, {[]byte("also gone"), "EX@example.com"}, {ID: []byte("nameless")}}
	r := Compare(key, blue, users, false)
	if r.Registered[0] == nil || r.Registered[0].Method.DisplayName != "key one" || r.Registered[0].User.UPN != "sam@example.com" || r.Registered[1] != nil || r.Registered[3] != nil {
		t.Errorf("%+v", r.Registered)
	}
	if len(r.Elsewhere) != 1 || r.Elsewhere[0].Method.DisplayName != "key not here" {
		t.Errorf("%+v", r.Elsewhere)
	}
	if ask := Unasked(key, r, users); !slices.Equal(ask, []string{"ex@example.com"}) {
		t.Errorf("to be asked for: %q", ask)
	}
	if r = Compare(key, blue, users, true); len(r.Elsewhere) != 2 {
		t.Errorf("of users who are named: %+v", r.Elsewhere)
	}
}

// stand starts a tenant and returns a client of it that waits for little.
func stand(t *testing.T, c entratest.Config) (*entratest.Tenant, *graph.Client) {
	t.Helper()
	c.Tokens = []entratest.Token{{Value: "bearer", Scopes: entratest.Everything}}
	tenant, err := entratest.New(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(tenant)
	t.Cleanup(server.Close)
	credential, err := graph.SignIn{Token: "bearer"}.Credential()
	if err != nil {
		t.Fatal(err)
	}
	g, err := graph.New(credential, graph.Options{Cloud: graph.Cloud{Name: "stand-in", Graph: server.URL}, Retry: policy.RetryOptions{RetryDelay: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	return tenant, g
}

// TestPeople: a tenant of 500 in as many requests as it takes, with throttling within
// the batches, with the report and without.
func TestPeople(t *testing.T) {
	users := entratest.MakeUsers(500)
	for i := range users {
		u := &users[i]
		u.Methods = []string{"mobilePhone"}
		if i%2 == 0 {
			u.Passkeys = []entratest.Passkey{{CredentialID: []byte{byte(i), byte(i >> 8)}, AAGUID: blue, Created: day(2026, 3, 1), Synced: i%4 == 0}}
		}
		if i%10 == 1 {
			u.Type = "Guest"
		}
		u.Disabled = i%10 == 2
	}
	tenant, g := stand(t, entratest.Config{Users: users, PageSize: 90})
	tenant.Switch(func(s *entratest.Switches) { s.ThrottleBatchEvery = 100 })
	for _, noReport := range []bool{false, true} {
		tenant.Switch(func(s *entratest.Switches) { s.NonPremium = noReport })
		before := counted(tenant)
		read := 0
		people, without, err := People(t.Context(), g, func(n int) { read = n })
		if err != nil || without != noReport || len(people) != 500 {
			t.Fatalf("%d people, %v, %v", len(people), without, err)
		}
		requests := counted(tenant)
		for name := range requests {
			requests[name] -= before[name]
		}
		// 6 pages of 90, and 20 in a batch: the 250 who have any make 13 batches, 500
		// make 25. Of 100 requests in batches one is throttled and comes once more.
		want := map[string]int{"users": 6, "report": 6, "batch": 13 + 2, "list": 250, "throttled": 2}
		if noReport {
			want = map[string]int{"users": 6, "report": 1, "batch": 25 + 5, "list": 500, "throttled": 5}
		}
		if !maps.Equal(requests, want) || read != want["list"] {
			t.Errorf("without a report %v: %v instead of %v, %d read", noReport, requests, want, read)
		}
		p := NewProgress(people, Month, day(2026, 3, 31), names)
		if p.Members != (Group{400, 200, 0}) || p.Guests != (Group{Users: 50}) || p.Disabled != (Group{50, 50, 0}) || p.Passkeys != 200 || len(p.Without) != 200 {
			t.Errorf("%+v, %+v, %+v, %d passkeys, %d without", p.Members, p.Guests, p.Disabled, p.Passkeys, len(p.Without))
		}
		methods := []Count{{"mobilePhone", 400}, {"passKeyDeviceBound", 100}, {"passKeySynced", 100}}
		if noReport {
			methods = methods[1:]
		}
		if !slices.Equal(p.Methods, methods) {
			t.Errorf("%v", p.Methods)
		}
	}
}

// counted are the requests so far that were of any use.
func counted(tenant *entratest.Tenant) map[string]int {
	n := map[string]int{}
	for _, name := range []string{"users", "report", "batch", "list", "throttled"} {
		if c := tenant.Count(name); c > 0 {
			n[name] = c
		}
	}
	return n
}

// TestPeopleUnread: what fails for one user does not hold up the others, and nobody says
// that the user has no passkey.
func TestPeopleUnread(t *testing.T) {
	users := entratest.MakeUsers(3)
	for i := range users {
		users[i].Passkeys = []entratest.Passkey{{CredentialID: []byte{byte(i)}, AAGUID: blue, Created: day(2026, 3, 1)}}
	}
	people := []Person{member("a", made("a", blue, day(2026, 3, 1))), member("b"), member("c")}
	people[2].Err = errors.New("nobody may know")
	p := NewProgress(people, Month, day(2026, 3, 31), names)
	if p.Members != (Group{3, 1, 1}) || !slices.Equal(p.Without, []Name{{User: "b"}}) {
		t.Errorf("%+v, %v", p.Members, p.Without)
	}
	tenant, g := stand(t, entratest.Config{Users: users})
	tenant.Switch(func(s *entratest.Switches) { s.MissingPermissions = []string{"AuditLog.Read.All"} })
	if _, _, err := People(t.Context(), g, func(int) {}); !errors.Is(err, graph.ErrForbidden) {
		t.Error(err)
	}
}

// TestPeriods: months, quarters and years without gaps; times that cannot be right are
// no times.
func TestPeriods(t *testing.T) {
	people := []Person{
		member("a", made("1", blue, day(2025, 11, 30)), made("2", red, day(2026, 2, 1))),
		member("b", made("3", blue, day(2026, 2, 28)), made("4", blue, day(2026, 2, 28))),
		member("c", made("5", blue, time.Time{}), made("6", blue, day(2026, 2, 1))),
		member("d", made("7", blue, day(1601, 1, 1)), made("8", blue, day(2099, 1, 1))),
		{UserMethods: graph.UserMethods{UPN: "guest", Methods: []graph.Method{made("9", blue, day(2025, 1, 1))}}, Kind: Guest},
	}
	now := day(2026, 3, 31)
	short := func(by Unit) (words []string) {
		p := NewProgress(people, by, now, names)
		if p.Undated != 3 {
			t.Errorf("%s: %d undated", by, p.Undated)
		}
		for _, x := range p.Periods {
			words = append(words, fmt.Sprintf("%s %d %d %d", x.Name, x.Passkeys, x.NewUsers, x.Users))
		}
		return words
	}
	for by, want := range map[Unit][]string{
		Month:   {"2025-11 1 1 3", "2025-12 0 0 3", "2026-01 0 0 3", "2026-02 4 1 4", "2026-03 0 0 4"},
		Quarter: {"2025-Q4 1 1 3", "2026-Q1 4 1 4"},
		Year:    {"2025 1 1 3", "2026 4 1 4"},
	} {
		if got := short(by); !slices.Equal(got, want) {
			t.Errorf("%s: %q", by, got)
		}
	}
	if p := NewProgress(nil, Month, now, names); len(p.Periods) != 0 || len(p.Without) != 0 {
		t.Errorf("of nobody: %+v", p)
	}
	// A clock that is behind Graph's, at the end of a month.
	p := NewProgress([]Person{member("a", made("1", blue, now.Add(20*time.Hour)))}, Month, now, names)
	if len(p.Periods) != 2 || p.Periods[1].Name != "2026-04" || p.Periods[1].Passkeys != 1 {
		t.Errorf("%+v", p.Periods)
	}
}

// signIn is one in the log of user "u".
func signIn(at time.Time, errorCode int, details string) (s graph.LoggedSignIn) {
	text := fmt.Sprintf(`{"createdDateTime":%q,"userId":"id of u","userPrincipalName":"u","appDisplayName":"Portal","status":{"errorCode":%d},"authenticationDetails":%s}`, at.Format(time.RFC3339), errorCode, details)
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		panic(err)
	}
	return s
}

// with is a step with a passkey.
func with(method, detail string, succeeded bool) string {
	return fmt.Sprintf(`{"authenticationMethod":%q,"authenticationMethodDetail":%s,"succeeded":%t}`, method, detail, succeeded)
}

// TestLog: the forms in which the log has the model, and those in which it has not.
func TestLog(t *testing.T) {
	u := member("u", made("0123456789abcdef", blue, time.Time{}), made("2", red, time.Time{}), made("3", red, time.Time{}))
	u.Methods[1].DisplayName, u.Methods[2].DisplayName = "same", "same"
	twins := member("twins", made("4", blue, time.Time{}), made("5", red, time.Time{}))
	twins.User, twins.Methods[0].DisplayName, twins.Methods[1].DisplayName = "twins", "same", "same"
	id := u.Methods[0].ID
	for detail, want := range map[string]string{
		`"My key - ` + strings.ToUpper(red) + `"`: red,
		`"` + blue + `"`:               blue,
		`"key 0123456789abcdef"`:       blue,
		`"same"`:                       red,
		`"Key identifier: ` + id + `"`: blue,
		`"MDEyMzQ1Njc4OWFiY2RlZg=="`:   blue,
		`"MDEyMzQ1Njc4OWFiY2RlZX=="`:   "",
		`"somebody else's key"`:        "",
		`null`:                         "",
		`""`:                           "",
		`"f1d0f1d0-0000-4000-8000-0000000000012 is longer than a GUID"`: "",
	} {
		l := NewLog(day(2026, 1, 1), 5, []Person{u, twins}, names)
		l.Add(signIn(day(2026, 1, 2), 0, "["+with("FIDO2 security key", detail, true)+"]"))
		if got := l.Result().Recent[0].AAGUID; got != want {
			t.Errorf("%s is %q instead of %q", detail, got, want)
		}
	}
	l := NewLog(day(2026, 1, 1), 5, []Person{twins}, names)
	both := signIn(day(2026, 1, 2), 0, "["+with("FIDO2 security key", `"same"`, true)+"]")
	both.User = "twins"
	if l.Add(both); l.Result().Unnamed != 1 {
		t.Errorf("a name of two models: %+v", l.Result())
	}
}

// TestLogCounts: what counts as a sign-in with a passkey, and which are the latest.
func TestLogCounts(t *testing.T) {
	l := NewLog(day(2026, 1, 1), 2, nil, names)
	blueKey := `"x - ` + blue + `"`
	password := with("Password", `"Password in the cloud"`, true)
	for i, s := range []graph.LoggedSignIn{
		signIn(day(2026, 1, 5), 0, "["+with("Passkey (device-bound)", blueKey, true)+"]"),
		signIn(day(2026, 1, 9), 0, "["+password+","+with("FIDO2 security key", blueKey, false)+","+with("FIDO2 security key", blueKey, true)+","+with("Other", "null", true)+"]"),
		signIn(day(2026, 1, 2), 50074, "["+with("Passkey (synced)", "null", true)+"]"),
		signIn(day(2026, 1, 8), 0, "["+with("Passkey (Microsoft Authenticator)", "null", true)+"]"),
		signIn(day(2026, 1, 3), 0, "["+password+"]"),
		signIn(day(2026, 1, 3), 0, "["+with("Windows Hello for Business", "null", true)+"]"),
		signIn(day(2026, 1, 3), 50126, "["+password+"]"),
		signIn(day(2026, 1, 3), 0, "null"),
	} {
		if s.User = fmt.Sprintf("user %d", i/2); i == 7 {
			s.User = ""
		}
		l.Add(s)
	}
	r := l.Result()
	if r.All != (Signed{6, 4}) || r.Passkey != (Signed{3, 2}) || r.Failed != 1 || r.Unnamed != 1 {
		t.Errorf("%+v", r)
	}
	if !slices.Equal(r.Models, []SignedModel{{blue, "Blue Key", Signed{2, 1}}}) {
		t.Errorf("%+v", r.Models)
	}
	if want := []string{"FIDO2 security key", "Passkey (Microsoft Authenticator)", "Passkey (device-bound)"}; !slices.EqualFunc(r.Methods, want, func(m SignedWith, w string) bool { return m.Method == w && m.SignIns == 1 }) {
		t.Errorf("%+v", r.Methods)
	}
	if len(r.Recent) != 2 || r.Recent[0].Time.Day() != 9 || !r.Recent[0].Succeeded || r.Recent[1].Time.Day() != 8 {
		t.Errorf("%+v", r.Recent)
	}
	if none := NewLog(day(2026, 1, 1), 0, nil, names); true {
		none.Add(signIn(day(2026, 1, 5), 0, "["+with("Passkey (device-bound)", blueKey, true)+"]"))
		if len(none.Result().Recent) != 0 {
			t.Error("more are kept than wanted")
		}
	}
}

// hostile are names that people may choose.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'; } body { display: none } /*`, `</style><script>x</script>`,
	`{{.}}`, `javascript:alert(1)`, `</title><h1>`, `a & b &lt;`,
}

// TestPage: the page shows any name as it is, and none does anything; nothing is loaded.
func TestPage(t *testing.T) {
	var people []Person
	log := NewLog(day(2026, 1, 1), 100, nil, names)
	for i, name := range hostile {
		m := made(fmt.Sprint(i), fmt.Sprintf("f1d0f1d0-0000-4000-9000-%012d", i), day(2026, time.Month(i%3+1), 1))
		m.Model = "model " + name
		p := member("with "+name, m)
		p.Registered = []string{"method " + name}
		none := member("without " + name)
		none.DisplayName = "display " + name
		people = append(people, p, none)
		s := signIn(day(2026, 3, 2), 0, "["+with("passkey", `"x"`, true)+"]")
		s.UPN, s.App, s.Details[0].Method, s.Details[0].Detail = "upn "+name, "app "+name, "passkey "+name, "detail "+name
		log.Add(s)
	}
	var text strings.Builder
	page := Page{Title: "Title " + hostile[0], Made: day(2026, 3, 4), Progress: NewProgress(people, Month, day(2026, 3, 4), names), SignIns: log.Result(), Without: true, Unread: 3}
	if err := page.WriteHTML(&text); err != nil {
		t.Fatal(err)
	}
	shown, elements := walk(t, text.String())
	for _, name := range hostile {
		for _, kind := range []string{"model ", "method ", "without ", "display ", "upn ", "app ", "passkey ", "detail "} {
			if !slices.Contains(shown, kind+name) {
				t.Errorf("%q is not shown", kind+name)
			}
		}
	}
	if elements["tr"] != 1+3+1+8+1+8+1+8+1+8 || elements["li"] != 7+8 || elements["i"] < 8*3+7 {
		t.Errorf("%v", elements)
	}
	if !slices.ContainsFunc(shown, func(s string) bool { return strings.Contains(s, "The passkeys of 3 users could not be read") }) {
		t.Error("what is missing is not said")
	}
	text.Reset()
	page = Page{Title: "Empty", Progress: NewProgress(nil, Month, day(2026, 3, 4), names), Reason: "No licence.", NoReport: true}
	if err := page.WriteHTML(&text); err != nil || !strings.Contains(text.String(), "No licence.") {
		t.Errorf("%v\n%s", err, &text)
	}
	walk(t, text.String())
}

// walk reads a page. It returns its texts, and how often each element is there.
func walk(t *testing.T, text string) (shown []string, elements map[string]int) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "ZgotmplZ") {
		t.Error("the template has a value where none may be")
	}
	if !strings.Contains(text, `http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"`) {
		t.Error("the page may load something")
	}
	elements = map[string]int{}
	for n := range root.Descendants() {
		switch n.Type {
		case html.TextNode:
			shown = append(shown, n.Data)
		case html.ElementNode:
			elements[n.Data]++
			if slices.Contains([]string{"script", "img", "link", "iframe", "object", "embed", "form", "a", "svg"}, n.Data) {
				t.Errorf("there is an element %s", n.Data)
			}
			if n.Data == "style" && n.FirstChild != nil && (strings.Contains(n.FirstChild.Data, "url(") || strings.Contains(n.FirstChild.Data, "@import")) {
				t.Error("the style loads something")
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || slices.Contains([]string{"src", "href", "srcset", "background"}, a.Key) || a.Key == "style" && strings.ContainsAny(a.Val, "{}(") {
					t.Errorf("%s has %s=%q", n.Data, a.Key, a.Val)
				}
			}
		}
	}
	return shown, elements
}

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		part, whole int
		want        string
	}{{0, 0, "0 %"}, {0, 9, "0 %"}, {1, 1000, "< 1 %"}, {999, 1000, "> 99 %"}, {1000, 1000, "100 %"}, {1, 3, "33 %"}, {99, 100, "99 %"}} {
		if got := Percent(c.part, c.whole); got != c.want {
			t.Errorf("%d of %d: %s", c.part, c.whole, got)
		}
	}
}
