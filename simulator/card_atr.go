package simulator

// historical are the historical bytes of the card (ISO 7816-4, section 8.1.1):
// application selection by name, command chaining, extended length, the card's name.
var historical = append([]byte{0x80, 0x73, 0x80, 0x21, 0xc0, 0x57}, "fidokey"...)

// ATR returns the answer to reset. For a card without contacts it is what a reader
// makes up in its place (PC/SC, part 3, section 3.1.3.2.3.1).
func (c *Card) ATR() []byte {
	head := []byte{0x80, 0x01} // T=0 and T=1, which a reader for NFC says of any card
	if c.contact {
		head = []byte{0x81, 0x31, 0xfe, 0x15} // T=1: blocks of up to 254 bytes, waiting times
	}
	atr := append([]byte{0x3b, 0x80 | byte(len(historical))}, head...)
	atr = append(atr, historical...)
	var check byte
	for _, b := range atr[1:] {
		check ^= b
	}
	return append(atr, check)
}
