package conformance

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fidokey/fidokey/ctap2"
)

const pollTime = 100 * time.Millisecond

// onReader runs a case on the reader.
func onReader(f func(p *probe)) func(*probe) {
	return func(p *probe) {
		p.onCard()
		f(p)
	}
}

// ctap sends a CTAP message in one short APDU and returns the whole answer.
func (p *probe) ctap(msg []byte) (data []byte, sw int) {
	data, sw = p.transmit(shortAPDU(claCTAP, insMessage, 0, 0, msg, 0))
	return p.rest(data, &sw, 0), sw
}

// answered checks a status word and a CTAP status.
func (p *probe) answered(data []byte, sw int, want status) {
	if len(data) > 0 {
		p.observe(status(data[0]).String())
	}
	p.check(sw == swOK && len(data) > 0 && status(data[0]) == want, "status word %04x, status %x; expected %v", sw, data[:min(1, len(data))], want)
}

// refusal checks that an APDU is refused.
func (p *probe) refusal(sw int) {
	p.observe(fmt.Sprintf("SW %04X", sw))
	p.check(sw>>8 >= 0x62 && sw>>8 < 0x90, "status word %04x is no refusal", sw)
}

// sw checks a status word.
func (p *probe) sw(got int, want ...int) {
	p.observe(fmt.Sprintf("SW %04X", got))
	p.check(slices.Contains(want, got), "status word %04x, expected %04x", got, want)
}

// chained sends a message in blocks of some sizes, the last size again and again.
func (p *probe) chained(msg []byte, sizes ...int) (data []byte, sw int) {
	for i := 0; ; i++ {
		n := sizes[min(i, len(sizes)-1)]
		if n >= len(msg) {
			data, sw = p.transmit(shortAPDU(claCTAP, insMessage, 0, 0, msg, 0))
			return p.rest(data, &sw, 0), sw
		}
		_, sw := p.transmit(shortAPDU(claCTAP|claChain, insMessage, 0, 0, msg[:n], -1))
		p.sw(sw, swOK)
		msg = msg[n:]
	}
}

// longMC is a makeCredential of more than 255 bytes.
func (p *probe) longMC() []byte {
	return request(cmdMakeCredential, p.mc(set(strings.Repeat("long ", 60), 3, "displayName")))
}

// longReply sends what has an answer of more than 256 bytes, in a short APDU.
func (p *probe) longReply() (data []byte, sw int) {
	for _, msg := range [][]byte{{cmdGetInfo}, request(cmdMakeCredential, p.mc(set(descriptors(), 5)))} {
		if msg[0] == cmdMakeCredential {
			msg = request(cmdMakeCredential, edited(p.mc(), drop(2, "name"), drop(3, "name"), drop(3, "displayName")))
		}
		if data, sw = p.transmit(shortAPDU(claCTAP, insMessage, 0, 0, msg, 0)); sw>>8 == 0x61 {
			return data, sw
		}
	}
	p.need(false, "no answer is longer than 256 bytes")
	return nil, 0
}

// wholeReply checks that an answer of several parts is whole.
func (p *probe) wholeReply(data []byte, sw int) {
	p.check(sw == swOK && len(data) > 256 && data[0] == 0, "status word %04x, %d bytes", sw, len(data))
	var body map[int]any
	err := decMode.Unmarshal(data[1:], &body)
	p.check(err == nil, "the parts do not join: %v", err)
}

// wrongLength sends what a reader may refuse to send.
func wrongLength(apdu []byte) func(*probe) {
	return onReader(func(p *probe) {
		_, sw, err := p.tryTransmit(apdu)
		p.need(err == nil, "the reader does not send it: %v", err)
		p.sw(sw, swLength)
	})
}

// deferred sends a makeCredential that nobody touches the key for, and returns
// when the key says that it works on it.
func (p *probe) deferred() (data []byte, sw int) {
	p.onCard()
	p.register() // uses up the touch of the field
	p.withhold()
	data, sw = p.transmit(extendedAPDU(claCTAP, insMessage, 0x80, 0, request(cmdMakeCredential, p.mc())))
	p.need(sw == swUpdate, "the key does not defer: %04x", sw)
	p.check(len(data) == 1 && (data[0] == 1 || data[0] == 2), "status update %x", data)
	return data, sw
}

func nfcCases() cases {
	return cases{
		"NFC-001": onReader(func(p *probe) {
			p.need(p.version("U2F_V2"), "the key has no U2F")
			p.check(string(p.selectApplet()) == "U2F_V2", "another answer")
		}),
		"NFC-002": onReader(func(p *probe) { p.check(string(p.selectApplet()) == "FIDO_2_0", "another answer") }),
		"NFC-003": func(p *probe) {
			p.field()
			_, sw := p.transmit(shortAPDU(claISO, insSelect, 4, 0, []byte{0xa0, 0, 0, 6, 0x47, 0x2f, 0, 0x7f}, 0))
			p.sw(sw, swNotFound)
			_, sw = p.transmit(shortAPDU(claCTAP, insMessage, 0, 0, []byte{cmdGetInfo}, 0))
			p.refusal(sw)
		},
		"NFC-004": func(p *probe) {
			p.field()
			_, sw := p.transmit(extendedAPDU(claCTAP, insMessage, 0, 0, []byte{cmdGetInfo}))
			if sw == swOK {
				p.warn("the applet is selected by default")
				return
			}
			p.refusal(sw)
		},
		"NFC-005": onReader(func(p *probe) {
			data, sw := p.ctap([]byte{cmdGetInfo})
			p.answered(data, sw, success)
		}),
		"NFC-006": onReader(func(p *probe) {
			data, sw := p.transmit(extendedAPDU(claCTAP, insMessage, 0, 0, []byte{cmdGetInfo}))
			p.answered(data, sw, success)
		}),
		"NFC-007": onReader(func(p *probe) {
			data, sw := p.transmit(extendedAPDU(claCTAP, insMessage, 0, 0, p.longMC()))
			p.answered(data, sw, success)
		}),
		"NFC-008": onReader(func(p *probe) {
			data, sw := p.chained(p.longMC(), 255)
			p.answered(data, sw, success)
		}),
		"NFC-009": onReader(func(p *probe) {
			data, sw := p.chained(p.longMC(), 1, 254, 2, 100, 1, 77)
			p.answered(data, sw, success)
		}),
		"NFC-010": onReader(func(p *probe) {
			msg := p.longMC()[:400]
			_, sw := p.transmit(shortAPDU(claCTAP|claChain, insMessage, 0, 0, msg[:200], -1))
			p.sw(sw, swOK)
			_, sw = p.transmit(shortAPDU(claCTAP, insControl+1, 0, 0, msg[200:], 0))
			p.refusal(sw)
			data, sw := p.transmit(shortAPDU(claCTAP, insMessage, 0, 0, msg[200:], 0))
			p.check(sw != swOK || data[0] != 0, "the chain goes on")
		}),
		"NFC-011": onReader(func(p *probe) {
			_, sw := p.transmit(shortAPDU(claCTAP|claChain, insMessage, 0, 0, p.longMC()[:200], -1))
			p.sw(sw, swOK)
			p.selectApplet()
			data, sw := p.ctap([]byte{cmdGetInfo})
			p.answered(data, sw, success)
		}),
		"NFC-012": onReader(func(p *probe) {
			data, sw := p.longReply()
			data = p.rest(data, &sw, 0)
			p.wholeReply(data, sw)
		}),
		"NFC-013": onReader(func(p *probe) {
			data, _ := p.longReply()
			more, sw := p.transmit([]byte{claISO, insISOResponse, 0, 0, 10})
			p.check(len(more) == 10 && sw>>8 == 0x61, "%d bytes, status word %04x", len(more), sw)
			data = append(bytes.Clone(data), more...)
			data = append(data, p.rest(nil, &sw, 0)...)
			p.wholeReply(data, sw)
		}),
		"NFC-014": onReader(func(p *probe) {
			_, sw := p.transmit([]byte{claISO, insISOResponse, 0, 0, 0})
			p.refusal(sw)
		}),
		"NFC-015": onReader(func(p *probe) {
			msg := []byte{cmdGetInfo}
			if _, sw := p.transmit(shortAPDU(claCTAP, insMessage, 0, 0, msg, 0)); sw == swOK {
				msg = p.longMC()
			}
			data, sw := p.transmit(extendedAPDU(claCTAP, insMessage, 0, 0, msg))
			p.wholeReply(data, sw)
		}),
		"NFC-016": onReader(func(p *probe) {
			_, sw := p.transmit(shortAPDU(claCTAP, 0x55, 0, 0, []byte{1}, 0))
			p.sw(sw, swUnknownINS)
		}),
		"NFC-017": onReader(func(p *probe) {
			_, sw := p.transmit(extendedAPDU(claCTAP, 0x55, 0, 0, []byte{1}))
			p.sw(sw, swUnknownINS)
		}),
		"NFC-018": onReader(func(p *probe) {
			_, sw := p.transmit(shortAPDU(0x60, insMessage, 0, 0, []byte{cmdGetInfo}, 0))
			p.sw(sw, swClass)
		}),
		"NFC-019": wrongLength([]byte{claCTAP, insMessage, 0, 0, 5, cmdGetInfo}),
		"NFC-020": wrongLength([]byte{claCTAP, insMessage, 0, 0, 0, 0, 5, cmdGetInfo, 0, 0}),
		"NFC-021": onReader(func(p *probe) {
			for _, p1p2 := range [][2]byte{{0x01, 0}, {0, 0x33}} {
				data, sw := p.transmit(extendedAPDU(claCTAP, insMessage, p1p2[0], p1p2[1], []byte{cmdGetInfo}))
				if sw == swOK {
					p.answered(data, sw, success)
				} else {
					p.sw(sw, swWrongP1P2, swWrongP1P2x)
				}
				p.note("observed: P1 P2 %x: %04x", p1p2, sw)
			}
		}),
		"NFC-022": onReader(func(p *probe) {
			data, sw := p.transmit([]byte{claCTAP, insMessage, 0, 0, 0})
			p.check(sw == swLength || sw == swOK && len(data) > 0 && data[0] != 0, "status word %04x, data %x", sw, data)
		}),
		"NFC-023": func(p *probe) {
			p.need(p.level(21), "the key claims no FIDO_2_1")
			data, sw := p.deferred()
			p.touch(TouchAlways)
			for i := 0; sw == swUpdate && i < 600; i++ {
				p.check(len(data) == 1, "status update %x", data)
				p.wait(pollTime)
				data, sw = p.transmit(extendedAPDU(claCTAP, insGetResponse, 0, 0, nil))
			}
			p.answered(data, sw, success)
		},
		"NFC-024": func(p *probe) {
			p.need(p.level(21), "the key claims no FIDO_2_1")
			p.deferred()
			data, sw := p.transmit(extendedAPDU(claCTAP, insGetResponse, 0x11, 0, nil))
			for i := 0; sw == swUpdate && i < 50; i++ {
				p.wait(pollTime)
				data, sw = p.transmit(extendedAPDU(claCTAP, insGetResponse, 0, 0, nil))
			}
			p.answered(data, sw, eCancel)
		},
		"NFC-025": onReader(func(p *probe) {
			p.need(p.level(21), "the key claims no FIDO_2_1")
			_, sw := p.transmit([]byte{claCTAP, insControl, 1, 0})
			p.sw(sw, swOK)
			p.applet = false
			_, sw = p.transmit(extendedAPDU(claCTAP, insMessage, 0, 0, []byte{cmdGetInfo}))
			if sw == swOK {
				p.warn("the key goes on without SELECT")
				return
			}
			p.refusal(sw)
		}),
		"NFC-026": onReader(func(p *probe) {
			l := list(p.getInfo()[infoTransports])
			p.need(l != nil, "getInfo has no transports")
			p.check(slices.Contains(l, any("nfc")), "transports %v", l)
		}),
		"NFC-027": onReader(func(p *probe) {
			p.series()
			p.field()
			p.selectApplet()
			p.seriesEnded()
		}),
		"NFC-028": onReader(func(p *probe) {
			c := p.register()
			t := p.token(permGA, c.rp)
			p.field()
			p.selectApplet()
			p.deadToken(t, c)
		}),
		"NFC-029": onReader(func(p *probe) {
			c := p.register()
			p.field()
			p.selectApplet()
			r := p.call(cmdReset, nil)
			p.want(r, eDenied, eNotAllowed, eInvalidCommand)
			if r.status != eDenied {
				p.warn("%v where %v is right", r.status, ctap2.Status(eDenied))
			}
			p.check(p.works(c), "the credential is gone")
		}),
		"NFC-030": func(p *probe) {
			p.viaCard = true
			p.field()
			first := p.selectApplet()
			s := p.series()
			p.check(bytes.Equal(p.selectApplet(), first), "another answer to SELECT")
			r := p.call(cmdGetNextAssertion, nil)
			p.note("observed: %v", r.status)
			if r.status != eNotAllowed {
				p.asserted(s.params, r, s.credentials...)
			}
		},
	}
}
