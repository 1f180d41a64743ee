package conformance

import (
	mathrand "math/rand/v2"
	"time"
)

// endurance is how many rounds a long case takes.
func (p *probe) endurance(n int) int {
	if p.bench.Endurance > 0 {
		return min(n, p.bench.Endurance)
	}
	return n
}

// cutDuring runs f once for each write at which the power can be lost in it,
// before and after the write. prepare goes before; look sees the key afterwards.
func (p *probe) cutDuring(prepare func() any, f func(v any), look func(v any)) {
	p.need(p.bench.CutPower != nil, "the bench cannot cut the power at a write")
	for n := 1; n <= 3; n++ {
		for _, written := range []bool{false, true} {
			v := prepare()
			p.cut(n, written)
			f(v)
			p.restore()
			look(v)
		}
	}
}

// discoverables counts the discoverable credentials of an RP without a touch.
func (p *probe) discoverables(rp string) int64 {
	r := p.call(cmdGetAssertion, p.ga(rp, nil, set(false, 5, "up")))
	if r.status == eNoCredentials {
		return 0
	}
	p.want(r, success)
	p.parse(blob(r.body[2]))
	return max(1, num(r.body[5]))
}

func staCases() cases {
	return cases{
		"STA-001": func(p *probe) {
			c := p.register()
			p.powerCycle()
			p.assert(c)
			if p.option("rk") == true {
				d := p.register(discoverable())
				p.powerCycle()
				p.find(d.rp, []*credential{d}, false)
			}
		},
		"STA-002": func(p *probe) {
			p.needRK()
			var before, had int64
			p.cutDuring(func() any {
				before, had = p.remaining(), p.discoverables(p.rp())
				return nil
			}, func(any) { p.call(cmdMakeCredential, p.mc(discoverable())) }, func(any) {
				now := p.discoverables(p.rp())
				p.check(now == had || now == had+1, "%d credentials, then %d", had, now)
				p.check(before < 0 || before-p.remaining() == now-had, "remaining went from %d to %d with %d new credentials", before, p.remaining(), now-had)
			})
		},
		"STA-003": func(p *probe) {
			defer p.dirty()
			a, before := p.agree(), p.retries()
			p.cut(1, true)
			p.call(cmdClientPIN, a.tokenParams(p.wrongPIN()))
			p.restore()
			p.check(p.retries() == before-1, "retries %d, then %d", before, p.retries())
		},
		"STA-004": func(p *probe) {
			p.need(p.bench.CutPower != nil, "the bench cannot cut the power at a write")
			dice := mathrand.New(mathrand.NewPCG(3, 4))
			var kept []*credential
			for range p.endurance(100) {
				p.cut(1+dice.IntN(4), dice.IntN(2) == 0)
				for range 3 {
					params := p.mc()
					if p.option("rk") == true && len(kept) < 15 && dice.IntN(3) == 0 {
						params = p.mc(discoverable())
					}
					r := p.call(cmdMakeCredential, params)
					if r.lost || r.status != success {
						break
					}
					kept = append(kept, p.created(params, r))
					if r := p.call(cmdGetAssertion, kept[dice.IntN(len(kept))].ga()); r.lost || r.status != success {
						break
					}
				}
				p.restore()
				p.getInfo()
				for range min(3, len(kept)) {
					p.assert(kept[dice.IntN(len(kept))])
				}
			}
			for _, c := range kept {
				p.check(p.works(c), "a credential is gone")
			}
		},
		"STA-005": func(p *probe) {
			c := p.register()
			counts := []uint32{p.assert(c).data.counter}
			for range 3 {
				p.powerCycle()
				counts = append(counts, p.assert(c).data.counter)
			}
			p.counters(counts...)
		},
		"STA-006": func(p *probe) {
			p.needRK()
			p.cutDuring(func() any {
				p.names++
				return p.register(discoverable(), rpID(string(rune('a'+p.names))+"."+p.rp()))
			}, func(v any) {
				c := v.(*credential)
				p.call(cmdMakeCredential, p.mc(discoverable(), rpID(c.rp), set(c.userID, 3, "id")))
			}, func(v any) {
				n := p.discoverables(v.(*credential).rp)
				p.check(n == 1, "%d credentials", n)
			})
		},
		"STA-007": func(p *probe) {
			p.dirty()
			other := p.otherPIN()
			p.cutDuring(func() any { return p.agree().changePINParams(p.pin, other) }, func(v any) {
				p.call(cmdClientPIN, v)
			}, func(any) {
				a, b := p.enterPIN(p.pin).status == success, p.enterPIN(other).status == success
				p.check(a != b, "old PIN works: %v, new PIN works: %v", a, b)
				if b {
					p.pin, other = other, p.pin
				}
				p.recoverPIN()
			})
		},
		"STA-008": func(p *probe) {
			p.needRK()
			before := p.remaining()
			p.touch(TouchDecline)
			p.call(cmdMakeCredential, p.mc(discoverable()))
			if p.wire != nil {
				p.untouched(request(cmdMakeCredential, p.mc(discoverable())))
				p.cancelled()
			}
			p.withhold()
			p.call(cmdMakeCredential, p.mc(discoverable()))
			p.check(p.remaining() == before, "remaining %d, then %d", before, p.remaining())
			p.touch(TouchAlways)
			p.fillStore()
			full := p.remaining()
			p.want(p.call(cmdMakeCredential, p.mc(discoverable())), eKeyStoreFull)
			p.check(p.remaining() == full, "remaining %d, then %d", full, p.remaining())
		},
		"STA-009": func(p *probe) {
			p.need(p.option("credMgmt") == true, "the key has no credMgmt")
			before := p.remaining()
			for range p.endurance(1000) {
				p.deleted(p.register(discoverable()))
			}
			p.check(p.remaining() == before, "remaining %d, then %d", before, p.remaining())
		},
		"STA-010": func(p *probe) {
			p.need(p.wire != nil, "no HID")
			a, b := p.cid, p.channel()
			defer func() { p.cid = a }()
			for i := range 20 {
				p.cid = []uint32{a, b}[i%2]
				c := p.register()
				p.cid = []uint32{b, a}[i%2]
				p.assert(c)
				p.getInfo()
				p.seriesEnded()
			}
		},
		"STA-011": func(p *probe) {
			var worst, second time.Duration
			for start := time.Now(); time.Since(start) < time.Minute; p.wait(100 * time.Millisecond) {
				sent := time.Now()
				p.getInfo()
				if p.wire != nil {
					p.usable()
				}
				if p.option("clientPin") != nil {
					p.retries()
				}
				took := time.Since(sent)
				worst, second = max(worst, took), max(second, min(worst, took))
			}
			p.check(second < time.Second && worst < 3*time.Second, "rounds took %v and %v", worst, second)
			if worst >= time.Second {
				p.warn("one round took %v: the key, or a system that was busy", worst)
			}
			p.note("observed: the longest round took %v", worst)
		},
		"STA-012": func(p *probe) {
			c := p.register()
			life := p.usageWindow()
			t := p.token(permGA, c.rp)
			p.wait(life - time.Second)
			p.check(p.alive(t, c), "the token ended before its time")
			t = p.token(permGA, c.rp)
			p.wait(life + time.Second)
			p.deadToken(t, c)
			s := p.series()
			p.wait(29 * time.Second)
			s.next(p)
			p.wait(31 * time.Second)
			p.seriesEnded()
			if p.wire == nil {
				return
			}
			p.wire.send(p.cid, hidLock, []byte{2})
			if in := p.next(answerTime); in == nil || in.cmd != hidLock {
				return
			}
			b := p.channelWhileLocked()
			p.wait(1900 * time.Millisecond)
			p.wire.send(b, hidPing, []byte("b"))
			p.fault(b, faultBusy)
			p.wait(200 * time.Millisecond)
			p.echoed(b, []byte("b"))
		},
		"STA-013": func(p *probe) {
			p.released()
			p.dirty()
			if p.option("authnrCfg") == true {
				if p.option("setMinPINLength") == true {
					params := m{1: p.minPIN() + 1}
					if p.extension("minPinLength") {
						params[2] = []any{rplistRPID}
					}
					p.configure(3, params)
				}
				if p.option("alwaysUv") != nil {
					p.configure(2, nil)
				}
			}
			var array []byte
			if p.option("largeBlobs") == true {
				array = p.blobArray(100)
				p.writeArray(array)
			}
			p.want(p.wrong(), ePINInvalid)
			before, left := p.getInfo(), p.retries()
			p.powerCycle()
			p.check(same(before, p.getInfo()), "getInfo %v, then %v", before, p.getInfo())
			p.check(p.retries() == left, "retries %d, then %d", left, p.retries())
			if array != nil {
				p.check(string(p.readArray()) == string(array), "the large-blob array changed")
			}
			if p.extension("minPinLength") && p.option("setMinPINLength") == true {
				c := p.register(rpID(rplistRPID), extension("minPinLength", true))
				p.check(c.data.extensions["minPinLength"] != nil, "the RP list is gone")
			}
		},
		"STA-014": func(p *probe) {
			p.needRK()
			p.need(p.option("credMgmt") == true, "the key has no credMgmt")
			p.deleted(p.fillStore())
			p.register(discoverable())
		},
	}
}

// channelWhileLocked allocates a channel where INIT may be told that the key is
// busy.
func (p *probe) channelWhileLocked() uint32 {
	in := p.init(broadcast, p.random(8))
	p.need(in != nil && in.cmd == hidInit, "INIT is refused while the key is locked")
	return be32(in.payload[8:])
}
