package conformance

import (
	"bytes"
	"encoding/binary"
)

// emptyArray is the large-blob array of a fresh key.
var emptyArray = withHash([]byte{0x80})

// withHash appends the first half of the SHA-256, as the array needs it.
func withHash(b []byte) []byte { return append(bytes.Clone(b), sum(b)[:16]...) }

// blobArray is an array of one blob, n bytes with its hash; n is 60 or more.
func (p *probe) blobArray(n int) []byte {
	size := n
	for {
		b := withHash(encode([]any{m{1: p.random(size), 2: p.random(12), 3: 100}}))
		if len(b) <= n {
			return append(b[:0:0], withHash(append(b[:len(b)-16], make([]byte, n-len(b))...))...)
		}
		size -= len(b) - n
	}
}

// fragment is the most in one message.
func (p *probe) fragment() int { return p.maxMsgSize() - 64 }

// get reads a slice of the array.
func (p *probe) get(n, offset int) []byte { return blob(p.ok(cmdLargeBlobs, m{1: n, 3: offset})[1]) }

// readArray reads all of the array.
func (p *probe) readArray() []byte {
	var all []byte
	for {
		part := p.get(p.fragment(), len(all))
		all = append(all, part...)
		if len(part) < p.fragment() {
			return all
		}
	}
}

// blobSet is a request to write; a length of 0 is left out.
func blobSet(fragment []byte, offset, length int) m {
	params := m{2: fragment, 3: offset}
	if length > 0 {
		params[4] = length
	}
	return params
}

// blobs adds pinUvAuthParam to a request to write.
func (t token) blobs(params m) m {
	message := append(bytes.Repeat([]byte{0xff}, 32), cmdLargeBlobs, 0)
	message = binary.LittleEndian.AppendUint32(message, uint32(params[3].(int)))
	message = append(message, sum(blob(params[2]))...)
	return edited(params, set(t.param(message), 5), set(t.protocol, 6))
}

// writing sends a fragment, with a token where a PIN is set.
func (p *probe) writing(fragment []byte, offset, length int) reply {
	p.released()
	params := blobSet(fragment, offset, length)
	if p.pin != "" {
		params = p.token(permLBW, "").blobs(params)
	}
	return p.call(cmdLargeBlobs, params)
}

// writeArray writes the array in as many fragments as it takes.
func (p *probe) writeArray(a []byte) { p.writeIn(a, p.fragment()) }

func (p *probe) writeIn(a []byte, most int) {
	length := len(a)
	for offset := 0; offset < len(a); offset += most {
		p.want(p.writing(a[offset:min(len(a), offset+most)], offset, length), success)
		length = 0
	}
}

// blobCase judges a request; the array must stay.
func blobCase(params func(p *probe) m) func(*probe) {
	return func(p *probe) { p.blobJudged(params(p)) }
}

func (p *probe) blobJudged(params m) {
	before := p.readArray()
	r := p.call(cmdLargeBlobs, params)
	p.judge(r)
	if r.status != success {
		p.check(bytes.Equal(before, p.readArray()), "the array changed")
	}
}

// lit is a request that needs nothing of the key.
func lit(params m) func(*probe) m { return func(*probe) m { return params } }

// begun starts to write an array of 300 bytes in three fragments.
func (p *probe) begun() (array []byte) {
	array = p.blobArray(300)
	p.want(p.writing(array[:100], 0, 300), success)
	return array
}

// newOrOld checks that the array is one of the two, and whole.
func (p *probe) newOrOld(a, b []byte) {
	got := p.readArray()
	p.check(bytes.Equal(got, a) || bytes.Equal(got, b), "array %s", short(got))
}

func lbCases() cases {
	return cases{
		"LB-001": func(p *probe) { p.judged(cmdLargeBlobs, m{1: 17, 3: 0}) },
		"LB-002": func(p *probe) {
			got := p.get(100, 0)
			p.check(bytes.Equal(got, emptyArray), "array %x", got)
		},
		"LB-003": func(p *probe) { p.check(len(p.get(0, 0)) == 0, "not empty") },
		"LB-004": blobCase(lit(m{1: 17, 2: emptyArray, 3: 0, 4: 17})),
		"LB-005": blobCase(lit(m{3: 0})),
		"LB-006": blobCase(lit(m{1: 17})),
		"LB-007": blobCase(lit(m{1: 17, 3: 0, 4: 17})),
		"LB-008": blobCase(func(p *probe) m { return m{1: 17, 3: 0, 5: p.random(16), 6: p.protocol} }),
		"LB-009": blobCase(func(p *probe) m { return m{1: p.fragment() + 1, 3: 0} }),
		"LB-010": blobCase(func(p *probe) m { return m{1: 1, 3: len(p.readArray()) + 1} }),
		"LB-011": func(p *probe) {
			whole := p.readArray()
			p.check(bytes.Equal(p.get(p.fragment(), 5), whole[5:]), "the end of the array differs")
			p.check(len(p.get(10, len(whole))) == 0, "something past the end")
		},
		"LB-012": func(p *probe) {
			p.writeArray(p.blobArray(200))
			whole, joined := p.readArray(), []byte{}
			for offset := 0; offset < len(whole); offset += 37 {
				joined = append(joined, p.get(37, offset)...)
			}
			p.check(bytes.Equal(joined, whole), "slices give %x, the whole is %x", joined, whole)
		},
		"LB-013": func(p *probe) { p.judge(p.call(cmdLargeBlobs, m{1: 17, 3: 0})) },
		"LB-014": func(p *probe) {
			p.released()
			a := p.blobArray(100)
			p.judge(p.call(cmdLargeBlobs, blobSet(a, 0, 100)))
			p.check(bytes.Equal(p.readArray(), a), "read back %x", p.readArray())
		},
		"LB-015": blobCase(lit(blobSet(emptyArray, 0, 17))),
		"LB-016": blobCase(func(p *probe) m {
			return edited(p.token(permLBW, "").blobs(blobSet(emptyArray, 0, 17)), drop(6))
		}),
		"LB-017": blobCase(func(p *probe) m {
			params := p.token(permLBW, "").blobs(blobSet(emptyArray, 0, 17))
			return edited(params, set(flip(blob(params[5])), 5))
		}),
		"LB-018": blobCase(func(p *probe) m { return p.token(permGA, p.rp()).blobs(blobSet(emptyArray, 0, 17)) }),
		"LB-019": func(p *probe) {
			a := p.blobArray(100)
			p.judge(p.writing(a, 0, 100))
			p.check(bytes.Equal(p.readArray(), a), "read back %x", p.readArray())
		},
		"LB-020": blobCase(lit(blobSet(emptyArray, 0, 0))),
		"LB-021": blobCase(lit(blobSet(emptyArray[:16], 0, 16))),
		"LB-022": blobCase(func(p *probe) m { return blobSet(p.random(100), 0, int(num(p.present(infoMaxLargeBlobArray)))+1) }),
		"LB-023": func(p *probe) {
			a := p.begun()
			p.judge(p.writing(a[100:200], 100, 300))
		},
		"LB-024": func(p *probe) {
			a := p.begun()
			p.judge(p.writing(a[110:200], 110, 0))
		},
		"LB-025": func(p *probe) {
			a := p.begun()
			p.judge(p.writing(append(bytes.Clone(a[100:]), 0), 100, 0))
		},
		"LB-026": func(p *probe) {
			n := p.fragment() + 1
			p.need(p.wire == nil || len(request(cmdLargeBlobs, blobSet(make([]byte, n), 0, n))) <= p.wire.longest(), "does not fit into a message")
			p.blobJudged(blobSet(make([]byte, n), 0, n))
		},
		"LB-027": blobCase(func(p *probe) m {
			p.released()
			return blobSet(flip(p.blobArray(100)), 0, 100)
		}),
		"LB-028": func(p *probe) {
			a := p.blobArray(300)
			p.writeIn(a, 100)
			p.check(bytes.Equal(p.readArray(), a), "read back %x", p.readArray())
		},
		"LB-029": func(p *probe) {
			before := p.readArray()
			p.begun()
			p.check(bytes.Equal(p.readArray(), before), "the old array is gone")
		},
		"LB-030": func(p *probe) {
			before := p.readArray()
			a := p.begun()
			p.getInfo()
			r := p.writing(a[100:], 100, 0)
			p.judge(r)
			p.check(r.status == success || bytes.Equal(p.readArray(), before), "the old array is gone")
		},
		"LB-031": func(p *probe) {
			a := p.blobArray(int(num(p.present(infoMaxLargeBlobArray))))
			p.writeArray(a)
			p.check(bytes.Equal(p.readArray(), a), "not what was written")
			p.writeArray(emptyArray)
		},
		"LB-032": func(p *probe) {
			a := p.blobArray(200)
			p.writeArray(a)
			p.powerCycle()
			p.check(bytes.Equal(p.readArray(), a), "the array changed")
		},
		"LB-033": func(p *probe) {
			before := p.readArray()
			p.begun()
			p.powerCycle()
			p.check(bytes.Equal(p.readArray(), before), "the array changed")
			if p.bench.CutPower == nil {
				p.note("the power was not cut at the commit")
				return
			}
			for _, written := range []bool{false, true} {
				before, after := p.readArray(), p.blobArray(150)
				p.cut(1, written)
				p.writing(after, 0, 150)
				p.restore()
				p.newOrOld(before, after)
			}
		},
	}
}
