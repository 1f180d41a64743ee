package conformance

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// mcCase is a makeCredential judged by the words of the case. When it is right
// that it succeeds, the answer must be whole.
func mcCase(edits ...edit) func(*probe) {
	return func(p *probe) { p.mcJudged(p.mc(edits...)) }
}

func (p *probe) mcJudged(params m) reply {
	r := p.judged(cmdMakeCredential, params)
	if r.status == success {
		p.created(params, r)
	}
	return r
}

// mcAuthorized is a makeCredential with a valid token, changed afterwards.
func (p *probe) mcAuthorized(edits ...edit) m {
	params := p.mc()
	return edited(p.token(permMC, p.rp()).mc(params), edits...)
}

// formats are the attestation formats of getInfo, which came with the preference.
func (p *probe) formats() []any {
	p.need(p.level(23) || p.info[infoAttestationFormats] != nil, "the key knows no attestationFormatsPreference")
	return list(p.info[infoAttestationFormats])
}

// format makes a credential with a preference and returns its format.
func (p *probe) format(preference ...any) (*credential, string) {
	p.formats()
	c := p.register(set(preference, 0x0b))
	fmt, _ := c.response[1].(string)
	return c, fmt
}

// unnoticed checks that an unknown extension left no trace.
func (p *probe) unnoticed(c *credential, names ...string) {
	for _, n := range names {
		p.check(c.data.extensions[n] == nil && asMap(c.response[6])[n] == nil, "output for extension %s", n)
	}
}

// remaining is remainingDiscoverableCredentials, or -1.
func (p *probe) remaining() int64 { return num(p.getInfo()[infoRemaining]) }

// shownName registers a user and returns how the key shows its name member.
func (p *probe) shownName(member, value string) string {
	c := p.register(discoverable(), set(value, 3, member))
	p.register(discoverable())
	params := p.token(permGA, c.rp).ga(p.ga(c.rp, nil))
	r := p.call(cmdGetAssertion, params)
	p.want(r, success)
	for n := num(r.body[5]); n > 0; n-- {
		if user := asMap(r.body[4]); bytes.Equal(blob(user["id"]), c.userID) {
			s, _ := user[member].(string)
			return s
		}
		r = p.call(cmdGetNextAssertion, nil)
		p.want(r, success)
	}
	p.fail("the credential is not found")
	return ""
}

// cutRight checks that shown is value, or its beginning cut on a code point
// boundary and no shorter than 64 bytes allow.
func (p *probe) cutRight(value, shown string) {
	p.check(strings.HasPrefix(value, shown) && utf8.ValidString(shown), "%q became %q", value, shown)
	if len(shown) < len(value) {
		_, next := utf8.DecodeRuneInString(value[len(shown):])
		p.check(len(shown)+next > 64 && len(shown) >= 61, "%q was cut to %d bytes", value, len(shown))
		p.note("observed: %d bytes cut to %d", len(value), len(shown))
	}
}

// nobody runs a command that nobody touches the key for.
func (p *probe) nobody(command byte, params any) { p.judgedWith(TouchNever, command, params) }

func (p *probe) declined(command byte, params any) { p.judgedWith(TouchDecline, command, params) }

func (p *probe) judgedWith(t Touch, command byte, params any) {
	before := p.snapshot()
	p.touch(t)
	r := p.call(command, params)
	p.touch(TouchAlways)
	p.judge(r)
	p.prompted(r)
	p.unchanged(before)
}

// touched judges a request that asks for a touch.
func (p *probe) touched(command byte, params any) reply {
	r := p.judged(command, params)
	p.prompted(r)
	return r
}

func uvSet(p *probe, d *authData, want bool) {
	p.check(d.flags&flagUV != 0 == want, "UV flag is %v", !want)
}

func mcCases() cases {
	return cases{
		"MC-001": func(p *probe) {
			c := p.register()
			f, _ := c.response[1].(string)
			ok := f == "packed" || f == "none"
			for _, v := range list(p.info[infoAttestationFormats]) {
				ok = ok || v == f
			}
			p.check(ok, "format %q", f)
		},
		"MC-002": mcCase(drop(1)),
		"MC-003": mcCase(set("hash", 1)),
		"MC-004": mcCase(set(make([]byte, 31), 1)),
		"MC-005": mcCase(drop(2)),
		"MC-006": mcCase(set("example.com", 2)),
		"MC-007": mcCase(drop(2, "id")),
		"MC-008": mcCase(set([]byte("example.com"), 2, "id")),
		"MC-009": mcCase(set("", 2, "id")),
		"MC-010": mcCase(set(7, 2, "name")),
		"MC-011": mcCase(set(7, 2, "icon")),
		"MC-012": mcCase(drop(3)),
		"MC-013": mcCase(set([]any{}, 3)),
		"MC-014": mcCase(drop(3, "id")),
		"MC-015": mcCase(set("ada", 3, "id")),
		"MC-016": mcCase(set(make([]byte, 65), 3, "id")),
		"MC-017": func(p *probe) {
			id := p.random(64)
			c := p.register(discoverable(), set(id, 3, "id"))
			found := p.find(c.rp, []*credential{c}, false)
			p.check(bytes.Equal(blob(asMap(found[0].body[4])["id"]), id), "user.id came back as %x", blob(asMap(found[0].body[4])["id"]))
		},
		"MC-018": mcCase(drop(3, "name"), drop(3, "displayName")),
		"MC-019": mcCase(set(7, 3, "name")),
		"MC-020": mcCase(set(7, 3, "displayName")),
		"MC-021": mcCase(set([]byte("icon"), 3, "icon")),
		"MC-022": func(p *probe) {
			name := "Jürgen Ωmega \u65e5\u672c\u8a9e"
			p.cutRight(name, p.shownName("displayName", name))
		},
		"MC-023": func(p *probe) {
			params := p.mc(set("AAAAAAAA", 3, "displayName"))
			msg := bytes.Replace(encode(params), []byte("AAAAAAAA"), []byte("AA\xff\xfe\xc3AAA"), 1)
			p.judged(cmdMakeCredential, msg)
		},
		"MC-024": func(p *probe) {
			for i, name := range []string{strings.Repeat("n", 200), strings.Repeat("n", 62) + strings.Repeat("\u65e5", 40)} {
				p.each(fmt.Sprintf("name%d", i+1), func(p *probe) {
					name := name
					c := p.register(discoverable(), set(name, 3, "name"), rpID(fmt.Sprintf("%d.%s", i, p.rp())))
					p.register(discoverable(), rpID(c.rp))
					params := p.token(permGA, c.rp).ga(p.ga(c.rp, nil))
					r := p.call(cmdGetAssertion, params)
					p.want(r, success)
					if !bytes.Equal(blob(asMap(r.body[4])["id"]), c.userID) {
						r = p.call(cmdGetNextAssertion, nil)
						p.want(r, success)
					}
					shown, _ := asMap(r.body[4])["name"].(string)
					p.cutRight(name, shown)
				})
			}
		},
		"MC-025": mcCase(drop(4)),
		"MC-026": mcCase(set(m{"alg": -7, "type": "public-key"}, 4)),
		"MC-027": mcCase(set([]any{}, 4)),
		"MC-028": mcCase(set([]any{7}, 4)),
		"MC-029": mcCase(set([]any{m{"alg": -7}}, 4)),
		"MC-030": mcCase(set([]any{m{"type": "public-key"}}, 4)),
		"MC-031": mcCase(set(7, 4, 0, "type")),
		"MC-032": mcCase(set("ES256", 4, 0, "alg")),
		"MC-033": func(p *probe) {
			good := m{"alg": es256, "type": "public-key"}
			for name, broken := range inOrder(map[string]any{"number": 7, "alg": m{"alg": "x", "type": "public-key"}, "type": m{"alg": -7}}) {
				p.each(name, func(p *probe) { p.mcJudged(p.mc(set([]any{good, broken}, 4))) })
			}
		},
		"MC-034": mcCase(algorithm(-60000)),
		"MC-035": mcCase(set("private-key", 4, 0, "type")),
		"MC-036": func(p *probe) {
			c := p.register(set([]any{m{"alg": -60000, "type": "public-key"}, m{"alg": es256, "type": "public-key"}}, 4))
			p.check(c.key.Algorithm == es256, "algorithm %d", c.key.Algorithm)
		},
		"MC-037": func(p *probe) { p.eachAlgorithm(checkKey) },
		"MC-038": func(p *probe) {
			algs := p.algorithms()
			p.need(len(algs) > 1, "the key knows one algorithm")
			for _, pair := range [][2]int64{{algs[0], algs[1]}, {algs[1], algs[0]}} {
				c := p.register(set([]any{m{"alg": pair[0], "type": "public-key"}, m{"alg": pair[1], "type": "public-key"}}, 4))
				p.check(int64(c.key.Algorithm) == pair[0], "of %v the key took %d", pair, c.key.Algorithm)
			}
		},
		"MC-039": mcCase(set(7, 5)),
		"MC-040": mcCase(set([]any{7}, 5)),
		"MC-041": mcCase(set([]any{m{"id": make([]byte, 32)}}, 5)),
		"MC-042": mcCase(set([]any{m{"type": "public-key"}}, 5)),
		"MC-043": mcCase(set([]any{m{"id": make([]byte, 32), "type": 7}}, 5)),
		"MC-044": mcCase(set([]any{m{"id": "id", "type": "public-key"}}, 5)),
		"MC-045": func(p *probe) {
			c := p.register()
			p.mcJudged(p.mc(set([]any{m{"id": c.id, "type": "private-key"}}, 5)))
		},
		"MC-046": mcCase(exclude(make([]byte, 64))),
		"MC-047": mcCase(set([]any{m{"id": make([]byte, 64), "type": "public-key", "transports": []any{"usb", "smoke"}}}, 5)),
		"MC-048": func(p *probe) {
			c := p.register()
			p.touched(cmdMakeCredential, p.mc(exclude(c.id)))
			d := p.register(discoverable())
			p.touched(cmdMakeCredential, p.mc(exclude(d.id)))
		},
		"MC-049": func(p *probe) {
			c := p.register(rpID("other." + p.rp()))
			p.mcJudged(p.mc(exclude(c.id)))
		},
		"MC-050": func(p *probe) {
			n := num(p.present(infoMaxCredentialCount))
			params := p.mc(exclude(p.unknownIDs(int(n) + 1)...))
			p.need(len(encode(params)) < p.maxMsgSize(), "so many do not fit into a message")
			p.mcJudged(params)
		},
		"MC-051": func(p *probe) {
			n := 20
			if most := num(p.info[infoMaxCredentialCount]); most > 0 {
				n = int(min(most, 20))
			}
			c := p.register()
			n = min(n, (p.maxMsgSize()-300)/(len(c.id)+32))
			p.judged(cmdMakeCredential, p.mc(exclude(append(p.unknownIDs(n-1), c.id)...)))
		},
		"MC-052": mcCase(set("hmac-secret", 6)),
		"MC-053": func(p *probe) {
			p.unnoticed(p.register(set(m{"conformance.test": m{"a": 1}}, 6)), "conformance.test")
		},
		"MC-054": func(p *probe) {
			unknown := m{}
			for i := range 30 {
				unknown[fmt.Sprintf("conformance.test.%d", i)] = true
			}
			p.mcJudged(p.mc(set(unknown, 6)))
			p.getInfo()
		},
		"MC-055": mcCase(set([]any{true}, 7)),
		"MC-056": mcCase(set(1, 7, "rk")),
		"MC-057": mcCase(set(true, 7, "conformance")),
		"MC-058": func(p *probe) {
			p.needRK()
			c := p.register(set(false, 7, "rk"))
			r := p.call(cmdGetAssertion, p.ga(c.rp, nil))
			if r.status == success && !p.level(21) {
				p.note("observed: discoverable all the same")
				return
			}
			p.want(r, eNoCredentials)
		},
		"MC-059": func(p *probe) {
			p.need(p.option("rk") == true, "the key has no rk")
			c := p.register(discoverable())
			p.find(c.rp, []*credential{c}, false)
		},
		"MC-060": mcCase(discoverable()),
		"MC-061": mcCase(set(false, 7, "up")),
		"MC-062": mcCase(set(true, 7, "up")),
		"MC-063": mcCase(set(false, 7, "uv")),
		"MC-064": mcCase(set(true, 7, "uv")),
		"MC-065": func(p *probe) {
			p.finger1()
			params := p.mc(set(true, 7, "uv"))
			r := p.judged(cmdMakeCredential, params)
			uvSet(p, p.created(params, r).data, true)
		},
		"MC-066": func(p *probe) {
			p.noFingers()
			p.judged(cmdMakeCredential, p.mc(set(true, 7, "uv")))
		},
		"MC-067": func(p *probe) {
			params := p.mcAuthorized(set(true, 7, "uv"))
			uvSet(p, p.created(params, p.judged(cmdMakeCredential, params)).data, true)
		},
		"MC-068": func(p *probe) { p.needPIN(); p.touched(cmdMakeCredential, p.mc(set([]byte{}, 8), set(p.protocol, 9))) },
		"MC-069": func(p *probe) { p.needPIN(); p.touched(cmdMakeCredential, p.mc(set([]byte{}, 8), set(p.protocol, 9))) },
		"MC-070": func(p *probe) { p.needPIN(); p.nobody(cmdMakeCredential, p.mc(set([]byte{}, 8), set(p.protocol, 9))) },
		"MC-071": func(p *probe) { p.judged(cmdMakeCredential, p.mcAuthorized(drop(9))) },
		"MC-072": func(p *probe) { p.judged(cmdMakeCredential, p.mcAuthorized(set(99, 9))) },
		"MC-073": func(p *probe) {
			p.needPIN()
			params := p.mc(set(p.random(16*p.protocol), 8), set(p.protocol, 9))
			r := p.judged(cmdMakeCredential, params)
			if r.status == success {
				uvSet(p, p.created(params, r).data, false)
			}
		},
		"MC-074": func(p *probe) {
			params := p.mcAuthorized()
			p.judged(cmdMakeCredential, edited(params, set(flip(blob(params[8])), 8)))
		},
		"MC-075": func(p *probe) { p.judged(cmdMakeCredential, p.mcAuthorized(set(p.random(32), 1))) },
		"MC-076": func(p *probe) {
			params := p.mcAuthorized()
			uvSet(p, p.created(params, p.judged(cmdMakeCredential, params)).data, true)
		},
		"MC-077": func(p *probe) { p.judged(cmdMakeCredential, p.mc(discoverable())) },
		"MC-078": func(p *probe) {
			params := p.mc()
			uvSet(p, p.created(params, p.judged(cmdMakeCredential, params)).data, false)
		},
		"MC-079": mcCase(),
		"MC-080": func(p *probe) { p.judged(cmdMakeCredential, p.token(permGA, p.rp()).mc(p.mc())) },
		"MC-081": func(p *probe) { p.judged(cmdMakeCredential, p.token(permMC, "other."+p.rp()).mc(p.mc())) },
		"MC-082": func(p *probe) {
			c := p.register()
			t := p.oldToken()
			p.want(p.call(cmdGetAssertion, t.ga(c.ga(set(false, 5, "up")))), success)
			p.judged(cmdMakeCredential, t.mc(p.mc(rpID("second."+p.rp()))))
		},
		"MC-083": func(p *probe) {
			t := p.token(permMC|permGA, p.rp())
			p.ok(cmdMakeCredential, t.mc(p.mc()))
			p.judged(cmdMakeCredential, t.mc(p.mc()))
		},
		"MC-084": mcCase(set(1, 0x0a)),
		"MC-085": func(p *probe) { p.judged(cmdMakeCredential, p.mcAuthorized(set(3, 0x0a))) },
		"MC-086": mcCase(set("1", 0x0a)),
		"MC-087": func(p *probe) {
			p.need(p.bench.EnterpriseRPID != "", "no RP ID of the built-in list is known")
			c := p.register(set(1, 0x0a), rpID(p.bench.EnterpriseRPID))
			p.enterprise(c)
		},
		"MC-088": func(p *probe) {
			c := p.register(set(1, 0x0a))
			p.check(c.response[4] == nil || c.response[4] == false, "epAtt %v", c.response[4])
		},
		"MC-089": func(p *probe) { p.enterprise(p.register(set(2, 0x0a))) },
		"MC-090": func(p *probe) {
			c, f := p.format("none")
			p.check(f == "none" && len(asMap(c.response[3])) == 0, "fmt %q, attStmt %v", f, c.response[3])
		},
		"MC-091": func(p *probe) {
			l := p.formats()
			p.need(l == nil || bytes.Contains(fmt.Append(nil, l), []byte("packed")), "the key has no packed")
			_, f := p.format("packed", "none")
			p.check(f == "packed", "fmt %q", f)
		},
		"MC-092": func(p *probe) {
			_, usual := p.format("conformance.test", "nothing")
			f, _ := p.register().response[1].(string)
			p.check(usual == f, "fmt %q, without the preference %q", usual, f)
		},
		"MC-093": func(p *probe) { p.formats(); p.mcJudged(p.mc(set("packed", 0x0b))) },
		"MC-094": func(p *probe) { p.nobody(cmdMakeCredential, p.mc(discoverable())) },
		"MC-095": func(p *probe) { p.declined(cmdMakeCredential, p.mc(discoverable())) },
		"MC-096": func(p *probe) {
			p.touch(TouchOnce)
			p.want(p.call(cmdMakeCredential, p.mc()), success)
			r := p.call(cmdMakeCredential, p.mc())
			p.want(r, eDenied, eTimeout)
			p.prompted(r)
		},
		"MC-097": func(p *probe) {
			p.need(p.option("rk") == true, "the key has no rk")
			defer p.dirty()
			first := p.register(discoverable())
			p.fillStore()
			p.check(p.works(first), "the first credential is gone")
			p.assert(first)
		},
		"MC-098": func(p *probe) {
			first := p.register(discoverable())
			second := p.register(discoverable(), set(first.userID, 3, "id"))
			found := p.find(first.rp, []*credential{second}, false)
			p.check(len(found) == 1 && !p.works(first), "the first credential still works")
		},
		"MC-099": func(p *probe) {
			id := p.random(32)
			a := p.register(discoverable(), set(id[:16], 3, "id"))
			b := p.register(discoverable(), set(id, 3, "id"))
			p.check(len(p.find(a.rp, []*credential{a, b}, false)) == 2, "not two credentials")
		},
		"MC-100": func(p *probe) {
			hash, user := set(p.random(32), 1), set(p.random(16), 3, "id")
			a, b := p.register(hash, user), p.register(hash, user)
			p.check(!bytes.Equal(a.id, b.id) && !bytes.Equal(a.data.key, b.data.key), "the same credential twice")
		},
		"MC-101": mcCase(set(true, 0x7f)),
	}
}

// enterprise notes whether an enterprise attestation was given.
func (p *probe) enterprise(c *credential) {
	if c.response[4] != true {
		p.note("observed: ordinary attestation, epAtt %v", c.response[4])
		return
	}
	p.check(len(list(asMap(c.response[3])["x5c"])) > 0, "epAtt without a certificate")
	if ordinary := p.register(); bytes.Equal(p.leaf(c).Raw, p.leafOf(ordinary)) {
		p.warn("epAtt with the certificate of ordinary attestation")
	}
}

// needPIN ends the case on a key that knows no pinUvAuthParam.
func (p *probe) needPIN() {
	p.need(p.option("clientPin") != nil || p.option("pinUvAuthToken") == true, "the key has no PIN")
}

// unknownIDs are credential IDs that no key made.
func (p *probe) unknownIDs(n int) [][]byte {
	var ids [][]byte
	for range n {
		ids = append(ids, p.random(32))
	}
	return ids
}
