package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/webauthn"
)

func newBlobsCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "blobs",
		Aliases: []string{"blob"},
		Short:   "List, read, write and delete the large blobs of passkeys",
		Long: `List, read, write and delete the large blobs of passkeys: a few hundred bytes that go
with a credential, such as a certificate.

A key of CTAP 2.1 keeps the blobs of all credentials in one array, each encrypted
under the largeBlobKey of its credential. A key of CTAP 2.3 may keep each blob with
its credential instead: then 'get' and 'set' take a touch, and the other commands
have nothing to do. Room for a blob is made when a credential is registered.

A credential is named as in 'fidokey credentials', or by --rp if the key has one
only of this RP ID.`,
	}
	cmd.AddCommand(
		newBlobsListCmd(e), newBlobsGetCmd(e), newBlobsSetCmd(e), newBlobsDeleteCmd(e),
		newBlobsRepairCmd(e), newBlobsCollectCmd(e),
	)
	return cmd
}

// keepsArray reports whether a key has the large-blob array. If it does not, the
// error says what it has.
func keepsArray(info *ctap2.GetInfoResponse) error {
	if has, _ := info.Option(ctap2.OptionLargeBlobs); has {
		return nil
	}
	if keepsWithCredential(info) {
		return fmt.Errorf("%w: it keeps each blob with its credential, for 'blobs get' and 'blobs set'", client.ErrNoLargeBlobs)
	}
	return client.ErrNoLargeBlobs
}

// keepsWithCredential reports whether a key has the extension largeBlob (CTAP 2.3,
// section 12.4).
func keepsWithCredential(info *ctap2.GetInfoResponse) bool {
	return slices.Contains(info.Extensions, ctap2.ExtensionLargeBlob)
}

func newBlobsListCmd(e *env) *cobra.Command {
	var reader credentialReader
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the large blobs on a key, with whose they are",
		Long: `List the large blobs on a key: bytes in the array, bytes of the blob, and whose it
is. An orphan is one that no passkey's largeBlobKey opens: its credential was
deleted. An empty array, or one that is corrupt, is shown without a PIN.`,
		Example: "  fidokey blobs list",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runBlobsList(cmd.Context(), e, &reader) },
	}
	reader.pin.addFlags(cmd, "pin", "the PIN")
	addRememberFlag(cmd, &reader.remember)
	reader.addAllFlag(e, cmd)
	return cmd
}

// blobList is the answer of "blobs list".
type blobList struct {
	Bytes    uint        `json:"bytes"`
	Capacity uint        `json:"capacity"`
	Corrupt  string      `json:"corrupt,omitempty"` // why the array cannot be read
	Entries  []blobEntry `json:"entries"`
	// Attributed means that all passkeys are known, and with them which entries
	// are orphans.
	Attributed bool `json:"attributed"`
}

// blobEntry is an entry of the array.
type blobEntry struct {
	Bytes        int         `json:"bytes"`      // in the array
	OrigSize     uint64      `json:"origSize"`   // of the blob, as the entry claims
	WellFormed   bool        `json:"wellFormed"` // else another program's, which is left alone
	Orphan       bool        `json:"orphan"`
	CredentialID ctap2.Bytes `json:"credentialId,omitempty"`
	RPID         string      `json:"rpId,omitempty"`
	UserName     string      `json:"userName,omitempty"`
	Error        string      `json:"error,omitempty"` // why the blob cannot be read though the key fits
}

func (l *blobList) print(w *printer) {
	w.line("Large-blob array", "%d of %d bytes, %s", l.Bytes, l.Capacity, count(len(l.Entries), "entry", "entries"))
	if l.Corrupt != "" {
		w.line("State", "%s; 'fidokey blobs repair' empties it", l.Corrupt)
	}
	if len(l.Entries) == 0 {
		return
	}
	var rows [][]string
	for _, b := range l.Entries {
		id := hex.EncodeToString(b.CredentialID)
		row := []string{fmt.Sprint(b.Bytes), fmt.Sprint(b.OrigSize), b.whose(l.Attributed), dashIfEmpty(b.UserName), dashIfEmpty(id[:min(16, len(id))])}
		rows = append(rows, row)
	}
	w.table([]string{"bytes", "blob", "rp id", "user", "credential id"}, rows)
}

// whose says whose an entry is.
func (b *blobEntry) whose(attributed bool) string {
	switch {
	case b.Error != "":
		return b.RPID + " (" + b.Error + ")"
	case b.RPID != "":
		return b.RPID
	case !b.WellFormed:
		return "(of another kind)"
	case attributed:
		return "(orphan)"
	}
	return "(not known)"
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func runBlobsList(ctx context.Context, e *env, reader *credentialReader) error {
	if err := e.openRemembered(reader.remember); err != nil {
		return err
	}
	return e.onKeys(ctx, e.prompt(&reader.pin, nil), func(ctx context.Context, key *openedKey) (report, error) {
		info, err := key.Info(ctx)
		if err != nil {
			return nil, err
		}
		if err := keepsArray(info); err != nil {
			return nil, err
		}
		array, err := key.LargeBlobs(ctx, nil)
		if err != nil {
			return nil, err
		}
		if len(array.Entries) == 0 {
			return newBlobList(array, nil, true), nil
		}
		return e.attribute(ctx, key, reader)
	})
}

// attribute lists the blobs with whose they are. Where the key cannot say whose
// passkeys it has, they are listed without.
func (e *env) attribute(ctx context.Context, key *openedKey, reader *credentialReader) (report, error) {
	all, unknown := reader.read(ctx, e, key)
	switch {
	case errors.Is(unknown, client.ErrNoCredentialManagement), errors.Is(unknown, client.ErrNoPIN), errors.Is(unknown, client.ErrNoRPList):
		e.note("Whose the blobs are is not known: %v", unknown)
		array, err := key.LargeBlobs(ctx, nil)
		if err != nil {
			return nil, err
		}
		return newBlobList(array, nil, false), nil
	case unknown != nil && !errors.Is(unknown, client.ErrIncomplete):
		return nil, unknown
	}
	array, err := key.LargeBlobs(ctx, all.forLargeBlobs())
	if err != nil {
		return nil, err
	}
	return newBlobList(array, all, unknown == nil), unknown
}

// forLargeBlobs are the credentials with what opens their blobs.
func (f found) forLargeBlobs() []client.LargeBlobCredential {
	list := make([]client.LargeBlobCredential, len(f))
	for i, c := range f {
		list[i] = client.LargeBlobCredential{RPID: c.rp.ID, ID: c.ID, LargeBlobKey: c.LargeBlobKey}
	}
	return list
}

func newBlobList(array *client.LargeBlobArray, all found, attributed bool) *blobList {
	l := &blobList{Bytes: uint(len(array.Raw)), Capacity: array.Capacity, Entries: []blobEntry{}, Attributed: attributed}
	if array.Corrupt != nil {
		l.Corrupt = array.Corrupt.Error()
	}
	for _, entry := range array.Entries {
		b := blobEntry{Bytes: len(entry.Raw), OrigSize: entry.OrigSize, WellFormed: entry.WellFormed}
		b.Orphan = attributed && entry.WellFormed && entry.Credential == nil
		if entry.Err != nil {
			b.Error = entry.Err.Error()
		}
		for _, c := range all {
			if entry.Credential != nil && string(c.ID) == string(entry.Credential.ID) {
				b.CredentialID, b.RPID, b.UserName = c.ID, c.rpID(), c.User.Name
			}
		}
		l.Entries = append(l.Entries, b)
	}
	return l
}

// blobTarget is the credential whose blob is meant, as the command line says it.
type blobTarget struct {
	credentialReader
	id string
}

func (t *blobTarget) check() error {
	if t.id == "" && t.rp == "" {
		return usageError{errors.New("whose blob? Give a credential ID, or an RP ID with --rp")}
	}
	return nil
}

// blobOwner is the credential whose blob is meant.
type blobOwner struct {
	rpID         string
	id           []byte // nil: whichever of this RP ID signs
	largeBlobKey []byte // nil on a key that keeps blobs with credentials
	name         string // for people
}

// find finds the credential: in the list, or on a key that has none by a sign-in,
// which takes the RP ID and a touch.
func (t *blobTarget) find(ctx context.Context, e *env, key *openedKey) (*blobOwner, error) {
	info, err := key.Info(ctx)
	if err != nil {
		return nil, err
	}
	if lacking := keepsArray(info); lacking != nil && !keepsWithCredential(info) {
		return nil, lacking
	}
	all, err := t.read(ctx, e, key)
	if errors.Is(err, client.ErrNoCredentialManagement) && t.rp != "" {
		return t.findBySignIn(ctx, key, keepsArray(info) == nil)
	}
	if err != nil && !errors.Is(err, client.ErrIncomplete) {
		return nil, err
	}
	c, unknown := t.choose(all)
	if unknown != nil {
		return nil, notFound(unknown, err)
	}
	owner := &blobOwner{rpID: c.rp.ID, id: c.ID, largeBlobKey: c.LargeBlobKey, name: c.nameOf()}
	switch {
	case keepsArray(info) == nil && len(owner.largeBlobKey) == 0:
		return nil, fmt.Errorf("%s: %w", owner.name, client.ErrNoLargeBlobKey)
	case c.rp.IDCut:
		return nil, usageError{fmt.Errorf("the key has cut the RP ID %q off: give the whole with --rp", c.rp.ID)}
	}
	return owner, nil
}

// choose returns the credential that is named, or the only one of the RP ID.
func (t *blobTarget) choose(all found) (listedCredential, error) {
	switch {
	case t.id != "":
		return all.one(t.id)
	case len(all) == 0:
		return listedCredential{}, &ctap2.Error{Command: ctap2.CommandCredentialManagement, Status: ctap2.ErrNoCredentials}
	case len(all) > 1:
		text := "the key has several credentials of " + t.rp + "; give the ID of one:"
		for i, id := range all.shortIDs() {
			text += "\n  " + id + "  " + all[i].nameOf()
		}
		return listedCredential{}, usageError{errors.New(text)}
	}
	return all[0], nil
}

// possibleCredentials are all credentials that an ID may stand for where there is no list
// to look it up in; none for an empty one.
func possibleCredentials(id string) (list []ctap2.Descriptor) {
	for _, reading := range readings(id) {
		if len(reading) > 0 {
			list = append(list, ctap2.Descriptor{ID: reading, Type: ctap2.PublicKeyType})
		}
	}
	return list
}

// findBySignIn finds the credential by a sign-in, which yields its largeBlobKey.
func (t *blobTarget) findBySignIn(ctx context.Context, key *openedKey, array bool) (*blobOwner, error) {
	owner := &blobOwner{rpID: t.rp, name: "the credential of " + printable(t.rp)}
	allow := possibleCredentials(t.id)
	if t.id != "" && allow == nil {
		return nil, usageError{fmt.Errorf("%q is no credential ID, which this key needs as a whole: hexadecimal or base64", t.id)}
	}
	if !array {
		if len(allow) > 0 {
			owner.id = allow[0].ID
		}
		return owner, nil
	}
	signed, err := signInForBlob(ctx, key, t.rp, allow, client.AssertionExtensions{ReadLargeBlob: true})
	if err != nil {
		return nil, err
	}
	owner.id, owner.largeBlobKey = signed.Credential.ID, signed.LargeBlobKey
	if owner.largeBlobKey == nil {
		return nil, fmt.Errorf("%s: %w", owner.name, client.ErrNoLargeBlobKey)
	}
	return owner, nil
}

// signInForBlob signs in at a relying party that does not exist: what counts is
// the output of an extension.
func signInForBlob(ctx context.Context, key *openedKey, rpID string, allow []ctap2.Descriptor, x client.AssertionExtensions) (*client.Asserted, error) {
	signed, err := key.Authenticate(ctx, client.Assertion{
		ClientDataHash: webauthn.Hash(nil), RPID: rpID, Allow: allow, Extensions: x,
	})
	if err != nil {
		return nil, err
	}
	if len(signed) > 1 {
		return nil, usageError{fmt.Errorf("the key has several credentials of %s: give the ID of one", rpID)}
	}
	return signed[0], nil
}

func (o *blobOwner) allow() []ctap2.Descriptor {
	if o.id == nil {
		return nil
	}
	return []ctap2.Descriptor{{ID: o.id, Type: ctap2.PublicKeyType}}
}

// read returns the blob, or client.ErrNoLargeBlob.
func (o *blobOwner) read(ctx context.Context, key *openedKey) ([]byte, error) {
	if o.largeBlobKey != nil {
		return key.LargeBlob(ctx, o.largeBlobKey)
	}
	signed, err := signInForBlob(ctx, key, o.rpID, o.allow(), client.AssertionExtensions{ReadLargeBlob: true})
	if err != nil {
		return nil, err
	}
	o.id = signed.Credential.ID
	switch result := signed.Extensions.LargeBlob; {
	case result == nil:
		return nil, client.ErrNoLargeBlob
	case result.Err != nil:
		return nil, result.Err
	case result.Blob == nil:
		return nil, client.ErrNoLargeBlob
	default:
		return result.Blob, nil
	}
}

func newBlobsGetCmd(e *env) *cobra.Command {
	var target blobTarget
	var file string
	cmd := &cobra.Command{
		Use:   "get [ID]",
		Short: "Read the large blob of a passkey",
		Long: `Read the large blob of a passkey, and write it to standard output or a new file as
it is.`,
		Example: "  fidokey blobs get 3a91c2 --output certificate.der\n  fidokey blobs get --rp ssh:work | hexdump -C",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				target.id = args[0]
			}
			return runBlobsGet(cmd.Context(), e, &target, file)
		},
	}
	target.addReadFlags(cmd)
	cmd.Flags().StringVarP(&file, "output", "o", "", "write to this new file")
	return cmd
}

// readBlob is the answer of "blobs get".
type readBlob struct {
	RPID         string             `json:"rpId"`
	CredentialID ctap2.Bytes        `json:"credentialId"`
	Size         int                `json:"size"`           // bytes
	Blob         webauthn.Base64URL `json:"blob,omitempty"` // absent if it went to a file
	File         string             `json:"file,omitempty"`
}

func (b *readBlob) print(w *printer) {
	if b.File != "" {
		w.printf("%d bytes are in %s.", b.Size, b.File)
		return
	}
	w.Write(b.Blob)
}

func runBlobsGet(ctx context.Context, e *env, target *blobTarget, file string) error {
	if err := target.check(); err != nil {
		return err
	}
	if file != "" {
		if err := refuseOldFile("--output", file); err != nil {
			return err
		}
	}
	if err := e.openRemembered(target.remember); err != nil {
		return err
	}
	var held heldPIN
	defer held.forget()
	return e.onKey(ctx, held.hold(e.prompt(&target.pin, nil)), func(ctx context.Context, key *openedKey) (report, error) {
		owner, err := target.find(ctx, e, key)
		if err != nil {
			return nil, err
		}
		blob, err := owner.read(ctx, key)
		if err != nil {
			return nil, err
		}
		answer := &readBlob{RPID: owner.rpID, CredentialID: owner.id, Size: len(blob), File: file}
		if file != "" {
			return answer, writeNewFile(file, blob)
		}
		answer.Blob = blob
		return answer, nil
	})
}
