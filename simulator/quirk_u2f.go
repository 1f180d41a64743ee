package simulator

// bareExtended is the length of an extended APDU without data that does not say
// so with an Lc of zero.
const bareExtended = 7

// refuseU2F returns the status word for a command that a quirk refuses.
func (q *Quirks) refuseU2F(apdu []byte) statusWord {
	if q.U2FNeedsLc && len(apdu) == bareExtended {
		return swWrongLength
	}
	return swOK
}

// restateU2F changes the status word of an answer.
func (q *Quirks) restateU2F(sw statusWord) statusWord {
	if sw == swWrongData && q.U2FUnknownHandle != 0 {
		return statusWord(q.U2FUnknownHandle)
	}
	return sw
}
