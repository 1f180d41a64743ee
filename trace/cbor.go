package trace

import (
	"encoding/binary"
	"errors"
	"slices"
)

// maxNesting is how deep items may be nested, as in what the project decodes.
const maxNesting = 16

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

var (
	errCutOff = errors.New("cut off")
	errForm   = errors.New("not CBOR")
	errDeep   = errors.New("nested too deep")
	errMap    = errors.New("not one map")
)

// A walker goes through CBOR of any form, canonical or not, and overwrites what
// the rules say. It does so by itself because a decoder does not tell where in
// the message a string was.
type walker struct {
	data    []byte
	at      int
	cleared []Span // what was overwritten
}

// redactMap overwrites the secrets of the one map in data.
func redactMap(data []byte, r *rule) error {
	w := walker{data: data}
	if len(data) == 0 || data[0]>>5 != majorMap {
		return errMap
	}
	if err := w.item(r, maxNesting); err != nil {
		return err
	}
	if w.at != len(data) {
		return errMap
	}
	return nil
}

// A head is the beginning of an item.
type head struct {
	major      byte
	arg        uint64
	indefinite bool
}

func (w *walker) head() (h head, err error) {
	first, err := w.take(1)
	if err != nil {
		return h, err
	}
	h.major = first[0] >> 5
	info := first[0] & 0x1f
	switch {
	case info < 24:
		h.arg = uint64(info)
	case info <= 27:
		wide := make([]byte, 8)
		arg, err := w.take(1 << (info - 24))
		if err != nil {
			return h, err
		}
		copy(wide[8-len(arg):], arg)
		h.arg = binary.BigEndian.Uint64(wide)
	case info == 31 && h.major >= majorBytes && h.major <= majorMap:
		h.indefinite = true
	default:
		return h, errForm
	}
	return h, nil
}

func (w *walker) take(n uint64) ([]byte, error) {
	if n > uint64(len(w.data)-w.at) {
		return nil, errCutOff
	}
	b := w.data[w.at : w.at+int(n)]
	w.at += int(n)
	return b, nil
}

// ends reports whether an item of indefinite length ends here.
func (w *walker) ends() bool {
	if w.at < len(w.data) && w.data[w.at] == 0xff {
		w.at++
		return true
	}
	return false
}

// each calls f for every part of an item with a count or an end.
func (w *walker) each(h head, f func() error) error {
	for n := uint64(0); ; n++ {
		if h.indefinite && w.ends() || !h.indefinite && n == h.arg {
			return nil
		}
		if err := f(); err != nil {
			return err
		}
	}
}

// item goes through one item. A rule without members, or for a map where there
// is none, takes every string in it.
func (w *walker) item(r *rule, depth int) error {
	h, err := w.head()
	if err != nil {
		return err
	}
	if depth == 0 && h.major >= majorArray && h.major <= majorTag {
		return errDeep
	}
	switch h.major {
	case majorBytes, majorText:
		chunks, err := w.chunks(h)
		if err != nil {
			return err
		}
		if r != nil && r.within != nil && h.major == majorBytes && len(chunks) == 1 {
			r.within(chunks[0])
			return nil
		}
		for _, chunk := range chunks {
			if r != nil && (r.within == nil || h.major == majorBytes) {
				clear(chunk)
				w.cleared = append(w.cleared, Span{cap(w.data) - cap(chunk), len(chunk)})
			}
		}
	case majorArray:
		return w.each(h, func() error { return w.item(r, depth-1) })
	case majorMap:
		return w.each(h, func() error { return w.pair(r, depth-1) })
	case majorTag:
		return w.item(r, depth-1)
	}
	return nil
}

// chunks returns the string that begins with h, in the pieces that it came in.
func (w *walker) chunks(h head) (chunks [][]byte, err error) {
	if !h.indefinite {
		chunk, err := w.take(h.arg)
		return [][]byte{chunk}, err
	}
	err = w.each(h, func() error {
		piece, err := w.head()
		if err != nil {
			return err
		}
		if piece.major != h.major || piece.indefinite {
			return errForm
		}
		chunk, err := w.take(piece.arg)
		chunks = append(chunks, chunk)
		return err
	})
	return chunks, err
}

// pair goes through a key and its value. Members of a map that is secret are
// secret, too.
func (w *walker) pair(r *rule, depth int) error {
	key, err := w.key(depth)
	if err != nil {
		return err
	}
	if r != nil && r.members != nil {
		member, listed := r.members[key]
		if r = r.others; listed {
			r = member
		}
	}
	return w.item(r, depth)
}

// key returns a key as the rules have it: an int or a string, nil for others.
func (w *walker) key(depth int) (any, error) {
	begin := w.at
	h, err := w.head()
	if err != nil {
		return nil, err
	}
	switch h.major {
	case majorUint:
		return int(min(h.arg, 1<<30)), nil
	case majorNegative:
		return -1 - int(min(h.arg, 1<<30)), nil
	case majorText:
		chunks, err := w.chunks(h)
		return string(slices.Concat(chunks...)), err
	}
	w.at = begin
	return nil, w.item(nil, depth)
}
