package conformance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// eachAlgorithm makes a credential for every algorithm of getInfo.
func (p *probe) eachAlgorithm(check func(p *probe, c *credential)) {
	for _, alg := range p.algorithms() {
		p.each(cose.Algorithm(alg).String(), func(p *probe) {
			c := p.register(algorithm(alg))
			p.check(int64(c.key.Algorithm) == alg, "asked for algorithm %d, got %d", alg, c.key.Algorithm)
			check(p, c)
		})
	}
}

// keyForms are the members of a COSE_Key by algorithm: key type, curve and
// whether there is a y.
var keyForms = map[int64]struct {
	kty, crv int64
	members  int
}{
	-7: {2, 1, 5}, -9: {2, 1, 5}, -35: {2, 2, 5}, -51: {2, 2, 5}, -36: {2, 3, 5}, -52: {2, 3, 5}, -47: {2, 8, 5},
	-8: {1, 6, 4}, -19: {1, 6, 4},
	-257: {3, 0, 4}, -37: {3, 0, 4},
	-48: {7, 0, 3}, -49: {7, 0, 3}, -50: {7, 0, 3},
}

// checkKey checks the COSE_Key of a credential.
func checkKey(p *probe, c *credential) {
	var key map[int64]any
	err := decMode.Unmarshal(c.data.key, &key)
	p.check(err == nil, "public key: %v", err)
	p.check(ctapcbor.CheckCanonical(c.data.key, 4) == nil, "public key is not canonical: %x", c.data.key)
	form, known := keyForms[num(key[3])]
	if !known {
		p.note("algorithm %d is not known here", num(key[3]))
		return
	}
	p.check(num(key[1]) == form.kty && len(key) == form.members, "public key %v", key)
	p.check(form.crv == 0 || num(key[-1]) == form.crv, "curve %v", key[-1])
	switch pub := c.key.Public.(type) {
	case *ecdsa.PublicKey:
		_, err := pub.ECDH()
		p.check(err == nil, "point is not on the curve: %v", err)
	case ed25519.PublicKey, *rsa.PublicKey:
	default:
		p.note("key type %d cannot be checked", num(key[1]))
	}
}

// statement is the attestation statement, or the end of the case.
func (p *probe) statement(c *credential) m {
	s := asMap(c.response[3])
	p.need(s != nil && s["sig"] != nil, "no attestation signature")
	return s
}

// leaf is the attestation certificate.
func (p *probe) leaf(c *credential) *x509.Certificate {
	x5c := list(p.statement(c)["x5c"])
	p.need(len(x5c) > 0, "no attestation certificate")
	cert, err := x509.ParseCertificate(blob(x5c[0]))
	p.check(err == nil, "attestation certificate: %v", err)
	return cert
}

// leafOf is the attestation certificate as it came, or nil.
func (p *probe) leafOf(c *credential) []byte {
	if x5c := list(asMap(c.response[3])["x5c"]); len(x5c) > 0 {
		return blob(x5c[0])
	}
	return nil
}

// registered is a check of one ordinary registration.
func registered(check func(p *probe, c *credential)) func(*probe) {
	return func(p *probe) { check(p, p.register()) }
}

var aaguidExtension = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}

func mcrCases() cases {
	return cases{
		"MCR-001": registered(func(p *probe, c *credential) {
			f, ok := c.response[1].(string)
			p.check(ok && len(blob(c.response[2])) > 0, "fmt %v, authData %v", c.response[1], c.response[2])
			_, statement := c.response[3].(m)
			p.check(statement || f == "none", "attStmt %v with fmt %s", c.response[3], f)
			for key := range c.response {
				p.check(key >= 1 && key <= 6, "member %d", key)
			}
		}),
		"MCR-002": registered(func(p *probe, c *credential) {
			least := 37 + 18 + len(c.id) + len(c.data.key)
			p.check(len(c.data.raw) >= least, "authData of %d bytes, at least %d", len(c.data.raw), least)
		}),
		"MCR-003": registered(func(p *probe, c *credential) {
			p.check(bytes.Equal(c.data.rpIDHash, sum([]byte(c.rp))), "rpIdHash %x", c.data.rpIDHash)
		}),
		"MCR-004": registered(func(p *probe, c *credential) { p.check(c.data.flags&flagUP != 0, "flags %02x", c.data.flags) }),
		"MCR-005": registered(func(p *probe, c *credential) { p.check(c.data.flags&flagAT != 0, "flags %02x", c.data.flags) }),
		"MCR-006": registered(func(p *probe, c *credential) {
			p.check(c.data.flags&flagED == 0 && len(c.data.rest) == 0, "flags %02x, rest %x", c.data.flags, c.data.rest)
		}),
		"MCR-007": registered(func(p *probe, c *credential) {
			self := asMap(c.response[3])["x5c"] == nil
			p.check(bytes.Equal(c.data.aaguid, blob(p.info[infoAAGUID])) || self && bytes.Equal(c.data.aaguid, make([]byte, 16)), "aaguid %x", c.data.aaguid)
		}),
		"MCR-008": registered(func(p *probe, c *credential) {
			most := num(p.info[infoMaxCredentialID])
			p.check(len(c.id) >= 1 && len(c.id) <= 1023 && (most < 0 || int64(len(c.id)) <= most), "credential ID of %d bytes", len(c.id))
		}),
		"MCR-009": func(p *probe) { p.eachAlgorithm(checkKey) },
		"MCR-010": func(p *probe) {
			p.eachAlgorithm(func(p *probe, c *credential) {
				cert := p.leaf(c)
				key := cose.Key{Algorithm: cose.Algorithm(num(p.statement(c)["alg"])), Public: cert.PublicKey}
				signed := append(bytes.Clone(c.data.raw), blob(c.request[1])...)
				err := key.Verify(signed, blob(p.statement(c)["sig"]))
				p.check(err == nil, "algorithm %d with the certificate's key: %v", key.Algorithm, err)
			})
		},
		"MCR-011": func(p *probe) {
			p.eachAlgorithm(func(p *probe, c *credential) {
				s := p.statement(c)
				p.need(s["x5c"] == nil, "the attestation has a certificate")
				p.check(num(s["alg"]) == int64(c.key.Algorithm), "attStmt alg %v, credential %d", s["alg"], c.key.Algorithm)
			})
		},
		"MCR-012": func(p *probe) {
			p.eachAlgorithm(func(p *probe, c *credential) {
				s := p.statement(c)
				key := *c.key
				if s["x5c"] != nil {
					key = cose.Key{Algorithm: cose.Algorithm(num(s["alg"])), Public: p.leaf(c).PublicKey}
				}
				p.need(key.Public != nil, "algorithm %d cannot be checked", key.Algorithm)
				err := key.Verify(append(bytes.Clone(c.data.raw), blob(c.request[1])...), blob(s["sig"]))
				p.check(err == nil, "signature: %v", err)
			})
		},
		"MCR-013": registered(func(p *probe, c *credential) {
			cert := p.leaf(c)
			p.check(cert.Version == 3 && !cert.IsCA, "version %d, CA %v", cert.Version, cert.IsCA)
			for _, e := range cert.Extensions {
				if e.Id.Equal(aaguidExtension) {
					var id []byte
					_, err := asn1.Unmarshal(e.Value, &id)
					p.check(err == nil && bytes.Equal(id, c.data.aaguid) && !e.Critical, "AAGUID extension %x", e.Value)
				}
			}
		}),
		"MCR-014": registered(func(p *probe, c *credential) {
			a := p.assert(c)
			p.check(a.data.counter > c.data.counter || a.data.counter == 0 && c.data.counter == 0, "counter %d, then %d", c.data.counter, a.data.counter)
		}),
		"MCR-015": registered(func(p *probe, c *credential) {
			a := p.assert(c)
			for _, f := range []byte{c.data.flags, a.data.flags} {
				p.check(f&flagBS == 0 || f&flagBE != 0, "flags %02x", f)
			}
			p.check(c.data.flags&flagBE == a.data.flags&flagBE, "BE changed")
		}),
		"MCR-016": func(p *probe) {
			params := p.mc()
			r := p.call(cmdMakeCredential, params)
			c := p.created(params, r)
			for what, raw := range inOrder(map[string][]byte{"response": r.raw, "public key": c.data.key}) {
				err := ctapcbor.CheckCanonical(raw, 8)
				p.check(err == nil, "%s: %v", what, err)
			}
		},
		"MCR-017": func(p *probe) {
			var seen []string
			n := 100
			if p.bench.Endurance > 0 {
				n = min(n, p.bench.Endurance)
			}
			for range n {
				c := p.register()
				for _, v := range []string{fmt.Sprintf("id %x", c.id), fmt.Sprintf("key %x", c.data.key)} {
					p.check(!slices.Contains(seen, v), "%s twice", v)
					seen = append(seen, v)
				}
			}
		},
	}
}
