package ctap2

// Selection is authenticatorSelection, CTAP 2.1 section 6.9: it succeeds when
// the person touches this key. Keys that list neither FIDO_2_1 nor a later
// version do not have it.
type Selection struct{ Reply[Empty] }

// Command returns [CommandSelection].
func (Selection) Command() Command { return CommandSelection }
