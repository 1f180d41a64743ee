package simulator

// check says whether there is a command, and whether its message may have size
// bytes.
func (c hidCommand) check(size int, capabilities byte) hidFault {
	var known, ok bool
	switch c {
	case hidPing:
		known, ok = true, true
	case hidMsg:
		known, ok = capabilities&capabilityNMSG == 0, size > 0
	case hidCBOR:
		known, ok = capabilities&capabilityCBOR != 0, size > 0
	case hidLock:
		known, ok = true, size == 1
	case hidWink:
		known, ok = capabilities&capabilityWink != 0, size == 0
	}
	if !known {
		return hidInvalidCommand
	}
	if !ok || size > hidMaxMessage {
		return hidInvalidLength
	}
	return hidNoFault
}
