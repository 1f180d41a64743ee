// Package ctapcbor holds the one setting of the CBOR encoder and decoder that
// the whole project uses, and the check for the CTAP2 canonical form.
//
// We encode strictly and decode leniently: [Marshal] writes the CTAP2 canonical
// CBOR encoding form (CTAP 2.1, section 8), [Unmarshal] also takes what keys in
// the field send that is not canonical. Whoever must refuse such input, as an
// authenticator must, calls [CheckCanonical] first.
package ctapcbor

import (
	"github.com/fxamacker/cbor/v2"
)

// maxNesting is how deep arrays and maps may nest in what we decode. Senders
// may use 4 levels (CTAP 2.1, section 8); the rest is leniency.
const maxNesting = 16

var (
	encMode = must(cbor.CTAP2EncOptions().EncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:  maxNesting,
		IndefLength:      cbor.IndefLengthAllowed,
		TagsMd:           cbor.TagsForbidden,
		IntDec:           cbor.IntDecConvertNone,
		MapKeyByteString: cbor.MapKeyByteStringAllowed,
		// Keys cut stored names in the middle of a code point.
		UTF8: cbor.UTF8DecodeInvalid,
		// A struct field "id" must not take a member "ID".
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Marshal encodes v in the CTAP2 canonical form.
func Marshal(v any) ([]byte, error) { return encMode.Marshal(v) }

// Unmarshal decodes the one CBOR item in data into v. Bytes after the item are
// an error.
func Unmarshal(data []byte, v any) error { return decMode.Unmarshal(data, v) }

// UnmarshalFirst decodes the first CBOR item in data into v and returns the
// bytes after it.
func UnmarshalFirst(data []byte, v any) (rest []byte, err error) {
	return decMode.UnmarshalFirst(data, v)
}
