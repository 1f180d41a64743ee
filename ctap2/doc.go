// Package ctap2 holds the messages of the Client to Authenticator Protocol: one
// request and one response struct per command, the status codes, and the
// authenticator data.
//
//	info, err := ctap2.Do(ctx, dev, ctap2.GetInfo{})
//	if errors.Is(err, ctap2.ErrInvalidCommand) { ... } // a U2F-only key
//
// [Do] encodes in the CTAP2 canonical form and decodes leniently: members,
// strings and status codes that are not known here are kept and passed on.
// What this package does not do: PINs and their tokens (package pin), touching
// and asking people (package client), U2F.
//
// The order of fields is the specification's; a nil pointer, slice or map means
// that the member is absent.
package ctap2
