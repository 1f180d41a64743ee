package conformance

import (
	"fmt"
	"strings"
)

// configured is a configuration command with a token, changed, judged.
func configured(sub int, subParams any, edits ...edit) func(*probe) {
	return func(p *probe) {
		p.judged(cmdConfig, edited(p.token(permACFG, "").config(sub, subParams), edits...))
	}
}

// setMinimum sets the minimum PIN length and judges the answer.
func (p *probe) setMinimum(length int) reply {
	p.need(p.option("setMinPINLength") == true, "the key has no setMinPINLength")
	p.dirty()
	r := p.call(cmdConfig, p.token(permACFG, "").config(3, m{1: length}))
	p.judge(r)
	return r
}

// shows checks members of getInfo.
func (p *probe) shows(member int, want any) {
	got := p.getInfo()[member]
	p.check(got == want || want == false && got == nil, "getInfo member %02x is %v, not %v", member, got, want)
}

// refuseTokens checks that no token is given.
func (p *probe) refuseTokens() {
	p.want(p.enterPIN(p.pin), ePINInvalid, ePolicy)
	p.want(p.call(cmdClientPIN, p.agree().permissionParams(p.pin, permACFG, "")), ePolicy, ePINInvalid)
}

// rpList is a number of RP IDs.
func (p *probe) rpList(n int) []any {
	p.need(p.extension("minPinLength") && p.option("setMinPINLength") == true, "the key has no list of RP IDs")
	p.dirty()
	var l []any
	for i := range n {
		l = append(l, fmt.Sprintf("%d.%s", i, p.rp()))
	}
	return l
}

// toldLength is the output of minPinLength for an RP.
func (p *probe) toldLength(rp string) any {
	return p.register(rpID(rp), extension("minPinLength", true)).data.extensions["minPinLength"]
}

func cfgCases() cases {
	return cases{
		"CFG-001": func(p *probe) { p.judged(cmdConfig, m{1: 2}) },
		"CFG-002": func(p *probe) { p.judged(cmdConfig, m{}) },
		"CFG-003": func(p *probe) { p.judged(cmdConfig, m{1: 0x7e}) },
		"CFG-004": configured(3, m{3: false}, drop(3), drop(4)),
		"CFG-005": configured(3, m{3: false}, drop(3)),
		"CFG-006": configured(3, m{3: false}, set(99, 3)),
		"CFG-007": func(p *probe) {
			params := p.token(permACFG, "").config(3, m{3: false})
			p.judged(cmdConfig, edited(params, set(flip(blob(params[4])), 4)))
		},
		"CFG-008": func(p *probe) { p.judged(cmdConfig, p.token(permGA, p.rp()).config(3, m{3: false})) },
		"CFG-009": func(p *probe) {
			p.need(p.option("alwaysUv") != nil, "the key has no alwaysUv")
			p.released() // it may be that it cannot be turned off
			p.dirty()
			was := p.option("alwaysUv")
			for i := range 2 {
				r := p.call(cmdConfig, p.token(permACFG, "").config(2, nil))
				p.want(r, success, eDenied)
				now := asMap(p.getInfo()[infoOptions])["alwaysUv"]
				if r.status == eDenied {
					p.check(was == true && now == true, "alwaysUv %v, then %v", was, now)
					return
				}
				p.check(now != was, "round %d: alwaysUv stays %v", i, now)
				was = now
			}
		},
		"CFG-010": mcCase(),
		"CFG-011": func(p *probe) {
			p.dirty()
			r := p.call(cmdConfig, m{1: 2})
			p.judge(r)
			p.check(r.status != success || asMap(p.getInfo()[infoOptions])["alwaysUv"] == false, "alwaysUv is still on")
		},
		"CFG-012": func(p *probe) {
			p.powerCycle()
			p.check(asMap(p.getInfo()[infoOptions])["alwaysUv"] == true, "alwaysUv is off")
		},
		"CFG-013": func(p *probe) {
			p.check(p.option("ep") == true, "ep %v", p.option("ep"))
			p.judge(p.call(cmdConfig, p.token(permACFG, "").config(1, nil)))
			p.check(asMap(p.getInfo()[infoOptions])["ep"] == true, "ep is off")
		},
		"CFG-014": func(p *probe) { p.judged(cmdConfig, m{1: 1}) },
		"CFG-015": func(p *probe) {
			least := p.minPIN() + 1
			p.setMinimum(least)
			p.shows(infoMinPINLength, int64(least))
		},
		"CFG-016": func(p *probe) {
			least := p.minPIN()
			p.setMinimum(least)
			p.shows(infoMinPINLength, int64(least))
		},
		"CFG-017": func(p *probe) {
			least := p.minPIN()
			p.setMinimum(least - 1)
			p.shows(infoMinPINLength, int64(least))
		},
		"CFG-018": func(p *probe) {
			least := p.minPIN()
			for name, length := range inOrder(map[string]int{"64": 64, "maximum": p.maxPIN() + 1}) {
				p.each(name, func(p *probe) { p.setMinimum(length) })
			}
			p.shows(infoMinPINLength, int64(least))
		},
		"CFG-019": func(p *probe) {
			p.setMinimum(len(p.pin) + 1)
			p.shows(infoForcePINChange, true)
		},
		"CFG-020": func(p *probe) {
			p.setMinimum(len(p.pin))
			p.shows(infoForcePINChange, false)
		},
		"CFG-021": func(p *probe) {
			p.need(p.option("setMinPINLength") == true, "the key has no setMinPINLength")
			least := p.minPIN() + 1
			p.judge(p.call(cmdConfig, m{1: 3, 2: m{1: least}}))
			p.shows(infoMinPINLength, int64(least))
		},
		"CFG-022": func(p *probe) {
			p.need(p.option("setMinPINLength") == true, "the key has no setMinPINLength")
			p.judged(cmdConfig, m{1: 3, 2: m{3: true}})
		},
		"CFG-023": func(p *probe) {
			p.forceChange()
			p.shows(infoForcePINChange, true)
			p.refuseTokens()
		},
		"CFG-024": func(p *probe) {
			p.forceChange()
			p.want(p.tryChangePIN(p.pin, p.otherPIN()), success)
			p.shows(infoForcePINChange, false)
			p.recoverPIN()
		},
		"CFG-025": func(p *probe) {
			n := int(num(p.present(infoMaxRPIDs)))
			l := p.rpList(n)
			p.judge(p.call(cmdConfig, p.token(permACFG, "").config(3, m{2: l})))
			p.check(n == 0 || p.toldLength(l[n-1].(string)) != nil, "the last RP ID is not on the list")
		},
		"CFG-026": func(p *probe) {
			l := p.rpList(int(num(p.present(infoMaxRPIDs))) + 1)
			p.judge(p.call(cmdConfig, p.token(permACFG, "").config(3, m{2: l})))
			p.check(p.toldLength(l[0].(string)) == nil, "the list was taken all the same")
		},
		"CFG-027": func(p *probe) {
			l := p.rpList(2)
			p.configure(3, m{2: l[:1]})
			p.judge(p.call(cmdConfig, p.token(permACFG, "").config(3, m{2: l[1:]})))
			p.check(p.toldLength(l[0].(string)) == nil, "the first list stays")
			p.check(p.toldLength(l[1].(string)) != nil, "the second list is not there")
		},
		"CFG-028": configured(3, m{2: []any{rplistRPID}}),
		"CFG-029": func(p *probe) {
			p.need(p.option("setMinPINLength") == true, "the key has no setMinPINLength")
			p.refused(cmdConfig, m{1: 3, 2: m{1: p.minPIN() - 1, 3: true}}, ePolicy)
		},
		"CFG-030": func(p *probe) {
			p.dirty()
			p.judge(p.call(cmdConfig, p.token(permACFG, "").config(3, m{4: true})))
			p.shows(infoPINComplexityPolicy, true)
			p.call(cmdConfig, p.token(permACFG, "").config(3, m{4: false}))
			p.shows(infoPINComplexityPolicy, true)
		},
		"CFG-031": func(p *probe) {
			p.need(p.level(23) || p.info[infoLongTouchForReset] != nil, "the key claims no FIDO_2_3")
			p.dirty()
			r := p.call(cmdConfig, p.token(permACFG, "").config(4, nil))
			offered := p.info[infoLongTouchForReset] != nil
			p.want(r, map[bool][]status{true: {success}, false: {eInvalidSubcommand, eInvalidParameter}}[offered]...)
			if offered {
				p.shows(infoLongTouchForReset, true)
			}
		},
		"CFG-032": func(p *probe) {
			p.judged(cmdConfig, p.token(permACFG, "").config(0xff, m{1: uint64(0x636f6e666f726d00)}))
		},
		"CFG-033": func(p *probe) {
			p.need(p.info[infoPINComplexityPolicy] != nil || p.info[infoLongTouchForReset] != nil, "the key has neither")
			fresh := p.base
			if fresh[infoPINComplexityPolicy] != nil {
				p.configure(3, m{4: true})
			}
			if fresh[infoLongTouchForReset] != nil {
				p.configure(4, nil)
			}
			p.factoryReset(p)
			p.shows(infoPINComplexityPolicy, fresh[infoPINComplexityPolicy])
			if now := p.getInfo()[infoLongTouchForReset]; now != fresh[infoLongTouchForReset] {
				p.note("observed: longTouchForReset %v, after the reset %v", fresh[infoLongTouchForReset], now)
			}
		},
	}
}

// complexity switches the PIN complexity policy on, and returns a PIN that is
// against any such policy.
func (p *probe) complexity() (poor string) {
	p.need(p.option("setMinPINLength") == true, "the key cannot set its PIN complexity policy")
	p.configure(3, m{4: true})
	p.dirty()
	return strings.Repeat("1", len(p.pin))
}
