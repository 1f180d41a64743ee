package simulator

func (a *Authenticator) clock() Clock { return a.config.Clock }

// hidTraits is how the key shows below its messages, as the profile wants it.
func (a *Authenticator) hidTraits() hidTraits {
	a.mu.Lock()
	defer a.mu.Unlock()
	return hidTraits{
		powered:      !a.power.off,
		lives:        a.power.lives,
		capabilities: a.profile.capabilities(),
	}
}

// capabilities are the flags in the answer to INIT.
func (p *Profile) capabilities() byte {
	flags := byte(capabilityWink | capabilityNMSG)
	if p.speaksCTAP2() {
		flags |= capabilityCBOR
	}
	return flags
}
