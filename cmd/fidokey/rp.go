package main

import (
	"cmp"
	"context"
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/relyingparty"
	"github.com/fidokey/fidokey/webauthn"
)

type rpServeOptions struct {
	listen, rpID, origin string
	root                 string
	metadata             metadataFlags
	allowRemote          bool
}

func newRPCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rp",
		Short: "A relying party of one's own, for a browser",
	}
	cmd.AddCommand(newRPServeCmd(e))
	return cmd
}

func newRPServeCmd(e *env) *cobra.Command {
	o := rpServeOptions{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve a page where a browser registers and signs in",
		Long: `Serve a page where a browser registers and signs in, until interrupted, and explain
there what a relying party finds in each answer, as 'fidokey verify' does. Open the
address that is printed. What is registered is forgotten at the end; no network is
needed.

Browsers use WebAuthn on pages with https only, and on localhost. So the address is
of this machine only, unless --allow-remote says that something stands before it
that speaks https; --rp and --origin then say under which name.

With --json the first line is an answer that says where the page is, and each
registration and sign-in is another, on a line of its own.`,
		Example: `  fidokey rp serve
  fidokey rp serve --listen 127.0.0.1:8080 --root maker.pem`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRPServe(cmd.Context(), e, &o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.listen, "listen", "127.0.0.1:0", "the address: HOST:PORT; port 0 is a free one")
	flags.StringVar(&o.rpID, "rp", "localhost", "the RP ID")
	flags.StringVar(&o.origin, "origin", "", "where browsers find the page (default: http://localhost and the port)")
	flags.StringVar(&o.root, "root", "", "a file with root certificates (PEM) that are trusted for attestation, too")
	flags.StringVar(&o.metadata.source, "metadata", "", "the metadata BLOB to judge by: a file, or 'cache' for the stored one, which must be there then")
	flags.StringVar(&o.metadata.root, "metadata-root", "", "a file with the root certificates (PEM) of the BLOB in --metadata FILE, instead of the FIDO Alliance's")
	flags.BoolVar(&o.allowRemote, "allow-remote", false, "let --listen be where other machines can reach it; they need https before it")
	return cmd
}

// rpReport is an answer of "rp serve", which has one when the page is there, and
// one for each ceremony.
type rpReport struct {
	URL  string `json:"url,omitempty"`
	RPID string `json:"rpId,omitempty"`
	*relyingparty.Ceremony
}

func (r *rpReport) print(w *printer) {
	if r.Ceremony == nil {
		w.printf("The relying party %s is at %s (Ctrl-C ends it).", r.RPID, r.URL)
		return
	}
	verdict := "accepted"
	if !r.Verified {
		verdict = "refused"
	}
	w.printf("%s of %s: %s", map[string]string{"registration": "Registration", "assertion": "Sign-in"}[r.Type], r.User, verdict)
	if err := webauthn.Failed(r.Checks); err != nil {
		w.table([]string{"", "check", "found"}, judgement(r.Checks).rows(false))
	}
}

func runRPServe(ctx context.Context, e *env, o *rpServeOptions) error {
	if err := checkRPID(o.rpID); err != nil {
		return err
	}
	if o.rpID != "localhost" && o.origin == "" {
		return usageError{fmt.Errorf("--rp %s: --origin must say where browsers find the page, as in https://%s", o.rpID, o.rpID)}
	}
	judge := webauthn.Expected{}
	var err error
	if judge.Roots, err = readRoots("--root", o.root); err != nil {
		return err
	}
	if judge.Metadata, err = o.metadata.entries(e); err != nil {
		return err
	}
	l, err := relyingparty.Listen(o.listen, o.allowRemote)
	if err != nil {
		return err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return err
	}
	origin := cmp.Or(o.origin, "http://"+net.JoinHostPort(o.rpID, port))
	server, err := relyingparty.New(relyingparty.Config{
		RPID: o.rpID, Origin: origin, Judge: judge, Report: func(c *relyingparty.Ceremony) { _ = e.say(nil, &rpReport{Ceremony: c}) },
	})
	if err != nil {
		return usageError{err}
	}
	e.jsonLines = true // programs read them while the command runs
	if err := e.say(nil, &rpReport{URL: origin + "/", RPID: o.rpID}); err != nil {
		return err
	}
	return relyingparty.Serve(ctx, l, server)
}
