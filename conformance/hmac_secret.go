package conformance

import (
	"bytes"
)

// saltInput is the input of hmac-secret at assertion, and of hmac-secret-mc.
func (a *agreement) saltInput(salts ...[]byte) m {
	enc := a.encrypt(bytes.Join(salts, nil))
	return m{1: a.cose, 2: enc, 3: a.mac(enc), 4: a.protocol}
}

// withSecret makes a credential that has a secret.
func (p *probe) withSecret(edits ...edit) *credential {
	c := p.register(append(edits, extension("hmac-secret", true))...)
	p.check(c.data.extensions["hmac-secret"] == true, "output %v", c.data.extensions)
	return c
}

// secrets gets the outputs for some salts.
func (p *probe) secrets(c *credential, uv bool, salts ...[]byte) []byte {
	a := p.agreeOpenly(p.protocol)
	ext := set(a.saltInput(salts...), 4, "hmac-secret")
	var got *assertion
	if uv {
		got = p.assertUV(c, ext)
	} else {
		got = p.assert(c, ext)
	}
	return p.outputs(a, got.data.extensions["hmac-secret"], len(salts))
}

// outputs decrypts what came back.
func (p *probe) outputs(a *agreement, v any, salts int) []byte {
	out := a.decrypt(blob(v))
	p.check(len(out) == 32*salts, "%d salts gave %d bytes: %v", salts, len(out), v)
	return out
}

// saltCase sends a changed input at assertion and judges the answer.
func saltCase(change func(p *probe, a *agreement) m) func(*probe) {
	return func(p *probe) {
		c := p.withSecret()
		p.judged(cmdGetAssertion, c.ga(set(change(p, p.agreeOpenly(p.protocol)), 4, "hmac-secret")))
	}
}

// signed is an input with a saltEnc of one's own and the right saltAuth.
func (a *agreement) signed(enc []byte) m { return m{1: a.cose, 2: enc, 3: a.mac(enc), 4: a.protocol} }

// secretAtCreation makes a credential with hmac-secret-mc.
func (p *probe) secretAtCreation(salts ...[]byte) (*credential, []byte) {
	a := p.agreeOpenly(p.protocol)
	c := p.withSecret(extension("hmac-secret-mc", a.saltInput(salts...)))
	return c, p.outputs(a, c.data.extensions["hmac-secret-mc"], len(salts))
}

// hmacSecretSeries checks that each answer of a series has a result of its own.
func (p *probe) hmacSecretSeries() {
	p.needRK()
	var all []*credential
	for range 3 {
		all = append(all, p.withSecret(discoverable()))
	}
	a, salt := p.agreeOpenly(p.protocol), p.random(32)
	seen := map[string]bool{}
	for _, got := range p.find(p.rp(), all, false, set(a.saltInput(salt), 4, "hmac-secret")) {
		out := p.outputs(a, got.data.extensions["hmac-secret"], 1)
		p.check(!seen[string(out)], "the same result twice")
		seen[string(out)] = true
		for _, c := range all {
			if bytes.Equal(c.id, got.id) {
				defer func() { p.check(bytes.Equal(out, p.secrets(c, false, salt)), "another result than alone") }()
			}
		}
	}
	p.check(len(seen) == 3, "%d results", len(seen))
}

func xhsCases() cases {
	return cases{
		"XHS-001": func(p *probe) { p.withSecret() },
		"XHS-002": mcCase(extension("hmac-secret", 1)),
		"XHS-003": func(p *probe) {
			c := p.register(extension("hmac-secret", false))
			v := c.data.extensions["hmac-secret"]
			p.check(v == nil || v == false, "output %v", v)
		},
		"XHS-004": secretBy(1),
		"XHS-005": secretBy(2),
		"XHS-006": func(p *probe) {
			c, one, two := p.withSecret(), p.random(32), p.random(32)
			first := p.secrets(c, false, one)
			both := p.secrets(c, false, one, two)
			p.check(bytes.Equal(both[:32], first) && !bytes.Equal(both[32:], first), "results %x and %x", first, both)
		},
		"XHS-007": func(p *probe) {
			c, salt := p.withSecret(), p.random(32)
			first := p.secrets(c, false, salt)
			p.check(bytes.Equal(first, p.secrets(c, false, salt)), "another result for the same salt")
			p.check(!bytes.Equal(first, p.secrets(c, false, p.random(32))), "the same result for another salt")
		},
		"XHS-008": func(p *probe) {
			salt := p.random(32)
			p.check(!bytes.Equal(p.secrets(p.withSecret(), false, salt), p.secrets(p.withSecret(), false, salt)), "the same result")
		},
		"XHS-009": func(p *probe) {
			c, salt := p.withSecret(), p.random(32)
			p.check(!bytes.Equal(p.secrets(c, false, salt), p.secrets(c, true, salt)), "the same result")
		},
		"XHS-010": saltCase(func(p *probe, a *agreement) m {
			in := a.saltInput(a.random(32))
			return edited(in, set(flip(blob(in[3])), 3))
		}),
		"XHS-011": func(p *probe) {
			for name, n := range inOrder(map[string]int{"short": -1, "long": 1}) {
				p.each(name, saltCase(func(p *probe, a *agreement) m {
					in := a.saltInput(a.random(32))
					auth := append(bytes.Clone(blob(in[3])), 0)
					return edited(in, set(auth[:len(auth)-1+n], 3))
				}))
			}
		},
		"XHS-012": func(p *probe) {
			p.each("31", saltCase(func(p *probe, a *agreement) m { return a.signed(p.random(31)) }))
			p.each("33", saltCase(func(p *probe, a *agreement) m { return a.signed(p.random(33)) }))
			p.each("16", saltCase(func(p *probe, a *agreement) m { return a.saltInput(p.random(16)) }))
		},
		"XHS-013": saltCase(func(p *probe, a *agreement) m { return a.saltInput(p.random(48)) }),
		"XHS-014": saltCase(func(p *probe, a *agreement) m { return edited(a.saltInput(p.random(32)), drop(1)) }),
		"XHS-015": saltCase(func(p *probe, a *agreement) m { return edited(a.saltInput(p.random(32)), drop(2)) }),
		"XHS-016": saltCase(func(p *probe, a *agreement) m { return edited(a.saltInput(p.random(32)), drop(3)) }),
		"XHS-017": func(p *probe) {
			c := p.withSecret()
			p.judged(cmdGetAssertion, c.ga(set(false, 5, "up"), set(p.agreeOpenly(p.protocol).saltInput(p.random(32)), 4, "hmac-secret")))
		},
		"XHS-018": func(p *probe) { p.hmacSecretSeries() },
		"XHS-019": func(p *probe) {
			c, salt := p.withSecret(), p.random(32)
			before := p.secrets(c, false, salt)
			p.powerCycle()
			p.check(bytes.Equal(before, p.secrets(c, false, salt)), "another result")
		},
		"XHS-020": func(p *probe) {
			a := p.assert(p.register(), set(p.agreeOpenly(p.protocol).saltInput(p.random(32)), 4, "hmac-secret"))
			if a.data.extensions["hmac-secret"] != nil {
				p.note("observed: the key always makes a secret")
			}
		},
		"XHS-021": func(p *probe) {
			a := p.agreeOpenly(1)
			c := p.withSecret()
			got := p.assert(c, set(edited(a.saltInput(p.random(32)), drop(4)), 4, "hmac-secret"))
			p.outputs(a, got.data.extensions["hmac-secret"], 1)
		},
		"XHS-022": func(p *probe) {
			one, two := p.random(32), p.random(32)
			for _, salts := range [][][]byte{{one}, {one, two}} {
				c, out := p.secretAtCreation(salts...)
				p.check(bytes.Equal(out, p.secrets(c, p.pin != "", salts...)), "another result at assertion")
			}
		},
		"XHS-023": func(p *probe) {
			p.want(p.call(cmdMakeCredential, p.mc(extension("hmac-secret-mc", p.agreeOpenly(p.protocol).saltInput(p.random(32))))), eMissing)
		},
		"XHS-024": atCreation(func(a *agreement) any {
			in := a.saltInput(a.random(32))
			return edited(in, set(flip(blob(in[3])), 3))
		}),
		"XHS-025": func(p *probe) {
			p.each("short", atCreation(func(a *agreement) any { return a.saltInput(p.random(16)) }))
			p.each("empty", atCreation(func(a *agreement) any { return a.signed([]byte{}) }))
		},
		"XHS-026": atCreation(func(*agreement) any { return true }),
	}
}

// atCreation judges a registration with an input for hmac-secret-mc.
func atCreation(input func(a *agreement) any) func(*probe) {
	return func(p *probe) {
		p.judged(cmdMakeCredential, p.mc(extension("hmac-secret", true), extension("hmac-secret-mc", input(p.agreeOpenly(p.protocol)))))
	}
}

// secretBy gets a result by one protocol.
func secretBy(protocol int) func(*probe) {
	return func(p *probe) {
		ok := false
		for _, n := range p.protocols() {
			ok = ok || n == protocol
		}
		p.need(ok, "the key has no protocol %d", protocol)
		a := p.agreeOpenly(protocol)
		got := p.assert(p.withSecret(), set(a.saltInput(p.random(32)), 4, "hmac-secret"))
		p.outputs(a, got.data.extensions["hmac-secret"], 1)
	}
}
