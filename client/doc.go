// Package client is what a person wants done with a security key: see what it
// is, set its PIN, register, sign in, list and delete what is on it, enrol
// fingers, configure it, reset.
//
//	key := client.New(dev, client.Options{Prompt: prompt})
//	info, err := key.Info(ctx)
//	made, err := key.Register(ctx, client.Registration{...})
//	rps, err := key.Credentials(ctx)
//
// Keys that speak U2F only register and sign in, too; what they cannot do is
// [ErrU2FOnly]. Of several keys, [SelectByTouch] finds the one that the person
// means and [SelectByCredential] the one that has a credential.
//
// What a key does not list in getInfo is not sent to it, and lists of credentials
// may be longer than it takes. Answers are parsed and kept as they came; what was
// tolerated goes to Options.Findings.
//
// It asks people through the functions in [Prompt] and never prints. It never
// tries a PIN twice, and never one that it was not given for this purpose.
package client
