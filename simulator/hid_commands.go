package simulator

// check says whether there is a command, and whether its message may have size
// bytes.
func (c hidCommand) check(size int, traits hidTraits) hidFault {
	var known, ok bool
	switch c {
	case hidPing:
		known, ok = true, true
	case hidMsg:
		known, ok = traits.speaksU2F, size > 0
	case hidCBOR:
		known, ok = traits.speaksCTAP2, size > 0
	case hidLock:
		known, ok = true, size == 1
	case hidWink:
		known, ok = traits.winks, size == 0
	}
	if !known {
		return hidInvalidCommand
	}
	if !ok || size > traits.maxMessage() {
		return hidInvalidLength
	}
	return hidNoFault
}
