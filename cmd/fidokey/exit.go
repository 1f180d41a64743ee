package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/fidokey/fidokey/bench"
	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
	"github.com/fidokey/fidokey/entra/enrol"
	"github.com/fidokey/fidokey/entra/graph"
	"github.com/fidokey/fidokey/internal/term"
	"github.com/fidokey/fidokey/internal/winwebauthn"
	"github.com/fidokey/fidokey/metadata"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/relyingparty"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/nfc"
	"github.com/fidokey/fidokey/u2f"
	"github.com/fidokey/fidokey/webauthn"
)

// The exit codes, which scripts rely on.
const (
	exitOK         = 0
	exitFailure    = 1
	exitUsage      = 2
	exitNoKey      = 3
	exitPIN        = 4
	exitNoTouch    = 5
	exitRefused    = 6
	exitVerify     = 7
	exitSafety     = 8
	exitPermission = 9
	exitInterrupt  = 130
)

const exitCodesHelp = `Exit codes:
  0    done
  1    something else went wrong
  2    the command line is wrong
  3    no key, not the one asked for, or several and none chosen
  4    the PIN or the user verification was refused: wrong, blocked, missing
  5    the key was not touched in time, or the person declined
  6    the key refused, with the status that the message has in hexadecimal, or
       cannot do it at all
  7    the key's answer does not check out, a case of conformance fails, or a
       policy says no
  8    not done for safety: few PIN tries are left, nobody could be asked, or it
       would destroy what is on a key that is in use
  9    the system does not permit it: rights on the device
  130  interrupted`

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// noKeyError says which key is meant by nothing, or by too much.
type noKeyError struct{ error }

func (e noKeyError) Unwrap() error { return e.error }

// verifyError is an answer that does not check out.
type verifyError struct{ error }

func (e verifyError) Unwrap() error { return e.error }

// exit prints err with what to do about it and returns the exit code. It is the
// one place where errors become both.
func (e *env) exit(err error) int {
	e.live.stop()
	if err == nil {
		return e.ended(exitOK)
	}
	if errors.Is(err, context.Canceled) {
		e.fail(&errorJSON{Message: "interrupted", ExitCode: exitInterrupt})
		return e.ended(exitInterrupt)
	}
	if !e.started {
		err = usageError{err}
	}
	failure := newErrorJSON(err)
	if !e.started {
		failure.Hint = e.usage
	}
	e.fail(failure)
	return e.ended(failure.ExitCode)
}

// fail says what went wrong.
func (e *env) fail(f *errorJSON) {
	if e.events() {
		e.event(eventError, map[string]any{"error": f})
		return
	}
	fmt.Fprintln(e.stderr, "fidokey:", f.Message)
	if f.Hint != "" {
		fmt.Fprintln(e.stderr, f.Hint)
	}
}

// ended is the last event.
func (e *env) ended(code int) int {
	if e.events() {
		e.event(eventDone, map[string]any{"exitCode": code})
	}
	return code
}

// hints are tried in order; the first error that matches wins.
var hints = []struct {
	err  error
	code int
	hint string
}{
	{graph.ErrSignIn, exitFailure, "Compare --tenant-id, --client-id and what proves the application with its registration in the tenant. A code that begins with AADSTS says why."},
	{ctap2.ErrPINAuthBlocked, exitPIN, "Too many wrong PINs in a row: unplug the key, plug it in again, and take the right PIN. More tries before that only fail."},
	{ctap2.ErrPINBlocked, exitPIN, "No tries are left. Only a reset makes the key usable again; it destroys every credential on it."},
	{ctap2.ErrPINInvalid, exitPIN, "The PIN is wrong. A right PIN brings all tries back."},
	{ctap2.ErrUVBlocked, exitPIN, "The key takes no more fingerprints until its PIN was given: fidokey pin verify"},
	{ctap2.ErrUVInvalid, exitPIN, "The key did not recognise the finger."},
	{ctap2.ErrPINAuthInvalid, exitPIN, ""},
	{client.ErrNoUserVerification, exitPIN, ""},
	{ctap2.ErrPINNotSet, exitPIN, "Set a PIN first: fidokey pin set"},
	{ctap2.ErrPUATRequired, exitPIN, "The key asks for user verification. Set a PIN first if it has none: fidokey pin set"},
	{ctap2.ErrPINPolicyViolation, exitPIN, "The key refuses this PIN by a rule of its maker, or asks that the PIN is changed first. Such rules are against repeated and ascending digits, patterns and well-known PINs. 'fidokey info' shows the minimum length and where the rule is written."},
	{client.ErrLastTries, exitSafety, "Nothing was tried. If you are sure of the PIN, --spend-last-tries tries it all the same. After the last wrong one only a reset helps, which destroys every credential."},
	{client.ErrNoPIN, exitPIN, "Set a PIN first: fidokey pin set"},
	{client.ErrPINChangeNeeded, exitPIN, "Change it with: fidokey pin change"},
	{client.ErrPINSet, exitPIN, "Change it with: fidokey pin change"},
	{client.ErrPINNeeded, exitPIN, "Give it with --pin-file, --pin-stdin or --pin-env, or run the command on a terminal."},
	{client.ErrPINUnsupported, exitPIN, ""},
	{client.ErrU2FOnly, exitRefused, "Such a key stores no passkeys and verifies no user. Register with --no-discoverable, sign in with --credential FILE, and ask for no user verification."},
	{pin.ErrPolicy, exitPIN, "Nothing was sent to the key."},
	{term.ErrNoTerminal, exitPIN, "Give the PIN with --pin-file, --pin-stdin or --pin-env; 'pin change' takes the new one with --new-pin-file and so on."},
	{client.ErrResetWindow, exitRefused, "Nothing was destroyed. Run the command again, and plug the key in while it waits for that."},
	{errNotReplugged, exitNoTouch, "Nothing was destroyed. Run the command again; --timeout sets how long to wait."},
	{errNotTapped, exitNoTouch, "Nothing was done. Run the command again; --timeout sets how long to wait."},
	{client.ErrTapNeeded, exitNoTouch, "Take the key off the reader, hold it there again, and run the command again."},
	{nfc.ErrNoReader, exitNoKey, "'fidokey doctor' lists the smart-card readers."},
	{nfc.ErrNoCard, exitNoKey, "Lay the key on the reader."},
	{nfc.ErrReset, exitFailure, "Another program uses the key at the same time. Run the command again."},
	{nfc.ErrNoService, exitPermission, ""},
	{client.ErrResetTransport, exitRefused, "Nothing was destroyed."},
	{client.ErrOtherKey, exitNoKey, "Nothing was done to either key. Run the command again, with one key at hand."},
	{client.ErrNotTouched, exitNoTouch, "Nothing was destroyed. Run the command again, and touch the key when it blinks."},
	{client.ErrNotReset, exitVerify, "Its credentials may be gone or not; 'fidokey info' shows what it says."},
	{client.ErrWouldRefuse, exitRefused, "Nothing was sent to the key."},
	{ctap2.ErrFPDatabaseFull, exitRefused, "The key has no room for another finger. Remove one first: fidokey fingerprints list"},
	{ctap2.ErrOperationDenied, exitNoTouch, "The key was not touched in time, or the request was declined."},
	{ctap2.ErrUserActionTimeout, exitNoTouch, "The key was not touched in time."},
	{ctap2.ErrActionTimeout, exitNoTouch, "The key was not touched in time."},
	{client.ErrFingerKnown, exitRefused, "Take another finger, or see 'fidokey fingerprints list'."},
	{client.ErrKeyCannot, exitRefused, ""},
	{client.ErrNoFingerprints, exitRefused, ""},
	{bench.ErrNotReleased, exitSafety, "Nothing was done to the key."},
	{bench.ErrLocked, exitFailure, "--wait waits for it; 'fidokey hil list' shows who has it, and for how long."},
	{bench.ErrNotThere, exitNoKey, "'fidokey list' shows what is plugged in."},
	{bench.ErrAmbiguous, exitNoKey, "Nothing was done to either key."},
	{bench.ErrNoSuchKey, exitNoKey, ""},
	{bench.ErrNoDriver, exitRefused, ""},
	{transport.ErrUnsupported, exitRefused, ""},
	{errNoSecret, exitRefused, "'fidokey secret create' makes one."},
	{client.ErrExtensionUnsupported, exitRefused, "Nothing was sent."},
	{client.ErrNoCredentialManagement, exitRefused, ""},
	{client.ErrNoRPList, exitRefused, "Name the relying party: --rp RPID"},
	{client.ErrNoLargeBlobs, exitRefused, ""},
	{client.ErrNoLargeBlob, exitRefused, "'fidokey blobs list' shows what is stored."},
	{client.ErrNoLargeBlobKey, exitRefused, "Room for a large blob is made when a credential is registered."},
	{client.ErrLargeBlobsCorrupt, exitFailure, "Nothing in it can be read any more. 'fidokey blobs repair' empties it."},
	{ctap2.ErrLargeBlobStorageFull, exitRefused, "'fidokey blobs list' shows what is stored; 'fidokey blobs collect' removes what is left of credentials that were deleted."},
	{u2f.ErrConditionsNotSatisfied, exitNoTouch, "Touch the key and send the command again: with U2F a key does not wait for a touch."},
	{transport.ErrBusy, exitFailure, "Another program uses the key: a browser, an SSH agent, a login. End it there, or try again; --timeout sets how long to wait."},
	{context.DeadlineExceeded, exitNoTouch, "Touch the key when it blinks; --timeout sets how long to wait."},
	{client.ErrNoDiscoverable, exitRefused, "Nothing was made. --no-discoverable makes a credential that the relying party keeps."},
	{ctap2.ErrCredentialExcluded, exitRefused, "The key has a credential of this list already."},
	{ctap2.ErrNoCredentials, exitRefused, "The key has no credential for this RP ID. Credentials of other RP IDs do not count, however alike the names are."},
	{ctap2.ErrKeyStoreFull, exitRefused, "The key has no room for another discoverable credential."},
	{ctap2.ErrUnsupportedAlgorithm, exitRefused, "'fidokey info' lists the algorithms that the key knows; choose with --algorithm."},
	{simulator.ErrNoVirtualReader, exitFailure, "It belongs to the packages pcscd and vsmartcard-vpcd. Install them and start pcscd, which ends when no program uses it; --vpcd=HOST:PORT names another port."},
	{simulator.ErrVirtualReaderBusy, exitFailure, "Take that card out: end its program."},
	{metadata.ErrNoCache, exitFailure, "Get it with: fidokey metadata update"},
	{errNotKnown, exitFailure, "The reasons say what is not known. 'fidokey metadata update' gets what the FIDO Alliance publishes of models; --test-registration tries the key."},
	{enrol.ErrUnknown, exitFailure, "'fidokey entra list' shows whether the user has it. If not, delete it from the key: fidokey credentials list"},
	{enrol.ErrReadBack, exitVerify, "'fidokey entra list' shows what the user has. What is new can take minutes until every server has it."},
	{entra.ErrNotEnforced, exitUsage, "--enforce makes a block list of it."},
	{entra.ErrUnlisted, exitUsage, "'fidokey entra strength allow --enforce' gives it a list of those that stay."},
	{entra.ErrAllBlocked, exitSafety, "Nothing was sent. Allow another model first."},
	{entra.ErrAllAllowed, exitSafety, "Nothing was sent. Allow another model first; 'fidokey entra strength apply' with a file that has no list allows every passkey."},
	{entra.ErrRefusedEdit, exitVerify, "Nothing was sent."},
	{entra.ErrBuiltIn, exitVerify, "Nothing was sent. Make a strength of your own in the admin center."},
	{entra.ErrNoPasskeys, exitVerify, "Nothing was sent. The combinations are changed in the admin center."},
	{entra.ErrCombination, exitVerify, "Nothing was sent."},
	{enrol.ErrLedgerInUse, exitFailure, "Wait for it, or end it with Ctrl-C. Several keys at the same time take one command: --stations"},
	{enrol.ErrLedger, exitFailure, "Is the disk full? Run the command again when there is room: it goes on where it was."},
	{errNotAll, exitFailure, "Run the command again for those who are left. Who is registered is passed over."},
	{errNoMethod, exitFailure, "'fidokey entra list' shows the IDs."},
	{errNoModel, exitFailure, "'fidokey metadata show' says what is stored."},
	{simulator.ErrNotLoopback, exitUsage, "--allow-remote lets it."},
	{relyingparty.ErrNotLoopback, exitUsage, "With something before it that speaks https, --allow-remote lets it; --rp and --origin then say its name."},
	{fs.ErrPermission, exitPermission, ""},
	{winwebauthn.NotAllowedError, exitNoTouch, "Windows was cancelled or waited in vain, or no key has a credential for this RP ID."},
	{winwebauthn.InvalidStateError, exitRefused, "The key has a credential of this list already."},
	{transport.ErrClosed, exitNoKey, "The key is gone: it was unplugged, or its program ended."},
	{ctap2.ErrMalformed, exitVerify, "The key does not follow the specification."},
}

func classify(err error) (code int, hint string) {
	var usage usageError
	var noKey noKeyError
	var verify verifyError
	var safety safetyError
	var ofCommand commandError
	var problems problemsError
	var page *webauthn.Error // what no browser would ask of a key
	switch {
	case errors.As(err, &problems):
		return problems.code, ""
	case errors.As(err, &ofCommand):
		return ofCommand.code, ""
	case errors.As(err, &safety):
		return exitSafety, ""
	case errors.As(err, &usage), errors.As(err, &page):
		return exitUsage, ""
	case errors.As(err, &noKey):
		return exitNoKey, ""
	case errors.As(err, &verify):
		return exitVerify, ""
	}
	for _, h := range hints {
		if errors.Is(err, h.err) {
			return h.code, h.hint
		}
	}
	var ofGraph *graph.Error
	if errors.As(err, &ofGraph) {
		if errors.Is(err, graph.ErrRefused) {
			return exitVerify, ofGraph.Hint
		}
		return exitFailure, ofGraph.Hint
	}
	var refused *ctap2.Error
	var refusedU2F u2f.StatusWord
	var refusedBySystem *winwebauthn.Error
	if errors.As(err, &refused) || errors.As(err, &refusedU2F) || errors.As(err, &refusedBySystem) {
		return exitRefused, ""
	}
	return exitFailure, ""
}
