package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/metadata"
	"github.com/fidokey/fidokey/metadata/download"
)

// metadataURL is where the FIDO Alliance has its BLOB.
const metadataURL = "https://mds3.fidoalliance.org/"

// metadataDownload bounds what the network may cost.
func metadataDownload() download.Options {
	agent, _, _ := strings.Cut(version(), ",")
	return download.Options{
		MaxSize: metadata.MaxSize, Timeout: 3 * time.Minute, Tries: 3, Wait: 500 * time.Millisecond, UserAgent: "fidokey/" + agent,
	}
}

type metadataUpdateOptions struct {
	from, root string
	force      bool
}

func newMetadataUpdateCmd(e *env) *cobra.Command {
	var o metadataUpdateOptions
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Get the metadata of the FIDO Alliance, and judge and store it",
		Long: `Get the metadata BLOB of the FIDO Alliance, or another with --from, judge it, and
store it in your cache folder. One that does not check out, or is older than what is
stored, replaces nothing: exit code 7.

The FIDO Alliance asks that its server is called only when the next update is due;
before that the command does nothing, unless --force is given. A server is asked for
a BLOB that is newer, and sends nothing if it has none. With a BLOB from a server
the lists of revoked certificates are asked for too. $HTTPS_PROXY is used.

The metadata has terms of use, which 'fidokey metadata show' names.`,
		Example: `  fidokey metadata update
  fidokey metadata update --from blob.jwt
  fidokey metadata update --from https://mds.example.com/ --root root.pem`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runMetadataUpdate(cmd.Context(), e, &o) },
	}
	cmd.Flags().StringVar(&o.from, "from", "", "a file, '-' for standard input, or an address that begins with http (default: "+metadataURL+")")
	addRootFlag(cmd, &o.root)
	cmd.Flags().BoolVar(&o.force, "force", false, "ask the server even if the next update is not due")
	return cmd
}

// metadataUpdateReport is the answer of "metadata update".
type metadataUpdateReport struct {
	Updated bool `json:"updated"`
	*blobReport
	Before int64 `json:"before,omitempty"` // serial number of what was stored
	said   string
}

func (r *metadataUpdateReport) print(w *printer) {
	w.printf("%s", r.said)
	r.blobReport.print(w)
}

func runMetadataUpdate(ctx context.Context, e *env, o *metadataUpdateOptions) error {
	verifier, err := rootFlag(o.root)
	if err != nil {
		return err
	}
	cache, err := metadataCache()
	if err != nil {
		return err
	}
	old, err := storedBlob(cache)
	if err != nil {
		e.note("What is stored cannot be read, and is replaced: %v", err)
	}
	if o.from == "" && !o.force && old != nil && !old.Stale {
		return e.say(nil, &metadataUpdateReport{blobReport: old, Before: old.No, said: "Nothing to do: the next update is not due."})
	}
	if old != nil {
		verifier.Known = old.No
	}
	said, err := o.update(ctx, e, cache, verifier, old)
	if err != nil {
		if old != nil {
			err = fmt.Errorf("%w\nWhat is stored stays in use: serial number %d", err, old.No)
		}
		return err
	}
	stored, err := storedBlob(cache)
	if err != nil {
		return err
	}
	r := &metadataUpdateReport{Updated: old == nil || stored.No > old.No, blobReport: stored, said: said}
	if old != nil {
		r.Before = old.No
	}
	return e.say(nil, r)
}

// storedBlob is what is stored; nil if nothing is.
func storedBlob(cache metadata.Cache) (*blobReport, error) {
	x, err := cache.Open()
	if errors.Is(err, metadata.ErrNoCache) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer x.Close()
	return newBlobReport(x), nil
}

// update gets a BLOB and stores it, if it is good.
func (o *metadataUpdateOptions) update(ctx context.Context, e *env, cache metadata.Cache, verifier metadata.Verifier, old *blobReport) (said string, err error) {
	data, source, err := o.get(ctx, e, old)
	if err != nil {
		return "", err
	}
	if data == nil {
		return "The server has no newer BLOB.", nil
	}
	if isAddress(source.From) {
		verifier.CRL = revocationList(ctx)
	}
	v := verifier.Verify(data)
	if err := badBlob(v); err != nil {
		return "", err
	}
	for _, c := range v.Checks {
		if c.Outcome == metadata.Warning || c.Outcome == metadata.NotChecked && verifier.CRL != nil {
			e.note("Warning: %s: %s", c.Name, c.Detail)
		}
	}
	return "The BLOB checks out, and is stored.", cache.Store(v, source)
}

func isAddress(from string) bool {
	return strings.HasPrefix(from, "http://") || strings.HasPrefix(from, "https://")
}

// revocationList returns what gets lists of revoked certificates. They are not waited
// for long: without them it is only not known.
func revocationList(ctx context.Context) func(address string) ([]byte, error) {
	return func(address string) ([]byte, error) {
		o := metadataDownload()
		o.Timeout, o.Tries = 10*time.Second, 1
		f, err := download.Get(ctx, address, download.Validators{}, o)
		if err != nil {
			return nil, err
		}
		return f.Data, nil
	}
}

// get gets a BLOB from where it is to come from. It is nil if the server has none
// that is newer.
func (o *metadataUpdateOptions) get(ctx context.Context, e *env, old *blobReport) ([]byte, metadata.Source, error) {
	address := o.from
	if address == "" {
		address = metadataURL
	}
	source := metadata.Source{From: address, At: time.Now().UTC().Truncate(time.Second)}
	if !isAddress(address) {
		data, err := e.readBlob(address)
		return data, source, err
	}
	var known download.Validators
	if old != nil && old.Source.From == address && o.root == "" {
		known = download.Validators{ETag: old.Source.ETag, LastModified: old.Source.LastModified}
	}
	e.wait("Getting the metadata...", eventNote, map[string]any{"message": "Getting the metadata from " + address})
	f, err := download.Get(ctx, address, known, metadataDownload())
	e.live.stop()
	if err != nil {
		return nil, source, err
	}
	source.ETag, source.LastModified = f.ETag, f.LastModified
	return f.Data, source, nil
}
