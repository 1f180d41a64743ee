package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/webauthn"
)

// batchHelp is for the help of register.
const batchHelp = `Several RP IDs or presets, and --count, make a batch: a table with what came of each
registration. Its credentials are for the test only and are deleted from the key
again, also after Ctrl-C and failures, unless --keep is given. Where a key cannot
delete them, that is said before, and takes your agreement or --yes.
`

// batch are the flags of registrations that are made for the test.
type batch struct {
	count  int
	keep   bool
	wanted bool
}

func (b *batch) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&b.count, "count", 1, "make a batch with this many credentials for each RP ID")
	flags.BoolVar(&b.keep, "keep", false, "leave the credentials of a batch on the key")
}

func (b *batch) check(cmd *cobra.Command) error {
	b.wanted = cmd.Flags().Changed("count")
	if b.count < 1 {
		return usageError{fmt.Errorf("--count %d is not 1 or more", b.count)}
	}
	return nil
}

// fits refuses flags that make no sense in a batch.
func (b *batch) fits(o *registerOptions) error {
	switch {
	case o.rp.credential != "":
		return usageError{errors.New("--credential is for one registration that stays, not for a batch")}
	case o.userID != "" && len(o.creations) > 1:
		return usageError{errors.New("--user-id is for one registration: the second for one user replaces the first")}
	}
	return nil
}

// readRPIDs adds the RP IDs of a file, one a line; '#' begins a comment.
func (e *env) readRPIDs(ids []string, file string) ([]string, error) {
	text, err := e.readFile(file)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			ids = append(ids, line)
		}
	}
	if len(ids) == 0 {
		return nil, usageError{fmt.Errorf("%s has no RP IDs", file)}
	}
	return ids, nil
}

// The words of trial.Outcome and trial.Afterwards.
const (
	outcomeMade     = "made"
	outcomeExcluded = "excluded" // the key has a credential of the exclude list
	outcomeRefused  = "refused"  // the key cannot, or the client will not ask
	outcomeFailed   = "failed"   // and ended the batch

	afterwardsKept    = "kept"
	afterwardsDeleted = "deleted"
	afterwardsNothing = "not stored" // it was never on the key
	afterwardsLeft    = "still on the key"
)

// A trial is one registration of a batch.
type trial struct {
	RPID                  string             `json:"rpId"`
	UserName              string             `json:"userName"`
	Outcome               string             `json:"outcome"`
	Algorithm             string             `json:"algorithm,omitempty"`
	CredentialID          webauthn.Base64URL `json:"credentialId,omitempty"`
	AttestationObjectSize int                `json:"attestationObjectSize,omitempty"` // bytes
	Milliseconds          int64              `json:"milliseconds"`
	Afterwards            string             `json:"afterwards,omitempty"`
	Checks                judgement          `json:"checks,omitempty"`
	NotSent               []string           `json:"notSent,omitempty"`
	Error                 *errorJSON         `json:"error,omitempty"`

	userID []byte
	stored bool // the credential is on the key
}

// batchReport is the answer of "register" for a batch.
type batchReport struct {
	Registrations []*trial `json:"registrations"`
}

func (r *batchReport) print(w *printer) {
	var rows [][]string
	for i, t := range r.Registrations {
		size, checks := "-", "-"
		if t.Outcome == outcomeMade {
			size, checks = fmt.Sprintf("%d, %d", len(t.CredentialID), t.AttestationObjectSize), "ok"
			if webauthn.Failed(t.Checks) != nil {
				checks = "FAIL"
			}
		}
		took := (time.Duration(t.Milliseconds) * time.Millisecond).String()
		rows = append(rows, []string{fmt.Sprint(i + 1), t.RPID, t.UserName, t.Outcome, dashIfEmpty(t.Algorithm), size, checks, took, dashIfEmpty(t.Afterwards)})
	}
	w.table([]string{"#", "rp id", "user", "outcome", "algorithm", "id, object (bytes)", "checks", "time", "afterwards"}, rows)
	for i, t := range r.Registrations {
		if t.Error != nil {
			w.printf("%d: %s", i+1, t.Error.Message)
		}
		if len(t.NotSent) > 0 {
			w.printf("%d: not asked of the key, for it does not have it: %s", i+1, strings.Join(t.NotSent, ", "))
		}
	}
}

// A batchRun is a batch on a key.
type batchRun struct {
	*registerOptions
	e       *env
	key     *openedKey
	info    *ctap2.GetInfoResponse
	report  batchReport
	touched bool // the key has asked for a touch: it may have made the credential
}

func (e *env) runBatch(ctx context.Context, o *registerOptions) error {
	var held heldPIN // for the deletion: the person is asked once
	defer held.forget()
	b := &batchRun{registerOptions: o, e: e}
	prompt := held.hold(e.prompt(&o.rp.pin, nil))
	prompt.Touch = func(t client.Touch) {
		b.touched = b.touched || t.Command == ctap2.CommandMakeCredential
		e.askTouch(t)
	}
	return e.onKey(ctx, prompt, func(ctx context.Context, key *openedKey) (report, error) {
		b.key = key
		return b.run(ctx)
	})
}

func (b *batchRun) run(ctx context.Context) (report, error) {
	var err error
	if b.info, err = b.key.Info(ctx); err != nil {
		return nil, err
	}
	if b.e.dryRun {
		return dryRunOn(ctx, b.key, b.inWords())
	}
	if err := b.agree(ctx); err != nil {
		return nil, err
	}
	var first error
	failed := 0
	for _, c := range b.creations {
		t, err := b.try(ctx, c)
		b.report.Registrations = append(b.report.Registrations, t)
		if err != nil {
			first, failed = cmp.Or(first, err), failed+1
		}
		if t.Outcome == outcomeFailed {
			break
		}
	}
	if failed > 0 {
		first = fmt.Errorf("%d of %s failed; at %w", failed, count(len(b.creations), "registration", "registrations"), first)
	}
	for _, id := range b.rpIDsSeen() {
		b.e.noteEntra(id)
	}
	if b.batch.keep {
		return &b.report, first
	}
	// An interrupt ends the registrations, not the cleaning up.
	return &b.report, errors.Join(first, b.cleanUp(context.WithoutCancel(ctx)))
}

func (b *batchRun) rpIDsSeen() (ids []string) {
	for _, t := range b.report.Registrations {
		if !slices.Contains(ids, t.RPID) {
			ids = append(ids, t.RPID)
		}
	}
	return ids
}

func (b *batchRun) inWords() string {
	then := " and delete them again"
	if b.batch.keep {
		then = ""
	}
	return fmt.Sprintf("make %s%s", count(len(b.creations), "credential", "credentials"), then)
}

// agree asks before credentials are made that the key cannot delete.
func (b *batchRun) agree(ctx context.Context) error {
	reason, staying := cannotDelete(b.info), 0
	for _, c := range b.creations {
		neverMade := reason == withoutPIN && c.UserVerification() == client.Required
		if discoverable, _ := c.Discoverable(b.info); discoverable && !neverMade {
			staying++
		}
	}
	if b.batch.keep || staying == 0 || reason == "" {
		return nil
	}
	return b.e.confirm(ctx, fmt.Sprintf("This key cannot delete credentials: %s. %s will stay on it until it is reset.",
		reason, count(staying, "test credential", "test credentials")), "Make them all the same?")
}

const withoutPIN = "it has no PIN, which that takes"

// cannotDelete says why a key cannot delete a credential, or "".
func cannotDelete(info *ctap2.GetInfoResponse) string {
	manages, _ := info.Option(ctap2.OptionCredMgmt)
	preview, _ := info.Option(ctap2.OptionCredMgmtPreview)
	hasPIN, _ := info.Option(ctap2.OptionClientPIN)
	builtIn, _ := info.Option(ctap2.OptionUV)
	switch {
	case !manages && !(preview && info.HasVersion(ctap2.VersionFIDO21Pre)):
		return "it has no credential management"
	case !hasPIN && !builtIn:
		return withoutPIN
	}
	return ""
}

// try makes one credential. An error that is about this one only does not end the
// batch.
func (b *batchRun) try(ctx context.Context, c *webauthn.Creation) (*trial, error) {
	t := &trial{RPID: c.RPID, UserName: c.User.Name, userID: c.User.ID}
	b.touched = false
	begun := time.Now()
	made, err := makeCredential(ctx, b.key, b.info, c)
	t.Milliseconds = time.Since(begun).Milliseconds()
	if err != nil {
		t.Outcome, t.Error = outcomeOf(err), newErrorJSON(err)
		return t, fmt.Errorf("%s: %w", c.RPID, err)
	}
	t.Outcome, t.Afterwards, t.CredentialID = outcomeMade, afterwardsNothing, made.Data.Credential.ID
	if t.stored, _ = c.Discoverable(b.info); t.stored {
		t.Afterwards = afterwardsKept
	}
	r, err := judgeRegistration(c, made, b.info.Transports, b.info.AAGUID)
	if err != nil {
		t.Error = newErrorJSON(err)
		return t, err
	}
	t.Algorithm, t.AttestationObjectSize = r.Response.PublicKeyAlgorithm.String(), len(r.Response.AttestationObject)
	t.Checks, t.NotSent = r.Checks, r.NotSent
	if err := t.Checks.failed("registration"); err != nil {
		return t, fmt.Errorf("%s: %w", c.RPID, err)
	}
	return t, nil
}

// outcomeOf says what an error means for the batch.
func outcomeOf(err error) string {
	code, _ := classify(err)
	switch {
	case errors.Is(err, ctap2.ErrCredentialExcluded):
		return outcomeExcluded
	case code == exitRefused, code == exitUsage, errors.Is(err, client.ErrNoPIN), errors.Is(err, client.ErrNoUserVerification):
		return outcomeRefused
	}
	return outcomeFailed
}

// cleanUp deletes what this batch has made, by ID, and nothing else.
func (b *batchRun) cleanUp(ctx context.Context) error {
	b.findLost(ctx)
	var left []string
	var failed error
	for _, t := range b.report.Registrations {
		switch {
		case !t.stored:
		case cannotDelete(b.info) != "":
			t.Afterwards = afterwardsLeft // as was agreed to
		default:
			if _, err := b.key.DeleteCredential(ctx, t.CredentialID); err != nil {
				t.Afterwards, failed = afterwardsLeft, err
				left = append(left, fmt.Sprintf("  %x at %s", []byte(t.CredentialID), t.RPID))
				continue
			}
			t.Afterwards = afterwardsDeleted
		}
	}
	if failed == nil {
		return nil
	}
	b.e.note("Still on the key; 'fidokey credentials delete ID' deletes it:\n%s", strings.Join(left, "\n"))
	return fmt.Errorf("%s could not be deleted: %w", count(len(left), "credential", "credentials"), failed)
}

// findLost looks for the credential of a registration that was ended while the key
// was at work: it may be there although no answer came. Its user handle, which is
// random, tells it from all others.
func (b *batchRun) findLost(ctx context.Context) {
	last := b.report.Registrations[len(b.report.Registrations)-1]
	if last.Outcome != outcomeFailed || !b.touched || b.userID != "" || last.Error.ExitCode == exitPIN {
		return
	}
	stored, err := b.key.CredentialsFor(ctx, last.RPID)
	if err != nil {
		return // the key is gone, or cannot tell
	}
	for _, c := range stored {
		if string(c.User.ID) == string(last.userID) {
			last.CredentialID, last.stored = c.ID, true
		}
	}
}
