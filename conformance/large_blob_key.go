package conformance

import (
	"bytes"
	"compress/flate"
)

const largeBlobKey = "largeBlobKey"

// withBlobKey makes a discoverable credential with a largeBlobKey.
func (p *probe) withBlobKey() *credential {
	c := p.register(discoverable(), extension(largeBlobKey, true))
	p.check(len(blob(c.response[5])) == 32 && c.data.extensions[largeBlobKey] == nil, "key %v, outputs %v", c.response[5], c.data.extensions)
	return c
}

// withBlobStore makes a discoverable credential that supports largeBlob.
func (p *probe) withBlobStore(support string) *credential {
	c := p.register(discoverable(), extension("largeBlob", m{"support": support}))
	p.check(asMap(asMap(c.response[6])["largeBlob"])["supported"] == true, "unsigned outputs %v", c.response[6])
	return c
}

// written is what largeBlob says after a write.
func written(r reply) any { return asMap(asMap(r.body[8])["largeBlob"])["written"] }

// deflated is a blob as it travels.
func deflated(b []byte) m {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, flate.BestCompression)
	if _, err := w.Write(b); err != nil || w.Close() != nil {
		panic("a buffer takes all")
	}
	return m{"write": out.Bytes(), "originalSize": len(b)}
}

func xlbCases() cases {
	return cases{
		"XLB-001": func(p *probe) { p.withBlobKey() },
		"XLB-002": func(p *probe) {
			p.check(!bytes.Equal(blob(p.withBlobKey().response[5]), blob(p.withBlobKey().response[5])), "the same key twice")
		},
		"XLB-003": func(p *probe) {
			c := p.withBlobKey()
			a := p.assert(c, set(true, 4, largeBlobKey))
			p.check(bytes.Equal(blob(a.body[7]), blob(c.response[5])), "key %v, at registration %v", a.body[7], c.response[5])
		},
		"XLB-004": mcCase(discoverable(), extension(largeBlobKey, false)),
		"XLB-005": gaCase(set(false, 4, largeBlobKey)),
		"XLB-006": func(p *probe) {
			p.each("mc", mcCase(discoverable(), extension(largeBlobKey, 1)))
			p.each("ga", gaCase(set("true", 4, largeBlobKey)))
		},
		"XLB-007": mcCase(extension(largeBlobKey, true)),
		"XLB-008": func(p *probe) {
			a := p.assert(p.withBlobKey())
			p.check(a.body[7] == nil, "key %v", a.body[7])
		},
		"XLB-009": func(p *probe) {
			a := p.assert(p.register(discoverable()), set(true, 4, largeBlobKey))
			p.check(a.body[7] == nil, "key %v", a.body[7])
		},
		"XLB-010": func(p *probe) {
			all := []*credential{p.withBlobKey(), p.withBlobKey(), p.withBlobKey()}
			for _, a := range p.find(p.rp(), all, false, set(true, 4, largeBlobKey)) {
				for _, c := range all {
					p.check(!bytes.Equal(c.id, a.id) || bytes.Equal(blob(c.response[5]), blob(a.body[7])), "key %v of another credential", a.body[7])
				}
			}
		},
		"XLB-011": func(p *probe) {
			p.withBlobStore("preferred")
			p.withBlobStore("required")
		},
		"XLB-012": func(p *probe) {
			c, input := p.withBlobStore("required"), deflated(bytes.Repeat([]byte("blob "), 20))
			p.check(written(p.assert(c, set(input, 4, "largeBlob")).reply) == true, "not written")
			got := asMap(asMap(p.assert(c, set(m{"read": true}, 4, "largeBlob")).body[8])["largeBlob"])
			p.check(bytes.Equal(blob(got["blob"]), blob(input["write"])) && num(got["originalSize"]) == int64(input["originalSize"].(int)), "read back %v", got)
		},
		"XLB-013": func(p *probe) {
			c := p.withBlobStore("required")
			r := p.call(cmdGetAssertion, p.ga(c.rp, nil, set(deflated([]byte("blob")), 4, "largeBlob")))
			p.check(r.status != success || written(r) == false, "written %v", written(r))
			p.note("observed: %v", r.status)
		},
		"XLB-014": func(p *probe) {
			a := p.assert(p.register(discoverable()), set(deflated([]byte("blob")), 4, "largeBlob"))
			w, boolean := written(a.reply).(bool)
			p.check(boolean, "written %v", written(a.reply))
			if w {
				p.note("observed: written")
			}
		},
		"XLB-015": func(p *probe) {
			c := p.withBlobStore("required")
			p.judged(cmdGetAssertion, c.ga(set(edited(deflated([]byte("blob")), set(true, "read")), 4, "largeBlob")))
		},
		"XLB-016": func(p *probe) {
			p.each("support", mcCase(discoverable(), extension("largeBlob", m{"support": 1})))
			p.each("mc", mcCase(discoverable(), extension("largeBlob", true)))
			c := p.withBlobStore("required")
			for name, input := range inOrder(map[string]any{"ga": true, "read": m{"read": 1}, "write": m{"write": "blob", "originalSize": 4},
				"originalSize": m{"write": []byte{1}, "originalSize": "4"}}) {
				p.each(name, func(p *probe) { p.judged(cmdGetAssertion, c.ga(set(input, 4, "largeBlob"))) })
			}
		},
	}
}
