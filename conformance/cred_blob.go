package conformance

import "bytes"

// withBlob makes a discoverable credential with a blob that is taken.
func (p *probe) withBlob(b []byte, edits ...edit) *credential {
	c := p.register(append(edits, discoverable(), extension("credBlob", b))...)
	p.check(c.data.extensions["credBlob"] == true, "output %v", c.data.extensions)
	return c
}

// blobOf reads the blob at assertion.
func (p *probe) blobOf(c *credential) []byte {
	v := p.assert(c, set(true, 4, "credBlob")).data.extensions["credBlob"]
	b, ok := v.([]byte)
	p.check(ok, "credBlob %v", v)
	return b
}

// credBlobSeries checks that each answer of a series has the blob of its
// credential.
func (p *probe) credBlobSeries() {
	p.needRK()
	var all []*credential
	blobs := map[string][]byte{}
	for range 3 {
		b := p.random(32)
		c := p.withBlob(b)
		all, blobs[string(c.id)] = append(all, c), b
	}
	for _, got := range p.find(p.rp(), all, false, set(true, 4, "credBlob")) {
		p.check(bytes.Equal(blob(got.data.extensions["credBlob"]), blobs[string(got.id)]), "blob %v", got.data.extensions)
	}
}

func (p *probe) maxCredBlob() int { return int(num(p.present(infoMaxCredBlobLength))) }

func xcbCases() cases {
	return cases{
		"XCB-001": func(p *probe) {
			b := p.random(32)
			p.check(bytes.Equal(p.blobOf(p.withBlob(b)), b), "another blob")
		},
		"XCB-002": func(p *probe) {
			c := p.register(discoverable(), extension("credBlob", p.random(p.maxCredBlob()+1)))
			p.check(c.data.extensions["credBlob"] == false, "output %v", c.data.extensions)
			p.assert(c)
		},
		"XCB-003": func(p *probe) { p.withBlob(p.random(p.maxCredBlob())) },
		"XCB-004": func(p *probe) {
			c := p.register(discoverable(), extension("credBlob", []byte{}))
			_, boolean := c.data.extensions["credBlob"].(bool)
			p.check(boolean, "output %v", c.data.extensions)
			p.check(len(p.blobOf(c)) == 0, "a blob that is not empty")
		},
		"XCB-005": func(p *probe) {
			c := p.register(extension("credBlob", p.random(32)))
			v := c.data.extensions["credBlob"]
			p.check(v == false || v == true, "output %v", v)
			if v == true {
				p.note("observed: kept")
			}
		},
		"XCB-006": func(p *probe) { p.check(len(p.blobOf(p.register(discoverable()))) == 0, "a blob that is not empty") },
		"XCB-007": mcCase(discoverable(), extension("credBlob", "text")),
		"XCB-008": gaCase(set(7, 4, "credBlob")),
		"XCB-009": func(p *probe) {
			p.need(p.extension("hmac-secret"), "the key has no hmac-secret")
			c := p.withBlob(p.random(32), extension("hmac-secret", true))
			p.check(c.data.extensions["hmac-secret"] == true, "outputs %v", c.data.extensions)
			p.check(bytes.HasSuffix(c.data.raw, encode(c.data.extensions)), "outputs are not canonical")
		},
		"XCB-010": func(p *probe) {
			b := p.random(32)
			c := p.withBlob(b)
			p.powerCycle()
			p.check(bytes.Equal(p.blobOf(c), b), "another blob")
		},
	}
}
