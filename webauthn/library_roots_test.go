package webauthn

import (
	"crypto/x509"
	"sync"
	_ "unsafe" // for go:linkname

	"github.com/go-webauthn/webauthn/protocol"
)

func init() {
	lend = func(format protocol.AttestationFormat, roots []*x509.Certificate, verify func() error) error {
		switch format {
		case protocol.AttestationFormatAndroidKey:
			return withRoots(&androidRoots, roots, verify)
		case protocol.AttestationFormatApple:
			return withRoots(&appleRoots, roots, verify)
		}
		return verify()
	}
}

// The library trusts Google's roots only for android-key, and Apple's for apple,
// and has no way to add one. So the roots of the vectors are lent to its pools for one
// verdict. If a version
// of it calls them otherwise, TestAttestationVectors fails.
//
//go:linkname androidRoots github.com/go-webauthn/webauthn/protocol.attAndroidKeyHardwareRootsCertPool
var androidRoots *x509.CertPool

//go:linkname appleRoots github.com/go-webauthn/webauthn/protocol.attAppleHardwareRootsCertPool
var appleRoots *x509.CertPool

// lending is held while a pool is read or changed.
var lending sync.Mutex

// withRoots runs verify with more roots in a pool of the library.
func withRoots(pool **x509.CertPool, roots []*x509.Certificate, verify func() error) error {
	lending.Lock()
	defer lending.Unlock()
	own := *pool
	defer func() { *pool = own }()
	lent := own.Clone()
	for _, r := range roots {
		lent.AddCert(r)
	}
	*pool = lent
	return verify()
}
