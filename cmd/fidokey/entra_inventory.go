package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra/graph"
	"github.com/fidokey/fidokey/entra/usage"
)

type entraInventoryOptions struct {
	graph       graphOptions
	users       []string
	byUser, key bool
	csv         string
	pin         pinSource
}

func newEntraInventoryCmd(e *env) *cobra.Command {
	var o entraInventoryOptions
	cmd := &cobra.Command{
		Use:   "inventory",
		Short: "List the models of keys that are in use in the tenant",
		Long: `List the models of keys that are in use in the tenant, by AAGUID, with how many
passkeys and users they have. 'fidokey entra check --inventory' and 'fidokey entra
policy allow' take the list, in JSON or CSV.

--key compares with the key that is plugged in: which users its credentials for
` + entraRPID + ` belong to, which of them the tenant does not have, and which
passkeys of the same users are on another key of the model. Nothing is deleted.

Who has passkeys is what the tenant's registration report says, which may be some hours
behind; it needs a licence for Microsoft Entra ID P1 or P2. Without it every user is
asked for. If the passkeys of single users cannot be read the others are listed, and
the exit code is 1.

It takes the permissions AuditLog.Read.All, User.Read.All and
UserAuthMethod-Passkey.Read.All; a person who signs in needs the role Global Reader, or
Authentication Administrator with Reports Reader. With --user the last permission will
do.

` + signInHelp,
		Example: `  fidokey entra inventory
  fidokey entra inventory --by-user --csv passkeys.csv
  fidokey entra inventory --json > inventory.json
  fidokey entra inventory --key --user sam@example.com`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runEntraInventory(cmd.Context(), e, &o) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&o.users, "user", nil, "only the passkeys of this user, by principal name (UPN) or ID; may be repeated")
	flags.BoolVar(&o.byUser, "by-user", false, "list the passkeys of each user")
	flags.BoolVar(&o.key, "key", false, "compare with the passkeys on the key that is plugged in")
	flags.StringVar(&o.csv, "csv", "", "write comma-separated values to this new file; '-' prints them and nothing else")
	o.pin.addFlags(cmd, "pin", "the PIN")
	o.graph.addFlags(cmd)
	return cmd
}

// entraInventoryReport is the answer of "entra inventory".
type entraInventoryReport struct {
	Asked    int             `json:"asked"` // users whose passkeys were asked for
	Users    int             `json:"users"` // with a passkey
	Passkeys int             `json:"passkeys"`
	NoReport bool            `json:"noReport"` // every user was asked for
	Models   []usage.Model   `json:"models"`
	ByUser   []entraUser     `json:"byUser,omitempty"`
	Unread   []entraUnread   `json:"unread,omitempty"`
	Key      *entraKeyOnDesk `json:"key,omitempty"`

	names map[string]string // of models, by AAGUID
}

// entraUser is a user with passkeys.
type entraUser struct {
	User        string        `json:"user"`
	DisplayName string        `json:"displayName,omitempty"`
	Passkeys    []entraMethod `json:"passkeys"`
}

// entraUnread is a user whose passkeys could not be read.
type entraUnread struct {
	User  string `json:"user"`
	Error string `json:"error"`
}

func runEntraInventory(ctx context.Context, e *env, o *entraInventoryOptions) error {
	if err := csvOutput(o.csv).check(e); err != nil {
		return err
	}
	if !o.key && (e.global.device != "" || o.pin.given()) {
		return usageError{errors.New("--device and PINs are for --key")}
	}
	g, err := o.graph.clientOf(e)
	if err != nil {
		return err
	}
	var onKey *keyForEntra
	var device *deviceInfo
	if o.key {
		if onKey, device, err = e.readForEntra(ctx, &o.pin); err != nil {
			return err
		}
	}
	users, err := o.gather(ctx, e, g)
	if err != nil {
		return err
	}
	var compared *entraKeyOnDesk
	var others []graph.UserMethods
	if onKey != nil {
		if compared, others, err = onKey.compare(ctx, g, users, len(o.users) > 0, o.graph.tenant); err != nil {
			return err
		}
	}
	if len(o.users) == 0 {
		users = append(users, others...)
	}
	r := newEntraInventoryReport(users, o.byUser)
	r.Key = compared
	shown, err := csvOutput(o.csv).write(r.csv(o.byUser), r)
	if shown != nil {
		err = errors.Join(e.say(device, shown), err)
	}
	return errors.Join(err, unread(r.Unread))
}

// gather asks for the passkeys of the users that are meant.
func (o *entraInventoryOptions) gather(ctx context.Context, e *env, g *graph.Client) (users []graph.UserMethods, err error) {
	var list iter.Seq2[graph.UserMethods, error]
	if len(o.users) > 0 {
		list = g.MethodsOf(ctx, slices.Values(o.users))
	} else {
		list = g.Passkeys(ctx)
	}
	for u, err := range list {
		if err != nil {
			return nil, err
		}
		users = append(users, tidy(u))
		if u.NoReport && len(users) == 1 {
			e.note("The tenant's licence has no registration report, so every user is asked for.")
		}
		e.noteRead(len(users))
	}
	return users, nil
}

// noteRead says now and then how far it is.
func (e *env) noteRead(n int) {
	if n%1000 == 0 {
		e.note("Read the passkeys of %d users so far.", n)
	}
}

// tidy keeps what people chose as names from steering a terminal, and names a user.
func tidy(u graph.UserMethods) graph.UserMethods {
	if u.UPN == "" {
		u.UPN = u.User
	}
	u.UPN, u.DisplayName = printable(u.UPN), printable(u.DisplayName)
	for i := range u.Methods {
		m := &u.Methods[i]
		m.DisplayName, m.Model = printable(m.DisplayName), printable(m.Model)
	}
	return u
}

// namer is modelName for package usage, which looks each up once.
func namer() usage.Namer {
	known := map[string]string{}
	return func(aaguid string) string {
		name, ok := known[aaguid]
		if !ok {
			if a, err := ctap2.ParseAAGUID(aaguid); err == nil {
				name = knownModel(a)
			}
			known[aaguid] = name
		}
		return name
	}
}

func newEntraInventoryReport(users []graph.UserMethods, byUser bool) *entraInventoryReport {
	r := &entraInventoryReport{Asked: len(users), Models: usage.Models(users, namer()), names: map[string]string{}}
	for _, m := range r.Models {
		r.names[m.AAGUID] = m.Name
	}
	for _, u := range users {
		r.NoReport = r.NoReport || u.NoReport
		if u.Err != nil {
			r.Unread = append(r.Unread, entraUnread{u.UPN, u.Err.Error()})
			continue
		}
		r.Passkeys += len(u.Methods)
		if len(u.Methods) == 0 {
			continue
		}
		r.Users++
		if byUser {
			one := entraUser{User: u.UPN, DisplayName: u.DisplayName}
			for _, m := range u.Methods {
				one.Passkeys = append(one.Passkeys, newEntraMethod(&m))
			}
			r.ByUser = append(r.ByUser, one)
		}
	}
	return r
}

// unread is the error that some users are missing.
func unread(users []entraUnread) error {
	const shown = 5
	if len(users) == 0 {
		return nil
	}
	words := fmt.Sprintf("the passkeys of %s could not be read:", plural(len(users), "user"))
	for _, u := range users[:min(shown, len(users))] {
		words += fmt.Sprintf("\n  %s: %s", u.User, u.Error)
	}
	if n := len(users) - shown; n > 0 {
		words += fmt.Sprintf("\n  and %d more; --json lists them", n)
	}
	return errors.New(words)
}

// csv has a line for each model, or for each passkey. The AAGUID comes first, which
// 'entra check' and others look for.
func (r *entraInventoryReport) csv(byUser bool) (rows [][]string) {
	if byUser {
		rows = append(rows, []string{"aaguid", "name", "user", "display_name", "passkey", "created", "type", "attestation", "credential_id"})
		for _, u := range r.ByUser {
			for _, m := range u.Passkeys {
				aaguid := strings.ToLower(m.AAGUID)
				rows = append(rows, []string{aaguid, r.names[aaguid], u.User, u.DisplayName, m.DisplayName, m.day(), m.PasskeyType, m.AttestationLevel, m.CredentialID})
			}
		}
		return rows
	}
	rows = append(rows, []string{"aaguid", "name", "model", "passkeys", "users", "device_bound", "synced", "attested"})
	for _, m := range r.Models {
		rows = append(rows, slices.Concat([]string{m.AAGUID, m.Name, m.Model}, numbers(m.Passkeys, m.Users, m.DeviceBound, m.Synced, m.Attested)))
	}
	return rows
}

func numbers(list ...int) (words []string) {
	for _, n := range list {
		words = append(words, strconv.Itoa(n))
	}
	return words
}

// day is when the passkey was made.
func (m *entraMethod) day() string {
	if m.Created == nil {
		return ""
	}
	return m.Created.Format(time.DateOnly)
}

func (r *entraInventoryReport) print(w *printer) {
	w.printf("%s of %s, on %s.", plural(r.Passkeys, "passkey"), plural(r.Users, "user"), plural(len(r.Models), "model"))
	if len(r.Models) > 0 {
		w.printf("")
		printModels(w, r.Models)
	}
	if len(r.ByUser) > 0 {
		w.printf("")
		var rows [][]string
		for _, u := range r.ByUser {
			for _, m := range u.Passkeys {
				rows = append(rows, []string{u.User, m.DisplayName, r.names[strings.ToLower(m.AAGUID)], m.PasskeyType, m.AttestationLevel, m.day()})
			}
		}
		w.table([]string{"user", "passkey", "model", "type", "attestation", "created"}, rows)
	}
	if r.Key != nil {
		w.printf("")
		r.Key.print(w)
	}
}

// printModels has the AAGUID and the name in one column, so that a narrow terminal breaks
// the line between them, and not the AAGUID.
func printModels(w *printer, models []usage.Model) {
	var rows [][]string
	for _, m := range models {
		rows = append(rows, slices.Concat([]string{fmt.Sprintf("%-*s  %s", aaguidLength, dashIfEmpty(m.AAGUID), m.Name)}, numbers(m.Passkeys, m.Users, m.DeviceBound, m.Synced, m.Attested)))
	}
	w.table([]string{"aaguid, model", "passkeys", "users", "device bound", "synced", "attested"}, rows)
}

// aaguidLength is that of one in text.
const aaguidLength = 36

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
