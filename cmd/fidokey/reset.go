package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
)

func newResetCmd(e *env) *cobra.Command {
	var source pinSource
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "Destroy everything on a key, and make it as new",
		Long: `Destroy every credential, the PIN and the fingerprints of a key, and its settings:
it is as new afterwards. Accounts that have no other way to sign in are lost.

What will be lost is shown, and you are asked before. With the PIN, given by flag,
the credentials are shown by name.

Most keys take a reset only in the first seconds after they were plugged in: you
are told when to unplug the key, when to plug it in again and when to touch it, and
have --timeout for each of them. A key that was plugged in instead is left alone.

A software key at a socket is plugged in again by starting its program again, or by
its control interface. The simulator in this process does it by itself.`,
		Example: "  fidokey reset --pin-file pin.txt --dry-run\n  fidokey reset",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.onKey(cmd.Context(), e.prompt(&source, nil), func(ctx context.Context, key *openedKey) (report, error) {
				return e.reset(ctx, key, source.given())
			})
		},
	}
	source.addFlags(cmd, "pin", "the PIN, to show which credentials will be lost,")
	addChangeFlags(e, cmd, true)
	addForceFlag(e, cmd)
	return cmd
}

func (e *env) reset(ctx context.Context, key *openedKey, list bool) (report, error) {
	if err := key.ResetAllowed(ctx); err != nil {
		return nil, err
	}
	if key.slot == nil {
		return nil, fmt.Errorf("%s is not in the list of keys, so nobody can tell when it is unplugged; 'fidokey list' shows those that are", key.device.Path)
	}
	lost, err := whatIsLost(ctx, key, list)
	if err != nil {
		return nil, err
	}
	where := key.device.Path
	if name := key.device.name(); name != "" {
		where += " (" + name + ")"
	}
	if e.dryRun {
		return resetReport{"Nothing was done. A reset would destroy:", true, lost}, nil
	}
	loss := "A reset of " + printable(where) + " destroys:\n" + strings.Join(lost.lines(), "\n")
	if err := e.confirm(ctx, loss, "There is no way back. Destroy all of it?"); err != nil {
		return nil, err
	}
	if _, ok := key.slot.(*socketSlot); ok {
		e.note("A software key is unplugged by ending its program, and plugged in by starting it again with the same state, or both by its control interface.")
	}
	if err := key.ResetGuided(ctx, toldSlot{timedSlot{key.slot, e, errNotReplugged}}); err != nil {
		return nil, err
	}
	return resetReport{"The key was reset. It is as new.", false, lost}, nil
}

// resetReport is the answer of "reset".
type resetReport struct {
	Done   string `json:"done"`
	DryRun bool   `json:"dryRun,omitempty"`
	Lost   loss   `json:"lost"`
}

func (r resetReport) print(w *printer) {
	w.printf("%s", r.Done)
	if r.DryRun {
		for _, line := range r.Lost.lines() {
			w.printf("%s", line)
		}
	}
}

// loss is what a reset destroys, as far as the key tells.
type loss struct {
	// Credentials is nil if they could not be listed.
	Credentials  []lostCredential `json:"credentials,omitzero"`
	Remaining    *uint            `json:"remainingDiscoverableCredentials,omitempty"` // for which there is room
	PIN          bool             `json:"pin"`
	Fingerprints bool             `json:"fingerprints"`

	incomplete bool
}

// lostCredential is one that will be lost.
type lostCredential struct {
	RPID     string `json:"rpId"`
	UserName string `json:"userName,omitempty"`
}

// whatIsLost asks the key what it has. Its credentials are listed with the PIN, if
// that is given; that a key cannot list them does not keep it from being reset.
func whatIsLost(ctx context.Context, key *openedKey, list bool) (l loss, err error) {
	info, err := key.Info(ctx)
	if err != nil {
		return l, err
	}
	l.PIN, _ = info.Option(ctap2.OptionClientPIN)
	l.Fingerprints, _ = info.Option(ctap2.OptionBioEnroll)
	l.Remaining = info.RemainingDiscoverableCredentials
	if !list {
		return l, nil
	}
	all, err := key.Credentials(ctx)
	switch {
	case errors.Is(err, client.ErrNoCredentialManagement), errors.Is(err, client.ErrNoRPList), errors.Is(err, client.ErrNoPIN),
		errors.Is(err, ctap2.ErrPINBlocked): // which only the reset helps
		return l, nil
	case errors.Is(err, client.ErrIncomplete):
		l.incomplete = true
	case err != nil:
		return l, err
	}
	l.Credentials = []lostCredential{}
	for _, rp := range all {
		for _, c := range rp.Credentials {
			l.Credentials = append(l.Credentials, lostCredential{rp.ID, c.User.Name})
		}
	}
	return l, nil
}

// lines says it for people, with nothing in it that could steer the terminal.
func (l loss) lines() (lines []string) {
	for _, c := range l.Credentials {
		lines = append(lines, printable(fmt.Sprintf("  the passkey of %s at %s", c.UserName, c.RPID)))
	}
	switch {
	case l.incomplete:
		lines = append(lines, "  passkeys that could not be listed")
	case l.Credentials != nil && len(l.Credentials) == 0:
		lines = append(lines, "  no passkey, for there is none")
	case l.Credentials == nil && l.Remaining != nil:
		lines = append(lines, fmt.Sprintf("  every passkey; there is room for %d more (with --pin-file and the like they are shown by name)", *l.Remaining))
	case l.Credentials == nil:
		lines = append(lines, "  every passkey")
	}
	lines = append(lines, "  every credential that is stored by its website, for sign-in with a second factor")
	if l.PIN {
		lines = append(lines, "  the PIN")
	}
	if l.Fingerprints {
		lines = append(lines, "  the fingerprints")
	}
	return append(lines, "  the settings")
}
