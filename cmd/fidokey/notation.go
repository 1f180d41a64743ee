package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/internal/yamlfile"
)

// parseNotation returns, in canonical CBOR, what is written in diagnostic notation
// (RFC 8949, section 8), as "raw" prints it: {1: h'00ff', 2: ["text", -7, true]}.
// What CTAP has is also YAML in its flow style, which is how it is read; tags,
// floats and indefinite lengths are refused.
func parseNotation(text string) ([]byte, error) {
	var item yaml.Node
	root, err := yamlfile.Parse("", []byte(text), &item)
	if err != nil {
		return nil, fmt.Errorf("not diagnostic notation: %w", err)
	}
	v, err := notationItem(root)
	if err != nil {
		return nil, fmt.Errorf("diagnostic notation: %w", err)
	}
	return ctapcbor.Marshal(v)
}

func notationItem(n *yaml.Node) (any, error) {
	if n.Style&yaml.TaggedStyle != 0 || n.Anchor != "" {
		return nil, fmt.Errorf("%q: neither tags nor anchors are taken", n.Value)
	}
	switch n.Kind {
	case yaml.MappingNode:
		return notationMap(n)
	case yaml.SequenceNode:
		items := []any{}
		for _, content := range n.Content {
			item, err := notationItem(content)
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		return items, nil
	case yaml.ScalarNode:
		if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
			return n.Value, nil
		}
		return notationWord(n.Value)
	}
	return nil, fmt.Errorf("%q is no item", n.Value)
}

func notationMap(n *yaml.Node) (any, error) {
	m := map[any]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, err := notationItem(n.Content[i])
		if err != nil {
			return nil, err
		}
		switch key.(type) {
		case string, int64, uint64:
		default:
			return nil, fmt.Errorf("the key %s is neither a number nor a text", n.Content[i].Value)
		}
		if _, twice := m[key]; twice {
			return nil, fmt.Errorf("the key %v is there twice", key)
		}
		if m[key], err = notationItem(n.Content[i+1]); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// notationWord reads what is neither in quotes nor in brackets.
func notationWord(word string) (any, error) {
	switch word {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "null":
		return nil, nil
	}
	for prefix, decode := range map[string]func(string) ([]byte, error){
		"h'": hex.DecodeString, "b64'": base64.RawURLEncoding.DecodeString,
	} {
		if digits, ok := strings.CutPrefix(word, prefix); ok && strings.HasSuffix(digits, "'") {
			b, err := decode(strings.TrimSuffix(digits, "'"))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", word, err)
			}
			return b, nil
		}
	}
	if n, err := strconv.ParseInt(word, 0, 64); err == nil {
		return n, nil
	}
	if n, err := strconv.ParseUint(word, 0, 64); err == nil {
		return n, nil
	}
	return nil, fmt.Errorf("%q: text stands in quotes, bytes as h'00ff', and a space behind the colon", word)
}
