// Package simulator is a security key in software: an authenticator that a
// client cannot tell from a real one, and that a test can steer.
//
//	key, err := simulator.New(simulator.Config{})
//	info, err := ctap2.Do(ctx, key, ctap2.GetInfo{})
//
// [Config] hands in the world: storage, clock, randomness, the person who
// touches the key and their fingers. A [Profile] says which key is played. With
// a seeded Random two runs give the same bytes; with a Clock of one's own slow
// cases take no time.
//
// While it runs a key is steered by its [TouchPlan], its [VirtualClock] and its
// [Faults], and by methods of the [Authenticator] for power, state and profile;
// package control does all of that over HTTP. A [Profile] says which key is
// played, and its [Quirks] what that key does otherwise than it should.
//
// Doors bring it to other programs: [ServeTCP], [ServeUnix], [ServeUDP],
// [ServeUHID] and, as a card, [ServeVPCD]. There may be any number of them at once;
// see [Card] for where the power then comes from.
//
// Every command has its own file. It is decoded first (decodeMakeCredential)
// and then decided (makeCredential); the decision follows the steps of the
// Client to Authenticator Protocol 2.1 to 2.3 one by one, and the numbers in the
// comments are the specification's, for the order of the checks decides which
// status a client sees. Where other keys are known to answer differently, a
// profile can choose with [Disputes]. A step that cannot apply to this key keeps
// its number and says so.
//
// The simulator judges by itself: it shares message structs and encodings with
// the client side of this module, but neither the decoding of requests nor the
// PIN/UV auth protocols, so that one mistake cannot agree with itself.
//
// It is a test instrument. Private keys lie in plain sight in its storage.
package simulator
