// Package pcsctest runs a pcscd of its own with virtual readers, for tests. Its
// readers are those of vsmartcard's driver vpcd, which listen on TCP ports; what
// dials such a port is a card.
package pcsctest
