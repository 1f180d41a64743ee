package metadata_test

import (
	"bytes"
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/fidokey/fidokey/internal/mdstest"
	"github.com/fidokey/fidokey/metadata"
)

// FuzzRevocation has anything be a list of revoked certificates: it counts only as its
// issuer has signed it.
func FuzzRevocation(f *testing.F) {
	a := authority()
	next := time.Now().AddDate(1, 0, 0)
	list := func(address string, revoked ...*x509.Certificate) []byte {
		data, err := a.List(address, next, revoked...)
		if err != nil {
			f.Fatal(err)
		}
		return data
	}
	revoking := list(mdstest.ListOfLower, a.Leaf)
	parsed, err := x509.ParseRevocationList(revoking)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(revoking)
	f.Add(revoking[:len(revoking)/2])
	f.Add(list(mdstest.ListOfLower, a.Lower, a.Upper))
	f.Add(list(mdstest.ListOfUpper, a.Leaf))
	f.Add([]byte("-----BEGIN X509 CRL-----"))
	data := mustSign(a, []byte(`{"no":1,"nextUpdate":"2999-01-01","entries":[]}`))
	f.Fuzz(func(t *testing.T, list []byte) {
		v := metadata.Verifier{Roots: []*x509.Certificate{a.Root}, CRL: func(string) ([]byte, error) { return list, nil }}.Verify(data)
		i := slices.IndexFunc(v.Checks, func(c metadata.Check) bool { return c.Name == metadata.CheckRevocation })
		if i < 0 {
			t.Fatalf("%+v", v.Checks)
		}
		switch outcome := v.Checks[i].Outcome; {
		case outcome == metadata.Failed && !bytes.Contains(list, parsed.RawTBSRevocationList):
			t.Errorf("%x revokes: %+v", list, v.Checks[i])
		case outcome == metadata.Passed: // no issuer signs for all three
			t.Errorf("%x passes for all: %+v", list, v.Checks[i])
		}
	})
}
