package conformance

import (
	"bytes"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"time"
)

// init sends INIT with a nonce and returns what comes back.
func (p *probe) init(cid uint32, nonce []byte) *message {
	p.wire.send(cid, hidInit, nonce)
	return p.next(answerTime)
}

// next waits for the next message.
func (p *probe) next(limit time.Duration) *message {
	return p.wire.message(limit)
}

// channel allocates another channel.
func (p *probe) channel() uint32 {
	in := p.init(broadcast, p.random(8))
	p.check(in != nil && in.cmd == hidInit && len(in.payload) == 17, "INIT on broadcast: %v", in)
	return be32(in.payload[8:])
}

// capabilities are those of INIT.
func (p *probe) capabilities() byte {
	in := p.init(p.cid, p.random(8))
	p.check(in != nil && in.cmd == hidInit && len(in.payload) == 17, "INIT: %v", in)
	return in.payload[16]
}

// echoed sends a PING that must come back, and returns the answer.
func (p *probe) echoed(cid uint32, payload []byte) *message {
	p.wire.send(cid, hidPing, payload)
	in := p.next(answerTime * 3)
	p.check(in != nil && in.cid == cid && in.cmd == hidPing && bytes.Equal(in.payload, payload), "PING of %s: %v", short(payload), in)
	return in
}

// usable checks that the device answers.
func (p *probe) usable() { p.echoed(p.cid, []byte("still there?")) }

// fault waits for an ERROR message on a channel.
func (p *probe) fault(cid uint32, codes ...byte) {
	in := p.next(answerTime)
	if in != nil && in.cmd == hidError && len(in.payload) == 1 {
		p.observe(fmt.Sprintf("CTAPHID error %s (%02x)", faultNames[in.payload[0]], in.payload[0]))
	}
	p.check(in != nil && in.cid == cid && in.cmd == hidError && len(in.payload) == 1 && bytes.IndexByte(codes, in.payload[0]) >= 0,
		"expected CTAPHID error %s on channel %08x, got %v", faults(codes), cid, in)
}

// faults names codes of ERROR messages.
func faults(codes []byte) string {
	var names []string
	for _, code := range codes {
		names = append(names, fmt.Sprintf("%s (%02x)", faultNames[code], code))
	}
	return strings.Join(names, " or ")
}

// silent checks that nothing comes.
func (p *probe) silent(limit time.Duration) {
	if in := p.next(limit); in != nil {
		p.fail("expected silence, got %v", in)
	}
}

// pingCase is a PING of some bytes, which fill one report and a number of others.
func pingCase(n int, full bool) func(*probe) {
	return func(p *probe) {
		n := n
		if full {
			n += p.wire.out - 7 // 57 for the usual size of a report
		}
		in, packets := p.echoed(p.cid, p.random(n)), 1
		for rest := n - (p.wire.in - 7); rest > 0; rest -= p.wire.in - 5 {
			packets++
		}
		p.check(in.packets == packets, "answer in %d reports, not %d", in.packets, packets)
	}
}

// longest is the length of the longest message: 7609 bytes for the usual size of
// a report.
func (w *wire) longest() int { return w.out - 7 + 128*(w.out-5) }

// faultCase sends one message and expects an ERROR on its channel.
func faultCase(cid uint32, cmd byte, size int, codes ...byte) func(*probe) {
	return func(p *probe) {
		cid := cid
		if cid == 1 {
			cid = p.cid
		}
		p.wire.send(cid, cmd, make([]byte, size))
		p.fault(cid, codes...)
		p.usable()
	}
}

// half sends the beginning of a PING of 200 bytes and returns the rest of it.
func (p *probe) half(cid uint32) (payload []byte, rest [][]byte) {
	payload = p.random(200)
	packets := p.wire.packets(cid, hidPing, payload)
	p.wire.write(packets[:2]...)
	return payload, packets[2:]
}

// finish sends the rest and expects the whole back.
func (p *probe) finish(cid uint32, payload []byte, rest [][]byte) {
	p.wire.write(rest...)
	in := p.next(answerTime)
	p.check(in != nil && in.cid == cid && bytes.Equal(in.payload, payload), "the half sent message: %v", in)
}

// sequence sends continuations in a wrong order.
func sequence(order ...byte) func(*probe) {
	return func(p *probe) {
		p.wire.write(p.wire.first(p.cid, hidPing, 500, make([]byte, 500)))
		for _, seq := range order {
			p.wire.write(p.wire.next(p.cid, seq, make([]byte, p.wire.out-5)))
		}
		p.fault(p.cid, faultSeq)
		p.usable()
	}
}

// untouched starts a command that waits for a touch which does not come, and
// returns after the first KEEPALIVE that asks for one.
func (p *probe) untouched(msg []byte) (sent time.Time, first *message) {
	p.withhold()
	sent = time.Now()
	p.wire.send(p.cid, hidCBOR, msg)
	for {
		in := p.next(answerTime)
		p.check(in != nil && in.cid == p.cid && in.cmd == hidKeepalive && len(in.payload) == 1, "expected KEEPALIVE, got %v", in)
		if in.payload[0] == 2 {
			return sent, in
		}
	}
}

// cancelled sends CANCEL and waits for the answer of the command.
func (p *probe) cancelled() reply {
	p.wire.send(p.cid, hidCancel, nil)
	r := p.answer(p.cid, nil)
	p.want(r, eCancel)
	return r
}

// waiting checks that the command of untouched still waits.
func (p *probe) waiting() {
	in := p.next(answerTime)
	p.check(in != nil && in.cid == p.cid && in.cmd == hidKeepalive, "expected KEEPALIVE, got %v", in)
}

// hasLock ends the case on a key without LOCK, and releases it.
func (p *probe) hasLock() {
	p.wire.send(p.cid, hidLock, []byte{0})
	in := p.next(answerTime)
	p.need(in == nil || in.cmd != hidError || in.payload[0] != faultCommand, "the key has no LOCK")
	p.check(in != nil && in.cmd == hidLock && len(in.payload) == 0, "LOCK 0: %v", in)
}

func (p *probe) lock(seconds byte) {
	p.hasLock()
	p.wire.send(p.cid, hidLock, []byte{seconds})
	in := p.next(answerTime)
	p.check(in != nil && in.cmd == hidLock && len(in.payload) == 0, "LOCK %d: %v", seconds, in)
}

func hidCases() cases {
	return cases{
		"HID-001": func(p *probe) {
			p.disconnect()
			port, err := p.bench.Port()
			p.check(err == nil, "%v", err)
			w := newWire(port, p.random)
			in := w.message(3 * time.Second)
			port.Close()
			p.check(in == nil, "heard %v", in)
			p.check(p.connect() == nil, "cannot connect again")
		},
		"HID-002": func(p *probe) {
			p.wire.write(p.wire.next(p.cid, 0, p.random(p.wire.out-5)))
			p.silent(answerTime)
			p.usable()
		},
		"HID-003": func(p *probe) {
			nonce := p.random(8)
			in := p.init(broadcast, nonce)
			p.check(in != nil && in.cid == broadcast && in.cmd == hidInit && len(in.payload) == 17, "INIT: %v", in)
			p.check(bytes.Equal(in.payload[:8], nonce), "nonce %x came back as %x", nonce, in.payload[:8])
			p.check(in.payload[12] == 2, "protocol version %d", in.payload[12])
		},
		"HID-004": func(p *probe) {
			cid := p.channel()
			p.check(cid != 0 && cid != broadcast, "channel %08x", cid)
		},
		"HID-005": func(p *probe) {
			a, b, c := p.channel(), p.channel(), p.channel()
			p.check(a != b && b != c && a != c, "channels %08x %08x %08x", a, b, c)
		},
		"HID-006": func(p *probe) {
			caps := p.capabilities()
			p.check(caps&^0x0d == 0 && caps&0x04 != 0, "capabilities %02x", caps)
		},
		"HID-007": func(p *probe) { p.wire.send(broadcast, hidInit, p.random(7)); p.fault(broadcast, faultLen); p.usable() },
		"HID-008": func(p *probe) { p.wire.send(broadcast, hidInit, p.random(9)); p.fault(broadcast, faultLen); p.usable() },
		"HID-009": func(p *probe) {
			in := p.init(p.cid, p.random(8))
			p.check(in != nil && in.cid == p.cid && len(in.payload) == 17 && be32(in.payload[8:]) == p.cid, "INIT: %v", in)
			p.usable()
		},
		"HID-010": func(p *probe) {
			p.half(p.cid)
			in := p.init(p.cid, p.random(8))
			p.check(in != nil && in.cid == p.cid && in.cmd == hidInit, "INIT: %v", in)
			p.silent(answerTime)
			p.usable()
		},
		"HID-011": func(p *probe) {
			payload, rest := p.half(p.cid)
			in := p.init(broadcast, p.random(8))
			p.check(in != nil && in.cid == broadcast && (in.cmd == hidInit || in.cmd == hidError && in.payload[0] == faultBusy), "INIT: %v", in)
			p.finish(p.cid, payload, rest)
		},
		"HID-012": pingCase(0, false),
		"HID-013": pingCase(1, false),
		"HID-014": pingCase(0, true),
		"HID-015": pingCase(1, true),
		"HID-016": pingCase(1024, false),
		"HID-017": func(p *probe) { p.echoed(p.cid, p.random(p.wire.longest())) },
		"HID-018": func(p *probe) { p.echoed(p.cid, append(make([]byte, 20), p.random(20)...)) },
		"HID-019": func(p *probe) {
			best := answerTime
			for range 3 { // a system that is busy is no slow key
				sent := time.Now()
				best = min(best, p.echoed(p.cid, p.random(1000)).at.Sub(sent))
			}
			p.check(best < 555*time.Millisecond, "took %v", best)
		},
		"HID-020": func(p *probe) {
			r := p.wire.first(p.cid, hidPing, 3, []byte("abc"))
			copy(r[10:], bytes.Repeat([]byte{0xa5}, p.wire.out))
			p.wire.write(r)
			in := p.next(answerTime)
			p.check(in != nil && in.cmd == hidPing && string(in.payload) == "abc", "PING: %v", in)
		},
		"HID-021": func(p *probe) {
			for _, size := range []int{p.wire.longest() + 1, 0xffff} {
				p.wire.write(p.wire.first(p.cid, hidPing, size, make([]byte, p.wire.out)))
				p.fault(p.cid, faultLen)
			}
			p.usable()
		},
		"HID-022": sequence(0, 2),
		"HID-023": sequence(0, 0),
		"HID-024": sequence(1),
		"HID-025": func(p *probe) {
			p.half(p.cid)
			p.wire.send(p.cid, hidPing, []byte("again"))
			p.fault(p.cid, faultSeq)
			p.wire.drain()
			p.usable()
		},
		"HID-026": func(p *probe) {
			packets := p.wire.packets(p.cid, hidPing, p.random(1024))
			sent := time.Now()
			p.wire.write(packets[:3]...)
			in := p.next(3 * time.Second)
			p.check(in != nil && in.cmd == hidError && in.payload[0] == faultTimeout, "expected MSG_TIMEOUT, got %v", in)
			if took := in.at.Sub(sent); took < 400*time.Millisecond || took > time.Second {
				p.warn("MSG_TIMEOUT after %v", took)
			}
			p.usable()
		},
		"HID-027": func(p *probe) {
			b := p.channel()
			payload, rest := p.half(p.cid)
			p.wire.send(b, hidPing, []byte("b"))
			p.fault(b, faultBusy)
			p.finish(p.cid, payload, rest)
		},
		"HID-028": func(p *probe) {
			b := p.channel()
			payload, rest := p.half(p.cid)
			p.wire.send(b, hidPing, []byte("b"))
			p.fault(b, faultBusy)
			p.finish(p.cid, payload, rest)
			p.echoed(b, []byte("now b"))
		},
		"HID-029": func(p *probe) {
			b := p.channel()
			p.untouched(request(cmdMakeCredential, p.mc()))
			p.wire.send(b, hidCBOR, []byte{cmdGetInfo})
			for {
				in := p.next(answerTime)
				if in != nil && in.cid == p.cid && in.cmd == hidKeepalive {
					continue
				}
				p.check(in != nil && in.cid == b && in.cmd == hidError && in.payload[0] == faultBusy, "expected CHANNEL_BUSY, got %v", in)
				break
			}
			p.cancelled()
		},
		"HID-030": faultCase(0, hidInit, 8, faultChannel),
		"HID-031": faultCase(0, hidPing, 4, faultChannel),
		"HID-032": faultCase(broadcast, hidPing, 4, faultChannel),
		"HID-033": faultCase(broadcast, hidCBOR, 1, faultChannel),
		"HID-034": faultCase(0x7e57c1d0, hidPing, 4, faultChannel),
		"HID-035": faultCase(1, 0x80|0x2a, 0, faultCommand),
		"HID-036": func(p *probe) {
			p.wire.send(p.cid, hidCBOR, nil)
			in := p.next(answerTime)
			p.check(in != nil && (in.cmd == hidError && in.payload[0] == faultLen ||
				in.cmd == hidCBOR && len(in.payload) == 1 && bytes.IndexByte([]byte{0x03, 0x01, 0x12}, in.payload[0]) >= 0), "got %v", in)
		},
		"HID-037": func(p *probe) {
			p.need(p.capabilities()&0x08 == 0, "the key has no U2F")
			p.wire.send(p.cid, hidMsg, nil)
			in := p.next(answerTime)
			p.check(in != nil && (in.cmd == hidError && in.payload[0] == faultLen || in.cmd == hidMsg && bytes.Equal(in.payload, []byte{0x67, 0})), "got %v", in)
		},
		"HID-038": func(p *probe) {
			p.need(p.capabilities()&0x08 != 0, "the key has U2F")
			p.wire.send(p.cid, hidMsg, []byte{0, 3, 0, 0, 0, 0, 0})
			p.fault(p.cid, faultCommand)
		},
		"HID-039": func(p *probe) {
			p.need(p.capabilities()&0x01 != 0, "the key has no WINK")
			p.wire.send(p.cid, hidWink, nil)
			in := p.next(answerTime)
			p.check(in != nil && in.cmd == hidWink && len(in.payload) == 0, "WINK: %v", in)
		},
		"HID-040": func(p *probe) {
			p.need(p.capabilities()&0x01 == 0, "the key has WINK")
			p.wire.send(p.cid, hidWink, nil)
			p.fault(p.cid, faultCommand)
		},
		"HID-041": func(p *probe) {
			p.wire.send(p.cid, hidCancel, nil)
			p.silent(answerTime)
			p.usable()
		},
		"HID-042": func(p *probe) {
			sent, first := p.untouched(request(cmdMakeCredential, p.mc()))
			p.check(first.at.Sub(sent) <= 500*time.Millisecond, "first KEEPALIVE after %v", first.at.Sub(sent))
			last, late := first.at, 0
			for range 20 {
				in := p.next(answerTime)
				p.check(in != nil && in.cmd == hidKeepalive && len(in.payload) == 1 && (in.payload[0] == 1 || in.payload[0] == 2), "expected KEEPALIVE, got %v", in)
				gap := in.at.Sub(last)
				if gap > 150*time.Millisecond {
					late++ // one may be a system that is busy
				}
				p.check(late < 2, "%v between two KEEPALIVEs", gap)
				if gap > 100*time.Millisecond {
					p.warn("%v between two KEEPALIVEs", gap)
				}
				last = in.at
			}
			p.cancelled()
		},
		"HID-043": func(p *probe) { p.untouched(request(cmdMakeCredential, p.mc())); p.cancelled() },
		"HID-044": func(p *probe) {
			p.untouched(request(cmdMakeCredential, p.mc()))
			p.cancelled()
			p.wire.send(p.cid, hidCancel, nil)
			p.silent(answerTime)
		},
		"HID-045": func(p *probe) {
			b := p.channel()
			p.untouched(request(cmdMakeCredential, p.mc()))
			p.wire.send(b, hidCancel, nil)
			for range 5 {
				p.waiting()
			}
			p.cancelled()
		},
		"HID-046": func(p *probe) {
			p.need(p.level(21), "the key claims no FIDO_2_1")
			p.untouched([]byte{cmdSelection})
			p.cancelled()
		},
		"HID-047": func(p *probe) {
			p.untouched(request(cmdMakeCredential, p.mc()))
			p.wire.send(p.cid, hidInit, p.random(8))
			for {
				in := p.next(answerTime)
				if in != nil && in.cmd == hidKeepalive {
					continue
				}
				p.check(in != nil && in.cid == p.cid && in.cmd == hidInit, "INIT: %v", in)
				break
			}
			p.silent(answerTime)
			p.usable()
		},
		"HID-048": func(p *probe) {
			b := p.channel()
			p.lock(0)
			p.echoed(b, []byte("not locked"))
		},
		"HID-049": func(p *probe) {
			b := p.channel()
			p.lock(8)
			p.wire.send(b, hidPing, []byte("b"))
			p.fault(b, faultBusy)
			in := p.init(broadcast, p.random(8))
			p.check(in != nil && (in.cmd == hidInit || in.cmd == hidError && in.payload[0] == faultBusy), "INIT while locked: %v", in)
			p.lock(0)
		},
		"HID-050": func(p *probe) {
			b := p.channel()
			p.lock(8)
			p.lock(0)
			p.echoed(b, []byte("b"))
		},
		"HID-051": func(p *probe) {
			b := p.channel()
			p.lock(1)
			p.wait(1500 * time.Millisecond)
			p.echoed(b, []byte("b"))
		},
		"HID-052": func(p *probe) { p.hasLock(); p.wire.send(p.cid, hidLock, []byte{11}); p.fault(p.cid, faultPar) },
		"HID-053": func(p *probe) {
			p.hasLock()
			p.wire.send(p.cid, hidLock, nil)
			p.fault(p.cid, faultLen)
			p.wire.send(p.cid, hidLock, []byte{0, 0})
			p.fault(p.cid, faultLen)
		},
		"HID-054": func(p *probe) {
			for range 200 {
				p.channel()
			}
			p.usable()
		},
		"HID-055": func(p *probe) {
			p.wire.write(make([]byte, p.wire.out))
			if in := p.next(answerTime); in != nil {
				p.check(in.cmd == hidError && in.payload[0] == faultChannel, "got %v", in)
			}
			p.usable()
		},
		"HID-056": func(p *probe) {
			p.released() // some may be a vendor's commands, which can do anything
			noise := mathrand.New(mathrand.NewPCG(1, 2))
			report := make([]byte, p.wire.out)
			for i := range 10000 {
				for j := range report {
					report[j] = byte(noise.Uint32())
				}
				if i%4 == 0 && report[4] != hidCBOR && report[4] != hidMsg { // at times on our channel
					copy(report, p.wire.first(p.cid, report[4], int(report[6])&^0x80, nil)[:7])
				}
				p.wire.write(report)
				for {
					in := p.wire.message(time.Millisecond)
					if in == nil {
						break
					}
					p.check(in.packets > 0, "malformed reply %v", in)
				}
			}
			p.wire.drain()
			p.disconnect()
			p.check(p.connect() == nil, "the key does not answer INIT any more")
			p.usable()
		},
	}
}
