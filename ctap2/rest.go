package ctap2

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// Rest is embedded in the answers: what came, and what of it has no field.
type Rest struct {
	// Unknown holds the members that the struct has no field for.
	Unknown map[int64]cbor.RawMessage `cbor:"-" json:"-"`
	// Raw is the whole CBOR map as it came, empty if there was none.
	Raw []byte `cbor:"-" json:"-"`
}

// UnknownNumbers returns the numbers of the members in Unknown, sorted.
func (r *Rest) UnknownNumbers() []int64 { return slices.Sorted(maps.Keys(r.Unknown)) }

func (r *Rest) rest() *Rest { return r }

// keepRest fills the Rest of an answer that has one.
func keepRest(resp any, body []byte) error {
	keeper, ok := resp.(interface{ rest() *Rest })
	if !ok {
		return nil
	}
	var members map[any]cbor.RawMessage
	if err := ctapcbor.Unmarshal(body, &members); err != nil {
		return err
	}
	known := fields(reflect.TypeOf(resp).Elem())
	rest := keeper.rest()
	for key, raw := range members {
		n, ok := asInt64(key)
		if !ok || known[n] {
			continue
		}
		if rest.Unknown == nil {
			rest.Unknown = map[int64]cbor.RawMessage{}
		}
		rest.Unknown[n] = raw
	}
	rest.Raw = slices.Clone(body)
	return nil
}

// knownFields are the answers of fields, which do not change.
var knownFields sync.Map // from reflect.Type to map[int64]bool

// fields returns the numbers that a struct has fields for.
func fields(t reflect.Type) map[int64]bool {
	if known, ok := knownFields.Load(t); ok {
		return known.(map[int64]bool)
	}
	known := map[int64]bool{}
	for i := range t.NumField() {
		number, _, _ := strings.Cut(t.Field(i).Tag.Get("cbor"), ",")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			known[n] = true
		}
	}
	knownFields.Store(t, known)
	return known
}

func asInt64(key any) (int64, bool) {
	switch n := key.(type) {
	case uint64:
		return int64(n), n < 1<<63
	case int64:
		return n, true
	}
	return 0, false
}
