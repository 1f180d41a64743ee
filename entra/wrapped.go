package entra

import (
	"bytes"
	"encoding/json"
	"unicode"
	"unicode/utf8"
)

// additional is where PowerShell's modules for Graph put members that their types have
// no field for, which are most of a policy's. Those that have a field begin with a
// capital there.
const additional = "AdditionalProperties"

// unwrapped returns an object as Graph gave it to such a module.
func unwrapped(text []byte) []byte {
	if !bytes.Contains(text, []byte(`"`+additional+`"`)) {
		return text
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	if decoder.Decode(&v) != nil {
		return text // who reads it next says what is wrong
	}
	plain, err := json.Marshal(unwrap(v))
	if err != nil {
		return text
	}
	return plain
}

func unwrap(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = unwrap(v[i])
		}
	case map[string]any:
		more, wrapped := v[additional]
		if !wrapped {
			for name := range v {
				v[name] = unwrap(v[name])
			}
			return v
		}
		plain := map[string]any{}
		for name, value := range v {
			if name != additional {
				first, size := utf8.DecodeRuneInString(name)
				plain[string(unicode.ToLower(first))+name[size:]] = unwrap(value)
			}
		}
		if more, ok := more.(map[string]any); ok {
			for name, value := range more {
				plain[name] = unwrap(value)
			}
		}
		return plain
	}
	return v
}
