package conformance

import (
	"bytes"
	"fmt"
)

// gaCase is a getAssertion with a good credential ID, changed, and judged by
// the words of the case. An answer that succeeds must be whole.
func gaCase(edits ...edit) func(*probe) {
	return func(p *probe) {
		c := p.register()
		p.gaJudged(c.ga(edits...), c)
	}
}

func (p *probe) gaJudged(params m, from ...*credential) *assertion {
	r := p.judged(cmdGetAssertion, params)
	if r.status == success {
		return p.asserted(params, r, from...)
	}
	return &assertion{reply: r}
}

// gaAuthorized is a getAssertion with a valid token, changed afterwards.
func (p *probe) gaAuthorized(c *credential, edits ...edit) m {
	return edited(p.token(permGA, c.rp).ga(c.ga()), edits...)
}

// gaToken is a getAssertion with a changed token, judged.
func gaToken(edits ...edit) func(*probe) {
	return func(p *probe) { p.judged(cmdGetAssertion, p.gaAuthorized(p.register(), edits...)) }
}

// withCredential runs a check on a fresh credential.
func withCredential(check func(p *probe, c *credential), edits ...edit) func(*probe) {
	return func(p *probe) { check(p, p.register(edits...)) }
}

// needRK ends the case on a key without discoverable credentials.
func (p *probe) needRK() { p.need(p.option("rk") == true, "the key has no rk") }

// counters checks that a signature counter rises, or stays 0.
func (p *probe) counters(counts ...uint32) {
	for i := 1; i < len(counts); i++ {
		p.check(counts[i] > counts[i-1] || counts[i] == 0 && counts[i-1] == 0, "counters %v", counts)
	}
}

func gaCases() cases {
	return cases{
		"GA-001": func(p *probe) { p.eachAlgorithm(func(p *probe, c *credential) { p.assert(c) }) },
		"GA-002": gaCase(drop(1)),
		"GA-003": gaCase(set([]byte("example.com"), 1)),
		"GA-004": gaCase(set("", 1)),
		"GA-005": gaCase(drop(2)),
		"GA-006": gaCase(set("hash", 2)),
		"GA-007": gaCase(set(m{"id": []byte{1}, "type": "public-key"}, 3)),
		"GA-008": gaCase(set([]any{7}, 3)),
		"GA-009": gaCase(set([]any{m{"id": make([]byte, 32)}}, 3)),
		"GA-010": gaCase(set([]any{m{"type": "public-key"}}, 3)),
		"GA-011": gaCase(set(7, 3, 0, "type")),
		"GA-012": gaCase(set("id", 3, 0, "id")),
		"GA-013": withCredential(func(p *probe, c *credential) {
			p.gaJudged(c.ga(set([]any{m{"id": p.random(32), "type": "private-key"}, descriptor(c.id)}, 3)), c)
		}),
		"GA-014": withCredential(func(p *probe, c *credential) {
			p.gaJudged(c.ga(set([]any{m{"id": c.id, "type": "public-key", "transports": []any{"usb"}, "conformance": m{"a": 1}}}, 3)), c)
		}),
		"GA-015": withCredential(func(p *probe, c *credential) { p.gaJudged(p.ga(c.rp, [][]byte{p.random(32), c.id}), c) }),
		"GA-016": func(p *probe) { p.judged(cmdGetAssertion, p.ga(p.rp(), p.unknownIDs(3))) },
		"GA-017": withCredential(func(p *probe, c *credential) {
			for _, i := range []int{0, len(c.id) / 2, len(c.id) - 1} {
				id := bytes.Clone(c.id)
				id[i] ^= 1
				p.judged(cmdGetAssertion, p.ga(c.rp, [][]byte{id}))
			}
		}),
		"GA-018": withCredential(func(p *probe, c *credential) {
			for _, id := range [][]byte{c.id[:len(c.id)-1], c.id[:1], append(bytes.Clone(c.id), 0)} {
				p.judged(cmdGetAssertion, p.ga(c.rp, [][]byte{id}))
			}
		}),
		"GA-019": withCredential(func(p *probe, c *credential) {
			p.judged(cmdGetAssertion, p.ga("other."+c.rp, [][]byte{c.id}))
			if p.option("rk") == true && p.bench.Release { // which is found in another way
				c = p.register(discoverable())
				p.judged(cmdGetAssertion, p.ga("other."+c.rp, [][]byte{c.id}))
			}
		}),
		"GA-020": func(p *probe) { p.judged(cmdGetAssertion, p.ga("nothing."+p.rp(), nil)) },
		"GA-021": func(p *probe) { p.judged(cmdGetAssertion, p.ga("nothing."+p.rp(), [][]byte{})) },
		"GA-022": withCredential(func(p *probe, c *credential) { p.judged(cmdGetAssertion, p.ga(c.rp, nil)) }),
		"GA-023": withCredential(func(p *probe, c *credential) {
			n := num(p.present(infoMaxCredentialCount))
			params := p.ga(c.rp, append(p.unknownIDs(int(n)), c.id))
			p.need(len(encode(params)) < p.maxMsgSize(), "so many do not fit into a message")
			p.gaJudged(params, c)
		}),
		"GA-024": func(p *probe) {
			a, b, c := p.register(), p.register(), p.register()
			got := p.gaJudged(p.ga(a.rp, [][]byte{a.id, b.id, c.id}), a, b, c)
			p.check(got.body[5] == nil, "numberOfCredentials %v", got.body[5])
		},
		"GA-025": gaCase(set("hmac-secret", 4)),
		"GA-026": withCredential(func(p *probe, c *credential) {
			a := p.gaJudged(c.ga(set(m{"conformance.test": true}, 4)), c)
			p.check(a.data.flags&flagED == 0, "extension outputs %v", a.data.extensions)
		}),
		"GA-027": gaCase(set([]any{true}, 5)),
		"GA-028": gaCase(set(true, 5, "conformance")),
		"GA-029": withCredential(func(p *probe, c *credential) {
			p.each("true", func(p *probe) { p.judged(cmdGetAssertion, c.ga(set(true, 5, "rk"))) })
			p.each("false", func(p *probe) { p.judged(cmdGetAssertion, c.ga(set(false, 5, "rk"))) })
		}),
		"GA-030": withCredential(func(p *probe, c *credential) {
			a := p.gaJudged(c.ga(set(true, 5, "up")), c)
			p.check(a.data.flags&flagUP != 0, "flags %02x", a.data.flags)
		}),
		"GA-031": withCredential(func(p *probe, c *credential) {
			a := p.gaJudged(c.ga(set(false, 5, "up")), c)
			p.check(a.data.flags&flagUP == 0, "flags %02x", a.data.flags)
			p.quiet(a.reply)
		}),
		"GA-032": func(p *probe) {
			p.quiet(p.judged(cmdGetAssertion, p.ga(p.rp(), p.unknownIDs(1), set(false, 5, "up"))))
		},
		"GA-033": gaCase(set(true, 5, "uv")),
		"GA-034": func(p *probe) {
			p.finger1()
			c := p.register()
			uvSet(p, p.gaJudged(c.ga(set(true, 5, "uv")), c).data, true)
		},
		"GA-035": withCredential(func(p *probe, c *credential) { uvSet(p, p.gaJudged(c.ga(set(false, 5, "uv")), c).data, false) }),
		"GA-036": withCredential(func(p *probe, c *credential) {
			p.needPIN()
			p.touched(cmdGetAssertion, c.ga(set([]byte{}, 6), set(p.protocol, 7)))
		}),
		"GA-037": withCredential(func(p *probe, c *credential) {
			p.touched(cmdGetAssertion, c.ga(set([]byte{}, 6), set(p.protocol, 7)))
		}),
		"GA-038": gaToken(drop(7)),
		"GA-039": gaToken(set(99, 7)),
		"GA-040": withCredential(func(p *probe, c *credential) {
			params := p.gaAuthorized(c)
			p.judged(cmdGetAssertion, edited(params, set(flip(blob(params[6])), 6)))
		}),
		"GA-041": withCredential(func(p *probe, c *credential) { uvSet(p, p.gaJudged(p.gaAuthorized(c), c).data, true) }),
		"GA-042": withCredential(func(p *probe, c *credential) { uvSet(p, p.gaJudged(c.ga(), c).data, false) }),
		"GA-043": withCredential(func(p *probe, c *credential) { p.judged(cmdGetAssertion, p.token(permMC, c.rp).ga(c.ga())) }),
		"GA-044": withCredential(func(p *probe, c *credential) {
			p.judged(cmdGetAssertion, p.token(permGA, "other."+c.rp).ga(c.ga()))
		}),
		"GA-045": func(p *probe) { p.judged(cmdGetAssertion, p.ga(p.rp(), p.unknownIDs(1))) },
		"GA-046": withCredential(func(p *probe, c *credential) {
			a := p.gaJudged(c.ga(set(false, 5, "up")), c)
			p.check(a.data.flags&(flagUP|flagUV) == 0, "flags %02x", a.data.flags)
		}),
		"GA-047": withCredential(func(p *probe, c *credential) { p.nobody(cmdGetAssertion, c.ga()) }),
		"GA-048": withCredential(func(p *probe, c *credential) {
			a := p.assert(c)
			p.check(len(a.data.raw) == 37 && a.data.flags&(flagAT|flagED) == 0, "authData %x", a.data.raw)
		}),
		"GA-049": withCredential(func(p *probe, c *credential) { p.assert(c) }),
		"GA-050": withCredential(func(p *probe, c *credential) {
			p.counters(p.assert(c).data.counter, p.assert(c).data.counter, p.assert(c).data.counter)
		}),
		"GA-051": withCredential(func(p *probe, c *credential) {
			a := p.assert(c)
			p.check(a.body[4] == nil, "user %v", a.body[4])
		}),
		"GA-052": func(p *probe) {
			p.needRK()
			a, b := p.register(discoverable()), p.register(discoverable())
			for _, f := range p.find(a.rp, []*credential{a, b}, false) {
				u := asMap(f.body[4])
				p.check(len(u) == 1 && len(blob(u["id"])) > 0, "user %v", u)
			}
		},
		"GA-053": func(p *probe) {
			p.needRK()
			a, b := p.register(discoverable()), p.register(discoverable())
			for _, f := range p.find(a.rp, []*credential{a, b}, true) {
				u := asMap(f.body[4])
				p.check(len(blob(u["id"])) > 0 && u["name"] == "ada" && u["displayName"] == "Ada L.", "user %v", u)
			}
		},
		"GA-054": withCredential(func(p *probe, c *credential) {
			a := p.assert(c)
			if a.body[1] == nil && !p.level(21) {
				p.note("observed: left out")
				return
			}
			p.check(bytes.Equal(blob(asMap(a.body[1])["id"]), c.id) && asMap(a.body[1])["type"] == "public-key", "credential %v", a.body[1])
		}),
		"GA-055": func(p *probe) {
			p.needRK()
			c := p.register(discoverable())
			r := p.call(cmdGetAssertion, p.ga(c.rp, nil))
			p.want(r, success)
			p.check(r.body[5] == nil, "numberOfCredentials %v", r.body[5])
		},
		"GA-056": func(p *probe) {
			p.needRK()
			c := p.register(discoverable())
			a := p.assert(c)
			if a.body[4] != nil {
				u := asMap(a.body[4])
				p.check(len(u) == 1 && bytes.Equal(blob(u["id"]), c.userID), "user %v", u)
			}
		},
		"GA-057": withCredential(func(p *probe, c *credential) {
			p.powerCycle()
			p.assert(c)
		}),
		"GA-058": func(p *probe) {
			p.needRK()
			c := p.register(discoverable())
			p.powerCycle()
			p.find(c.rp, []*credential{c}, false)
		},
		"GA-059": withCredential(func(p *probe, c *credential) {
			a := p.assert(c)
			p.check(a.body[6] == nil || a.body[6] == false, "userSelected %v", a.body[6])
		}),
		"GA-060": withCredential(func(p *probe, c *credential) {
			params := c.ga()
			a := p.asserted(params, p.call(cmdGetAssertion, params), c)
			b := p.asserted(params, p.call(cmdGetAssertion, params), c)
			p.check(a.data.flags == b.data.flags, "flags %02x and %02x", a.data.flags, b.data.flags)
			p.counters(a.data.counter, b.data.counter)
		}),
	}
}

// A series is three discoverable credentials of one RP and a getAssertion that
// found them.
type series struct {
	credentials []*credential // the oldest first
	params      m
	first       *assertion
}

// series starts one; edits are made to the getAssertion.
func (p *probe) series(edits ...edit) *series {
	p.needRK()
	s := &series{}
	p.names++
	rp := fmt.Sprintf("%d.%s", p.names, p.rp())
	for range 3 {
		s.credentials = append(s.credentials, p.register(discoverable(), rpID(rp)))
	}
	s.params = p.ga(rp, nil, edits...)
	s.first = p.asserted(s.params, p.call(cmdGetAssertion, s.params), s.credentials...)
	return s
}

// next takes the next assertion of a series.
func (s *series) next(p *probe) *assertion {
	return p.asserted(s.params, p.call(cmdGetNextAssertion, nil), s.credentials...)
}

// mayGoOn judges the answer where the series may go on, or not.
func (s *series) mayGoOn(p *probe, r reply) {
	p.judge(r)
	if r.status == success {
		p.asserted(s.params, r, s.credentials...)
	}
}

// seriesEnded checks that a series does not go on.
func (p *probe) seriesEnded() { p.want(p.call(cmdGetNextAssertion, nil), eNotAllowed) }

func gnaCases() cases {
	return cases{
		"GNA-001": func(p *probe) {
			s := p.series()
			p.check(num(s.first.body[5]) == 3, "numberOfCredentials %v", s.first.body[5])
			p.check(bytes.Equal(s.first.id, s.credentials[2].id), "the first is not the newest")
		},
		"GNA-002": func(p *probe) {
			s := p.series()
			p.check(bytes.Equal(s.next(p).id, s.credentials[1].id) && bytes.Equal(s.next(p).id, s.credentials[0].id), "wrong order")
		},
		"GNA-003": func(p *probe) {
			s := p.series()
			s.next(p)
			s.next(p)
			p.seriesEnded()
		},
		"GNA-004": func(p *probe) {
			p.getInfo()
			p.seriesEnded()
		},
		"GNA-005": func(p *probe) {
			s := p.series()
			p.getInfo()
			s.mayGoOn(p, p.call(cmdGetNextAssertion, nil))
		},
		"GNA-006": func(p *probe) {
			p.need(p.wire != nil, "no HID")
			s := p.series()
			b := p.channel()
			p.wire.send(b, hidCBOR, []byte{cmdGetNextAssertion})
			s.mayGoOn(p, p.answer(b, []byte{cmdGetNextAssertion}))
		},
		"GNA-007": func(p *probe) {
			s := p.series()
			p.wait(25e9)
			s.next(p)
			p.wait(31e9)
			p.seriesEnded()
		},
		"GNA-008": func(p *probe) {
			s := p.series()
			for range 2 {
				p.check(s.next(p).data.flags == s.first.data.flags, "flags differ")
			}
		},
		"GNA-009": func(p *probe) {
			p.need(p.extension("hmac-secret") || p.extension("credBlob"), "the key has neither hmac-secret nor credBlob")
			if p.extension("credBlob") {
				p.credBlobSeries()
				return
			}
			p.hmacSecretSeries()
		},
		"GNA-010": func(p *probe) {
			s := p.series()
			p.quiet(s.next(p).reply)
			p.quiet(s.next(p).reply)
		},
		"GNA-011": func(p *probe) {
			p.series()
			p.powerCycle()
			p.seriesEnded()
		},
		"GNA-012": withCredential(func(p *probe, c *credential) {
			p.assert(c)
			p.seriesEnded()
		}),
		"GNA-013": func(p *probe) {
			s := p.series()
			for range 2 {
				p.check(s.next(p).body[5] == nil, "numberOfCredentials in a later answer")
			}
		},
		"GNA-014": func(p *probe) {
			p.needRK()
			p.need(p.extension("credProtect"), "the key has no credProtect")
			a, b := p.register(discoverable()), p.register(discoverable())
			p.register(discoverable(), extension("credProtect", 3))
			found := p.find(a.rp, []*credential{a, b}, false)
			p.check(len(found) == 2, "%d found", len(found))
			p.seriesEnded()
		},
	}
}
