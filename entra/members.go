package entra

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"strings"
)

// Members are those of a JSON object that have no field, and those that are null.
// They are kept, for Graph replaces whole objects: what is left out is gone.
type Members map[string]json.RawMessage

// others returns the members of an object that a struct has no field for.
func others(text []byte, fields any) (Members, error) {
	var all Members
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	for _, f := range reflect.VisibleFields(reflect.TypeOf(fields)) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !bytes.Equal(all[name], []byte("null")) {
			delete(all, name)
		}
	}
	return all, nil
}

// with writes a struct together with its other members.
func (m Members) with(fields any) ([]byte, error) {
	text, err := json.Marshal(fields)
	if err != nil || len(m) == 0 {
		return text, err
	}
	all := maps.Clone(m)
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}
