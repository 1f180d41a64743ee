package conformance

// told is the output of an extension at registration for an RP.
func (p *probe) told(rp, name string) any {
	return p.register(rpID(rp), extension(name, true)).data.extensions[name]
}

// payment registers with or without thirdPartyPayment and gives the output at
// assertion.
func (p *probe) payment(asked bool, edits ...edit) any {
	if asked {
		edits = append(edits, extension("thirdPartyPayment", true))
	}
	return p.assert(p.register(edits...), set(true, 4, "thirdPartyPayment")).data.extensions["thirdPartyPayment"]
}

// uvmEntries checks the form of a uvm output and returns its entries.
func (p *probe) uvmEntries(v any) [][]any {
	var entries [][]any
	for _, e := range list(v) {
		entry := list(e)
		p.check(len(entry) == 3 && num(entry[0]) > 0 && num(entry[1]) > 0 && num(entry[2]) > 0, "uvm %v", v)
		entries = append(entries, entry)
	}
	p.check(len(entries) >= 1 && len(entries) <= 3, "uvm %v", v)
	return entries
}

// Methods of the FIDO registry of predefined values, section 3.1.
const (
	methodPresence         = 0x001
	methodPasscodeInternal = 0x004
	methodPasscodeExternal = 0x800
)

func xmpCases() cases {
	return cases{
		"XMP-001": func(p *probe) {
			v := p.told(rplistRPID, "minPinLength")
			p.check(num(v) == int64(p.minPIN()), "output %v, getInfo %d", v, p.minPIN())
		},
		"XMP-002": func(p *probe) {
			v := p.told("not."+p.rp(), "minPinLength")
			p.check(v == nil, "output %v", v)
		},
		"XMP-003": func(p *probe) {
			for name, input := range inOrder(map[string]any{"false": false, "number": 4}) {
				p.each(name, func(p *probe) {
					params := p.mc(extension("minPinLength", input))
					r := p.call(cmdMakeCredential, params)
					p.want(r, eInvalidOption, eUnexpectedType, success)
					if r.status == success {
						c := p.created(params, r)
						p.check(c.data.extensions["minPinLength"] == nil, "output %v", c.data.extensions)
					}
					p.note("observed: %v", r.status)
				})
			}
		},
		"XMP-004": func(p *probe) {
			p.dirty()
			least := p.minPIN() + 1
			p.configure(3, m{1: least})
			if p.getInfo()[infoForcePINChange] == true {
				p.want(p.tryChangePIN(p.pin, p.pinOf(least+2)), success)
			}
			v := p.told(rplistRPID, "minPinLength")
			p.check(num(v) == int64(least), "output %v, minimum %d", v, least)
		},
		"XMP-005": func(p *probe) {
			v := p.told(rplistRPID, "pinComplexityPolicy")
			p.check(v == p.info[infoPINComplexityPolicy], "output %v, getInfo %v", v, p.info[infoPINComplexityPolicy])
		},
		"XMP-006": func(p *probe) {
			v := p.told("not."+p.rp(), "pinComplexityPolicy")
			p.check(v == nil, "output %v", v)
		},
		"XMP-007": func(p *probe) {
			v := p.payment(true, discoverable())
			p.check(v == true, "output %v", v)
		},
		"XMP-008": func(p *probe) {
			v := p.payment(false, discoverable())
			p.check(v == false, "output %v", v)
		},
		"XMP-009": func(p *probe) {
			with, without := p.payment(true), p.payment(false)
			p.check(with == true && without == false, "asked: %v, not asked: %v", with, without)
		},
		"XMP-010": func(p *probe) {
			a := p.assertUV(p.register(), set(true, 4, "uvm"))
			pin := false
			for _, e := range p.uvmEntries(a.data.extensions["uvm"]) {
				pin = pin || num(e[0]) == methodPasscodeExternal || num(e[0]) == methodPasscodeInternal
			}
			p.check(pin, "uvm %v names no PIN", a.data.extensions["uvm"])
		},
		"XMP-011": func(p *probe) {
			a := p.assert(p.register(), set(true, 4, "uvm"))
			presence := false
			for _, e := range p.uvmEntries(a.data.extensions["uvm"]) {
				presence = presence || num(e[0]) == methodPresence
			}
			p.check(presence, "uvm %v does not name presence", a.data.extensions["uvm"])
		},
	}
}
