package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
)

func newFingerprintsCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fingerprints",
		Short: "Enrol, list, rename and remove fingerprints",
		Long: `Enrol, list, rename and remove the fingerprints of a key with a sensor. The key asks
for its PIN, or for a finger that it knows already.`,
		Example: "  fidokey fingerprints add 'left thumb'\n  fidokey fingerprints list",
	}
	cmd.AddCommand(newFingerprintsAddCmd(e), newFingerprintsListCmd(e), newFingerprintsRenameCmd(e), newFingerprintsRemoveCmd(e))
	return cmd
}

// A fingerprint is an enrolled finger in JSON.
type fingerprint struct {
	ID   string `json:"id"` // hexadecimal
	Name string `json:"name,omitempty"`
}

func newFingerprint(f client.Fingerprint) fingerprint {
	return fingerprint{hex.EncodeToString(f.ID), f.Name}
}

func (f fingerprint) print(w *printer) {
	w.line("Enrolled", "%s", f)
}

// String names a finger for people, with nothing in it that could steer the
// terminal.
func (f fingerprint) String() string {
	if f.Name == "" {
		return f.ID
	}
	return fmt.Sprintf("%s (%s)", printable(f.Name), f.ID)
}

func newFingerprintsAddCmd(e *env) *cobra.Command {
	var source pinSource
	cmd := &cobra.Command{
		Use:   "add [NAME]",
		Short: "Enrol a finger",
		Long: `Enrol a finger. The key asks for several samples of it; what the sensor says of each
is shown, and how many are still needed. Ctrl-C ends it, and nothing of the finger
stays on the key.`,
		Example: "  fidokey fingerprints add 'left thumb'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var name string
			if len(args) > 0 {
				name = args[0]
			}
			return e.onKey(cmd.Context(), e.prompt(&source, nil), func(ctx context.Context, key *openedKey) (report, error) {
				return e.addFingerprint(ctx, key, name)
			})
		},
	}
	source.addFlags(cmd, "pin", "the PIN")
	addChangeFlags(e, cmd, false)
	return cmd
}

func (e *env) addFingerprint(ctx context.Context, key *openedKey, name string) (report, error) {
	if e.dryRun {
		sensor, err := key.FingerprintSensor(ctx)
		if err != nil {
			return nil, err
		}
		return dry("The key would ask for %s of a finger.", samplesInWords(sensor.SamplesNeeded)), nil
	}
	added, err := key.EnrollFingerprint(ctx, client.Enrollment{Name: name})
	if err != nil {
		return nil, err
	}
	return newFingerprint(added), nil
}

func samplesInWords(n uint) string {
	if n == 0 {
		return "some samples"
	}
	return fmt.Sprintf("up to %d samples", n)
}

func newFingerprintsListCmd(e *env) *cobra.Command {
	var source pinSource
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the fingers that are enrolled",
		Example: "  fidokey fingerprints list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.onKeys(cmd.Context(), e.prompt(&source, nil), func(ctx context.Context, key *openedKey) (report, error) {
				return e.fingerprints(ctx, key)
			})
		},
	}
	source.addFlags(cmd, "pin", "the PIN")
	addAllFlag(e, cmd)
	return cmd
}

// fingerprintsReport is the answer of "fingerprints list".
type fingerprintsReport struct {
	Fingerprints []fingerprint `json:"fingerprints"`
}

func (r fingerprintsReport) print(w *printer) {
	if len(r.Fingerprints) == 0 {
		w.printf("No fingerprint is enrolled.")
		return
	}
	var rows [][]string
	for _, f := range r.Fingerprints {
		rows = append(rows, []string{f.ID, f.Name})
	}
	w.table([]string{"id", "name"}, rows)
}

func (e *env) fingerprints(ctx context.Context, key *openedKey) (report, error) {
	enrolled, err := key.Fingerprints(ctx)
	if err != nil {
		return nil, err
	}
	r := fingerprintsReport{Fingerprints: []fingerprint{}}
	for _, f := range enrolled {
		r.Fingerprints = append(r.Fingerprints, newFingerprint(f))
	}
	return r, nil
}

func newFingerprintsRenameCmd(e *env) *cobra.Command {
	var source pinSource
	cmd := &cobra.Command{
		Use:     "rename ID|NAME NEW-NAME",
		Short:   "Give an enrolled finger another name",
		Long:    "Give an enrolled finger another name. It is meant by its ID, a unique beginning of\nthat, or its name.",
		Example: "  fidokey fingerprints rename 3f2a 'left thumb'",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.onKey(cmd.Context(), e.prompt(&source, nil), func(ctx context.Context, key *openedKey) (report, error) {
				return e.renameFingerprint(ctx, key, args[0], args[1])
			})
		},
	}
	source.addFlags(cmd, "pin", "the PIN")
	addChangeFlags(e, cmd, false)
	return cmd
}

func (e *env) renameFingerprint(ctx context.Context, key *openedKey, which, name string) (report, error) {
	found, err := findFingerprint(ctx, key, which)
	if err != nil {
		return nil, err
	}
	if e.dryRun {
		return dry("The finger %v would be called %q.", newFingerprint(found), name), nil
	}
	if err := key.RenameFingerprint(ctx, found.ID, name); err != nil {
		return nil, err
	}
	return done{fmt.Sprintf("The finger %v is called %q now.", newFingerprint(found), name)}, nil
}

func newFingerprintsRemoveCmd(e *env) *cobra.Command {
	var source pinSource
	cmd := &cobra.Command{
		Use:     "remove ID|NAME",
		Aliases: []string{"delete"},
		Short:   "Have the key forget a finger",
		Long:    "Have the key forget a finger. It is meant by its ID, a unique beginning of that, or\nits name.",
		Example: "  fidokey fingerprints remove 'left thumb'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.onKey(cmd.Context(), e.prompt(&source, nil), func(ctx context.Context, key *openedKey) (report, error) {
				return e.removeFingerprint(ctx, key, args[0])
			})
		},
	}
	source.addFlags(cmd, "pin", "the PIN")
	addChangeFlags(e, cmd, true)
	addForceFlag(e, cmd)
	return cmd
}

func (e *env) removeFingerprint(ctx context.Context, key *openedKey, which string) (report, error) {
	found, err := findFingerprint(ctx, key, which)
	if err != nil {
		return nil, err
	}
	finger := newFingerprint(found)
	if e.dryRun {
		return dry("The key would forget the finger %v.", finger), nil
	}
	if err := e.confirm(ctx, fmt.Sprintf("The key will forget the finger %v.", finger), "Remove it?"); err != nil {
		return nil, err
	}
	if err := key.RemoveFingerprint(ctx, found.ID); err != nil {
		return nil, err
	}
	return done{fmt.Sprintf("The key has forgotten the finger %v.", finger)}, nil
}

// findFingerprint returns the finger that has a name, if only one has it, or else
// the one that an identifier means.
func findFingerprint(ctx context.Context, key *openedKey, which string) (client.Fingerprint, error) {
	enrolled, err := key.Fingerprints(ctx)
	if err != nil {
		return client.Fingerprint{}, err
	}
	var ids [][]byte
	var called []client.Fingerprint
	for _, f := range enrolled {
		ids = append(ids, f.ID)
		if f.Name == which {
			called = append(called, f)
		}
	}
	if len(called) == 1 {
		return called[0], nil
	}
	id, err := matchID(which, "fingerprint", ids)
	if err != nil {
		return client.Fingerprint{}, usageError{err}
	}
	i := slices.IndexFunc(enrolled, func(f client.Fingerprint) bool { return slices.Equal(f.ID, id) })
	return enrolled[i], nil
}
