package conformance

// protectedBy makes a credential of a level.
func (p *probe) protectedBy(level int, edits ...edit) *credential {
	c := p.register(append(edits, extension("credProtect", level))...)
	p.check(num(c.data.extensions["credProtect"]) == int64(level), "asked for level %d, got %v", level, c.data.extensions)
	return c
}

// atLevel runs a check on a discoverable credential of a level.
func atLevel(level int, check func(p *probe, c *credential)) func(*probe) {
	return func(p *probe) { check(p, p.protectedBy(level, discoverable())) }
}

func xcpCases() cases {
	return cases{
		"XCP-001": func(p *probe) {
			for level := 1; level <= 3; level++ {
				p.protectedBy(level)
			}
		},
		"XCP-002": func(p *probe) {
			p.each("0", mcCase(extension("credProtect", 0)))
			p.each("4", mcCase(extension("credProtect", 4)))
		},
		"XCP-003": mcCase(extension("credProtect", "1")),
		"XCP-004": func(p *probe) {
			c := p.register()
			p.check(c.data.extensions["credProtect"] == nil, "output %v", c.data.extensions)
			p.assert(c)
		},
		"XCP-005": atLevel(1, func(p *probe, c *credential) { p.find(c.rp, []*credential{c}, false) }),
		"XCP-006": atLevel(2, func(p *probe, c *credential) { p.judged(cmdGetAssertion, p.ga(c.rp, nil)) }),
		"XCP-007": atLevel(2, func(p *probe, c *credential) { p.assert(c) }),
		"XCP-008": atLevel(3, func(p *probe, c *credential) { p.judged(cmdGetAssertion, c.ga()) }),
		"XCP-009": atLevel(3, func(p *probe, c *credential) { p.assertUV(c) }),
		"XCP-010": func(p *probe) {
			var all []*credential
			for level := 1; level <= 3; level++ {
				all = append(all, p.protectedBy(level, discoverable()))
			}
			found := p.find(p.rp(), all, true)
			p.check(len(found) == 3, "%d found", len(found))
		},
		"XCP-011": atLevel(2, func(p *probe, c *credential) { p.touched(cmdMakeCredential, p.mc(exclude(c.id))) }),
		"XCP-012": atLevel(3, func(p *probe, c *credential) {
			p.need(p.pin == "", "a PIN is set, and registration goes with a token")
			p.register(exclude(c.id))
		}),
		"XCP-013": atLevel(3, func(p *probe, c *credential) {
			p.judged(cmdMakeCredential, p.token(permMC, p.rp()).mc(p.mc(exclude(c.id))))
		}),
		"XCP-014": func(p *probe) {
			p.need(p.option("credMgmt") == true, "the key has no credMgmt")
			for level := 1; level <= 3; level++ {
				c := p.protectedBy(level, discoverable())
				p.check(num(p.listed(c)[0x0a]) == int64(level), "level %d is listed as %v", level, p.listed(c)[0x0a])
			}
		},
		"XCP-015": func(p *probe) {
			c := p.protectedBy(3)
			p.need(len(c.id) <= 255, "credential ID of %d bytes", len(c.id))
			p.sw(handleOf(c).check(p), swWrongData)
		},
		"XCP-016": func(p *probe) {
			one := p.protectedBy(1, discoverable())
			p.protectedBy(2, discoverable())
			params := p.ga(one.rp, nil)
			a := p.asserted(params, p.call(cmdGetAssertion, params), one)
			p.check(a.body[5] == nil, "numberOfCredentials %v", a.body[5])
		},
	}
}
