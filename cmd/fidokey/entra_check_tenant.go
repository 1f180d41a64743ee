package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
	"github.com/fidokey/fidokey/entra/graph"
)

// readTenant asks the tenant what it knows: the policy, the strength, and of the user the
// groups, the kind of account and the passkeys.
func (o *entraCheckOptions) readTenant(ctx context.Context, e *env) error {
	g, err := o.graph.clientOf(e)
	if err != nil {
		return err
	}
	text, err := g.Policy(ctx)
	if err != nil {
		return err
	}
	if o.asked.Policy, err = entra.ParsePolicy(text); err != nil {
		return fmt.Errorf("the policy of the tenant: %w", err)
	}
	if o.strength != "" {
		found, err := strengthNamed(ctx, g, o.strength)
		if err != nil {
			return err
		}
		o.asked.Strength = found.Strength
	}
	if o.user == "" {
		return nil
	}
	return o.readUser(ctx, e, g)
}

// readUser asks for the user. The passkeys are only told of, so they may stay unknown.
func (o *entraCheckOptions) readUser(ctx context.Context, e *env, g *graph.Client) error {
	u, err := g.User(ctx, o.user)
	if err != nil {
		return err
	}
	o.guest = o.guest || strings.EqualFold(u.Type, "Guest")
	o.asked.User.Member = strings.EqualFold(u.Type, "Member")
	if o.asked.User.AnyGroup {
		if o.groups, err = g.Groups(ctx, o.user); err != nil {
			return err
		}
		o.asked.User.AnyGroup = false
	}
	switch o.registered, err = g.Methods(ctx, o.user); {
	case errors.Is(err, graph.ErrForbidden):
		e.note("The passkeys that %s has are not known: %v", o.user, err)
	case err != nil:
		return err
	default:
		o.knowsRegistered = true
	}
	return nil
}

// entraRegistered is what the tenant has of the user's passkeys.
type entraRegistered struct {
	Passkeys int   `json:"passkeys"`
	OfModel  int   `json:"ofModel"`         // on keys of this model
	OnKey    *bool `json:"onKey,omitempty"` // one is on this key; nil: it does not tell without a touch
}

// compareRegistered looks for the user's passkeys on the key, which asks nobody for
// anything.
func (o *entraCheckOptions) compareRegistered(ctx context.Context, key *client.Key, model ctap2.AAGUID) (*entraRegistered, error) {
	if !o.knowsRegistered {
		return nil, nil
	}
	r := &entraRegistered{Passkeys: len(o.registered)}
	var ids []ctap2.Descriptor
	for _, m := range o.registered {
		if strings.EqualFold(m.AAGUID, model.String()) {
			r.OfModel++
		}
		if id, err := m.CredentialID(); err == nil {
			ids = append(ids, ctap2.Descriptor{ID: id, Type: ctap2.PublicKeyType})
		}
	}
	if len(ids) == 0 {
		r.OnKey = new(false)
		return r, nil
	}
	_, err := client.SelectByCredential(ctx, []*client.Key{key}, entraRPID, ids)
	switch {
	case err == nil:
		r.OnKey = new(true)
	case errors.Is(err, ctap2.ErrNoCredentials):
		r.OnKey = new(false)
	case ctx.Err() != nil:
		return nil, err
	}
	return r, nil
}

func (r *entraRegistered) print(w *printer) {
	words := "none"
	if r.Passkeys > 0 {
		words = fmt.Sprintf("%d, of which %d on keys of this model", r.Passkeys, r.OfModel)
	}
	if r.OnKey != nil && *r.OnKey {
		words += "; one is on this key, which is not registered again for this user"
	}
	w.line("Has passkeys", "%s", words)
}

// parseAt reads a day or a time; a day begins at midnight, UTC.
func parseAt(text string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, usageError{fmt.Errorf("--at %q is neither a day, as 2026-07-01, nor a time, as 2026-07-01T12:00:00Z", text)}
	}
	return t, nil
}
