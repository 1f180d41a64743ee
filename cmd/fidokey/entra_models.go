package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
	"github.com/fidokey/fidokey/entra/graph"
	"github.com/fidokey/fidokey/metadata"
)

// The words of --from-inventory, beside the names of files.
const (
	inventoryKeys   = "keys"
	inventoryTenant = "tenant"
)

const modelsHelp = `A model is named by its AAGUID, by its name if no other has it, or as one of
Microsoft's own: "Microsoft Authenticator" (iOS and Android), "Windows Hello" (hardware,
VBS and software), or one of them, as "Windows Hello (VBS)". --from-inventory takes the
models of the keys that are plugged in, --from-inventory=tenant those that are in use in
the tenant, and --from-inventory=FILE those of a list: JSON, CSV or lines with AAGUIDs.`

// addInventoryFlag gives a command that is about models --from-inventory.
func addInventoryFlag(cmd *cobra.Command, inventories *[]string) {
	cmd.Flags().StringArrayVar(inventories, "from-inventory", nil, "the models of the keys that are plugged in, with =tenant those in use in the tenant, with =FILE those of a list; may be repeated")
	cmd.Flags().Lookup("from-inventory").NoOptDefVal = inventoryKeys
}

// modelsNamed returns the models of arguments and inventories, each once.
func (e *env) modelsNamed(ctx context.Context, g *graph.Client, args, inventories []string) (models []ctap2.AAGUID, err error) {
	if len(args)+len(inventories) == 0 {
		return nil, usageError{errors.New("name models, or take them --from-inventory")}
	}
	for _, arg := range args {
		found, err := e.modelNamed(arg)
		if err != nil {
			return nil, err
		}
		models = append(models, found...)
	}
	for _, from := range inventories {
		found, err := e.inventory(ctx, g, from)
		if err != nil {
			return nil, err
		}
		models = append(models, found...)
	}
	var once []ctap2.AAGUID
	for _, a := range models {
		if !slices.Contains(once, a) {
			once = append(once, a)
		}
	}
	return once, nil
}

// modelNamed returns the model of an AAGUID or a name; those of Microsoft may be
// several.
func (e *env) modelNamed(name string) ([]ctap2.AAGUID, error) {
	if a, err := ctap2.ParseAAGUID(strings.ToLower(name)); err == nil {
		if a == (ctap2.AAGUID{}) {
			return nil, usageError{errors.New("the AAGUID of zeros is what keys have that do not tell their model; it is no model")}
		}
		return []ctap2.AAGUID{a}, nil
	}
	if found := entra.Named(name); found != nil {
		return found, nil
	}
	found, err := findModels(name)
	if err != nil {
		return nil, err
	}
	switch len(found) {
	case 0:
		hint := ""
		if name == inventoryTenant {
			hint = "; with --from-inventory it is written --from-inventory=tenant"
		}
		return nil, usageError{fmt.Errorf("there is no model %q; 'fidokey metadata lookup' finds models by parts of their names%s", name, hint)}
	case 1:
		return []ctap2.AAGUID{found[0].aaguid}, nil
	}
	const most = 20
	lines := []string{fmt.Sprintf("%q may be %d models; name one by its AAGUID:", name, len(found))}
	for _, m := range found[:min(len(found), most)] {
		lines = append(lines, fmt.Sprintf("  %v  %s", m.aaguid, printable(m.name)))
	}
	if len(found) > most {
		lines = append(lines, fmt.Sprintf("  and %d more", len(found)-most))
	}
	return nil, usageError{errors.New(strings.Join(lines, "\n"))}
}

type namedModel struct {
	aaguid ctap2.AAGUID
	name   string
}

// findModels finds models by words of their names, in the stored metadata and the
// built-in table. A whole name goes before parts of others.
func findModels(name string) (found []namedModel, err error) {
	if strings.TrimSpace(name) == "" {
		return nil, nil
	}
	r := &lookupReport{}
	if x, err := openMetadata(); err == nil {
		err = r.addStored(x, name)
		if err = errors.Join(err, x.Close()); err != nil {
			return nil, err
		}
	}
	r.addBuiltIn(name)
	var whole []namedModel
	for _, m := range r.Models {
		a, err := ctap2.ParseAAGUID(m.AAGUID)
		if err != nil {
			continue // one of U2F, which has none
		}
		found = append(found, namedModel{a, m.Name})
		if strings.EqualFold(m.Name, name) {
			whole = append(whole, namedModel{a, m.Name})
		}
	}
	if whole != nil {
		found = whole
	}
	slices.SortFunc(found, func(a, b namedModel) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.aaguid.String(), b.aaguid.String()))
	})
	return found, nil
}

// inventory returns the models of keys that there are.
func (e *env) inventory(ctx context.Context, g *graph.Client, from string) ([]ctap2.AAGUID, error) {
	switch from {
	case inventoryKeys:
		return e.modelsPluggedIn(ctx)
	case inventoryTenant:
		return e.modelsInTenant(ctx, g)
	}
	text, err := e.readFile(from)
	if err != nil {
		return nil, err
	}
	models, err := entra.ParseInventory(resultOf(text))
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", from, err)}
	}
	return withoutZeros(models), nil
}

func withoutZeros(models []ctap2.AAGUID) []ctap2.AAGUID {
	return slices.DeleteFunc(models, func(a ctap2.AAGUID) bool { return a == ctap2.AAGUID{} })
}

// modelsPluggedIn asks every key that is plugged in, or the one that --device names.
func (e *env) modelsPluggedIn(ctx context.Context) (models []ctap2.AAGUID, err error) {
	ask := func(key *openedKey) error {
		info, err := key.Info(ctx)
		if err != nil {
			return err
		}
		if info.AAGUID == (ctap2.AAGUID{}) {
			e.note("%s does not tell its model, and is left out.", key.device.Path)
			return nil
		}
		models = append(models, info.AAGUID)
		return nil
	}
	if e.global.device != "" {
		err = e.withKey(ctx, client.Prompt{}, ask)
	} else {
		err = e.withEveryKey(ctx, ask)
	}
	if err == nil && len(models) == 0 {
		err = fmt.Errorf("no key tells its model: %w", client.ErrKeyCannot)
	}
	return models, err
}

// withEveryKey opens one key after the other.
func (e *env) withEveryKey(ctx context.Context, use func(key *openedKey) error) error {
	places, err := e.places(ctx)
	if err != nil {
		return err
	}
	if len(places) == 0 {
		return errNoKey
	}
	for _, p := range places {
		key, err := p.open(ctx, client.Prompt{})
		if err == nil {
			err = errors.Join(use(key), key.Close())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.device.Path, err)
		}
	}
	return nil
}

// modelsInTenant looks at all passkeys of the tenant.
func (e *env) modelsInTenant(ctx context.Context, g *graph.Client) (models []ctap2.AAGUID, err error) {
	users, unread, untold := 0, 0, 0
	for u, err := range g.Passkeys(ctx) {
		if err != nil {
			return nil, err
		}
		if u.Err != nil {
			unread++
		}
		users++
		for _, m := range u.Methods {
			a, err := ctap2.ParseAAGUID(m.AAGUID)
			switch {
			case err != nil || a == (ctap2.AAGUID{}):
				untold++
			case !slices.Contains(models, a):
				models = append(models, a)
			}
		}
	}
	e.note("The passkeys of %s are on %s.", count(users-unread, "user", "users"), count(len(models), "model", "models"))
	if unread > 0 {
		e.note("Those of %d users could not be read; their models may be missing.", unread)
	}
	if untold > 0 {
		e.note("%d passkeys are on keys that do not tell their model.", untold)
	}
	if len(models) == 0 {
		return nil, errors.New("the tenant has no passkeys whose model is known")
	}
	return models, nil
}

// judgeAllowed notes of which models it is no use to allow them in a profile.
func judgeAllowed(p *entra.Policy, profile string, models []ctap2.AAGUID, c entra.Case) (notes []entra.Note, err error) {
	q, err := p.Profile(profile)
	if err != nil {
		return nil, err
	}
	for _, a := range models {
		c.Key = entra.Key{AAGUID: a}
		for _, r := range p.RefusedAllTheSame(q, c) {
			notes = append(notes, entra.Note{Profile: q.Title(), Warning: true, Text: fmt.Sprintf("it refuses %s (%v) all the same, by %s: %s", modelName(a), a, r.Rule, r.Detail)})
		}
	}
	return notes, nil
}

// storedMetadata opens what is stored, if there is any.
func (e *env) storedMetadata() (m entra.Metadata, closeIt func()) {
	x, err := openMetadata()
	if err != nil {
		if !errors.Is(err, metadata.ErrNoCache) {
			e.note("The stored metadata cannot be read: %v", err)
		}
		return nil, func() {}
	}
	return x, func() { x.Close() }
}
