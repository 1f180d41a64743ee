// Package metadata knows models of authenticators: by the metadata BLOB of the
// FIDO Alliance (MDS, version 3), and by a table of names that is built in.
//
// A Verifier judges a BLOB, and a Cache keeps one with an index: an Index finds a
// model's Entry in it without reading the rest. Lookup asks the table only.
// Package metadata/download gets a BLOB by HTTP.
//
// Whether a certificate chain of a registration leads to a root of its entry is
// for package webauthn to say.
package metadata
