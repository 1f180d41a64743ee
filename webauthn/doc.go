// Package webauthn is the browser's half of a registration or sign-in, and the
// relying party's check of it (WebAuthn Level 3).
//
// [Client] does what a browser does between a page and a key: it takes the options
// of a relying party as JSON, decides whether the page may ask for that, and gives
// the response as JSON. [Client.Create] and [Client.Get] ask a key themselves;
// [Client.NewCreation] and [Client.NewRequest] are for callers who do that.
//
// [ClientData] makes the client data that a browser makes; [NewRegistration] and
// [NewAuthentication] put a key's answer into the JSON that relying parties
// take; [CheckRegistration] and [CheckAuthentication] judge that JSON as a
// relying party does; [DescribeAttestation] says who stands behind it. Each check has
// a name and an outcome. The last one is the verdict of github.com/go-webauthn/webauthn
// on the whole, a mind that shares nothing with ours: what either of us refuses is
// refused.
package webauthn
