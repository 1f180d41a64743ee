package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
	"github.com/fidokey/fidokey/webauthn"
)

// testRegistration is what a passkey brought that was made to try the key.
type testRegistration struct {
	RPID    string       `json:"rpId"`
	Format  string       `json:"format"` // of the attestation
	AAGUID  ctap2.AAGUID `json:"aaguid"`
	Deleted bool         `json:"deleted"`
	Checks  judgement    `json:"checks"`
}

func (t *testRegistration) print(w *printer) {
	left := "deleted again"
	if !t.Deleted {
		left = "still on the key"
	}
	w.line("Test passkey", "for %s, attestation %s; %s", t.RPID, t.Format, left)
	w.printf("%s", t.Checks.summary(false))
	if rows := t.Checks.rows(false); len(rows) > 0 {
		w.table([]string{"", "check", "found"}, rows)
	}
}

// testRegistration makes a passkey as Entra would, and deletes it. With an attestation
// an error is about the deletion.
func (e *env) testRegistration(ctx context.Context, key *openedKey, rpID string) (*testRegistration, *entra.Attestation, error) {
	c, err := entraCreation(ctx, rpID)
	if err != nil {
		return nil, nil, err
	}
	info, err := key.Info(ctx)
	if err != nil {
		return nil, nil, err
	}
	deletes := canDelete(info)
	if err := e.agreeToLeave(ctx, info, deletes); err != nil {
		return nil, nil, err
	}
	e.noteTestRPID(rpID)
	made, err := makeCredential(ctx, key, info, c)
	if err != nil {
		return nil, nil, err
	}
	t := &testRegistration{RPID: rpID, Format: made.Format, AAGUID: made.Data.Credential.AAGUID}
	if deletes {
		_, err = key.DeleteCredential(ctx, made.Data.Credential.ID)
		if t.Deleted = err == nil; err != nil {
			err = fmt.Errorf("the test passkey could not be deleted, and is still on the key; 'fidokey credentials delete %x' tries again: %w", made.Data.Credential.ID, err)
		}
	}
	response, failed := c.Response(made, info.Transports)
	if failed != nil {
		return nil, nil, errors.Join(failed, err)
	}
	expected := ofCreation(c).expected()
	expected.Algorithms, expected.AAGUID = c.Algorithms(), info.AAGUID
	expected.Metadata = nil // the policy says whether it matters: see package entra
	t.Checks = webauthn.CheckRegistration(response, expected)
	attestation, failed := entra.NewAttestation(made.MakeCredentialResponse)
	return t, attestation, errors.Join(failed, err)
}

// entraCreation is what Entra asks of a key, for a user that nobody has.
func entraCreation(ctx context.Context, rpID string) (*webauthn.Creation, error) {
	options := entraOptions(rpID)
	options.Challenge = newChallenge()
	options.User = webauthn.UserEntity{ID: newHandle("OF:", 51), Name: "test@fidokey.invalid", DisplayName: "fidokey test"}
	return (&webauthn.Client{Origin: "https://" + rpID}).NewCreation(ctx, &options)
}

// canDelete reports whether a key deletes single passkeys.
func canDelete(info *ctap2.GetInfoResponse) bool {
	manages, _ := info.Option(ctap2.OptionCredMgmt)
	preview, _ := info.Option(ctap2.OptionCredMgmtPreview)
	return manages || preview
}

// agreeToLeave asks before a passkey is made that only a reset removes. A key that
// makes none says so itself.
func (e *env) agreeToLeave(ctx context.Context, info *ctap2.GetInfoResponse, deletes bool) error {
	if stores, _ := info.Option(ctap2.OptionRK); deletes || !stores {
		return nil
	}
	const loss = "This key cannot delete single passkeys: the test passkey stays on it until a reset, and takes a place."
	if err := e.confirm(ctx, loss, "Make it all the same?"); err != nil {
		return err
	}
	if e.yes {
		e.note("%s", loss)
	}
	return nil
}

// noteTestRPID tells the two RP IDs apart.
func (e *env) noteTestRPID(rpID string) {
	if rpID == onlineRPID {
		e.noteEntra(rpID)
		return
	}
	e.note("Note: %s is the RP ID of real Microsoft Entra passkeys. A passkey for %s is another one: neither is found under the other's name.", entraRPID, onlineRPID)
}
