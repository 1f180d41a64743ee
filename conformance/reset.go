package conformance

import (
	"bytes"
	"time"
)

// resetRefused plugs the key in, resets it under some condition and checks that
// it keeps its data.
func resetRefused(ask func(p *probe) reply) func(*probe) {
	return func(p *probe) {
		c := p.register()
		p.powerCycle()
		r := ask(p)
		p.judge(r)
		p.touch(TouchAlways)
		p.check(p.works(c), "the credential is gone")
	}
}

func (p *probe) reset() reply { return p.call(cmdReset, nil) }

func rstCases() cases {
	return cases{
		"RST-001": func(p *probe) {
			p.powerCycle()
			p.wait(5 * time.Second)
			r := p.reset()
			p.judge(r)
			p.prompted(r)
		},
		"RST-002": resetRefused(func(p *probe) reply { p.wait(11 * time.Second); return p.reset() }),
		"RST-003": resetRefused(func(p *probe) reply { p.withhold(); return p.reset() }),
		"RST-004": func(p *probe) {
			p.powerCycle()
			p.getInfo()
			p.judge(p.reset())
		},
		"RST-005": func(p *probe) {
			p.need(p.wire != nil, "no HID")
			c := p.register()
			p.powerCycle()
			p.untouched([]byte{cmdReset})
			p.judge(p.cancelled())
			p.touch(TouchAlways)
			p.check(p.works(c), "the credential is gone")
		},
		"RST-006": func(p *probe) {
			all := []*credential{p.register()}
			if p.option("rk") == true {
				all = append(all, p.register(discoverable()))
			}
			p.factoryReset(p)
			for _, c := range all {
				p.want(p.call(cmdGetAssertion, c.ga()), eNoCredentials)
				p.want(p.call(cmdGetAssertion, p.ga(c.rp, nil)), eNoCredentials)
			}
		},
		"RST-007": func(p *probe) {
			p.need(p.option("clientPin") != nil, "the key has no PIN")
			most := p.retries()
			p.setPIN(p.somePIN())
			p.want(p.wrong(), ePINInvalid)
			p.factoryReset(p)
			p.check(p.option("clientPin") == false && p.retries() == most, "clientPin %v, %d retries of %d", p.option("clientPin"), p.retries(), most)
		},
		"RST-008": func(p *probe) {
			p.powerCycle() // and none after it: that would end the token too
			t := p.token(permMC, p.rp())
			if p.reset().status != success { // it had to be the first command, or held longer
				p.factoryReset(p)
			}
			p.info, p.pin = p.getInfo(), ""
			p.setPIN(p.somePIN())
			p.want(p.call(cmdMakeCredential, t.mc(p.mc())), ePINAuthInvalid)
		},
		"RST-009": func(p *probe) {
			h := p.u2fRegister(p.random(32))
			p.factoryReset(p)
			p.sw(h.check(p), swWrongData)
		},
		"RST-010": func(p *probe) {
			p.need(p.option("setMinPINLength") == true, "the key has no setMinPINLength")
			fresh := p.base
			p.setPIN(p.somePIN())
			params := m{1: p.minPIN() + 1, 3: true}
			if p.extension("minPinLength") {
				params[2] = []any{rplistRPID}
			}
			if p.option("alwaysUv") != nil {
				p.configure(2, nil)
			}
			p.configure(3, params)
			p.factoryReset(p)
			p.check(same(fresh, p.base), "getInfo of the fresh key %v, now %v", fresh, p.base)
			if p.extension("minPinLength") {
				c := p.register(rpID(rplistRPID), extension("minPinLength", true))
				p.check(c.data.extensions["minPinLength"] == nil, "the RP list is still there")
			}
		},
		"RST-011": func(p *probe) {
			p.need(p.option("ep") == false, "ep is on from the factory")
			p.setPIN(p.somePIN())
			p.configure(1, nil)
			p.factoryReset(p)
			p.check(p.option("ep") == false, "ep %v", p.option("ep"))
		},
		"RST-012": func(p *probe) {
			p.need(p.option("largeBlobs") == true, "the key has no large blobs")
			p.writeArray(p.blobArray(100))
			p.factoryReset(p)
			got := p.readArray()
			p.check(bytes.Equal(got, emptyArray), "array %x", got)
		},
		"RST-013": func(p *probe) {
			p.setPIN(p.somePIN())
			p.finger1()
			p.factoryReset(p)
			p.check(p.option("bioEnroll") == false && p.option("uv") != true, "bioEnroll %v, uv %v", p.option("bioEnroll"), p.option("uv"))
		},
		"RST-014": func(p *probe) {
			p.longTouch()
			resetRefused(func(p *probe) reply { return p.reset() })(p)
		},
		"RST-015": func(p *probe) {
			p.longTouch()
			p.powerCycle()
			p.touch(TouchLong)
			p.judge(p.reset())
		},
		"RST-016": func(p *probe) {
			p.need(p.bench.CutPower != nil, "the bench cannot cut the power at a write")
			p.need(p.option("clientPin") != nil, "the key has no PIN")
			for _, written := range []bool{false, true} {
				p.factoryReset(p)
				p.setPIN(p.somePIN())
				c := p.register()
				p.powerCycle()
				p.cut(1, written)
				p.reset()
				p.restore()
				set := asMap(p.getInfo()[infoOptions])["clientPin"] == true
				p.check(set == p.works(c), "clientPin %v, credential works %v", set, !set)
			}
			p.pin = ""
		},
		"RST-017": func(p *probe) {
			r := p.call(cmdSelection, nil)
			p.judge(r)
			p.prompted(r)
			p.check(len(r.raw) == 0, "body %x", r.raw)
		},
		"RST-018": func(p *probe) { p.nobody(cmdSelection, nil) },
		"RST-019": func(p *probe) { p.declined(cmdSelection, nil) },
		"RST-020": func(p *probe) {
			p.touch(TouchOnce)
			p.ok(cmdSelection, nil)
			r := p.call(cmdMakeCredential, p.mc())
			p.want(r, eDenied, eTimeout)
			p.prompted(r)
		},
	}
}

// longTouch switches longTouchForReset on.
func (p *probe) longTouch() {
	p.setPIN(p.somePIN())
	if p.info[infoLongTouchForReset] != true {
		p.need(p.option("authnrCfg") == true, "the key cannot be configured")
		p.configure(4, nil)
	}
}

// cut has the power cut at a write of the next command.
func (p *probe) cut(n int, written bool) {
	p.need(p.bench.CutPower != nil, "the bench cannot cut the power at a write")
	p.cutting = true
	p.bench.CutPower(n, written)
}

// restore gives the power back after cut.
func (p *probe) restore() {
	p.bench.CutPower(0, false)
	p.cutting = false
	p.powerCycle()
}
