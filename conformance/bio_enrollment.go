package conformance

import (
	"bytes"
	"strings"
)

// enroll enrolls a finger to the end and returns its template ID.
func (p *probe) enroll(f Finger) []byte {
	body := p.beginEnroll(f)
	id := blob(body[4])
	for range 50 {
		if num(body[6]) == 0 {
			p.check(num(body[5]) == 0, "the last sample has status %v", body[5])
			p.info = p.getInfo()
			return id
		}
		left := num(body[6])
		body = p.bio(2, m{1: id})
		p.check(num(body[6]) >= 0 && num(body[6]) <= left, "remaining samples %d, then %v", left, body[6])
	}
	p.fail("enrollment does not end")
	return nil
}

// beginEnroll is enrollBegin with a finger on the sensor.
func (p *probe) beginEnroll(f Finger) map[int]any {
	p.finger(f)
	body := p.bio(1, nil)
	p.check(len(blob(body[4])) > 0 && num(body[5]) >= 0 && num(body[6]) >= 0, "answer %v", body)
	return body
}

// bio is a bioEnrollment with a token for be that must succeed.
func (p *probe) bio(sub int, subParams any) map[int]any {
	return p.ok(cmdBioEnrollment, p.token(permBE, "").enroll(sub, subParams))
}

// enrolling is one that is changed and judged.
func enrolling(sub int, subParams any, edits ...edit) func(*probe) {
	return func(p *probe) {
		p.judged(cmdBioEnrollment, edited(p.token(permBE, "").enroll(sub, subParams), edits...))
	}
}

// templates are the names of the enrolled fingers by template ID.
func (p *probe) templates() map[string]any {
	r := p.call(cmdBioEnrollment, p.token(permBE, "").enroll(4, nil))
	if r.status == eInvalidOption {
		return nil
	}
	p.want(r, success)
	found := map[string]any{}
	for _, v := range list(r.body[7]) {
		found[string(blob(asMap(v)[int64(1)]))] = asMap(v)[int64(2)]
	}
	return found
}

// finger1 has one finger enrolled.
func (p *probe) finger1() {
	p.need(p.bench.Finger != nil, "the bench has no fingers")
	if len(p.templates()) == 0 {
		p.enroll(FingerFirst)
	}
	p.finger(FingerFirst)
	p.info = p.getInfo()
}

// noFingers removes all fingers.
func (p *probe) noFingers() {
	for id := range inOrder(p.templates()) {
		p.bio(6, m{1: []byte(id)})
	}
	p.info = p.getInfo()
}

// friendlyLimit is the longest name in bytes.
func (p *probe) friendlyLimit() int {
	if n := num(p.ok(cmdBioEnrollment, m{1: 1, 2: 7})[8]); n > 0 {
		return int(n)
	}
	return 64
}

func bioCases() cases {
	return cases{
		"BIO-001": func(p *probe) { p.judged(cmdBioEnrollment, m{6: true}) },
		"BIO-002": func(p *probe) {
			body := p.ok(cmdBioEnrollment, m{6: true})
			p.check(num(body[1]) == 1, "modality %v", body[1])
		},
		"BIO-003": func(p *probe) {
			body := p.ok(cmdBioEnrollment, m{1: 1, 2: 7})
			p.check((num(body[2]) == 1 || num(body[2]) == 2) && num(body[3]) > 0 && num(body[8]) > 0, "sensor %v", body)
		},
		"BIO-004": enrolling(1, nil, drop(4), drop(5)),
		"BIO-005": func(p *probe) { p.judged(cmdBioEnrollment, p.token(permGA, p.rp()).enroll(1, nil)) },
		"BIO-006": func(p *probe) {
			params := p.token(permBE, "").enroll(1, nil)
			p.judged(cmdBioEnrollment, edited(params, set(flip(blob(params[5])), 5)))
		},
		"BIO-007": enrolling(1, nil, drop(1)),
		"BIO-008": enrolling(1, nil, set(9, 1)),
		"BIO-009": func(p *probe) {
			p.beginEnroll(FingerSecond)
			p.ok(cmdBioEnrollment, m{1: 1, 2: 3})
		},
		"BIO-010": func(p *probe) {
			p.noFingers()
			p.enroll(FingerFirst)
		},
		"BIO-011": enrolling(2, m{1: []byte{1, 2, 3, 4}}),
		"BIO-012": func(p *probe) {
			id := blob(p.beginEnroll(FingerSecond)[4])
			p.want(p.call(cmdBioEnrollment, p.token(permBE, "").enroll(2, m{1: flip(id)})), eInvalidOption)
			p.ok(cmdBioEnrollment, m{1: 1, 2: 3})
		},
		"BIO-013": func(p *probe) {
			p.noFingers() // the sample is bad in itself, and not for being another finger's
			body := p.beginEnroll(FingerFirst)
			p.finger(FingerPoor)
			next := p.bio(2, m{1: blob(body[4])})
			p.check(num(next[5]) > 0 && num(next[6]) == num(body[6]), "sample %v, remaining %v, then %v", next[5], body[6], next[6])
			p.ok(cmdBioEnrollment, m{1: 1, 2: 3})
		},
		"BIO-014": func(p *probe) {
			body := p.beginEnroll(FingerSecond)
			p.finger(FingerNone)
			r := p.call(cmdBioEnrollment, p.token(permBE, "").enroll(2, m{1: blob(body[4]), 3: 2000}))
			p.want(r, success, eTimeout)
			p.check(r.status != success || num(r.body[5]) == 0x0d, "sample status %v", r.body[5])
			p.ok(cmdBioEnrollment, m{1: 1, 2: 3})
		},
		"BIO-015": func(p *probe) {
			p.judge(p.call(cmdBioEnrollment, m{1: 1, 2: 3}))
			p.beginEnroll(FingerSecond)
			p.judge(p.call(cmdBioEnrollment, m{1: 1, 2: 3}))
		},
		"BIO-016": func(p *probe) {
			p.noFingers()
			p.judged(cmdBioEnrollment, p.token(permBE, "").enroll(4, nil))
		},
		"BIO-017": func(p *probe) {
			p.noFingers()
			one, two := p.enroll(FingerFirst), p.enroll(FingerSecond)
			p.bio(5, m{1: one, 2: "thumb"})
			p.bio(5, m{1: two, 2: "index"})
			found := p.templates()
			p.check(len(found) == 2 && found[string(one)] == "thumb" && found[string(two)] == "index", "templates %v", found)
			p.noFingers()
		},
		"BIO-018": func(p *probe) {
			p.noFingers()
			id := p.enroll(FingerFirst)
			p.bio(5, m{1: id, 2: "thumb"})
			p.check(p.templates()[string(id)] == "thumb", "templates %v", p.templates())
		},
		"BIO-019": func(p *probe) {
			p.noFingers()
			id := p.enroll(FingerFirst)
			p.judged(cmdBioEnrollment, p.token(permBE, "").enroll(5, m{1: id, 2: strings.Repeat("n", p.friendlyLimit()+1)}))
		},
		"BIO-020": enrolling(5, m{1: []byte{1, 2, 3, 4}, 2: "thumb"}),
		"BIO-021": func(p *probe) {
			p.noFingers()
			id := p.enroll(FingerFirst)
			p.judge(p.call(cmdBioEnrollment, p.token(permBE, "").enroll(6, m{1: id})))
			p.check(len(p.templates()) == 0, "templates %v", p.templates())
		},
		"BIO-022": enrolling(6, m{1: []byte{1, 2, 3, 4}}),
		"BIO-023": func(p *probe) {
			p.noFingers()
			defer p.noFingers()
			for f := Finger(0); f < 50; f++ {
				p.finger(f)
				r := p.call(cmdBioEnrollment, p.token(permBE, "").enroll(1, nil))
				if r.status != success {
					p.judge(r)
					p.note("observed: %d fingers", f)
					return
				}
				id := blob(r.body[4])
				for left := num(r.body[6]); left > 0; {
					left = num(p.bio(2, m{1: id})[6])
				}
			}
			p.fail("no end of room")
		},
		"BIO-024": func(p *probe) {
			options := func(want bool) {
				o := asMap(p.getInfo()[infoOptions])
				p.check(o["bioEnroll"] == want && o["uv"] == want, "bioEnroll %v, uv %v", o["bioEnroll"], o["uv"])
			}
			p.noFingers()
			options(false)
			p.enroll(FingerFirst)
			options(true)
			p.noFingers()
			options(false)
		},
		"BIO-025": func(p *probe) { p.judged(cmdBioEnrollment, m{1: 1, 2: 0x7f}) },
		"BIO-026": func(p *probe) {
			p.need(p.option("userVerificationMgmtPreview") != nil, "the key has no userVerificationMgmtPreview")
			const preview = 0x40
			for _, params := range []m{{6: true}, {1: 1, 2: 7}} {
				old := p.ok(preview, params)
				if now := p.call(cmdBioEnrollment, params); now.status == success {
					p.check(bytes.Equal(encode(old), encode(now.body)), "old %v, new %v", old, now.body)
				}
			}
			p.want(p.call(preview, m{1: 1, 2: 1}), ePUATRequired)
		},
	}
}
