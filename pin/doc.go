// Package pin is the platform's side of the PIN/UV auth protocols one and two
// (CTAP 2.1, sections 6.5.6 and 6.5.7), and the authenticatorClientPIN flows
// that set a PIN, change it and yield a token.
//
//	tries, err := pin.GetRetries(ctx, dev)
//	token, err := pin.GetToken(ctx, dev, info, []byte("1234"), ctap2.PermissionMC, "example.com")
//	param := token.Authenticate(clientDataHash)
//
// A PIN is a byte slice, so that it can be wiped; it is never part of an error.
// Nothing here is tried twice: one call spends at most one PIN try.
package pin
