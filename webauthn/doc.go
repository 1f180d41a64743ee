// Package webauthn is the browser's half of a registration or sign-in, and the
// relying party's check of it (WebAuthn Level 3).
//
// [ClientData] makes the client data that a browser makes; [NewRegistration] and
// [NewAuthentication] put a key's answer into the JSON that relying parties
// take; [CheckRegistration] and [CheckAuthentication] judge that JSON as a
// relying party does; [DescribeAttestation] says who stands behind it. Each check has
// a name and an outcome. The last one is the verdict of github.com/go-webauthn/webauthn
// on the whole, a mind that shares nothing with ours: what either of us refuses is
// refused.
package webauthn
