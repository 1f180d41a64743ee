package conformance

// finger1 has one finger enrolled.
func (p *probe) finger1() { p.need(false, "not yet") }

func (p *probe) noFingers() {}
