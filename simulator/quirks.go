package simulator

// Quirks are ways in which keys in the field differ from the specification, or
// from each other where it is silent. The zero value is a key without any.
type Quirks struct {
	// GetInfo is put in place of what getInfo would say, by the number of the
	// member; a map is merged, null leaves a member out.
	GetInfo map[int64]any `json:"getInfo,omitempty"`
}

func (q *Quirks) check() error { return nil }
