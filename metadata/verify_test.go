package metadata_test

import (
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fidokey/fidokey/internal/mdstest"
	"github.com/fidokey/fidokey/metadata"
)

// models is how many a BLOB of the tests has.
const models = 300

var (
	authority = sync.OnceValue(func() *mdstest.Authority { return mustAuthority(mdstest.Options{}) })
	payload   = sync.OnceValue(func() []byte { return mdstest.Payload(7, models) })
	blob      = sync.OnceValue(func() []byte { return mustSign(authority(), payload()) })
)

func mustAuthority(o mdstest.Options) *mdstest.Authority {
	a, err := mdstest.New(o)
	if err != nil {
		panic(err)
	}
	return a
}

func mustSign(a *mdstest.Authority, payload []byte) []byte {
	data, err := a.Sign(payload)
	if err != nil {
		panic(err)
	}
	return data
}

// withHeader signs a short BLOB under a header that edit has changed.
func withHeader(edit func(h *mdstest.Header)) []byte {
	h := authority().Header()
	edit(&h)
	data, err := authority().SignWith(h, mdstest.Payload(7, 1))
	if err != nil {
		panic(err)
	}
	return data
}

func short(b mdstest.Blob) []byte { return mustSign(authority(), b.JSON()) }

// tampered changes a segment of a short BLOB after it was signed.
func tampered(segment int, edit func(text string) string) []byte {
	parts := strings.Split(string(mustSign(authority(), mdstest.Payload(7, 1))), ".")
	text, err := base64.RawURLEncoding.DecodeString(parts[segment])
	if err != nil {
		panic(err)
	}
	parts[segment] = base64.RawURLEncoding.EncodeToString([]byte(edit(string(text))))
	return []byte(strings.Join(parts, "."))
}

func compressed(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

func TestVerify(t *testing.T) {
	a := authority()
	flip := func(text string) string { return text[:10] + string(text[10]^1) + text[11:] }
	for _, tt := range []struct {
		name string
		data []byte
		// What comes of it: nothing but passes, or the one check that fails or warns,
		// with words that its detail has.
		check, words string
		outcome      metadata.Outcome
		verifier     metadata.Verifier
	}{
		{name: "good", data: blob()},
		{name: "good, with an end of line", data: append(slices.Clone(blob()), "\r\n"...)},
		{name: "the same serial number again", data: blob(), verifier: metadata.Verifier{Known: 7}},
		{name: "intermediates in the other order", data: withHeader(func(h *mdstest.Header) { slices.Reverse(h.X5C[1:]) })},
		{name: "the root in the header too", data: withHeader(func(h *mdstest.Header) { h.X5C = append(h.X5C, a.Root.Raw) })},
		{name: "the root before the intermediates", data: withHeader(func(h *mdstest.Header) { h.X5C = slices.Insert(h.X5C, 1, a.Root.Raw) })},
		{name: "a certificate that is not on the path", data: withHeader(func(h *mdstest.Header) {
			h.X5C = slices.Insert(h.X5C, 1, mustAuthority(mdstest.Options{}).Lower.Raw)
		})},

		{name: "payload changed", data: tampered(1, func(s string) string { return strings.Replace(s, `"no":7`, `"no":8`, 1) }),
			check: metadata.CheckSignature, words: "was changed", outcome: metadata.Failed},
		{name: "signature changed", data: tampered(2, flip),
			check: metadata.CheckSignature, words: "was changed", outcome: metadata.Failed},
		{name: "signature missing", data: tampered(2, func(string) string { return "" }),
			check: metadata.CheckSignature, outcome: metadata.Failed},
		{name: "algorithm none", data: withHeader(func(h *mdstest.Header) { h.Algorithm = "none" }),
			check: metadata.CheckAlgorithm, words: `"none"`, outcome: metadata.Failed},
		{name: "algorithm with a shared secret", data: withHeader(func(h *mdstest.Header) { h.Algorithm = "HS256" }),
			check: metadata.CheckAlgorithm, words: `"HS256"`, outcome: metadata.Failed},
		{name: "algorithm of another kind of key", data: withHeader(func(h *mdstest.Header) { h.Algorithm = "RS256" }),
			check: metadata.CheckAlgorithm, words: "P-256", outcome: metadata.Failed},
		{name: "algorithm of another curve", data: withHeader(func(h *mdstest.Header) { h.Algorithm = "ES384" }),
			check: metadata.CheckAlgorithm, words: "P-256", outcome: metadata.Failed},

		{name: "no certificates", data: withHeader(func(h *mdstest.Header) { h.X5C = nil }),
			check: metadata.CheckCertificates, words: "no x5c", outcome: metadata.Failed},
		{name: "too many certificates", data: withHeader(func(h *mdstest.Header) { h.X5C = slices.Repeat(h.X5C, 4) }),
			check: metadata.CheckCertificates, words: "more than 10", outcome: metadata.Failed},
		{name: "a certificate that is none", data: withHeader(func(h *mdstest.Header) { h.X5C[1] = []byte("x") }),
			check: metadata.CheckForm, outcome: metadata.Failed},
		{name: "an intermediate is missing", data: withHeader(func(h *mdstest.Header) { h.X5C = h.X5C[:2] }),
			check: metadata.CheckChain, words: "unknown authority", outcome: metadata.Failed},
		{name: "the leaf alone", data: withHeader(func(h *mdstest.Header) { h.X5C = h.X5C[:1] }),
			check: metadata.CheckChain, outcome: metadata.Failed},
		{name: "another root", data: mustSign(a, mdstest.Payload(7, 1)), verifier: metadata.Verifier{Roots: metadata.Roots()},
			check: metadata.CheckChain, words: "unknown authority", outcome: metadata.Failed},
		{name: "another name", data: mustSign(otherName(), mdstest.Payload(7, 1)), verifier: metadata.Verifier{Roots: []*x509.Certificate{otherName().Root}},
			check: metadata.CheckName, words: "mds.example.com", outcome: metadata.Failed},
		{name: "expired", data: short(mdstest.Blob{No: 7, NextUpdate: "2999-01-01", Entries: mdstest.Entries(1)}), verifier: metadata.Verifier{Now: a.Leaf.NotAfter.Add(time.Second)},
			check: metadata.CheckDates, words: "expired", outcome: metadata.Failed},
		{name: "not valid yet", data: mustSign(a, mdstest.Payload(7, 1)), verifier: metadata.Verifier{Now: a.Leaf.NotBefore.Add(-time.Second)},
			check: metadata.CheckDates, words: "not yet valid", outcome: metadata.Failed},

		{name: "payload is not JSON", data: mustSign(a, []byte("serial 7")),
			check: metadata.CheckPayload, words: "not the JSON", outcome: metadata.Failed},
		{name: "payload ends early", data: mustSign(a, payload()[:len(payload())/2]),
			check: metadata.CheckPayload, words: "unexpected EOF", outcome: metadata.Failed},
		{name: "payload is empty", data: mustSign(a, nil),
			check: metadata.CheckPayload, outcome: metadata.Failed},
		{name: "payload is an array", data: mustSign(a, []byte("[]")),
			check: metadata.CheckPayload, outcome: metadata.Failed},
		{name: "no serial number", data: short(mdstest.Blob{Entries: mdstest.Entries(1)}),
			check: metadata.CheckPayload, words: "no serial number", outcome: metadata.Failed},
		{name: "serial number goes back", data: mustSign(a, mdstest.Payload(7, 1)), verifier: metadata.Verifier{Known: 8},
			check: metadata.CheckSerial, words: "8 is known already", outcome: metadata.Failed},
		{name: "next update is no date", data: short(mdstest.Blob{No: 7, NextUpdate: "soon"}),
			check: metadata.CheckPayload, words: "soon", outcome: metadata.Failed},
		{name: "next update is past", data: short(mdstest.Blob{No: 7, NextUpdate: "2025-01-01", Entries: mdstest.Entries(1)}),
			check: metadata.CheckNextUpdate, words: "2025-01-01", outcome: metadata.Warning},
		{name: "next update is today", data: short(mdstest.Blob{No: 7, NextUpdate: time.Now().UTC().Format(time.DateOnly), Entries: mdstest.Entries(1)})},
		{name: "a broken entry", data: short(mdstest.Blob{No: 7, Entries: append(mdstest.Entries(2), "x")}),
			check: metadata.CheckEntries, words: "1 cannot be read; the first: entry 2", outcome: metadata.Warning},

		{name: "cut off", data: blob()[:len(blob())/2],
			check: metadata.CheckForm, outcome: metadata.Failed},
		{name: "empty", data: []byte("\n"),
			check: metadata.CheckForm, words: "empty", outcome: metadata.Failed},
		{name: "too large", data: bytes.Repeat([]byte("x"), metadata.MaxSize+1),
			check: metadata.CheckForm, words: "more than", outcome: metadata.Failed},
		{name: "a login page", data: []byte("<!DOCTYPE html><html><body>Welcome to our hotel</body></html>"),
			check: metadata.CheckForm, words: "asks for a login", outcome: metadata.Failed},
		{name: "compressed", data: compressed(blob()),
			check: metadata.CheckForm, words: "gunzip", outcome: metadata.Failed},
		{name: "the payload alone", data: payload(),
			check: metadata.CheckForm, words: "without a signature", outcome: metadata.Failed},
		{name: "something else", data: []byte("a.b"),
			check: metadata.CheckForm, outcome: metadata.Failed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.verifier.Roots == nil {
				tt.verifier.Roots = []*x509.Certificate{a.Root}
			}
			v := tt.verifier.Verify(tt.data)
			found := false
			for _, c := range v.Checks {
				switch {
				case c.Name == metadata.CheckRevocation, c.Outcome == metadata.Passed && c.Name != tt.check:
				case c.Name == tt.check && c.Outcome == tt.outcome && strings.Contains(c.Detail, tt.words):
					found = true
				default:
					t.Errorf("%s: %s: %s", c.Outcome, c.Name, c.Detail)
				}
			}
			if !found && tt.check != "" {
				t.Errorf("no %s of %s with %q: %+v", tt.outcome, tt.check, tt.words, v.Checks)
			}
			if err := v.Err(); (err != nil) != (tt.outcome == metadata.Failed) {
				t.Errorf("Err: %v", err)
			}
		})
	}
}

var otherName = sync.OnceValue(func() *mdstest.Authority { return mustAuthority(mdstest.Options{Name: "mds.example.com"}) })

// TestAlgorithms: the header chooses, among those that are allowed.
func TestAlgorithms(t *testing.T) {
	for _, algorithm := range []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"} {
		a := mustAuthority(mdstest.Options{Algorithm: algorithm})
		v := metadata.Verifier{Roots: []*x509.Certificate{a.Root}}
		data := mustSign(a, mdstest.Payload(7, 1))
		if err := v.Verify(data).Err(); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		data[len(data)-10] ^= 1
		if v.Verify(data).Err() == nil {
			t.Errorf("%s: a changed signature passes", algorithm)
		}
	}
}

// TestCrossSignedRoot: as the FIDO Alliance has it since September 2026, the header
// ends with the root, signed by an older one. Who trusts either finds a path.
func TestCrossSignedRoot(t *testing.T) {
	older, cross, err := authority().Cross()
	if err != nil {
		t.Fatal(err)
	}
	for place := 1; place <= 3; place++ {
		data := withHeader(func(h *mdstest.Header) { h.X5C = slices.Insert(h.X5C, place, cross.Raw) })
		for _, root := range []*x509.Certificate{authority().Root, older} {
			if err := (metadata.Verifier{Roots: []*x509.Certificate{root}}).Verify(data).Err(); err != nil {
				t.Errorf("in place %d, trusting the %s: %v", place, metadata.NameOf(root), err)
			}
		}
		if err := (metadata.Verifier{}).Verify(data).Err(); err == nil {
			t.Error("it is trusted without a root")
		}
	}
}

// TestLeafMustBeFirst: the first certificate is the one that has signed (RFC 7515,
// section 4.1.6), whatever comes after it.
func TestLeafMustBeFirst(t *testing.T) {
	data := withHeader(func(h *mdstest.Header) { slices.Reverse(h.X5C) })
	v := metadata.Verifier{Roots: []*x509.Certificate{authority().Root}}.Verify(data)
	failed := map[string]bool{}
	for _, c := range v.Checks {
		failed[c.Name] = c.Outcome == metadata.Failed
	}
	if !failed[metadata.CheckName] || !failed[metadata.CheckAlgorithm] || failed[metadata.CheckChain] {
		t.Errorf("%+v", v.Checks)
	}
}

// TestRoots holds the embedded roots to the fingerprints that GlobalSign gives.
func TestRoots(t *testing.T) {
	want := map[string]bool{
		"cbb522d7b7f127ad6a0113865bdf1cd4102e7d0759af635a7cf4720dc963c53b": true, // Root CA - R3
		"4fa3126d8d3a11d1c4855a4f807cbad6cf919d3a5a88b03bea2c6372d93c40c9": true, // Root R46
	}
	for _, root := range metadata.Roots() {
		if f := metadata.Fingerprint(root); !want[f] {
			t.Errorf("%s has %s", metadata.NameOf(root), f)
		} else {
			delete(want, f)
		}
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	for _, text := range []string{"", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if roots, err := metadata.ParseRoots([]byte(text)); err == nil {
			t.Errorf("%q: %v", text, roots)
		}
	}
}

// TestRevocation: a certificate on a list fails; a list that cannot be had or believed
// leaves it open.
func TestRevocation(t *testing.T) {
	a, data := authority(), mustSign(authority(), mdstest.Payload(7, 1))
	tomorrow, other := time.Now().AddDate(0, 0, 1), mustAuthority(mdstest.Options{})
	for _, tt := range []struct {
		name    string
		list    func(address string) ([]byte, error)
		outcome metadata.Outcome
		words   string
	}{
		{"nobody is asked", nil, metadata.NotChecked, "nobody was asked"},
		{"on no list", func(address string) ([]byte, error) { return a.List(address, tomorrow, a.Root) }, metadata.Passed, "none of 3"},
		{"leaf", func(address string) ([]byte, error) {
			if address == mdstest.ListOfLower {
				return a.List(address, tomorrow, a.Leaf)
			}
			return a.List(address, tomorrow)
		}, metadata.Failed, "mds.fidoalliance.org was revoked on 2026-01-02"},
		{"intermediate", func(address string) ([]byte, error) {
			if address == mdstest.ListOfRoot {
				return a.List(address, tomorrow, a.Upper)
			}
			return a.List(address, tomorrow)
		}, metadata.Failed, "Test Upper CA was revoked"},
		{"not there", func(string) ([]byte, error) { return nil, errors.New("no network") }, metadata.NotChecked, "no network"},
		{"out of date", func(address string) ([]byte, error) { return a.List(address, time.Now().AddDate(0, 0, -1), a.Leaf) }, metadata.NotChecked, "out of date"},
		{"signed by another", func(address string) ([]byte, error) { return other.List(address, tomorrow, a.Leaf) }, metadata.NotChecked, "unknown"},
		{"a web page", func(string) ([]byte, error) { return []byte("<html>"), nil }, metadata.NotChecked, "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := metadata.Verifier{Roots: []*x509.Certificate{a.Root}, CRL: tt.list}.Verify(data)
			i := slices.IndexFunc(v.Checks, func(c metadata.Check) bool { return c.Name == metadata.CheckRevocation })
			if i < 0 || v.Checks[i].Outcome != tt.outcome || !strings.Contains(v.Checks[i].Detail, tt.words) {
				t.Errorf("%+v", v.Checks)
			}
			if failed := v.Err() != nil; failed != (tt.outcome == metadata.Failed) {
				t.Errorf("Err: %v", v.Err())
			}
		})
	}
}
