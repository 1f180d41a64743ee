package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
)

// A column is one of a table in CSV.
type column struct {
	name  string
	value func(c *credentialJSON) string
}

// ykmanColumns are those that "ykman fido credentials list --csv" has.
var ykmanColumns = []column{
	{"credential_id", func(c *credentialJSON) string { return hex.EncodeToString(c.CredentialID) }},
	{"rp_id", func(c *credentialJSON) string { return c.RPID }},
	{"user_name", func(c *credentialJSON) string { return c.UserName }},
	{"user_display_name", func(c *credentialJSON) string { return c.UserDisplayName }},
	{"user_id", func(c *credentialJSON) string { return hex.EncodeToString(c.UserID) }},
}

// allColumns are what a key tells, without secrets.
var allColumns = append(ykmanColumns[:len(ykmanColumns):len(ykmanColumns)], []column{
	{"rp_id_hash", func(c *credentialJSON) string { return hex.EncodeToString(c.RPIDHash) }},
	{"rp_name", func(c *credentialJSON) string { return c.RPName }},
	{"cred_protect", func(c *credentialJSON) string {
		if c.CredProtect == 0 {
			return ""
		}
		return fmt.Sprint(c.CredProtect)
	}},
	{"algorithm", func(c *credentialJSON) string { return c.Algorithm }},
	{"public_key", func(c *credentialJSON) string { return c.PublicKey.String() }},
	{"large_blob_key", func(c *credentialJSON) string { return strconv.FormatBool(c.LargeBlobKey) }},
	{"third_party_payment", func(c *credentialJSON) string {
		if c.ThirdPartyPayment == nil {
			return ""
		}
		return strconv.FormatBool(*c.ThirdPartyPayment)
	}},
}...)

// writeCSV writes a header and a line for each credential.
func writeCSV(out io.Writer, columns []column, credentials []credentialJSON) error {
	w := csv.NewWriter(out)
	record := make([]string, len(columns))
	for i, c := range columns {
		record[i] = c.name
	}
	w.Write(record)
	for i := range credentials {
		for j, c := range columns {
			record[j] = printable(c.value(&credentials[i]))
		}
		w.Write(record)
	}
	w.Flush()
	return w.Error()
}

func newCredentialsExportCmd(e *env) *cobra.Command {
	var reader credentialReader
	var o credentialExport
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write all that a key tells of its passkeys, for audits",
		Long: `Write all that a key tells of its passkeys as JSON or CSV, to standard output or a
new file: whose they are, how they are protected, their public keys. There is no
secret in it; passkeys themselves cannot leave a key.`,
		Example: "  fidokey credentials export --format csv --output passkeys.csv",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runCredentialsExport(cmd.Context(), e, &reader, &o)
		},
	}
	reader.addReadFlags(cmd)
	cmd.Flags().StringVar(&o.format, "format", "json", "json or csv")
	cmd.Flags().StringVarP(&o.file, "output", "o", "", "write to this new file")
	return cmd
}

// credentialExport is the answer of "credentials export".
type credentialExport struct {
	AAGUID      ctap2.AAGUID     `json:"aaguid"`
	Name        string           `json:"name"` // of the model
	Credentials []credentialJSON `json:"credentials"`
	Complete    bool             `json:"complete"`

	format, file string
}

func (x *credentialExport) check(e *env) error {
	switch {
	case x.format != "json" && x.format != "csv":
		return usageError{fmt.Errorf("--format %q: there are json and csv", x.format)}
	case x.format == "csv" && x.file == "" && e.global.json:
		return usageError{errors.New("--format csv and --json are two forms of one answer: choose one, or write to a file with --output")}
	}
	return refuseOldFile("--output", x.file)
}

func runCredentialsExport(ctx context.Context, e *env, reader *credentialReader, x *credentialExport) error {
	if err := x.check(e); err != nil {
		return err
	}
	if err := e.openRemembered(reader.remember); err != nil {
		return err
	}
	return e.onKey(ctx, e.prompt(&reader.pin, nil), func(ctx context.Context, key *openedKey) (report, error) {
		info, err := key.Info(ctx)
		if err != nil {
			return nil, err
		}
		x.AAGUID, x.Name = info.AAGUID, modelName(info.AAGUID)
		all, err := reader.read(ctx, e, key)
		if err != nil && !errors.Is(err, client.ErrIncomplete) {
			return nil, err
		}
		x.Credentials, x.Complete = all.json(), err == nil
		if x.file == "" {
			return x, err
		}
		if failed := x.save(); failed != nil {
			return nil, errors.Join(failed, err)
		}
		return done{fmt.Sprintf("%d passkeys are in %s.", len(all), x.file)}, err
	})
}

func (x *credentialExport) save() error {
	var out bytes.Buffer
	if err := x.write(&out); err != nil {
		return err
	}
	return writeNewFile(x.file, out.Bytes())
}

func (x *credentialExport) write(out io.Writer) error {
	if x.format == "csv" {
		return writeCSV(out, allColumns, x.Credentials)
	}
	encoder := json.NewEncoder(harmless{out})
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(x)
}

func (x *credentialExport) print(w *printer) { w.err = x.write(w) }

func newCredentialsMetadataCmd(e *env) *cobra.Command {
	var reader credentialReader
	cmd := &cobra.Command{
		Use:     "metadata",
		Short:   "Show how many passkeys a key has, and how many more fit",
		Example: "  fidokey credentials metadata",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runCredentialsMetadata(cmd.Context(), e, &reader) },
	}
	reader.pin.addFlags(cmd, "pin", "the PIN")
	addRememberFlag(cmd, &reader.remember)
	reader.addAllFlag(e, cmd)
	return cmd
}

// credentialMetadata is the answer of "credentials metadata".
type credentialMetadata struct {
	Existing     uint `json:"existing"`
	MaxRemaining uint `json:"maxRemaining"`
}

func (m credentialMetadata) print(w *printer) {
	w.line("Passkeys", "%d", m.Existing)
	w.line("Room", "for %d more at most", m.MaxRemaining)
}

func runCredentialsMetadata(ctx context.Context, e *env, reader *credentialReader) error {
	if err := e.openRemembered(reader.remember); err != nil {
		return err
	}
	return e.onKeys(ctx, e.prompt(&reader.pin, nil), func(ctx context.Context, key *openedKey) (report, error) {
		info, err := key.Info(ctx)
		if err != nil {
			return nil, err
		}
		e.noteForgetful(info, reader.remember)
		m, err := key.CredentialMetadata(ctx)
		if err != nil {
			return nil, err
		}
		return credentialMetadata(m), nil
	})
}
