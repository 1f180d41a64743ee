// Package u2f holds the messages of CTAP1/U2F, which keys older than FIDO2 speak
// (FIDO U2F Raw Message Formats; CTAP 2.1, section 7): one request and one
// response struct per command, and the status words.
//
//	made, err := u2f.Do(ctx, dev, u2f.Register{Challenge: challenge, Application: application})
//	if errors.Is(err, u2f.ErrConditionsNotSatisfied) { ... } // a touch is missing: ask again
//
// A key never waits for a touch with these commands. What this package does not
// do: ask again, and make CTAP2 answers of it (package client).
package u2f
