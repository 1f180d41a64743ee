package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
	"github.com/fidokey/fidokey/webauthn"
)

func newCredentialsCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "credentials",
		Aliases: []string{"credential", "passkeys"},
		Short:   "List, show, rename and delete the passkeys on a key",
		Long: `List, show, rename and delete the discoverable credentials (passkeys) on a key.

A key shows them to whoever has its PIN or finger. Credentials that are not
discoverable are not on the key: it cannot list them. Keys of CTAP 2.0 cannot list
at all.

A credential is named by its ID in hexadecimal, base64 or base64url, or by a
beginning of that which no other has, of 4 characters or more.`,
	}
	cmd.AddCommand(
		newCredentialsListCmd(e), newCredentialsShowCmd(e), newCredentialsDeleteCmd(e), newCredentialsRenameCmd(e),
		newCredentialsMetadataCmd(e), newCredentialsExportCmd(e), newCredentialsForgetCmd(e),
	)
	return cmd
}

// credentialReader is how commands read the list of credentials.
type credentialReader struct {
	pin      pinSource
	rp       string // RP ID; empty: all
	remember bool
}

func (r *credentialReader) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.rp, "rp", "", "only the credentials of this RP ID")
	r.pin.addFlags(cmd, "pin", "the PIN")
}

// addReadFlags are for commands that change nothing.
func (r *credentialReader) addReadFlags(cmd *cobra.Command) {
	r.addFlags(cmd)
	addRememberFlag(cmd, &r.remember)
}

// addAllFlag gives a command that lists --all.
func (r *credentialReader) addAllFlag(e *env, cmd *cobra.Command) {
	addAllFlag(e, cmd)
	cmd.MarkFlagsMutuallyExclusive("all", "pin-stdin") // which has one PIN only
}

// found are the credentials of a key.
type found []listedCredential

// listedCredential is a credential with its relying party.
type listedCredential struct {
	rp *client.RelyingParty
	*client.StoredCredential
}

// read reads the list. With an error comes what was read nevertheless.
func (r *credentialReader) read(ctx context.Context, e *env, key *openedKey) (found, error) {
	info, err := key.Info(ctx)
	if err != nil {
		return nil, err
	}
	e.noteForgetful(info, r.remember)
	var rps []client.RelyingParty
	if r.rp == "" {
		rps, err = key.Credentials(ctx)
	} else {
		rps = []client.RelyingParty{{ID: r.rp, IDHash: sha256.Sum256([]byte(r.rp))}}
		rps[0].Credentials, err = key.CredentialsFor(ctx, r.rp)
	}
	var all found
	for i := range rps {
		for j := range rps[i].Credentials {
			all = append(all, listedCredential{&rps[i], &rps[i].Credentials[j]})
		}
	}
	return all, err
}

// one returns the credential that a text means.
func (f found) one(text string) (listedCredential, error) {
	ids := make([][]byte, len(f))
	for i, c := range f {
		ids[i] = c.ID
	}
	id, err := matchID(text, "credential", ids)
	if err != nil {
		return listedCredential{}, usageError{err}
	}
	for _, c := range f {
		if string(c.ID) == string(id) {
			return c, nil
		}
	}
	panic("matchID returned none of the IDs")
}

// notFound is the error that a credential is not in the list, or that the list is
// incomplete: then it is no wrong command line.
func notFound(err, incomplete error) error {
	if incomplete == nil {
		return err
	}
	return fmt.Errorf("%v: %w", err, incomplete)
}

// several returns the credentials that texts mean, each once.
func (f found) several(texts []string) (chosen found, err error) {
	taken := map[string]bool{}
	for _, text := range texts {
		c, err := f.one(text)
		if err != nil {
			return nil, err
		}
		if !taken[string(c.ID)] {
			taken[string(c.ID)] = true
			chosen = append(chosen, c)
		}
	}
	return chosen, nil
}

// shortIDs returns beginnings of the IDs, in hexadecimal, that tell them apart.
func (f found) shortIDs() []string {
	full := make([]string, len(f))
	longest := 0
	for i, c := range f {
		full[i] = hex.EncodeToString(c.ID)
		longest = max(longest, len(full[i]))
	}
	for length := 16; ; length += 8 {
		short, seen := make([]string, len(f)), map[string]bool{}
		for i, id := range full {
			short[i] = id[:min(length, len(id))]
			seen[short[i]] = true
		}
		if len(seen) == len(f) || length >= longest {
			return short
		}
	}
}

// nameOf says whose a credential is, for people.
func (c listedCredential) nameOf() string {
	user := c.User.Name
	switch {
	case user == "":
		user = c.User.DisplayName
	case c.User.DisplayName != "" && c.User.DisplayName != user:
		user += " (" + c.User.DisplayName + ")"
	}
	if user == "" {
		user = "a user without a name, " + hex.EncodeToString(c.User.ID)
	}
	return printable(user + " at " + c.rpID())
}

// rpID is what is known of the RP ID.
func (c listedCredential) rpID() string {
	if c.rp.IDCut {
		return c.rp.ID + "..."
	}
	return c.rp.ID
}

// credentialJSON is a credential in JSON. Its largeBlobKey is a secret, and left
// out.
type credentialJSON struct {
	CredentialID      ctap2.Bytes        `json:"credentialId"`
	RPID              string             `json:"rpId"`
	RPIDCut           bool               `json:"rpIdCut,omitempty"`
	RPIDHash          ctap2.Bytes        `json:"rpIdHash"`
	RPName            string             `json:"rpName,omitempty"`
	UserID            ctap2.Bytes        `json:"userId"`
	UserName          string             `json:"userName,omitempty"`
	UserDisplayName   string             `json:"userDisplayName,omitempty"`
	EntraTenant       string             `json:"entraTenant,omitempty"` // probably
	CredProtect       uint               `json:"credProtect,omitempty"`
	Algorithm         string             `json:"algorithm,omitempty"`
	PublicKey         webauthn.Base64URL `json:"publicKey,omitempty"` // DER SubjectPublicKeyInfo
	COSEKey           ctap2.Bytes        `json:"coseKey,omitempty"`   // of a type that has no SubjectPublicKeyInfo here
	LargeBlobKey      bool               `json:"largeBlobKey"`        // there is one
	ThirdPartyPayment *bool              `json:"thirdPartyPayment,omitempty"`
}

func (c listedCredential) json() credentialJSON {
	j := credentialJSON{
		CredentialID: c.ID, RPID: c.rp.ID, RPIDCut: c.rp.IDCut, RPIDHash: c.rp.IDHash[:], RPName: c.rp.Name,
		UserID: c.User.ID, UserName: c.User.Name, UserDisplayName: c.User.DisplayName,
		CredProtect: c.CredProtect, LargeBlobKey: len(c.LargeBlobKey) > 0, ThirdPartyPayment: c.ThirdPartyPayment,
	}
	if h, ok := c.ofMicrosoft(); ok {
		j.EntraTenant = h.Tenant
	}
	if c.PublicKey != nil {
		j.Algorithm = c.PublicKey.Algorithm.String()
		if spki, err := c.PublicKey.SPKI(); err == nil {
			j.PublicKey = spki
		} else {
			j.COSEKey = c.PublicKey.Raw()
		}
	}
	return j
}

// ofMicrosoft reads the user handle of an account at Microsoft.
func (c listedCredential) ofMicrosoft() (h entra.UserHandle, ok bool) {
	if c.rp.ID != entraRPID {
		return h, false
	}
	return entra.ParseUserHandle(c.User.ID)
}

func (f found) json() []credentialJSON {
	list := make([]credentialJSON, len(f))
	for i, c := range f {
		list[i] = c.json()
	}
	return list
}

// pem returns the public key for other programs.
func (j *credentialJSON) pem() (string, error) {
	if j.PublicKey == nil {
		return "", errors.New("the key tells no public key that can be written as PEM")
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: j.PublicKey})), nil
}

func (j *credentialJSON) print(w *printer) {
	optional := func(name, value string) {
		if value != "" {
			w.line(name, "%s", value)
		}
	}
	w.line("Credential ID", "%x", []byte(j.CredentialID))
	w.line("In base64url", "%v", webauthn.Base64URL(j.CredentialID))
	w.line("RP ID", "%s", j.RPID)
	if j.RPIDCut {
		w.line("RP ID is cut off", "SHA-256 of the whole: %x", []byte(j.RPIDHash))
	}
	optional("RP name", j.RPName)
	optional("User", j.UserName)
	optional("Display name", j.UserDisplayName)
	w.line("User ID", "%x", []byte(j.UserID))
	if j.EntraTenant != "" {
		w.line("Entra tenant", "%s (probable)", j.EntraTenant)
	}
	if j.CredProtect != 0 {
		w.line("Protection", "%v (%d)", client.CredProtect(j.CredProtect), j.CredProtect)
	}
	w.line("Large blob", "%s", map[bool]string{true: "there is a key for one", false: "no key for one"}[j.LargeBlobKey])
	if j.ThirdPartyPayment != nil {
		w.line("Third-party payment", "%t", *j.ThirdPartyPayment)
	}
	optional("Algorithm", j.Algorithm)
	if text, err := j.pem(); err == nil {
		fmt.Fprint(w, "\n"+text)
	} else if j.COSEKey != nil {
		w.line("COSE key", "%x", []byte(j.COSEKey))
	}
}

func newCredentialsListCmd(e *env) *cobra.Command {
	var reader credentialReader
	var csv bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the passkeys on a key, with the users' names",
		Long: `List the passkeys on a key, with relying party, user and credential ID. The ID is
cut to what tells it from the others, which other commands take for it.

--csv prints the columns of ykman: credential_id, rp_id, user_name,
user_display_name, user_id; IDs in hexadecimal.

If a key ends the list early, what came is printed, and the exit code is not 0.`,
		Example: "  fidokey credentials list\n  fidokey credentials list --rp login.microsoft.com --csv",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runCredentialsList(cmd.Context(), e, &reader, csv)
		},
	}
	reader.addReadFlags(cmd)
	reader.addAllFlag(e, cmd)
	cmd.Flags().BoolVarP(&csv, "csv", "c", false, "print comma-separated values")
	cmd.MarkFlagsMutuallyExclusive("csv", "all")
	return cmd
}

// credentialList is the answer of "credentials list".
type credentialList struct {
	Credentials []credentialJSON `json:"credentials"`
	Complete    bool             `json:"complete"` // the key has told of all of them

	found found
	csv   bool
}

func runCredentialsList(ctx context.Context, e *env, reader *credentialReader, csv bool) error {
	if csv && e.global.json {
		return usageError{errors.New("--csv and --json are two forms of one answer: choose one")}
	}
	if err := e.openRemembered(reader.remember); err != nil {
		return err
	}
	return e.onKeys(ctx, e.prompt(&reader.pin, nil), func(ctx context.Context, key *openedKey) (report, error) {
		all, err := reader.read(ctx, e, key)
		if err != nil && !errors.Is(err, client.ErrIncomplete) {
			return nil, err
		}
		return &credentialList{all.json(), err == nil, all, csv}, err
	})
}

func (r *credentialList) print(w *printer) {
	switch {
	case r.csv:
		w.err = writeCSV(w, ykmanColumns, r.Credentials)
	case len(r.found) == 0 && r.Complete:
		w.printf("The key has no passkeys here.")
	case len(r.found) > 0:
		w.table([]string{"rp id", "user", "display name", "credential id", "credProtect"}, r.found.rows())
		r.found.printMicrosoft(w)
	}
}

// printMicrosoft says of which tenants the passkeys for Microsoft Entra ID are.
func (f found) printMicrosoft(w *printer) {
	short := f.shortIDs()
	for i, c := range f {
		if h, ok := c.ofMicrosoft(); ok {
			w.line(short[i], "%s", h)
		}
	}
}

func (f found) rows() [][]string {
	short := f.shortIDs()
	var rows [][]string
	for i, c := range f {
		protect := "-"
		if c.CredProtect != 0 {
			protect = fmt.Sprint(c.CredProtect)
		}
		rows = append(rows, []string{c.rpID(), dashIfEmpty(c.User.Name), dashIfEmpty(c.User.DisplayName), short[i], protect})
	}
	return rows
}

func dashIfEmpty(s string) string {
	if strings.TrimSpace(s) == "" {
		return "-"
	}
	return s
}

func newCredentialsShowCmd(e *env) *cobra.Command {
	var reader credentialReader
	var pemFile string
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show all that a key tells of one passkey, and its public key",
		Long:    "Show all that a key tells of one passkey, with its public key as PEM.",
		Example: "  fidokey credentials show 3a91c2\n  fidokey credentials show 3a91c2 --pem - | openssl pkey -pubin -text",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCredentialsShow(cmd.Context(), e, &reader, args[0], pemFile)
		},
	}
	reader.addReadFlags(cmd)
	cmd.Flags().StringVar(&pemFile, "pem", "", "write the public key to this new file; '-' prints it and nothing else")
	return cmd
}

func runCredentialsShow(ctx context.Context, e *env, reader *credentialReader, id, pemFile string) error {
	toFile := pemFile != "" && pemFile != "-"
	switch {
	case pemFile == "-" && e.global.json:
		return usageError{errors.New("--json has the public key already: leave out '--pem -', or name a file")}
	case toFile:
		if err := refuseOldFile("--pem", pemFile); err != nil {
			return err
		}
	}
	if err := e.openRemembered(reader.remember); err != nil {
		return err
	}
	return e.onKey(ctx, e.prompt(&reader.pin, nil), func(ctx context.Context, key *openedKey) (report, error) {
		all, err := reader.read(ctx, e, key)
		if err != nil && !errors.Is(err, client.ErrIncomplete) {
			return nil, err
		}
		c, unknown := all.one(id)
		if unknown != nil {
			return nil, notFound(unknown, err)
		}
		shown := c.json()
		if pemFile == "" {
			return &shown, nil
		}
		text, err := shown.pem()
		if err != nil {
			return nil, err
		}
		if toFile {
			return &shown, writeNewFile(pemFile, []byte(text))
		}
		return plainText(text), nil
	})
}

// plainText is a report of which nothing may be changed.
type plainText string

func (t plainText) print(w *printer) { fmt.Fprint(w, string(t)) }
