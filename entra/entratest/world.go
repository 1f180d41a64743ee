package entratest

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ParseConfig reads a tenant's world from JSON; what is in it has Graph's names. Members
// that are unknown are refused, for they are mistyped.
func ParseConfig(text []byte) (c Config, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return c, err
	}
	for i, u := range c.Users {
		if u.UPN == "" {
			return c, fmt.Errorf("users: number %d has no userPrincipalName", i+1)
		}
		if u.ID == "" {
			c.Users[i].ID = fmt.Sprintf("00000000-0000-4000-a000-%012x", i+1)
		}
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

// give registers the passkeys that users have from the beginning.
func (t *Tenant) give() error {
	seen := map[string]bool{}
	for i := range t.config.Users {
		u := &t.config.Users[i]
		for _, p := range u.Passkeys {
			id, err := uncounted(p.ID)
			if err == nil && seen[p.ID] {
				err = errors.New("it is there twice")
			}
			if err != nil {
				return fmt.Errorf("fido2Methods of %s: ID %q: %w", u.UPN, p.ID, err)
			}
			seen[p.ID] = true
			t.methods[u.ID] = append(t.methods[u.ID], &method{credentialID: id, json: t.complete(p)})
		}
	}
	return nil
}

// complete fills in what the world leaves out.
func (t *Tenant) complete(p Passkey) Passkey {
	fill := func(text *string, value string) {
		if *text == "" {
			*text = value
		}
	}
	p.Type, p.AAGUID = methodType, strings.ToLower(p.AAGUID)
	fill(&p.AAGUID, zeroAAGUID)
	fill(&p.Created, rfc3339(t.now()))
	fill(&p.Model, t.config.Models[p.AAGUID].Name)
	fill(&p.AttestationLevel, "notAttested")
	fill(&p.PasskeyType, "deviceBound")
	if p.AttestationCertificates == nil {
		p.AttestationCertificates = []string{}
	}
	return p
}

// uncounted reads base64url with the number of padding characters behind it.
func uncounted(text string) ([]byte, error) {
	for digit, padding := range []string{"", "=", "=="} {
		if bare, ok := strings.CutSuffix(text, strconv.Itoa(digit)); ok && bare != "" {
			return base64.URLEncoding.Strict().DecodeString(bare + padding)
		}
	}
	return nil, errors.New("there is no padding digit")
}
