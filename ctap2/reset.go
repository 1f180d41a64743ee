package ctap2

// Reset is authenticatorReset, CTAP 2.1 section 6.6: it destroys every
// credential and the PIN. Most keys take it only in the first 10 seconds after
// they were plugged in.
type Reset struct{ Reply[Empty] }

// Command returns [CommandReset].
func (Reset) Command() Command { return CommandReset }
