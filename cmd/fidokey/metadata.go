package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/metadata"
)

func newMetadataCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "metadata",
		Short: "What the FIDO Alliance publishes of models: certification, roots, warnings",
		Long: `What the FIDO Alliance publishes of models, in its Metadata Service: how they are
certified, what they protect keys with, which roots vouch for them, and which are
not to be trusted any more.

'update' gets it, as one signed file, the BLOB; it is judged before it is stored in
your cache folder. The other commands need no network. Where a BLOB is stored the
names of models come from it.`,
	}
	cmd.AddCommand(newMetadataUpdateCmd(e), newMetadataShowCmd(e), newMetadataLookupCmd(e), newMetadataVerifyCmd(e))
	return cmd
}

// metadataCache is where the BLOB is: in the user's cache folder.
func metadataCache() (metadata.Cache, error) {
	folder := os.Getenv("XDG_CACHE_HOME")
	if folder == "" {
		var err error
		if folder, err = os.UserCacheDir(); err != nil {
			return metadata.Cache{}, fmt.Errorf("no folder for the metadata: %w", err)
		}
	}
	return metadata.Cache{Folder: filepath.Join(folder, "fidokey", "metadata")}, nil
}

// openMetadata opens the stored BLOB.
func openMetadata() (*metadata.Index, error) {
	cache, err := metadataCache()
	if err != nil {
		return nil, err
	}
	return cache.Open()
}

// storedName returns the name of a model in the stored BLOB, if there is one. It is
// opened for each name: that takes less than a millisecond, and hinders nobody.
func storedName(id string) (string, bool) {
	x, err := openMetadata()
	if err != nil {
		return "", false // there is the built-in table
	}
	defer x.Close()
	return x.Name(id)
}

// rootFlag reads --root.
func rootFlag(file string) (v metadata.Verifier, err error) {
	if file == "" {
		return v, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return v, usageError{err}
	}
	if v.Roots, err = metadata.ParseRoots(text); err != nil {
		return v, usageError{fmt.Errorf("--root %s: %w", file, err)}
	}
	return v, nil
}

// readBlob reads a BLOB from a file, or from standard input for "-".
func (e *env) readBlob(path string) ([]byte, error) {
	in, err := e.openInput(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(io.LimitReader(in, metadata.MaxSize+1)) // one more is too large
}

// blobReport is what there is to say of a BLOB as a whole.
type blobReport struct {
	No         int64              `json:"no"` // serial number
	NextUpdate metadata.Day       `json:"nextUpdate"`
	Stale      bool               `json:"stale"`
	Entries    int                `json:"entries"`
	Skipped    []metadata.Skipped `json:"skipped,omitempty"`
	Source     *metadata.Source   `json:"source,omitempty"`
}

func newBlobReport(x *metadata.Index) *blobReport {
	info := x.Info()
	return &blobReport{info.No, info.NextUpdate, metadata.Stale(info.NextUpdate, time.Now()), info.Entries, info.Skipped, &info.Source}
}

func (r *blobReport) print(w *printer) {
	w.line("Serial number", "%d", r.No)
	stale := ""
	switch {
	case r.Stale && r.Source != nil:
		stale = ": stale, 'fidokey metadata update' gets the next"
	case r.Stale:
		stale = ": stale"
	}
	w.line("Next update", "%v%s", r.NextUpdate, stale)
	w.line("Models", "%d", r.Entries)
	for i, s := range r.Skipped {
		w.item("Not readable", strings.TrimSuffix(fmt.Sprintf("entry %d: %s (%s)", s.Entry, s.Reason, s.ID), " ()"), i == 0)
	}
	if s := r.Source; s != nil {
		w.line("From", "%s", cmp.Or(s.From, "not known any more"))
		w.line("Stored", "%s", s.At.Local().Format(time.DateTime))
	}
}

// noteStale tells that what is said may be old.
func (e *env) noteStale(r *blobReport) {
	if r != nil && r.Stale {
		e.note("The stored metadata is stale: the next was due on %v. 'fidokey metadata update' gets it.", r.NextUpdate)
	}
}

func newMetadataShowCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "show",
		Short:   "Show which metadata is stored",
		Long:    `Show which metadata is stored: serial number, age, and how its models stand.`,
		Example: "  fidokey metadata show",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return runMetadataShow(e) },
	}
}

// metadataShowReport is the answer of "metadata show".
type metadataShowReport struct {
	*blobReport
	Folder      string         `json:"folder"`
	LegalHeader string         `json:"legalHeader,omitempty"`
	Families    map[string]int `json:"protocolFamilies"` // name -> models
	// Certification has how many models have a status; those with none are under "".
	Certification map[metadata.Status]int `json:"certification"`
	NotToTrust    int                     `json:"notToTrust"`
}

func (r *metadataShowReport) print(w *printer) {
	r.blobReport.print(w)
	w.line("Folder", "%s", r.Folder)
	if r.LegalHeader != "" {
		w.line("Terms", "%s", r.LegalHeader)
	}
	var families []string
	for _, f := range slices.Sorted(maps.Keys(r.Families)) {
		families = append(families, fmt.Sprintf("%d %s", r.Families[f], f))
	}
	w.line("Protocols", "%s", strings.Join(families, ", "))
	w.line("Not to be trusted", "%d", r.NotToTrust)
	w.printf("")
	var rows [][]string
	for _, s := range slices.Sorted(maps.Keys(r.Certification)) {
		name, meaning := string(s), s.Meaning()
		if s == "" {
			name, meaning = "-", "nothing is said of it"
		}
		rows = append(rows, []string{fmt.Sprint(r.Certification[s]), name, meaning})
	}
	w.table([]string{"models", "status", "meaning"}, rows)
}

func runMetadataShow(e *env) error {
	cache, err := metadataCache()
	if err != nil {
		return err
	}
	x, err := cache.Open()
	if err != nil {
		return err
	}
	defer x.Close()
	r := &metadataShowReport{
		blobReport: newBlobReport(x), Folder: cache.Folder, LegalHeader: x.Info().LegalHeader,
		Families: map[string]int{}, Certification: map[metadata.Status]int{},
	}
	now := time.Now()
	err = x.Each(func(entry *metadata.Entry) error {
		r.Families[entry.Statement.ProtocolFamily]++
		var status metadata.Status
		if c := entry.Certification(now); c != nil {
			status = c.Status
		}
		r.Certification[status]++
		if len(entry.Bad(now)) > 0 {
			r.NotToTrust++
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.say(nil, r)
}

type metadataVerifyOptions struct {
	root, at   string
	revocation bool
}

func newMetadataVerifyCmd(e *env) *cobra.Command {
	var o metadataVerifyOptions
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Judge a metadata BLOB, check by check",
		Long: `Judge a metadata BLOB, check by check, as 'fidokey metadata update' does before it
stores one; '-' is standard input. Nothing is stored. Its serial number must not be
lower than that of the BLOB that is.

That the next update was due is a warning; so are entries that cannot be read.
Whether a certificate was revoked is asked only with --revocation.`,
		Example: `  fidokey metadata verify blob.jwt
  fidokey metadata verify old.jwt --time 2024-12-20`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runMetadataVerify(cmd.Context(), e, &o, args[0]) },
	}
	addRootFlag(cmd, &o.root)
	cmd.Flags().BoolVar(&o.revocation, "revocation", false, "get the lists of revoked certificates from the network")
	cmd.Flags().StringVar(&o.at, "time", "", "judge it as on this day: 2026-10-06 (default: now)")
	return cmd
}

func addRootFlag(cmd *cobra.Command, root *string) {
	cmd.Flags().StringVar(root, "root", "", "a file with the certificates in PEM that the BLOB must lead to, in place of GlobalSign's")
}

// metadataVerifyReport is the answer of "metadata verify".
type metadataVerifyReport struct {
	Verified bool             `json:"verified"`
	Blob     *blobReport      `json:"blob,omitempty"` // nil: it cannot be read
	Checks   []metadata.Check `json:"checks"`
}

func (r *metadataVerifyReport) print(w *printer) {
	verdict := "checks out"
	if !r.Verified {
		verdict = "does not check out"
	}
	w.printf("The BLOB %s.", verdict)
	w.printf("")
	if r.Blob != nil {
		r.Blob.print(w)
		w.printf("")
	}
	var rows [][]string
	for _, c := range r.Checks {
		outcome := string(c.Outcome)
		switch c.Outcome {
		case metadata.Passed:
			outcome = "ok"
		case metadata.Failed:
			outcome = "FAIL"
		}
		rows = append(rows, []string{outcome, c.Name, c.Detail})
	}
	w.table([]string{"", "check", "found"}, rows)
}

// verifier is what the flags make of it.
func (o *metadataVerifyOptions) verifier(ctx context.Context) (metadata.Verifier, error) {
	v, err := rootFlag(o.root)
	if err != nil {
		return v, err
	}
	if o.revocation {
		v.CRL = revocationList(ctx)
	}
	if o.at != "" {
		if v.Now, err = time.Parse(time.DateOnly, o.at); err != nil {
			return v, usageError{fmt.Errorf("--time %q: must be a day, as in 2026-10-06", o.at)}
		}
		return v, nil
	}
	v.Now = time.Now()
	if x, err := openMetadata(); err == nil { // on another day it was another
		v.Known = x.Info().No
		x.Close()
	}
	return v, nil
}

func runMetadataVerify(ctx context.Context, e *env, o *metadataVerifyOptions, file string) error {
	verifier, err := o.verifier(ctx)
	if err != nil {
		return err
	}
	data, err := e.readBlob(file)
	if err != nil {
		return err
	}
	v := verifier.Verify(data)
	failed := badBlob(v)
	r := &metadataVerifyReport{Verified: failed == nil, Checks: v.Checks}
	if b := v.Blob; b != nil {
		r.Blob = &blobReport{b.No, b.NextUpdate, metadata.Stale(b.NextUpdate, verifier.Now), len(b.Entries), b.Skipped, nil}
	}
	return errors.Join(e.say(nil, r), failed)
}

// badBlob is the error of a BLOB that is not to be trusted.
func badBlob(v *metadata.Verdict) error {
	if err := v.Err(); err != nil {
		return verifyError{fmt.Errorf("the BLOB is not to be trusted: %w", err)}
	}
	return nil
}
