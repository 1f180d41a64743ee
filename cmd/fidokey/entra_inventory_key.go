package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
	"github.com/fidokey/fidokey/entra/graph"
	"github.com/fidokey/fidokey/entra/usage"
)

// keyForEntra is what a key has for Entra.
type keyForEntra struct {
	aaguid      ctap2.AAGUID
	credentials []client.StoredCredential
	incomplete  error
}

// readForEntra lists the credentials for Entra on the key that is plugged in.
func (e *env) readForEntra(ctx context.Context, pin *pinSource) (k *keyForEntra, device *deviceInfo, err error) {
	err = e.withKey(ctx, e.prompt(pin, nil), func(key *openedKey) error {
		info, err := key.Info(ctx)
		if err != nil {
			return err
		}
		k, device = &keyForEntra{aaguid: info.AAGUID}, &key.device
		k.credentials, err = key.CredentialsFor(ctx, entraRPID)
		if errors.Is(err, client.ErrIncomplete) {
			k.incomplete, err = err, nil
		}
		return err
	})
	return k, device, err
}

// entraKeyOnDesk is a key compared with what is registered.
type entraKeyOnDesk struct {
	AAGUID      ctap2.AAGUID      `json:"aaguid"`
	Name        string            `json:"name"`
	Credentials []entraCredential `json:"credentials"`
	Elsewhere   []entraElsewhere  `json:"elsewhere"` // on another key of the model
	Complete    bool              `json:"complete"`  // the key has told of all of its credentials
}

// entraCredential is one on the key.
type entraCredential struct {
	CredentialID ctap2.Bytes  `json:"credentialId"`
	UserName     string       `json:"userName"` // when it was made
	UserHandle   string       `json:"userHandle"`
	Tenant       string       `json:"tenant,omitempty"` // probably
	Personal     bool         `json:"personal,omitempty"`
	User         string       `json:"user,omitempty"` // who has it registered
	Passkey      *entraMethod `json:"passkey,omitempty"`
	Foreign      bool         `json:"foreign,omitempty"` // of another tenant
	Orphan       bool         `json:"orphan"`            // nobody has it, of all users or at least of those with the name
	handle       string       // in words
}

// entraElsewhere is a passkey on another key.
type entraElsewhere struct {
	User string `json:"user"`
	entraMethod
}

// compare finds out whose the credentials are. Users whose names stand in credentials
// are asked for, too, and returned.
func (k *keyForEntra) compare(ctx context.Context, g *graph.Client, users []graph.UserMethods, named bool, tenant string) (*entraKeyOnDesk, []graph.UserMethods, error) {
	credentials := make([]usage.Credential, len(k.credentials))
	for i, c := range k.credentials {
		credentials[i] = usage.Credential{ID: c.ID, UserName: c.User.Name}
	}
	found := usage.Compare(credentials, k.aaguid.String(), users, named)
	var others []graph.UserMethods
	for u, err := range g.MethodsOf(ctx, slices.Values(usage.Unasked(credentials, found, users))) {
		if err != nil {
			return nil, nil, err
		}
		if !errors.Is(u.Err, graph.ErrNotFound) { // somebody of another tenant, or who has another name now
			others = append(others, tidy(u))
		}
	}
	asked := slices.Concat(users, others)
	found = usage.Compare(credentials, k.aaguid.String(), asked, named)
	r := &entraKeyOnDesk{AAGUID: k.aaguid, Name: modelName(k.aaguid), Credentials: []entraCredential{}, Elsewhere: []entraElsewhere{}, Complete: k.incomplete == nil}
	for i, c := range k.credentials {
		r.Credentials = append(r.Credentials, newEntraCredential(&c, found.Registered[i]))
	}
	r.findOrphans(asked, named, tenant)
	for _, other := range found.Elsewhere {
		r.Elsewhere = append(r.Elsewhere, entraElsewhere{other.User.UPN, newEntraMethod(&other.Method)})
	}
	return r, others, nil
}

// findOrphans marks the credentials that nobody has. Whoever's passkeys could not be read
// may have any of them; those of another tenant are not for this one to judge. Which
// tenant this is its other credentials say, or the command line.
func (r *entraKeyOnDesk) findOrphans(asked []graph.UserMethods, named bool, tenant string) {
	var ours []string
	if uuid.Validate(tenant) == nil {
		ours = append(ours, strings.ToLower(tenant))
	}
	for _, c := range r.Credentials {
		if c.registered() && c.Tenant != "" {
			ours = append(ours, c.Tenant)
		}
	}
	unread := slices.ContainsFunc(asked, func(u graph.UserMethods) bool { return u.Err != nil })
	for i := range r.Credentials {
		c := &r.Credentials[i]
		c.Foreign = c.Tenant != "" && len(ours) > 0 && !slices.Contains(ours, c.Tenant)
		isUser := func(u graph.UserMethods) bool { return strings.EqualFold(u.UPN, c.UserName) }
		c.Orphan = !c.registered() && !c.Personal && !c.Foreign && !unread && (!named || slices.ContainsFunc(asked, isUser))
	}
}

func newEntraCredential(c *client.StoredCredential, registered *usage.Owned) entraCredential {
	j := entraCredential{CredentialID: c.ID, UserName: printable(c.User.Name), UserHandle: hex.EncodeToString(c.User.ID), handle: "not one of Entra's"}
	if h, ok := entra.ParseUserHandle(c.User.ID); ok {
		j.Tenant, j.Personal, j.handle = h.Tenant, h.Personal, h.String()
	}
	if registered != nil {
		j.User, j.Passkey = registered.User.UPN, new(newEntraMethod(&registered.Method))
	}
	return j
}

// registered reports whether somebody who was asked for has the credential.
func (c *entraCredential) registered() bool { return c.Passkey != nil }

func (r *entraKeyOnDesk) print(w *printer) {
	w.printf("On this key (%s):", r.Name)
	if len(r.Credentials) == 0 {
		w.printf("It has no passkeys for %s.", entraRPID)
	} else {
		r.printCredentials(w)
	}
	if !r.Complete {
		w.printf("The key ended the list early: there may be more.")
	}
	if len(r.Elsewhere) == 0 {
		return
	}
	w.printf("")
	w.printf("On another key of this model:")
	var rows [][]string
	for _, m := range r.Elsewhere {
		rows = append(rows, []string{m.User, m.DisplayName, m.day(), m.ID})
	}
	w.table([]string{"user", "passkey", "created", "ID"}, rows)
}

func (r *entraKeyOnDesk) printCredentials(w *printer) {
	var rows [][]string
	var orphans []string
	unknown := false
	for _, c := range r.Credentials {
		where := "NOT REGISTERED"
		switch {
		case c.registered():
			where = fmt.Sprintf("%s, %q", c.User, c.Passkey.DisplayName)
		case c.Personal:
			where = "not of a tenant"
		case c.Foreign:
			where = "of another tenant"
		case c.Orphan:
			orphans = append(orphans, fmt.Sprintf("  fidokey credentials delete %x", []byte(c.CredentialID)))
		default:
			where, unknown = "not known", true
		}
		rows = append(rows, []string{fmt.Sprintf("%.8x", []byte(c.CredentialID)), dashIfEmpty(c.UserName), where, c.handle})
	}
	w.table([]string{"credential", "user name on the key", "registered for", "user handle"}, rows)
	if unknown {
		w.printf("")
		w.printf("What is not known may be of users who were not asked for, or could not be.")
	}
	if len(orphans) > 0 {
		w.printf("")
		w.printf("What is not registered opens nothing in this tenant. If its user handle names your")
		w.printf("tenant and no other, delete it with:")
		for _, line := range orphans {
			w.printf("%s", line)
		}
	}
}
