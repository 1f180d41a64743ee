package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// readings returns the byte strings that a text may stand for: hexadecimal, or
// base64 of either alphabet, with or without padding.
func readings(text string) (all [][]byte) {
	if b, err := hex.DecodeString(strings.ReplaceAll(text, ":", "")); err == nil {
		all = append(all, b)
	}
	unpadded := strings.TrimRight(text, "=")
	for _, encoding := range []*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding} {
		b, err := encoding.DecodeString(unpadded)
		if err == nil && !slices.ContainsFunc(all, func(other []byte) bool { return bytes.Equal(other, b) }) {
			all = append(all, b)
		}
	}
	return all
}

// minPrefix is the shortest beginning of an identifier that is taken for it.
const minPrefix = 4 // characters

// matchID finds the one identifier that a text means: the whole of it, or a
// beginning that no other has, in hexadecimal or base64. what names such
// identifiers in errors.
func matchID(text, what string, ids [][]byte) ([]byte, error) {
	for _, b := range readings(text) {
		for _, id := range ids {
			if bytes.Equal(id, b) {
				return id, nil
			}
		}
	}
	var found [][]byte
	for _, id := range ids {
		forms := []string{base64.RawURLEncoding.EncodeToString(id), base64.RawStdEncoding.EncodeToString(id)}
		begins := strings.HasPrefix(hex.EncodeToString(id), strings.ToLower(text))
		for _, form := range forms {
			begins = begins || strings.HasPrefix(form, text)
		}
		if begins && len(text) >= minPrefix {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("the key has no %s %q; 'fidokey %ss list' shows those that it has", what, text, what)
	case 1:
		return found[0], nil
	}
	var list []string
	for _, id := range found {
		list = append(list, "  "+hex.EncodeToString(id))
	}
	return nil, errors.New(fmt.Sprintf("several %ss begin with %q; give more of the one that is meant:\n", what, text) + strings.Join(list, "\n"))
}
