// Package hostiletest makes of the answers of a key what a hostile one would say:
// all lengths, types and nestings. The same dice give the same answers.
package hostiletest

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Dice decide what becomes of an answer. A *rand.Rand is one; [Bytes] are those of a
// fuzzer. An IntN of 0 leaves things as they are.
type Dice interface{ IntN(n int) int }

// Bytes are dice that a fuzzer throws. When they are used up, all answers stay as
// they are.
type Bytes struct{ Rest []byte }

// IntN returns a number below n.
func (b *Bytes) IntN(n int) int {
	v := 0
	for most := n - 1; most > 0; most >>= 8 {
		v = v<<8 | int(b.next())
	}
	return v % n
}

func (b *Bytes) next() (c byte) {
	if len(b.Rest) > 0 {
		c, b.Rest = b.Rest[0], b.Rest[1:]
	}
	return c
}

// Nasty is what a terminal, a log or a file name must not get as it is.
var Nasty = []string{
	"\x1b[2J\x1b]0;owned\x07", "\x1b]52;c;b3duZWQ=\x07", "a\r\nkey: ok", "\x9b31m", "\u009b31mred", "\u202egnp.exe", "a\x00b", "\xff\xfe\xc3", "\u2028",
	"../../../etc/passwd", "%s%n%!d(MISSING)", "=1+2", "{{.}}", "<script>",
}

// Spoil returns what is said in place of answer, which is a status byte with CBOR. It
// leaves answer as it is.
func Spoil(d Dice, answer []byte) []byte {
	answer = slices.Clone(answer)
	for n := d.IntN(4); n > 0; n-- {
		answer = spoilOnce(d, answer)
	}
	return answer
}

func spoilOnce(d Dice, answer []byte) []byte {
	if len(answer) < 2 || d.IntN(4) == 3 {
		return spoilWhole(d, answer)
	}
	items := scan(answer[1:])
	if len(items) == 0 {
		return spoilWhole(d, answer)
	}
	at := items[d.IntN(len(items))]
	old := answer[1+at.start : 1+at.end]
	return slices.Concat(answer[:1+at.start], spoilItem(d, old, at), answer[1+at.end:])
}

// spoilWhole changes an answer without regard to what is in it.
func spoilWhole(d Dice, answer []byte) []byte {
	switch d.IntN(10) {
	case 0:
		return answer
	case 1: // a status alone
		return []byte{byte(d.IntN(256))}
	case 2: // another status
		if len(answer) == 0 {
			return []byte{0}
		}
		answer[0] = byte(d.IntN(256))
	case 3:
		return answer[:d.IntN(len(answer)+1)]
	case 4:
		return append(answer, noise(d, Size(d))...)
	case 5: // something else
		return append([]byte{0}, Item(d, 4)...)
	case 6: // another map
		return append([]byte{0}, Map(d, 4)...)
	case 7:
		return append([]byte{0}, noise(d, Size(d))...)
	case 8:
		if len(answer) > 0 {
			answer[d.IntN(len(answer))] = byte(d.IntN(256))
		}
	case 9:
		return nil
	}
	return answer
}

// spoilItem returns what stands in place of one item.
func spoilItem(d Dice, old []byte, at item) []byte {
	content := old[at.head:]
	switch d.IntN(12) {
	case 0:
		return old
	case 1: // of another type, most often
		return Item(d, 4)
	case 2: // more is claimed than is there
		return append(head(at.major, sizes[d.IntN(len(sizes))]), content...)
	case 3: // of indefinite length
		if at.major >= 2 && at.major <= 5 {
			if at.major < 4 {
				content = old // a chunk
			}
			return slices.Concat([]byte{at.major<<5 | 31}, content, []byte{0xff})
		}
	case 4: // deep
		return append(bytes.Repeat([]byte{0x81}, 1+d.IntN(2000)), old...)
	case 5: // in a tag
		return append(head(6, sizes[d.IntN(len(sizes))]), old...)
	case 6: // the first member twice, or another one more
		if n, ok := at.members(); ok && at.major == 5 {
			more := slices.Concat(Item(d, 1), Item(d, 3))
			if inner := scan(old); len(inner) > 2 && d.IntN(2) == 1 {
				more = old[inner[1].start:inner[2].end]
			}
			return slices.Concat(head(5, n+1), content, more)
		}
	case 7: // longer
		if n, ok := at.members(); ok && (at.major == 2 || at.major == 3) {
			more := noise(d, Size(d))
			return slices.Concat(head(at.major, n+uint64(len(more))), content, more)
		}
	case 8: // shorter
		if _, ok := at.members(); ok && (at.major == 2 || at.major == 3) {
			n := d.IntN(len(content) + 1)
			return append(head(at.major, uint64(n)), content[:n]...)
		}
	case 9: // one member less than is claimed, or more
		if n, ok := at.members(); ok && at.major >= 4 {
			return append(head(at.major, n+uint64(d.IntN(3))-1), content...)
		}
	case 10: // not in the shortest form
		return append(longHead(at.major, at.arg), content...)
	case 11: // what no screen should show
		nasty := Nasty[d.IntN(len(Nasty))]
		return append(head(at.major&1|2, uint64(len(nasty))), nasty...)
	}
	return old
}

// sizes are what heads claim, around what decoders and integers have as limits.
var sizes = []uint64{0, 1, 2, 3, 4, 5, 8, 15, 16, 17, 23, 24, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 257, 1024, 1025, 7609, 1<<15 - 1, 1 << 15, 1<<16 - 1, 1 << 16, 131072, 131073,
	1 << 24, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<53 + 1, 1<<63 - 1, 1 << 63, 1<<64 - 1}

// Size is a length that occurs, up to that of the longest answers.
func Size(d Dice) int { return int(sizes[d.IntN(30)]) }

func noise(d Dice, n int) []byte {
	b := bytes.Repeat([]byte{byte(d.IntN(256))}, n)
	for i := range min(n, 16) {
		b[i] = byte(d.IntN(256))
	}
	return b
}

// Item returns any item at all, not always a sound one, that nests to depth.
func Item(d Dice, depth int) []byte {
	kind := d.IntN(12)
	if depth <= 0 && kind >= 8 {
		kind -= 8
	}
	switch kind {
	case 0, 1:
		return head(byte(kind), sizes[d.IntN(len(sizes))])
	case 2, 3:
		n := Size(d)
		return append(head(byte(kind), uint64(n)), noise(d, n)...)
	case 4:
		nasty := Nasty[d.IntN(len(Nasty))]
		return append(head(3, uint64(len(nasty))), nasty...)
	case 5: // simple values: false, true, null, undefined, and those that have no name
		return []byte{0xe0 | byte(d.IntN(32)), byte(d.IntN(256))}[:1+d.IntN(2)]
	case 6: // floats
		return append([]byte{0xfb}, noise(d, 8)...)
	case 7: // a head, and nothing behind it
		return []byte{byte(d.IntN(256))}
	case 8:
		return Map(d, depth)
	case 9: // a number as what it might be a member of
		return append(head(6, sizes[d.IntN(len(sizes))]), Item(d, depth-1)...)
	}
	n := d.IntN(6)
	list := head(4, uint64(n))
	for range n {
		list = append(list, Item(d, depth-1)...)
	}
	return list
}

// Map returns a map, with the members that answers have and others.
func Map(d Dice, depth int) []byte {
	n := d.IntN(12)
	m := head(5, uint64(n))
	for range n {
		if d.IntN(8) == 7 {
			m = append(m, Item(d, 1)...)
		} else {
			m = append(m, head(0, uint64(d.IntN(24)))...)
		}
		m = append(m, Item(d, depth-1)...)
	}
	return m
}

// head is the head of an item in its shortest form.
func head(major byte, arg uint64) []byte {
	switch {
	case arg < 24:
		return []byte{major<<5 | byte(arg)}
	case arg < 1<<8:
		return []byte{major<<5 | 24, byte(arg)}
	case arg < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{major<<5 | 25}, uint16(arg))
	case arg < 1<<32:
		return binary.BigEndian.AppendUint32([]byte{major<<5 | 26}, uint32(arg))
	}
	return longHead(major, arg)
}

func longHead(major byte, arg uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{major<<5 | 27}, arg)
}

// An item is where one is in the bytes that were scanned.
type item struct {
	start, end int
	head       int // bytes of it
	major      byte
	arg        uint64 // value, length or count
	indefinite bool
}

// members returns the length or count, if the item has one.
func (i item) members() (uint64, bool) {
	return i.arg, !i.indefinite && i.major >= 2 && i.major <= 5
}

// scan returns all items of a sound one, the outer before the inner; of others those
// before the fault.
func scan(b []byte) []item {
	var all []item
	scanItem(b, 0, 0, &all)
	return all
}

// scanItem returns where the item ends, or -1.
func scanItem(b []byte, at, depth int, all *[]item) int {
	if at >= len(b) || depth > 64 {
		return -1
	}
	i := item{start: at, major: b[at] >> 5, head: 1}
	info := b[at] & 31
	switch {
	case info < 24:
		i.arg = uint64(info)
	case info < 28:
		size := 1 << (info - 24)
		if at+1+size > len(b) {
			return -1
		}
		for _, c := range b[at+1 : at+1+size] {
			i.arg = i.arg<<8 | uint64(c)
		}
		i.head += size
	case info == 31 && i.major >= 2 && i.major <= 5:
		i.indefinite = true
	default:
		return -1
	}
	index := len(*all)
	*all = append(*all, i)
	end := at + i.head
	inner := uint64(0)
	switch i.major {
	case 2, 3:
		if !i.indefinite {
			if i.arg > uint64(len(b)-end) {
				*all = (*all)[:index]
				return -1
			}
			end += int(i.arg)
		}
	case 4, 6:
		inner = i.arg
		if i.major == 6 {
			inner = 1
		}
	case 5:
		inner = 2 * min(i.arg, 1<<32)
	}
	for n := uint64(0); (i.indefinite || n < inner) && end >= 0; n++ {
		if i.indefinite && end < len(b) && b[end] == 0xff {
			end++
			break
		}
		end = scanItem(b, end, depth+1, all)
	}
	if end < 0 {
		*all = slices.Delete(*all, index, index+1) // its inner ones are sound
		return -1
	}
	(*all)[index].end = end
	return end
}
