package conformance

import (
	"fmt"
	"strings"
	"time"
)

// pinCase is a clientPIN request judged by the words of the case.
func pinCase(params m) func(*probe) {
	return func(p *probe) { p.judged(cmdClientPIN, params) }
}

// setPINCase asks for a first PIN, and checks that there is one when the answer
// is OK, and none when it is not.
func setPINCase(block func(p *probe) []byte, edits ...edit) func(*probe) {
	return func(p *probe) { p.setPINJudged(p.agree().setPINParams(block(p)), edits...) }
}

func (p *probe) setPINJudged(params m, edits ...edit) {
	p.released() // a key that is wrong about it would have a PIN
	r := p.judged(cmdClientPIN, edited(params, edits...))
	set := asMap(p.getInfo()[infoOptions])["clientPin"]
	p.check(set == (r.status == success), "clientPin %v after %v", set, r.status)
}

// ascii is a PIN of some characters more than the least.
func ascii(more int) func(*probe) []byte {
	return func(p *probe) []byte { return padded(p.pinOf(p.minPIN() + more)) }
}

// wide is such a PIN of characters of three bytes.
func wide(more int) func(*probe) []byte {
	return func(p *probe) []byte {
		var b strings.Builder
		for i := range p.minPIN() + more {
			b.WriteRune(rune(0x65e5 + i*7))
		}
		return padded(b.String())
	}
}

func block(b []byte) func(*probe) []byte { return func(*probe) []byte { return b } }

// recoverPIN gives the right PIN, so that retries are at their maximum again.
func (p *probe) recoverPIN() { p.want(p.enterPIN(p.pin), success) }

// wrong enters a wrong PIN.
func (p *probe) wrong() reply { return p.enterPIN(p.wrongPIN()) }

// lockUntil enters wrong PINs until a status comes, with power cycles where the
// key asks for them.
func (p *probe) lockUntil(end status) {
	defer p.dirty()
	for range 100 {
		r := p.wrong()
		switch r.status {
		case end:
			return
		case ePINInvalid:
		case ePINAuthBlocked:
			p.powerCycle()
		default:
			p.want(r, ePINInvalid, ePINAuthBlocked, end)
		}
	}
	p.fail("no end of retries")
}

// alive says whether a token is good for a getAssertion without a touch.
func (p *probe) alive(t token, c *credential) bool {
	r := p.call(cmdGetAssertion, t.ga(c.ga(set(false, 5, "up"))))
	p.want(r, success, ePINAuthInvalid)
	return r.status == success
}

// deadToken checks that a token verifies nothing.
func (p *probe) deadToken(t token, c *credential) {
	p.want(p.call(cmdGetAssertion, t.ga(c.ga(set(false, 5, "up")))), ePINAuthInvalid)
}

// usageWindow is how long a token lives that is not used.
func (p *probe) usageWindow() time.Duration {
	if p.wire == nil { // over NFC
		return 19800 * time.Millisecond
	}
	return 30 * time.Second
}

// forceChange forces a PIN change.
func (p *probe) forceChange() {
	p.need(p.option("setMinPINLength") == true, "the key cannot force a PIN change")
	p.configure(3, m{3: true})
	p.dirty()
}

// bothProtocols ends the case on a key with one.
func (p *probe) bothProtocols() {
	p.need(len(p.protocols()) > 1, "the key has one PIN/UV auth protocol")
}

// permissions asks for a token with changed parameters, judged.
func permissions(permissions int, rp bool, edits ...edit) func(*probe) {
	return func(p *probe) {
		id := ""
		if rp {
			id = p.rp()
		}
		p.judged(cmdClientPIN, edited(p.agree().permissionParams(p.pin, permissions, id), edits...))
	}
}

func (p *probe) uvRetries() int64 { return num(p.ok(cmdClientPIN, m{2: 7})[5]) }

func pinCases() cases {
	return cases{
		"PIN-001": pinCase(m{1: 2}),
		"PIN-002": pinCase(m{2: "1"}),
		"PIN-003": func(p *probe) { p.judged(cmdClientPIN, m{1: p.protocol, 2: 0x7f}) },
		"PIN-004": func(p *probe) {
			n := p.retries()
			p.check(n >= 1 && n <= 8, "%d retries", n)
		},
		"PIN-005": func(p *probe) {
			first := p.retries()
			p.check(p.retries() == first, "retries change")
		},
		"PIN-006": func(p *probe) {
			v := p.ok(cmdClientPIN, m{2: 1})[4]
			p.check(v == nil || v == false, "powerCycleState %v", v)
		},
		"PIN-007": func(p *probe) {
			p.finger1()
			n := p.uvRetries()
			p.check(n >= 1 && n <= 25, "%d UV retries", n)
		},
		"PIN-008": pinCase(m{2: 7}),
		"PIN-009": pinCase(m{2: 2}),
		"PIN-010": pinCase(m{1: 99, 2: 2}),
		"PIN-011": pinCase(m{1: "2", 2: 2}),
		"PIN-012": func(p *probe) {
			k := p.keyAgreement(p.protocol)
			p.check(num(k[int64(1)]) == 2 && num(k[int64(3)]) == -25 && num(k[int64(-1)]) == 1 && len(k) == 5 &&
				len(blob(k[int64(-2)])) == 32 && len(blob(k[int64(-3)])) == 32, "key %v", k)
			p.agreeWith(p.protocol, k)
		},
		"PIN-013": func(p *probe) {
			before := p.keyAgreement(p.protocol)
			p.powerCycle()
			p.check(fmt.Sprint(before) != fmt.Sprint(p.keyAgreement(p.protocol)), "the same key")
		},
		"PIN-014": func(p *probe) {
			first := p.keyAgreement(p.protocol)
			p.agreeWith(p.protocol, first) // which fails for what is no key
			if fmt.Sprint(first) != fmt.Sprint(p.keyAgreement(p.protocol)) {
				p.note("observed: a new key each time")
			}
		},
		"PIN-015": setPINCase(ascii(0)),
		"PIN-016": setPINCase(func(p *probe) []byte {
			p.need(p.maxPIN() >= 63, "maxPINLength is %d", p.maxPIN())
			return padded((p.pinOf(63)))
		}),
		"PIN-017": setPINCase(ascii(-1)),
		"PIN-018": setPINCase(wide(-1)),
		"PIN-019": setPINCase(wide(0)),
		"PIN-020": setPINCase(block([]byte(strings.Repeat("31974268", 8)))),
		"PIN-021": setPINCase(block(make([]byte, 64))),
		"PIN-022": setPINCase(block(append([]byte("319742"), make([]byte, 26)...))),
		"PIN-023": setPINCase(block(append([]byte("319742"), make([]byte, 122)...))),
		"PIN-024": setPINCase(block(append([]byte("\xff\xfe\xfd\xc0\xc1\x80\x81\xf5"), make([]byte, 56)...))),
		"PIN-025": setPINCase(func(p *probe) []byte {
			n := num(p.present(infoMaxPINLength))
			p.need(n < 63, "maxPINLength is %d", n)
			return padded(p.pinOf(int(n) + 1))
		}),
		"PIN-026": setPINCase(ascii(0), drop(3)),
		"PIN-027": setPINCase(ascii(0), drop(5)),
		"PIN-028": setPINCase(ascii(0), drop(4)),
		"PIN-029": func(p *probe) {
			params := p.agree().setPINParams(ascii(0)(p))
			p.setPINJudged(params, set(flip(blob(params[4])), 4))
		},
		"PIN-030": func(p *probe) {
			params := p.agree().setPINParams(ascii(0)(p))
			p.setPINJudged(params, set(flip(blob(asMap(params[3])[-3])), 3, -3))
		},
		"PIN-031": func(p *probe) {
			p.each("kty", func(p *probe) { p.setPINJudged(p.agree().setPINParams(ascii(0)(p)), set(1, 3, 1)) })
			p.each("alg", func(p *probe) { p.setPINJudged(p.agree().setPINParams(ascii(0)(p)), set(-7, 3, 3)) })
		},
		"PIN-032": func(p *probe) { p.judged(cmdClientPIN, p.agree().setPINParams(padded(p.otherPIN()))) },
		"PIN-033": func(p *probe) {
			old := p.pin
			p.judge(p.tryChangePIN(old, p.otherPIN()))
			p.want(p.enterPIN(old), ePINInvalid)
			p.recoverPIN()
			p.want(p.tryChangePIN(p.pin, old), success)
		},
		"PIN-034": func(p *probe) {
			before := p.retries()
			p.judge(p.call(cmdClientPIN, p.agree().changePINParams(p.wrongPIN(), p.otherPIN())))
			p.check(p.retries() == before-1, "retries %d, then %d", before, p.retries())
			p.recoverPIN()
		},
		"PIN-035": func(p *probe) {
			most := p.retries()
			p.released()
			p.judge(p.call(cmdClientPIN, p.agree().changePINParams(p.pin, p.pinOf(p.minPIN()-1))))
			p.check(p.retries() == most, "retries %d, then %d", most, p.retries())
			p.recoverPIN()
		},
		"PIN-036": func(p *probe) {
			params := p.agree().changePINParams(p.pin, p.otherPIN())
			p.judged(cmdClientPIN, edited(params, set(flip(blob(params[4])), 4)))
			p.recoverPIN()
		},
		"PIN-037": func(p *probe) {
			p.judged(cmdClientPIN, p.agree().changePINParams(p.pinOf(6), p.pinOf(7)))
		},
		"PIN-038": func(p *probe) {
			params := p.agree().changePINParams(p.pin, p.otherPIN())
			for _, key := range []int{1, 3, 4, 5, 6} {
				p.each(fmt.Sprint(key), func(p *probe) { p.judged(cmdClientPIN, edited(params, drop(key))) })
			}
		},
		"PIN-039": func(p *probe) {
			p.forceChange()
			p.judge(p.tryChangePIN(p.pin, p.pin))
		},
		"PIN-040": func(p *probe) { p.judge(p.tryChangePIN(p.pin, p.pin)) },
		"PIN-041": func(p *probe) {
			poor := p.complexity()
			p.judge(p.tryChangePIN(p.pin, poor))
		},
		"PIN-042": func(p *probe) {
			r := p.enterPIN(p.pin)
			p.judge(r)
			n := len(blob(r.body[2]))
			p.check(p.protocol == 1 && (n == 16 || n == 32) || p.protocol == 2 && n == 48, "token of %d bytes encrypted", n)
		},
		"PIN-043": func(p *probe) { p.judged(cmdClientPIN, p.agree().tokenParams(p.pinOf(6))) },
		"PIN-044": func(p *probe) {
			before := p.retries()
			p.judge(p.wrong())
			p.check(p.retries() == before-1, "retries %d, then %d", before, p.retries())
			p.recoverPIN()
		},
		"PIN-045": func(p *probe) {
			most := p.retries()
			p.want(p.wrong(), ePINInvalid)
			p.judge(p.enterPIN(p.pin))
			p.check(p.retries() == most, "%d retries of %d", p.retries(), most)
			for range 2 { // the first one is not one of three in a row any more
				p.want(p.wrong(), ePINInvalid)
			}
			p.recoverPIN()
		},
		"PIN-046": func(p *probe) {
			a := p.agree()
			p.want(p.call(cmdClientPIN, a.tokenParams(p.wrongPIN())), ePINInvalid)
			before := p.retries()
			r := p.call(cmdClientPIN, a.tokenParams(p.pin))
			p.judge(r)
			p.check(p.retries() == before-1 || r.status != ePINInvalid, "retries %d, then %d", before, p.retries())
			p.recoverPIN()
		},
		"PIN-047": func(p *probe) {
			before := p.retries()
			p.wrong()
			p.wrong()
			p.check(p.retries() == before-2, "retries %d, then %d", before, p.retries())
			p.recoverPIN()
		},
		"PIN-048": func(p *probe) {
			defer p.dirty()
			p.powerCycle()
			p.want(p.wrong(), ePINInvalid)
			p.want(p.wrong(), ePINInvalid)
			p.judge(p.wrong())
		},
		"PIN-049": func(p *probe) {
			p.lockUntilBlocked()
			p.judged(cmdClientPIN, p.agree().tokenParams(p.pin))
		},
		"PIN-050": func(p *probe) {
			p.lockUntilBlocked()
			v := p.ok(cmdClientPIN, m{2: 1})[4]
			p.check(v == true || v == nil, "powerCycleState %v", v)
		},
		"PIN-051": func(p *probe) {
			most := p.retries()
			p.lockUntilBlocked()
			p.powerCycle()
			p.judge(p.enterPIN(p.pin))
			p.check(p.retries() == most, "%d retries of %d", p.retries(), most)
		},
		"PIN-052": func(p *probe) {
			p.lockUntil(ePINBlocked)
			p.check(p.retries() == 0, "%d retries", p.retries())
		},
		"PIN-053": func(p *probe) {
			p.lockUntil(ePINBlocked)
			p.judge(p.enterPIN(p.pin))
			p.powerCycle()
			p.judge(p.enterPIN(p.pin))
		},
		"PIN-054": func(p *probe) {
			p.lockUntil(ePINBlocked)
			p.factoryReset(p)
			p.setPIN(p.somePIN())
			p.recoverPIN()
		},
		"PIN-055": func(p *probe) {
			defer p.dirty()
			before := p.retries()
			p.want(p.wrong(), ePINInvalid)
			p.powerCycle()
			p.check(p.retries() == before-1, "retries %d, then %d", before, p.retries())
		},
		"PIN-056": func(p *probe) {
			p.each("permissions", func(p *probe) { p.judged(cmdClientPIN, edited(p.agree().tokenParams(p.pin), set(permGA, 9))) })
			p.each("rpId", func(p *probe) { p.judged(cmdClientPIN, edited(p.agree().tokenParams(p.pin), set(p.rp(), 10))) })
		},
		"PIN-057": func(p *probe) {
			p.need(!p.version("FIDO_2_1_PRE"), "the commands of the preview take this token, too")
			a, b := p.register(), p.register(rpID("other."+p.rp()))
			t := p.oldToken()
			if p.option("credMgmt") == true {
				p.want(p.call(cmdCredentialManagement, t.manage(1, nil)), ePINAuthInvalid)
			}
			p.check(p.alive(t, a), "no right to getAssertion")
			p.deadToken(t, b)
			params := p.oldToken().mc(p.mc())
			p.created(params, p.call(cmdMakeCredential, params))
		},
		"PIN-058": permissions(0, true, drop(9)),
		"PIN-059": permissions(0, true),
		"PIN-060": func(p *probe) {
			p.each("mc", permissions(permMC, false))
			p.each("ga", permissions(permGA, false))
		},
		"PIN-061": func(p *probe) {
			known := permGA
			if p.option("noMcGaPermissionsWithClientPin") == true {
				known = permCM
			}
			permissions(known|0x80, true)(p)
		},
		"PIN-062": permissions(permBE, false),
		"PIN-063": permissions(permLBW, false),
		"PIN-064": permissions(permACFG, false),
		"PIN-065": permissions(permMC, true),
		"PIN-066": func(p *probe) {
			p.forceChange()
			for _, c := range []struct {
				params      m
				right, seen status
			}{
				{p.agree().tokenParams(p.pin), ePINInvalid, ePolicy},
				{p.agree().permissionParams(p.pin, permACFG, ""), ePolicy, ePINInvalid},
			} {
				r := p.call(cmdClientPIN, c.params)
				p.want(r, c.right, c.seen)
				if r.status == c.seen {
					p.warn("%v where %v is right", r.status, c.right)
				}
			}
		},
		"PIN-067": func(p *probe) {
			c := p.register()
			old := p.token(permGA, c.rp)
			p.token(permGA, c.rp)
			p.deadToken(old, c)
		},
		"PIN-068": func(p *probe) {
			c := p.register()
			t := p.token(permGA, c.rp)
			p.wait(p.usageWindow() + time.Second)
			p.deadToken(t, c)
		},
		"PIN-069": func(p *probe) {
			c := p.register()
			t := p.token(permGA, c.rp)
			for i := range 61 {
				if !p.alive(t, c) {
					p.note("observed: the token ended after %d s", 10*i)
					p.check(i > 2, "too early")
					return
				}
				p.wait(10 * time.Second)
			}
			p.deadToken(t, c)
		},
		"PIN-070": func(p *probe) {
			c := p.register()
			t := p.token(permGA, c.rp)
			p.powerCycle()
			p.deadToken(t, c)
			p.check(string(p.token(permGA, c.rp).value) != string(t.value), "the same token again")
		},
		"PIN-071": func(p *probe) {
			p.bothProtocols()
			c := p.register()
			t := p.token(permGA, c.rp)
			p.deadToken(token{3 - t.protocol, t.value}, c)
		},
		"PIN-072": func(p *probe) {
			p.finger1()
			c := p.register()
			a := p.agree()
			r := p.call(cmdClientPIN, a.uvParams(permGA, c.rp))
			p.judge(r)
			p.check(p.alive(p.tokenFrom(a, r.body), c), "the token verifies nothing")
		},
		"PIN-073": func(p *probe) {
			p.finger1()
			p.finger(FingerStranger)
			last := p.uvRetries()
			for range 30 {
				r := p.call(cmdClientPIN, p.agree().uvParams(permGA, p.rp()))
				p.want(r, eUVInvalid, eUVBlocked)
				now := p.uvRetries()
				p.check(now < last, "uvRetries %d, then %d", last, now)
				last = now
				if r.status == eUVBlocked {
					p.check(now == 0, "UV_BLOCKED with %d left", now)
					break
				}
				if now == 0 {
					break
				}
			}
			p.check(last == 0, "no end of uvRetries")
			p.want(p.call(cmdClientPIN, p.agree().uvParams(permGA, p.rp())), eUVBlocked)
			p.recoverPIN()
		},
		"PIN-074": func(p *probe) { p.judged(cmdClientPIN, p.agree().uvParams(permGA, p.rp())) },
		"PIN-075": func(p *probe) {
			p.finger1()
			p.judged(cmdClientPIN, edited(p.agree().uvParams(permGA, p.rp()), drop(9)))
		},
		"PIN-076": func(p *probe) {
			t := p.persistentToken()
			p.ok(cmdCredentialManagement, t.manage(1, nil))
			p.want(p.call(cmdMakeCredential, t.mc(p.mc())), ePINAuthInvalid)
			p.want(p.call(cmdCredentialManagement, t.manage(6, m{2: descriptor(p.random(32))})), ePINAuthInvalid)
		},
		"PIN-077": func(p *probe) {
			t := p.persistentToken()
			p.powerCycle()
			p.ok(cmdCredentialManagement, t.manage(1, nil))
		},
		"PIN-078": func(p *probe) {
			t := p.persistentToken()
			old := p.pin
			p.want(p.tryChangePIN(old, p.otherPIN()), success)
			p.want(p.call(cmdCredentialManagement, t.manage(1, nil)), ePINAuthInvalid)
			p.want(p.tryChangePIN(p.pin, old), success)
		},
		"PIN-079": func(p *probe) {
			t := p.persistentToken()
			p.factoryReset(p)
			p.setPIN(p.somePIN())
			p.want(p.call(cmdCredentialManagement, t.manage(1, nil)), ePINAuthInvalid)
		},
		"PIN-080": func(p *probe) {
			p.need(p.bench.Release, "would use up a PIN try of a key that is in use")
			for _, n := range []int{15, 17} {
				p.each(fmt.Sprint(n), func(p *probe) {
					p.judge(p.call(cmdClientPIN, edited(p.agree().tokenParams(p.pin), set(p.random(n), 6))))
					p.recoverPIN()
				})
			}
		},
		"PIN-081": func(p *probe) {
			p.bothProtocols()
			one, two := p.agreeBy(1), p.agreeBy(2)
			c := p.register()
			for _, a := range []*agreement{one, two} {
				t := p.tokenFrom(a, p.ok(cmdClientPIN, a.permissionParams(p.pin, permGA, c.rp)))
				p.check(p.alive(t, c), "token of protocol %d", a.protocol)
			}
			p.released() // it may cost a try
			r := p.call(cmdClientPIN, edited(one.tokenParams(p.pin), set(2, 1)))
			p.want(r, ePINInvalid, ePINAuthInvalid, eInvalidParameter, eInvalidLength)
			p.recoverPIN()
		},
	}
}

// lockUntilBlocked enters wrong PINs until authentication is blocked.
func (p *probe) lockUntilBlocked() {
	p.powerCycle()
	p.lockUntil(ePINAuthBlocked)
}
