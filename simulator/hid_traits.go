package simulator

// hidTraits are what shows of the key below its messages, as it is now.
type hidTraits struct {
	powered      bool
	lives        uint64 // how often power was cut
	capabilities byte
	claimed      byte    // capabilities in the answer to INIT
	quirks       *Quirks // nil: none
	faults       *Faults // nil: none
}

func (a *Authenticator) clock() Clock { return a.config.Clock }

// hidTraits is how the key shows below its messages, as the profile wants it.
func (a *Authenticator) hidTraits() hidTraits {
	a.mu.Lock()
	defer a.mu.Unlock()
	return hidTraits{
		powered:      !a.power.off,
		lives:        a.power.lives,
		capabilities: a.profile.capabilities(),
		claimed:      a.profile.claimedCapabilities(),
		quirks:       &a.profile.Quirks,
		faults:       a.faults,
	}
}

// claimedCapabilities are the flags in the answer to INIT.
func (p *Profile) claimedCapabilities() byte {
	if claimed := p.Quirks.Capabilities; claimed != nil {
		return *claimed
	}
	return p.capabilities()
}

// capabilities are what the key has.
func (p *Profile) capabilities() byte {
	var flags byte
	if !p.NoWink {
		flags |= capabilityWink
	}
	if p.speaksCTAP2() {
		flags |= capabilityCBOR
	}
	if !p.hasU2F() {
		flags |= capabilityNMSG
	}
	return flags
}

// maxMessage is how many bytes 129 reports carry.
func (t hidTraits) maxMessage() int {
	if t.quirks == nil || t.quirks.ReportSize == 0 {
		return hidMaxMessage
	}
	size := int(t.quirks.ReportSize)
	return size - 7 + 128*(size-5)
}
