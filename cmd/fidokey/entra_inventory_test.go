package main

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra/graph"
	"github.com/fidokey/fidokey/entra/usage"
)

// handleOf is a user handle of a tenant whose ID has one digit only.
func handleOf(t *testing.T, digit string) []byte {
	t.Helper()
	tenant, err := hex.DecodeString(strings.Repeat(digit, 32))
	if err != nil {
		t.Fatal(err)
	}
	return append(append([]byte("OF:"), tenant...), make([]byte, 32)...)
}

func guidOf(digit string) string {
	r := strings.Repeat
	return r(digit, 8) + "-" + r(digit, 4) + "-" + r(digit, 4) + "-" + r(digit, 4) + "-" + r(digit, 12)
}

// TestOrphans: nothing is called an orphan that could be somebody's.
func TestOrphans(t *testing.T) {
	ours, foreign, personal := handleOf(t, "1"), handleOf(t, "9"), append([]byte("MF:"), make([]byte, 32)...)
	sam, kim := graph.UserMethods{User: "1", UPN: "Sam@example.com"}, graph.UserMethods{User: "2", UPN: "kim@example.com"}
	broken := graph.UserMethods{User: "3", UPN: "broken@example.com", Err: errors.New("throttled")}
	stored := func(name string, handle []byte) client.StoredCredential {
		return client.StoredCredential{ID: []byte(name), User: ctap2.User{ID: handle, Name: name}}
	}
	for what, c := range map[string]struct {
		credential client.StoredCredential
		asked      []graph.UserMethods
		named      bool
		tenant     string
		registered bool // another credential of the key is, in our tenant
		orphan     bool
	}{
		"in the whole tenant":                 {stored("ex@example.com", ours), []graph.UserMethods{sam}, false, "", false, true},
		"of a handle that is not Entra's":     {stored("ex@example.com", []byte("x")), []graph.UserMethods{sam}, false, "", false, true},
		"somebody could not be read":          {stored("ex@example.com", ours), []graph.UserMethods{sam, broken}, false, "", false, false},
		"the user was asked for":              {stored("sam@example.com", ours), []graph.UserMethods{sam}, true, "", false, true},
		"the user was not asked for":          {stored("ex@example.com", ours), []graph.UserMethods{sam, kim}, true, "", false, false},
		"of another tenant, says the flag":    {stored("ex@example.com", foreign), []graph.UserMethods{sam}, false, strings.ToUpper(guidOf("1")), false, false},
		"of another tenant, says another one": {stored("ex@example.com", foreign), []graph.UserMethods{sam}, false, "example.com", true, false},
		"of this tenant, says the flag":       {stored("ex@example.com", ours), []graph.UserMethods{sam}, false, guidOf("1"), false, true},
		"of some tenant":                      {stored("ex@example.com", foreign), []graph.UserMethods{sam}, false, "example.com", false, true},
		"of a personal account":               {stored("sam@example.com", personal), []graph.UserMethods{sam}, false, "", false, false},
	} {
		r := &entraKeyOnDesk{Credentials: []entraCredential{newEntraCredential(&c.credential, nil)}}
		if c.registered {
			other := stored("kim@example.com", ours)
			r.Credentials = append(r.Credentials, newEntraCredential(&other, &usage.Owned{User: kim}))
		}
		r.findOrphans(c.asked, c.named, c.tenant)
		if r.Credentials[0].Orphan != c.orphan {
			t.Errorf("%s: %+v", what, r.Credentials[0])
		}
		if c.registered && r.Credentials[1].Orphan {
			t.Errorf("%s: what is registered is an orphan", what)
		}
	}
}

// TestCSVCell: no cell is a formula to a spreadsheet, or has a line end.
func TestCSVCell(t *testing.T) {
	for cell, want := range map[string]string{
		"": "", "Blue key": "Blue key", "a=b": "a=b", "f1d0": "f1d0", "-": "'-", "=1+1": "'=1+1", "+49": "'+49", "@SUM(1)": "'@SUM(1)",
		"  =1": "'  =1", "\t=1": "'\ufffd=1", "\r=1": "'\ufffd=1", "a\nb": "a\ufffdb", "'=1": "'=1", "＝1": "'＝1", "üb": "üb",
	} {
		if got := csvCell(cell); got != want {
			t.Errorf("%q is %q", cell, got)
		}
	}
}

func TestSince(t *testing.T) {
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"0": {}, "7d": now.AddDate(0, 0, -7), "36h": now.Add(-36 * time.Hour), "2026-03-01": time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
		"2026-03-31": time.Date(2026, 3, 31, 0, 0, 0, 0, time.UTC),
	} {
		if got, err := parseSince(s, now); err != nil || !got.Equal(want) {
			t.Errorf("%s is %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "d", "-1d", "0d", "-3h", "0h", "2026-04-01", "2026-13-01", "yesterday", "99999999d", "1"} {
		if got, err := parseSince(s, now); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}
