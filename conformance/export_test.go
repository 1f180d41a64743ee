package conformance

// Thrown are the first bytes that the dice of a case show.
func Thrown(seed, id string, protocol int, phase string, n int) []byte {
	return newDice(seed, &Case{ID: id}, protocol, phase).random(n)
}
