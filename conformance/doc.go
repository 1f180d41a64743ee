// Package conformance checks a security key against the Client to
// Authenticator Protocol: named cases, each of which says what is sent and what
// must come back. They apply to real keys and to the simulator alike.
//
//	bench := &conformance.Bench{Port: ..., PowerCycle: ..., Touch: ...}
//	results := conformance.Run(ctx, bench, conformance.Selection{})
//
// The cases are in cases.txt, and the code of case MC-048 is the entry "MC-048"
// in make_credential.go. Where a line names the statuses that are right, these
// words are what the answer is judged by, so that text and check cannot differ.
//
// A [Bench] is everything that is not the protocol: the doors of the key, its
// power supply, its owner's hands, time. What a bench cannot do makes cases not
// applicable, and so does what the key does not offer by its getInfo.
//
// The package sends bytes of its own making and reads plain maps: none of the
// client's flows, its framing or its message structs stands between a case and
// the key.
package conformance
