package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
)

var threePasskeys = []string{"a.example alice", "a.example bob", "b.example carol"}

// TestCredentials lists the same passkeys of different keys: getInfo, retries, key
// agreement, token, then one exchange for each relying party and credential.
func TestCredentials(t *testing.T) {
	const (
		now = "CredentialManagement"
		pre = "CredentialManagement (preview)"
	)
	for name, tt := range map[string]struct{ command, token string }{
		"ctap-2.1": {now, "9"}, "ctap-2.3": {now, "9"}, "fingerprint": {now, "9"}, "enterprise": {now, "9"},
		"preview": {pre, "5"}, "variant-preview": {now, "9"}, "quirk-uv-false": {now, "9"}, "quirk-unsorted-maps": {now, "9"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newManaged(t, profile(t, name), holding(t, threePasskeys...))
			rps, err := m.Credentials(t.Context())
			if err != nil || !slices.Equal(users(rps), threePasskeys) {
				t.Fatalf("listed %q, %v", users(rps), err)
			}
			m.wantAsked(t, "GetInfo", "ClientPIN 1", "ClientPIN 2", "ClientPIN "+tt.token,
				tt.command+" 2", tt.command+" 3", tt.command+" 4", tt.command+" 5", tt.command+" 4")
			for _, rp := range rps {
				if rp.IDHash != sha256.Sum256([]byte(rp.ID)) || rp.IDCut {
					t.Errorf("%q has hash %x, cut: %v", rp.ID, rp.IDHash, rp.IDCut)
				}
				for _, c := range rp.Credentials {
					if c.User.Name != string(c.User.ID) || len(c.ID) == 0 || len(c.PublicKey.Raw()) == 0 || c.CredProtect != 1 {
						t.Errorf("credential %+v", c)
					}
				}
			}
			// The token is still good: one relying party, and one exchange less.
			some, err := m.CredentialsFor(t.Context(), "a.example")
			if err != nil || len(some) != 2 {
				t.Errorf("%d of a.example, %v", len(some), err)
			}
			m.wantAsked(t, tt.command+" 4", tt.command+" 5")
			if none, err := m.CredentialsFor(t.Context(), "c.example"); err != nil || len(none) != 0 {
				t.Errorf("%d of c.example, %v", len(none), err)
			}
			if len(m.person.asked) != 1 {
				t.Errorf("the PIN was asked for %d times", len(m.person.asked))
			}
			if len(m.findings) > 0 && name != "quirk-unsorted-maps" {
				t.Errorf("findings %q", m.findings)
			}
		})
	}
}

func TestCredentialMetadata(t *testing.T) {
	m := newManaged(t, profile(t, "ctap-2.1"), holding(t, threePasskeys...))
	got, err := m.CredentialMetadata(t.Context())
	if want := (client.CredentialMetadata{Existing: 3, MaxRemaining: 97}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	m.wantAsked(t, then(byPIN, "CredentialManagement 1")...)
}

// TestNoCredentials: keys say in many ways that nothing is there.
func TestNoCredentials(t *testing.T) {
	for name, tt := range map[string]struct{ exchanges, finding string }{
		"ctap-2.1":         {"2", ""},
		"quirk-empty-body": {"2", "no relying parties"},
		"quirk-zero-total": {"2", "no relying parties"},
		"quirk-no-rp-list": {"2 1", "in place of NO_CREDENTIALS"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newManaged(t, profile(t, name))
			rps, err := m.Credentials(t.Context())
			if err != nil || len(rps) != 0 {
				t.Errorf("%v, %v", rps, err)
			}
			want := slices.Clone(byPIN)
			for sub := range strings.FieldsSeq(tt.exchanges) {
				want = append(want, "CredentialManagement "+sub)
			}
			m.wantAsked(t, want...)
			if tt.finding != "" {
				m.wantFinding(t, tt.finding)
			}
		})
	}
	// INVALID_CBOR means nothing either, but only if nothing is there.
	for _, holds := range [][]string{nil, threePasskeys} {
		m := newManaged(t, profile(t, "ctap-2.1"), holding(t, holds...))
		m.wire.tamper = func(asked string, answer []byte) []byte {
			if asked == "CredentialManagement 2" {
				return []byte{byte(ctap2.ErrInvalidCBOR)}
			}
			return answer
		}
		rps, err := m.Credentials(t.Context())
		if len(rps) != 0 || errors.Is(err, client.ErrNoRPList) != (holds != nil) {
			t.Errorf("INVALID_CBOR with %d passkeys: %v, %v", len(holds), rps, err)
		}
	}
}

func TestNoRPList(t *testing.T) {
	m := newManaged(t, profile(t, "quirk-no-rp-list"), holding(t, threePasskeys...))
	_, err := m.Credentials(t.Context())
	if !errors.Is(err, client.ErrNoRPList) || !errors.Is(err, ctap2.ErrMissingParameter) || !strings.Contains(err.Error(), "holds 3") {
		t.Errorf("error %v", err)
	}
	if some, err := m.CredentialsFor(t.Context(), "a.example"); err != nil || len(some) != 2 {
		t.Errorf("%d of a.example, %v", len(some), err)
	}
}

// TestCannotList: that a key cannot list its passkeys does not mean that there are
// none, and nobody is asked for a PIN.
func TestCannotList(t *testing.T) {
	for _, name := range []string{"ctap-2.0", "variant-no-credmgmt"} {
		m := newManaged(t, profile(t, name))
		if _, err := m.Credentials(t.Context()); !errors.Is(err, client.ErrNoCredentialManagement) {
			t.Errorf("%s: %v", name, err)
		}
		m.wantAsked(t, "GetInfo")
	}
	s := newStation(t, simulator.Config{Profile: profile(t, "u2f")})
	if _, err := s.Credentials(t.Context()); !errors.Is(err, client.ErrU2FOnly) {
		t.Errorf("U2F only: %v", err)
	}
}

func TestCredentialQuirks(t *testing.T) {
	t.Run("no totals", func(t *testing.T) {
		m := newManaged(t, profile(t, "quirk-no-totals"), holding(t, threePasskeys...))
		rps, err := m.Credentials(t.Context())
		if err != nil || !slices.Equal(users(rps), threePasskeys) {
			t.Errorf("listed %q, %v", users(rps), err)
		}
		m.wantFinding(t, "totalRPs (5)")
		m.wantFinding(t, "totalCredentials (9)")
	})
	t.Run("no names", func(t *testing.T) {
		m := newManaged(t, profile(t, "quirk-no-names"), holding(t, threePasskeys...))
		rps, err := m.Credentials(t.Context())
		if err != nil || !slices.Equal(users(rps), threePasskeys) || rps[0].Credentials[0].User.Name != "" {
			t.Errorf("listed %q, %v", users(rps), err)
		}
	})
	t.Run("cut names", func(t *testing.T) {
		m := newManaged(t, profile(t, "quirk-cut-names")) // after seven bytes
		r := registration()
		r.User.Name, r.User.DisplayName = "Zoë Zoëst", "abcdefgh"
		if _, err := m.Register(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		list, err := m.CredentialsFor(t.Context(), r.RP.ID)
		if err != nil {
			t.Fatal(err)
		}
		if u := list[0].User; u.Name != "Zoë Zo" || u.DisplayName != "abcdefg" {
			t.Errorf("user %+q", u)
		}
		r.User.ID, r.User.Name = []byte{2}, "日本語" // the third starts at byte 6
		if _, err := m.Register(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		list, err = m.CredentialsFor(t.Context(), r.RP.ID)
		if err != nil || list[0].User.Name != "日本" {
			t.Errorf("user %+q, %v", list[0].User, err)
		}
		m.wantFinding(t, "UTF-8")
	})
	t.Run("cut RP ID", func(t *testing.T) {
		const long = "a-very-long-name-indeed.of-a-relying-party.example"
		m := newManaged(t, profile(t, "ctap-2.1"), holding(t, long+" alice"))
		m.wire.tamper = func(_ string, answer []byte) []byte {
			return bytes.Replace(answer, []byte("\x78\x32"+long), []byte("\x78\x20"+long[:32]), 1)
		}
		rps, err := m.Credentials(t.Context())
		if err != nil || len(rps) != 1 || len(rps[0].Credentials) != 1 {
			t.Fatalf("%v, %v", rps, err)
		}
		if rp := rps[0]; rp.ID != long[:32] || !rp.IDCut || rp.IDHash != sha256.Sum256([]byte(long)) {
			t.Errorf("%q, cut: %v", rp.ID, rp.IDCut)
		}
		m.wantFinding(t, "may be cut off")
	})
	t.Run("unknown members", func(t *testing.T) {
		m := newManaged(t, profile(t, "ctap-2.1"), holding(t, "a.example alice"))
		m.wire.tamper = edit("CredentialManagement 4", func(members map[any]any) { members[uint64(99)] = "new" })
		list, err := m.CredentialsFor(t.Context(), "a.example")
		if err != nil || !slices.Equal(list[0].UnknownNumbers(), []int64{99}) {
			t.Errorf("%v, %v", list, err)
		}
	})
}

// edit changes the members of one kind of answer.
func edit(of string, change func(map[any]any)) func(asked string, answer []byte) []byte {
	return func(asked string, answer []byte) []byte {
		var members map[any]any
		if asked != of || answer[0] != 0 || ctapcbor.Unmarshal(answer[1:], &members) != nil {
			return answer
		}
		change(members)
		body, err := ctapcbor.Marshal(members)
		if err != nil {
			panic(err)
		}
		return append([]byte{0}, body...)
	}
}

// TestTotalsThatLie: what was announced is not believed, in either direction, and
// a list that ends early is not taken for a whole one.
func TestTotalsThatLie(t *testing.T) {
	total := func(of string, member uint64, n any) func(string, []byte) []byte {
		return edit(of, func(members map[any]any) { members[member] = n })
	}
	for name, tt := range map[string]struct {
		tamper     func(string, []byte) []byte
		want       []string
		incomplete bool
	}{
		"a relying party too many":        {total("CredentialManagement 2", 5, 3), threePasskeys, true},
		"2^32-1 relying parties":          {total("CredentialManagement 2", 5, uint64(1)<<32-1), threePasskeys, true},
		"a credential too many":           {total("CredentialManagement 4", 9, 4), threePasskeys, true},
		"a relying party too few":         {total("CredentialManagement 2", 5, 1), threePasskeys[:2], false},
		"no relying party, and one comes": {total("CredentialManagement 2", 5, 0), threePasskeys[:2], false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newManaged(t, profile(t, "ctap-2.1"), holding(t, threePasskeys...))
			m.wire.tamper = tt.tamper
			rps, err := m.Credentials(t.Context())
			if !slices.Equal(users(rps), tt.want) || errors.Is(err, client.ErrIncomplete) != tt.incomplete {
				t.Errorf("listed %q, %v", users(rps), err)
			}
			if n := len(m.wire.asked); n > 16 {
				t.Errorf("%d exchanges", n)
			}
		})
	}
}

// TestEndlessList: a key that never stops is not asked for ever.
func TestEndlessList(t *testing.T) {
	for name, same := range map[string]bool{"the same again": true, "always another": false} {
		t.Run(name, func(t *testing.T) {
			m := newManaged(t, profile(t, "ctap-2.1"), holding(t, threePasskeys...))
			answers := &listing{Device: m.wire.Device, same: same}
			m.wire.Device = answers
			rps, err := m.Credentials(t.Context())
			if !errors.Is(err, client.ErrIncomplete) || !errors.Is(err, ctap2.ErrMalformed) {
				t.Errorf("error %v", err)
			}
			if want := map[bool]int{true: 1, false: 10_000}[same]; len(rps) != want {
				t.Errorf("%d listed", len(rps))
			}
		})
	}
}

// listing answers the enumeration of relying parties itself.
type listing struct {
	transport.Device
	same bool
	n    int
}

func (l *listing) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	if what := asked(msg); what != "CredentialManagement 2" && what != "CredentialManagement 3" {
		return l.Device.Exchange(ctx, msg)
	}
	if !l.same {
		l.n++
	}
	id := fmt.Sprintf("%d.example", l.n)
	hash := sha256.Sum256([]byte(id))
	body, err := ctapcbor.Marshal(map[int]any{3: map[string]string{"id": id}, 4: hash[:], 5: uint64(1) << 40})
	return append([]byte{0}, body...), err
}

// TestListBreaksOff: what was read comes with the error.
func TestListBreaksOff(t *testing.T) {
	broken := errors.New("unplugged")
	m := newManaged(t, profile(t, "ctap-2.1"), holding(t, threePasskeys...))
	m.wire.Device = &breaking{Device: m.wire.Device, at: "CredentialManagement 5", err: broken}
	rps, err := m.Credentials(t.Context())
	if !errors.Is(err, client.ErrIncomplete) || !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if len(rps) != 2 || len(users(rps)) != 1 {
		t.Errorf("listed %d relying parties and %q", len(rps), users(rps))
	}
}

type breaking struct {
	transport.Device
	at  string
	err error
}

func (b *breaking) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	if asked(msg) == b.at {
		return nil, b.err
	}
	return b.Device.Exchange(ctx, msg)
}

// TestInterruptedList: another program breaks a list off, once; it is read again.
func TestInterruptedList(t *testing.T) {
	m := newManaged(t, profile(t, "ctap-2.1"), holding(t, threePasskeys...))
	interrupted := false
	m.wire.tamper = func(asked string, answer []byte) []byte {
		if asked == "CredentialManagement 2" && !interrupted {
			interrupted = true
			if _, err := m.authenticator.Exchange(t.Context(), []byte{byte(ctap2.CommandGetInfo)}); err != nil {
				t.Error(err)
			}
		}
		return answer
	}
	rps, err := m.Credentials(t.Context())
	if err != nil || !slices.Equal(users(rps), threePasskeys) {
		t.Errorf("listed %q, %v", users(rps), err)
	}
	m.wantAsked(t, then(byPIN, "CredentialManagement 2", "CredentialManagement 3", "CredentialManagement 2", "CredentialManagement 3",
		"CredentialManagement 4", "CredentialManagement 5", "CredentialManagement 4")...)
}

func TestDeleteCredential(t *testing.T) {
	for name, command := range map[string]string{"ctap-2.1": "CredentialManagement 6", "preview": "CredentialManagement (preview) 6"} {
		t.Run(name, func(t *testing.T) {
			m := newManaged(t, profile(t, name), holding(t, threePasskeys...))
			list, err := m.CredentialsFor(t.Context(), "a.example")
			if err != nil {
				t.Fatal(err)
			}
			info := m.info(t)
			m.wire.asked = nil
			d, err := m.DeleteCredential(t.Context(), list[0].ID) // bob's, the newest
			if err != nil || d.HadLargeBlobKey == nil || *d.HadLargeBlobKey {
				t.Fatalf("%+v, %v", d, err)
			}
			m.wantAsked(t, command)
			if m.info(t) == info {
				t.Error("getInfo is not asked again, though there is more room now")
			}
			rps, err := m.Credentials(t.Context())
			if want := []string{"a.example alice", "b.example carol"}; err != nil || !slices.Equal(users(rps), want) {
				t.Errorf("left %q, %v", users(rps), err)
			}
			if _, err := m.DeleteCredential(t.Context(), list[0].ID); !errors.Is(err, ctap2.ErrNoCredentials) {
				t.Errorf("deleted again: %v", err)
			}
			if _, err := m.DeleteCredential(t.Context(), nil); err == nil {
				t.Error("nothing was deleted without an error")
			}
		})
	}
}

// TestDeleteWithLargeBlob: the result tells of a large blob that stays behind, as
// far as this Key knows.
func TestDeleteWithLargeBlob(t *testing.T) {
	m := newManaged(t, profile(t, "ctap-2.1"), holding(t, "a.example alice"))
	m.wire.tamper = edit("CredentialManagement 4", func(members map[any]any) { members[uint64(11)] = bytes.Repeat([]byte{7}, 32) })
	list, err := m.CredentialsFor(t.Context(), "a.example")
	if err != nil || len(list[0].LargeBlobKey) != 32 {
		t.Fatalf("%v, %v", list, err)
	}
	if d, err := m.DeleteCredential(t.Context(), list[0].ID); err != nil || d.HadLargeBlobKey == nil || !*d.HadLargeBlobKey {
		t.Errorf("%+v, %v", d, err)
	}
	holding(t, "a.example alice")(m)
	if list, err = m.CredentialsFor(t.Context(), "a.example"); err != nil {
		t.Fatal(err)
	}
	m.open(t)
	if d, err := m.DeleteCredential(t.Context(), list[0].ID); err != nil || d.HadLargeBlobKey != nil {
		t.Errorf("not listed before: %+v, %v", d, err)
	}
	m.wantAsked(t, then(byPIN, "CredentialManagement 6")...)
}

func TestUpdateUser(t *testing.T) {
	m := newManaged(t, profile(t, "ctap-2.1"), holding(t, "a.example alice"))
	list, err := m.CredentialsFor(t.Context(), "a.example")
	if err != nil {
		t.Fatal(err)
	}
	m.wire.asked = nil
	if err := m.UpdateUser(t.Context(), list[0].ID, ctap2.User{ID: []byte("alice"), Name: "Alice Ångström"}); err != nil {
		t.Fatal(err)
	}
	m.wantAsked(t, "CredentialManagement 7")
	updated, err := m.CredentialsFor(t.Context(), "a.example")
	if err != nil || len(updated) != 1 || updated[0].User.Name != "Alice Ångström" || updated[0].User.DisplayName != "" {
		t.Errorf("%+v, %v", updated, err)
	}
	if err := m.UpdateUser(t.Context(), list[0].ID, ctap2.User{ID: []byte("bob")}); !errors.Is(err, ctap2.ErrInvalidParameter) {
		t.Errorf("another user: %v", err)
	}
	if err := m.UpdateUser(t.Context(), []byte("unknown"), ctap2.User{ID: []byte("alice")}); !errors.Is(err, ctap2.ErrNoCredentials) {
		t.Errorf("another credential: %v", err)
	}

	m = newManaged(t, profile(t, "preview"), holding(t, "a.example alice"))
	if err := m.UpdateUser(t.Context(), list[0].ID, ctap2.User{ID: []byte("alice")}); !errors.Is(err, transport.ErrUnsupported) || !strings.Contains(err.Error(), "prototype") {
		t.Errorf("preview: %v", err)
	}
	m.wantAsked(t, "GetInfo")
}

// TestDeadTokenWhileListing: another program got a token since; the list begins
// anew with one of our own, and nothing is listed twice.
func TestDeadTokenWhileListing(t *testing.T) {
	m := newManaged(t, profile(t, "ctap-2.1"), holding(t, threePasskeys...))
	if _, err := m.CredentialMetadata(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := newOther(t, m).VerifyPIN(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.forget()
	rps, err := m.Credentials(t.Context())
	if err != nil || !slices.Equal(users(rps), threePasskeys) {
		t.Errorf("listed %q, %v", users(rps), err)
	}
	m.wantAsked(t, then([]string{"CredentialManagement 2"}, then(byPIN[1:], "CredentialManagement 2", "CredentialManagement 3",
		"CredentialManagement 4", "CredentialManagement 5", "CredentialManagement 4")...)...)
}

// newOther is another program on the same key, past HID.
func newOther(t *testing.T, m *managed) *client.Key {
	t.Helper()
	return client.New(m.authenticator, client.Options{Prompt: (&person{pin: m.person.pin, newPIN: m.person.newPIN}).prompt()})
}
