package ctapcbor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrNotCanonical is what every error of [CheckCanonical] wraps.
var ErrNotCanonical = errors.New("not CTAP2 canonical CBOR")

// CBOR major types (RFC 8949, section 3.1).
const (
	majorUint = iota
	majorNegative
	majorBytes
	majorText
	majorArray
	majorMap
	majorTag
	majorSimple
)

// CheckCanonical reports whether data is exactly one CBOR item in the CTAP2
// canonical form: shortest integers and lengths, definite lengths, map keys
// sorted and unique, no tags, valid UTF-8, at most maxDepth nested arrays and
// maps. It neither allocates nor recurses deeper than maxDepth, whatever the
// bytes claim.
func CheckCanonical(data []byte, maxDepth int) error {
	w := walker{data: data}
	if err := w.item(maxDepth); err != nil {
		return err
	}
	if w.at != len(data) {
		return w.fail("%d bytes after the end", len(data)-w.at)
	}
	return nil
}

type walker struct {
	data []byte
	at   int
}

func (w *walker) fail(format string, args ...any) error {
	return fmt.Errorf("%w: byte %d: %s", ErrNotCanonical, w.at, fmt.Sprintf(format, args...))
}

// head reads the initial byte of an item and its argument.
func (w *walker) head() (major byte, arg uint64, err error) {
	if w.at >= len(w.data) {
		return 0, 0, w.fail("item missing")
	}
	first := w.data[w.at]
	major, info := first>>5, first&0x1f
	if info < 24 {
		w.at++
		return major, uint64(info), nil
	}
	if info > 27 {
		return 0, 0, w.fail("indefinite length or reserved form %#02x", first)
	}
	size := 1 << (info - 24)
	if len(w.data)-w.at-1 < size {
		return 0, 0, w.fail("argument cut off")
	}
	var wide [8]byte
	copy(wide[8-size:], w.data[w.at+1:w.at+1+size])
	arg = binary.BigEndian.Uint64(wide[:])
	shortest := [...]uint64{24, 1 << 8, 1 << 16, 1 << 32}[info-24]
	if major != majorSimple && arg < shortest {
		return 0, 0, w.fail("value %d not in its shortest form", arg)
	}
	if major == majorSimple && info == 24 && arg < 32 {
		return 0, 0, w.fail("simple value %d in two bytes", arg)
	}
	w.at += 1 + size
	return major, arg, nil
}

func (w *walker) item(depth int) error {
	major, arg, err := w.head()
	if err != nil {
		return err
	}
	switch major {
	case majorBytes, majorText:
		if arg > uint64(len(w.data)-w.at) {
			return w.fail("string of %d bytes cut off", arg)
		}
		s := w.data[w.at : w.at+int(arg)]
		if major == majorText && !utf8.Valid(s) {
			return w.fail("text is not UTF-8")
		}
		w.at += int(arg)
	case majorArray:
		if depth == 0 {
			return w.fail("nested too deep")
		}
		for ; arg > 0; arg-- {
			if err := w.item(depth - 1); err != nil {
				return err
			}
		}
	case majorMap:
		if depth == 0 {
			return w.fail("nested too deep")
		}
		return w.pairs(arg, depth-1)
	case majorTag:
		return w.fail("tag %d", arg)
	}
	return nil
}

// pairs reads n pairs of a map. In the canonical form the encoded keys rise
// bytewise: a lower major type or a shorter length has a lower first byte.
func (w *walker) pairs(n uint64, depth int) error {
	var last []byte
	for ; n > 0; n-- {
		start := w.at
		if err := w.item(depth); err != nil {
			return err
		}
		key := w.data[start:w.at]
		switch order := bytes.Compare(last, key); {
		case order == 0:
			return w.fail("duplicate map key %x", key)
		case order > 0:
			return w.fail("map key %x out of order", key)
		}
		last = key
		if err := w.item(depth); err != nil {
			return err
		}
	}
	return nil
}
