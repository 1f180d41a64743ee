package conformance

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// Flags of authenticator data.
const (
	flagUP = 0x01
	flagUV = 0x04
	flagBE = 0x08
	flagBS = 0x10
	flagAT = 0x40
	flagED = 0x80
)

const es256 = -7

// rp is the RP ID of this run of the case.
func (p *probe) rp() string {
	return fmt.Sprintf("%s-%d.conformance.test", strings.ToLower(p.ID), p.serial)
}

// mc is a makeCredential request of the smallest kind, with changes.
func (p *probe) mc(edits ...edit) m {
	base := m{
		1: p.random(32),
		2: m{"id": p.rp(), "name": "Conformance"},
		3: m{"id": p.random(16), "name": "ada", "displayName": "Ada L."},
		4: []any{m{"alg": es256, "type": "public-key"}},
	}
	params := edited(base, edits...)
	p.need(asMap(params[7])["rk"] != true || p.option("rk") == true || p.word("no-rk"), "the key has no rk")
	if asMap(params[7])["rk"] == true && !p.bench.Release {
		p.need(p.pin != "" && p.option("credMgmt") == true, "a discoverable credential could not be deleted again")
	}
	return p.withToken(params, permMC)
}

// withToken authorizes a request where that is not what the case is about: on a
// key in use that has a PIN.
func (p *probe) withToken(params m, permission int) m {
	if p.bench.Release || p.pin == "" || p.needs("P") || len(p.Words) > 0 {
		return params
	}
	if permission == permMC {
		if rp, ok := params[2].(m); ok {
			if id, ok := rp["id"].(string); ok && id != "" && len(blob(params[1])) > 0 && params[8] == nil {
				return p.token(permMC, id).mc(params)
			}
		}
	}
	return params
}

// discoverable asks for a discoverable credential.
func discoverable() edit { return set(true, 7, "rk") }

func rpID(id string) edit { return set(id, 2, "id") }

func extension(name string, input any) edit { return set(input, 6, name) }

func algorithm(alg int64) edit { return set([]any{m{"alg": alg, "type": "public-key"}}, 4) }

// descriptor names a credential.
func descriptor(id []byte) m { return m{"id": id, "type": "public-key"} }

func descriptors(ids ...[]byte) []any {
	l := []any{}
	for _, id := range ids {
		l = append(l, descriptor(id))
	}
	return l
}

func exclude(ids ...[]byte) edit { return set(descriptors(ids...), 5) }

// ga is gaBy with the dice of the case.
func (p *probe) ga(rp string, ids [][]byte, edits ...edit) m { return gaBy(p.dice, rp, ids, edits...) }

// gaBy is a getAssertion request for credentials of an RP; without any it asks
// for the discoverable ones.
func gaBy(d dice, rp string, ids [][]byte, edits ...edit) m {
	base := m{1: rp, 2: d.random(32)}
	if ids != nil {
		base[3] = descriptors(ids...)
	}
	return edited(base, edits...)
}

// ga is ga for one credential.
func (c *credential) ga(edits ...edit) m { return gaBy(c.dice, c.rp, [][]byte{c.id}, edits...) }

// A credential is a registration that succeeded.
type credential struct {
	dice
	rp       string
	userID   []byte
	id       []byte
	request  m
	response map[int]any
	data     *authData
	key      *cose.Key
}

// authData is authenticator data taken apart.
type authData struct {
	raw        []byte
	rpIDHash   []byte
	flags      byte
	counter    uint32
	aaguid     []byte
	id         []byte
	key        []byte // COSE_Key as it came
	extensions map[any]any
	rest       []byte
}

// parse takes authenticator data apart by its flags.
func (p *probe) parse(raw []byte) *authData {
	p.check(len(raw) >= 37, "authData of %d bytes: %x", len(raw), raw)
	d := &authData{raw: raw, rpIDHash: raw[:32], flags: raw[32], counter: be32(raw[33:])}
	rest := raw[37:]
	if d.flags&flagAT != 0 {
		p.check(len(rest) >= 18, "attested data of %d bytes", len(rest))
		d.aaguid, rest = rest[:16], rest[16:]
		n := int(rest[0])<<8 | int(rest[1])
		p.check(len(rest) >= 2+n, "credential ID of %d bytes in %d", n, len(rest))
		d.id, rest = rest[2:2+n], rest[2+n:]
		var key any
		after, err := ctapcbor.UnmarshalFirst(rest, &key)
		p.check(err == nil, "credential public key: %v", err)
		d.key, rest = rest[:len(rest)-len(after)], after
	}
	if d.flags&flagED != 0 {
		after, err := decMode.UnmarshalFirst(rest, &d.extensions)
		p.check(err == nil, "extension outputs: %v", err)
		rest = after
	}
	d.rest = rest
	p.check(len(rest) == 0, "%d bytes after the end of authData", len(rest))
	return d
}

// created reads the answer to a makeCredential that succeeded.
func (p *probe) created(params m, r reply) *credential {
	p.want(r, success)
	c := &credential{dice: p.dice, request: params, response: r.body, data: p.parse(blob(r.body[2]))}
	c.rp, _ = asMap(params[2])["id"].(string)
	c.userID = blob(asMap(params[3])["id"])
	p.check(c.data.flags&flagAT != 0, "no attested credential data")
	c.id = c.data.id
	c.key = &cose.Key{}
	if err := c.key.UnmarshalCBOR(c.data.key); err != nil {
		p.fail("public key %x: %v", c.data.key, err)
	}
	if asMap(params[7])["rk"] == true && !p.bench.Release {
		p.made = append(p.made, c)
	}
	return c
}

// register makes a credential, with a token where the key has a PIN.
func (p *probe) register(edits ...edit) *credential {
	params := p.mc(edits...)
	if p.pin != "" && params[8] == nil {
		params = p.token(permMC, asMap(params[2])["id"].(string)).mc(params)
	}
	return p.created(params, p.call(cmdMakeCredential, params))
}

// An assertion is one answer of getAssertion or getNextAssertion.
type assertion struct {
	reply
	id   []byte
	data *authData
}

// asserted reads an answer that succeeded and verifies it with the credential
// that it names.
func (p *probe) asserted(params m, r reply, from ...*credential) *assertion {
	p.want(r, success)
	a := &assertion{reply: r, data: p.parse(blob(r.body[2]))}
	rp, _ := params[1].(string)
	p.check(bytes.Equal(a.data.rpIDHash, sum([]byte(rp))), "rpIdHash is not that of %q", rp)
	d := asMap(r.body[1])
	a.id = blob(d["id"])
	if r.body[1] == nil && len(from) == 1 && !p.level(21) {
		a.id = from[0].id
	}
	for _, c := range from {
		if bytes.Equal(c.id, a.id) {
			signed := append(bytes.Clone(a.data.raw), blob(params[2])...)
			if c.key.Public == nil {
				p.note("signature of algorithm %d cannot be checked", c.key.Algorithm)
				return a
			}
			if err := c.key.Verify(signed, blob(r.body[3])); err != nil {
				p.fail("signature %x over %x: %v", blob(r.body[3]), signed, err)
			}
			return a
		}
	}
	p.fail("assertion names credential %x, which is none of those expected", a.id)
	return nil
}

// assert gets an assertion for one credential that must succeed.
func (p *probe) assert(c *credential, edits ...edit) *assertion {
	params := c.ga(edits...)
	return p.asserted(params, p.call(cmdGetAssertion, params), c)
}

// assertUV is assert with a token.
func (p *probe) assertUV(c *credential, edits ...edit) *assertion {
	params := p.token(permGA, c.rp).ga(c.ga(edits...))
	return p.asserted(params, p.call(cmdGetAssertion, params), c)
}

// find asks for the discoverable credentials of an RP and returns all answers.
func (p *probe) find(rp string, from []*credential, authorize bool, edits ...edit) []*assertion {
	params := p.ga(rp, nil, edits...)
	if authorize {
		params = p.token(permGA, rp).ga(params)
	}
	r := p.call(cmdGetAssertion, params)
	found := []*assertion{p.asserted(params, r, from...)}
	for n := num(r.body[5]); int64(len(found)) < n; {
		found = append(found, p.asserted(params, p.call(cmdGetNextAssertion, nil), from...))
	}
	return found
}

// works says whether a credential answers, without a touch.
func (p *probe) works(c *credential) bool {
	r := p.call(cmdGetAssertion, c.ga(set(false, 5, "up")))
	if r.status == success {
		return true
	}
	p.want(r, eNoCredentials)
	return false
}
