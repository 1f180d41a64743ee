package conformance

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// m is a CBOR map as a case writes it and reads it.
type m = map[any]any

var (
	encMode, _ = cbor.CTAP2EncOptions().EncMode()
	decMode, _ = cbor.DecOptions{IntDec: cbor.IntDecConvertSignedOrFail}.DecMode()
)

func encode(v any) []byte {
	b, err := encMode.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// An edit changes one member of a request.
type edit struct {
	value any
	path  []any
}

// gone is what set takes for "leave it out".
type gone struct{}

func set(value any, path ...any) edit { return edit{value, path} }

func drop(path ...any) edit { return edit{gone{}, path} }

// edited returns a copy of v with changes.
func edited(v m, edits ...edit) m {
	for _, e := range edits {
		v = change(v, e.value, e.path).(m)
	}
	return v
}

func change(v, element any, path []any) any {
	if len(path) == 0 {
		return element
	}
	switch v := v.(type) {
	case m:
		c := maps.Clone(v)
		c[path[0]] = change(v[path[0]], element, path[1:])
		if c[path[0]] == (gone{}) {
			delete(c, path[0])
		}
		return c
	case []any:
		c := slices.Clone(v)
		i := path[0].(int)
		c[i] = change(v[i], element, path[1:])
		return c
	case nil:
		return change(m{}, element, path)
	}
	panic("conformance: no such path")
}

// num is an integer of a reply, or -1.
func num(v any) int64 {
	if n, ok := v.(int64); ok {
		return n
	}
	return -1
}

func blob(v any) []byte {
	b, _ := v.([]byte)
	return b
}

func asMap(v any) m {
	b, _ := v.(m)
	return b
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// flip returns b with one bit changed.
func flip(b []byte) []byte {
	c := bytes.Clone(b)
	c[len(c)/2] ^= 1
	return c
}

func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

func sum(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}
