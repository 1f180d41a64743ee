// Package webauthn is the browser's half of a registration or sign-in, and the
// relying party's check of it (WebAuthn Level 3).
//
// [ClientData] makes the client data that a browser makes; [NewRegistration] and
// [NewAuthentication] put a key's answer into the JSON that relying parties
// take; [CheckRegistration] and [CheckAuthentication] judge that JSON as a
// relying party does. The verdict on signatures and attestation statements is
// github.com/go-webauthn/webauthn's, a mind that shares nothing with our
// encoder.
package webauthn
