package simulator_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/fidokey/fidokey/simulator"
)

// leaf checks an attestation with a relying party's library and returns its
// certificates.
func leaf(t *testing.T, c created) []*x509.Certificate {
	t.Helper()
	var object protocol.AttestationObject
	raw := encode(m{"fmt": c.reply[1], "attStmt": c.reply[3], "authData": c.raw})
	if err := decMode.Unmarshal(raw, &object); err != nil {
		t.Fatal(err)
	}
	if err := object.AuthData.Unmarshal(object.RawAuthData); err != nil {
		t.Fatal(err)
	}
	if err := object.VerifyAttestation(clientDataHash, nil, protocol.AttestationPolicy{}, protocol.SignaturePolicy{}); err != nil {
		t.Errorf("go-webauthn: %+v", err)
	}
	var chain []*x509.Certificate
	x5c, _ := c.reply[3].(m)["x5c"].([]any)
	for _, der := range x5c {
		certificate, err := x509.ParseCertificate(der.([]byte))
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, certificate)
	}
	return chain
}

// verifyChain checks the way from a certificate to the root of the key.
func (k *key) verifyChain(certificate *x509.Certificate) {
	k.Helper()
	der, err := k.AttestationRoot()
	if err != nil {
		k.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		k.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	options := x509.VerifyOptions{Roots: roots, CurrentTime: k.clock.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	if _, err := certificate.Verify(options); err != nil {
		k.Error(err)
	}
	if certificate.IsCA || !certificate.BasicConstraintsValid || certificate.Version != 3 {
		k.Error("MCR-013: not a leaf of version 3")
	}
}

func TestAttestationChain(t *testing.T) {
	k := newKey(t, extended())
	made := k.create(creation())
	chain := leaf(t, made)
	if made.reply[1] != "packed" || len(chain) != 1 || made.reply[4] != nil {
		t.Fatalf("reply %v", made.reply)
	}
	k.verifyChain(chain[0])
	name := chain[0].Subject
	if !reflect.DeepEqual(name.OrganizationalUnit, []string{"Authenticator Attestation"}) || len(name.Country) != 1 ||
		len(name.Organization) != 1 || name.CommonName == "" || name.SerialNumber != "" {
		t.Errorf("subject %v", name)
	}
	if !bytes.Equal(aaguidOf(chain[0]), made.aaguid) || !bytes.Equal(made.aaguid, simulator.AAGUID[:]) { // MCR-007, MCR-013
		t.Errorf("MCR-013: AAGUID %x in the certificate, %x in authData", aaguidOf(chain[0]), made.aaguid)
	}
	if alg := made.reply[3].(m)["alg"]; alg != int64(-7) {
		t.Errorf("MCR-010: alg %v", alg)
	}
	// One certificate for all credentials, of any algorithm, also after a reset,
	// after a power cycle and in another run.
	same := func(name string, k *key) {
		t.Helper()
		again := leaf(t, k.create(with(creation(), []any{publicKeyParam(-8)}, 4)))
		if len(again) != 1 || !bytes.Equal(again[0].Raw, chain[0].Raw) {
			t.Errorf("%s: another certificate", name)
		}
	}
	same("again", k)
	k.ok(reset, nil)
	same("after reset", k)
	k.Authenticator.Close()
	k.plugIn(k.storage, extended())
	same("after a new start", k)
	same("other run", func() *key { k := newKey(t, extended()); k.create(creation()); return k }())
}

// aaguidOf returns the AAGUID that a certificate names.
func aaguidOf(c *x509.Certificate) []byte {
	for _, e := range c.Extensions {
		if e.Id.String() == "1.3.6.1.4.1.45724.1.1.4" && !e.Critical && len(e.Value) == 18 {
			return e.Value[2:]
		}
	}
	return nil
}

func TestAttestationFormats(t *testing.T) {
	k := newKey(t, extended())
	for _, c := range []struct {
		name       string
		preference []any
		alg        int
		want       string
	}{
		{"no preference", nil, -7, "packed"},
		{"MC-090 none alone", []any{"none"}, -7, "none"},
		{"MC-091 packed first", []any{"packed", "fido-u2f"}, -7, "packed"},
		{"fido-u2f first", []any{"tpm", "fido-u2f", "packed"}, -7, "fido-u2f"},
		{"none is not the only one", []any{"none", "fido-u2f"}, -7, "fido-u2f"},
		{"MC-092 unknown ones", []any{"x", "y"}, -7, "packed"},
		{"fido-u2f for another algorithm", []any{"fido-u2f"}, -8, "packed"},
	} {
		params := with(creation(), []any{publicKeyParam(c.alg)}, 4)
		if c.preference != nil {
			params = with(params, c.preference, 11)
		}
		made := k.create(params)
		if made.reply[1] != c.want {
			t.Errorf("%s: %v, want %v", c.name, made.reply[1], c.want)
		}
		switch c.want {
		case "none":
			if _, there := made.reply[3]; there {
				t.Errorf("%s: attStmt %v", c.name, made.reply[3])
			}
		case "fido-u2f":
			chain := leaf(t, made)
			k.verifyChain(chain[0])
			if !bytes.Equal(made.aaguid, make([]byte, 16)) || aaguidOf(chain[0]) != nil {
				t.Errorf("%s: AAGUID %x", c.name, made.aaguid)
			}
		}
	}
}

func TestAttestationNone(t *testing.T) {
	k := newKey(t, extended(func(p *simulator.Profile) { p.Attestation = simulator.AttestationNone }))
	made := k.create(creation())
	if made.reply[1] != "none" || !reflect.DeepEqual(made.reply[3], m{}) {
		t.Errorf("reply %v", made.reply)
	}
	leaf(t, made)
}

func TestAttestationSelf(t *testing.T) {
	k := newKey(t, extended(func(p *simulator.Profile) { p.Attestation = simulator.AttestationSelf }))
	made := k.create(with(creation(), []any{"fido-u2f"}, 11)) // which needs a certificate
	if chain := leaf(t, made); made.reply[1] != "packed" || chain != nil || made.reply[3].(m)["alg"] != int64(-7) {
		t.Errorf("MCR-011: %v", made.reply)
	}
}

// TestAttestationLoaded uses keys that a test brings.
func TestAttestationLoaded(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	for alg, signer := range map[int64]crypto.Signer{-7: p256, -35: p384, -8: edKey, -257: rsaKey} {
		loaded := &simulator.AttestationKey{Signer: signer, Chain: [][]byte{selfSigned(t, signer)}}
		k := newKey(t, extended(), func(c *simulator.Config) { c.Attestation = loaded })
		made := k.create(creation())
		chain := leaf(t, made)
		if len(chain) != 1 || !bytes.Equal(chain[0].Raw, loaded.Chain[0]) || made.reply[3].(m)["alg"] != alg {
			t.Errorf("MCR-010: algorithm %d: %v", alg, made.reply[3])
		}
		made = k.create(with(creation(), []any{"fido-u2f"}, 11))
		if chain := leaf(t, made); bytes.Equal(chain[0].Raw, loaded.Chain[0]) != (alg == -7) {
			t.Errorf("fido-u2f with algorithm %d: issuer %v", alg, chain[0].Issuer)
		}
	}
	k := newKey(t, extended(), func(c *simulator.Config) { c.Attestation = &simulator.AttestationKey{Signer: p256} })
	k.refuses(other, makeCredential, creation())
}

func selfSigned(t *testing.T, signer crypto.Signer) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), BasicConstraintsValid: true,
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
		Subject: pkix.Name{
			Country: []string{"SE"}, Organization: []string{"Test"}, CommonName: "Test",
			OrganizationalUnit: []string{"Authenticator Attestation"},
		},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestAttestationAnswersVerify is MCR-012 over all formats and algorithms.
func TestAttestationAnswersVerify(t *testing.T) {
	k := newKey(t, extended())
	for _, alg := range []int{-7, -8, -35, -36, -47, -257} {
		made := k.create(with(creation(), []any{publicKeyParam(alg)}, 4))
		chain := leaf(t, made)
		public := chain[0].PublicKey.(*ecdsa.PublicKey)
		digest := crypto.SHA256.New()
		digest.Write(slices.Concat(made.raw, clientDataHash))
		if !ecdsa.VerifyASN1(public, digest.Sum(nil), made.reply[3].(m)["sig"].([]byte)) {
			t.Errorf("MCR-012: algorithm %d", alg)
		}
	}
}
