package simulator

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// maxNesting is how deep arrays and maps may nest in a request (CTAP 2.1,
// section 8).
const maxNesting = 4

// decodeParams checks that params are one canonical CBOR item and returns it as
// a map. No bytes at all count as an empty map. The first fault that is found
// in any member, by whatever is read, is in the returned fault.
func decodeParams(params []byte) (members, *fault) {
	f := &fault{}
	if len(params) == 0 {
		return members{fault: f}, f
	}
	if ctapcbor.CheckCanonical(params, maxNesting) != nil {
		f.note(ctap2.ErrInvalidCBOR)
		return members{fault: f}, f
	}
	return item{raw: params, fault: f}.members(), f
}

// A fault is the first thing that is wrong with a request: a ctap2.Status, or
// one of the errors that Disputes turns into one.
type fault struct{ err error }

func (f *fault) note(err error) {
	if f.err == nil {
		f.err = err
	}
}

// An item is one CBOR item of a request, or the empty place of one that is not
// there. Reading an item of another type notes CBOR_UNEXPECTED_TYPE; reading
// one that is not there gives the zero value and notes nothing.
type item struct {
	raw   []byte // canonical, or nil
	fault *fault
}

// members are the members of a CBOR map by their encoded keys.
type members struct {
	byKey map[string][]byte
	fault *fault
}

// at returns the member with an integer or text key.
func (m members) at(key any) item {
	var space [maxKeySize]byte
	return item{raw: m.byKey[string(appendKey(space[:0], key))], fault: m.fault}
}

// maxKeySize is more than the longest key that at is called with.
const maxKeySize = 32

// appendKey encodes a key, which is a literal in our code: an integer from -24 to
// 23, or a text of less than 24 bytes.
func appendKey(b []byte, key any) []byte {
	switch key := key.(type) {
	case int:
		if key < 0 {
			return append(b, majorNegative<<5|byte(-1-key))
		}
		return append(b, majorUint<<5|byte(key))
	case string:
		return append(append(b, majorText<<5|byte(len(key))), key...)
	}
	panic("simulator: a member is named by an int or a string")
}

// must is at, and notes MISSING_PARAMETER when the member is not there.
func (m members) must(key any) item {
	i := m.at(key)
	if !i.present() {
		m.fault.note(ctap2.ErrMissingParameter)
	}
	return i
}

// need is must for a member of an entity, not of the request itself.
func (m members) need(key any) item {
	i := m.at(key)
	if !i.present() {
		m.fault.note(errMissingMember)
	}
	return i
}

// CBOR major types (RFC 8949, section 3.1).
const (
	majorUint     = 0
	majorNegative = 1
	majorBytes    = 2
	majorText     = 3
	majorArray    = 4
	majorMap      = 5
)

// The two simple values that CTAP uses.
const (
	simpleFalse = 0xf4
	simpleTrue  = 0xf5
)

func (i item) present() bool { return i.raw != nil }

// is reports whether the item is there and of a major type.
func (i item) is(major byte) bool {
	if !i.present() {
		return false
	}
	if i.raw[0]>>5 != major {
		i.fault.note(ctap2.ErrCBORUnexpectedType)
		return false
	}
	return true
}

// bytes returns a copy of a byte string; only an absent one is nil.
func (i item) bytes() []byte {
	if !i.is(majorBytes) {
		return nil
	}
	_, _, content := head(i.raw)
	return bytes.Clone(content)
}

// bytesOf returns a byte string whose length lies between two bounds, else it
// notes a wrong length.
func (i item) bytesOf(least, most int) []byte {
	b := i.bytes()
	if b != nil && (len(b) < least || len(b) > most) {
		i.fault.note(errWrongLength)
	}
	return b
}

func (i item) text() string {
	if !i.is(majorText) {
		return ""
	}
	_, _, content := head(i.raw)
	return string(content)
}

func (i item) uint() uint64 {
	if !i.is(majorUint) {
		return 0
	}
	_, n, _ := head(i.raw)
	return n
}

// int returns an integer. One beyond the range of int64 becomes its end.
func (i item) int() int64 {
	if !i.present() {
		return 0
	}
	major, n, _ := head(i.raw)
	n = min(n, math.MaxInt64)
	switch major {
	case majorUint:
		return int64(n)
	case majorNegative:
		return -1 - int64(n)
	}
	i.fault.note(ctap2.ErrCBORUnexpectedType)
	return 0
}

func (i item) bool() bool {
	if i.present() && i.raw[0] != simpleFalse && i.raw[0] != simpleTrue {
		i.fault.note(ctap2.ErrCBORUnexpectedType)
	}
	return i.present() && i.raw[0] == simpleTrue
}

func (i item) list() []item {
	if !i.is(majorArray) {
		return nil
	}
	_, n, rest := head(i.raw)
	list := make([]item, 0, n)
	for range n {
		size := itemSize(rest)
		list = append(list, item{raw: rest[:size], fault: i.fault})
		rest = rest[size:]
	}
	return list
}

func (i item) members() members {
	m := members{fault: i.fault}
	if !i.is(majorMap) {
		return m
	}
	_, n, rest := head(i.raw)
	m.byKey = make(map[string][]byte, n)
	for range n {
		key := itemSize(rest)
		value := itemSize(rest[key:])
		m.byKey[string(rest[:key])] = rest[key : key+value]
		rest = rest[key+value:]
	}
	return m
}

// optional reads an item that may be absent; then it returns nil.
func optional[T any](i item, read func(item) T) *T {
	if !i.present() {
		return nil
	}
	v := read(i)
	return &v
}

// head splits an item into major type, argument, and the bytes after the head.
// Like all that follows it relies on CheckCanonical.
func head(raw []byte) (major byte, arg uint64, rest []byte) {
	major, info := raw[0]>>5, raw[0]&0x1f
	if info < 24 {
		return major, uint64(info), raw[1:]
	}
	size := 1 << (info - 24)
	var wide [8]byte
	copy(wide[8-size:], raw[1:1+size])
	return major, binary.BigEndian.Uint64(wide[:]), raw[1+size:]
}

// itemSize returns the length of the item that raw begins with.
func itemSize(raw []byte) int {
	major, n, rest := head(raw)
	size := len(raw) - len(rest)
	switch major {
	case majorBytes, majorText:
		return size + int(n)
	case majorMap:
		n *= 2
	case majorArray:
	default:
		return size
	}
	for range n {
		size += itemSize(raw[size:])
	}
	return size
}
