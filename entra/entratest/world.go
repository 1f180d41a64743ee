package entratest

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
)

// ParseConfig reads a tenant's world from JSON. What a user does not have is as in
// MakeUsers; members that are unknown are refused, for they are mistyped.
func ParseConfig(text []byte) (c Config, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return c, err
	}
	if c.PageSize < 0 {
		return c, errors.New("pageSize is less than 0")
	}
	for _, one := range c.SignIns {
		if _, _, err := readSignIn(one); err != nil {
			return c, fmt.Errorf("signIns: %w", err)
		}
	}
	for i, made := range MakeUsers(len(c.Users)) {
		u := &c.Users[i]
		u.ID, u.UPN, u.DisplayName = cmp.Or(u.ID, made.ID), cmp.Or(u.UPN, made.UPN), cmp.Or(u.DisplayName, made.DisplayName)
	}
	return c, nil
}

// UnmarshalJSON reads certificates in base64, as metadata has them.
func (m *Model) UnmarshalJSON(text []byte) error {
	var words struct {
		Name  string   `json:"name"`
		Roots [][]byte `json:"attestationRootCertificates"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&words); err != nil {
		return err
	}
	m.Name = words.Name
	for _, der := range words.Roots {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		m.Roots = append(m.Roots, root)
	}
	return nil
}
