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
// means and [SelectByCredential] the one that has a credential. Commands without
// a flow of their own go through [Do] and [Key.Send].
//
// What a key does not list in getInfo is not sent to it, and lists of credentials
// may be longer than it takes. Answers are parsed and kept as they came; what was
// tolerated goes to Options.Findings. Options.Trace takes every exchange without
// secrets (docs/trace.md).
//
// An error after which something may be otherwise on the key, for no answer came or
// none that can be read, is an [ErrMayBeDone] and says what.
//
// It asks people through the functions in [Prompt] and never prints. It never
// tries a PIN twice, and never one that it was not given for this purpose.
//
// # Exchanges
//
// A device is opened with one CTAPHID_INIT. After that a flow costs these CBOR
// messages, getInfo included, which later flows of the same Key save. A flow that
// asks for the PIN begins with getInfo, the retries, a key agreement and a token:
// "4" below. Of these the retries are what other clients leave out; they are what
// keeps the last tries from being spent.
//
//	Info                          1
//	PINState                      2, without a PIN 1
//	SetPIN                        3
//	ChangePIN                     4
//	VerifyPIN                     4
//	Register                      4 + 1, without user verification 2
//	Authenticate                  4 + 1, without user verification 2, and 1 for each further account
//	  hmac-secret, prf            1 more
//	  a list beyond the key's     1 more for each part of it
//	  large blob                  as LargeBlob or SetLargeBlob, without a token of its own
//	CredentialMetadata            4 + 1
//	Credentials                   4 + 1 for each relying party and each credential
//	  with a persistent token     1 + 1 for each relying party and each credential
//	CredentialsFor                4 + 1 for each credential
//	DeleteCredential, UpdateUser  4 + 1
//	Fingerprints                  4 + 1
//	EnrollFingerprint             4 + 1 for each sample, and 2 for a name
//	Rename-, RemoveFingerprint    4 + 1, with a new name 4 + 2
//	LargeBlob, LargeBlobs         1 + 1 for each fragment of maxMsgSize - 64 bytes
//	SetLargeBlob and its like     as LargeBlob + 3 + 1 for each fragment that is written
//	SetAlwaysUV and its like      4 + 1, without a PIN 2, if it is so already 1
//	Select                        2
//	Reset                         1
//	ResetGuided                   4, with one INIT
//
// A second flow that needs the same permission takes the token of the first: it
// costs its own messages only. In the tests of the virtual machine the same tasks
// cost libfido2 and python-fido2 at least as many messages, but for the retries.
package client
