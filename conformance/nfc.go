package conformance

// overCard sends a CTAP message in extended APDUs.
func (p *probe) overCard(msg []byte) reply {
	p.fail("not yet: %x", msg)
	return reply{}
}
