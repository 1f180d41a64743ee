// Package entra knows which keys Microsoft Entra ID accepts.
//
// A Policy is the tenant's passkey (FIDO2) authentication method policy as Graph has
// it, a Strength an authentication strength of Conditional Access. Judge says whether
// a key would be accepted, by both and by what Entra needs of every key, and gives a
// reason for each rule. It is a function of its arguments: it reads no file, asks no
// network and no clock.
//
// A Policy or Strength is changed on a copy (Clone): Allow, Block, Remove and Applied edit
// it, Differences and Consequences say what that means, CheckEdit why it must not be, and
// Patch and Writes what Graph is sent.
//
// ParseUserHandle reads the user handle of a passkey; the identifiers that Graph writes
// are read by package graph.
//
// The rules are those that Microsoft documents, and what was seen of the service
// where it documents nothing. What is accepted in the end only the service says.
package entra
