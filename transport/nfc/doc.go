// Package nfc speaks CTAP2 and U2F in ISO 7816-4 APDUs, as keys do over NFC and
// smart-card readers (CTAP 2.1, section 11.3).
//
//	key, err := nfc.Open(ctx, card) // selects the FIDO applet
//	defer key.Close()
//	answer, err := key.Exchange(ctx, []byte{0x04}) // authenticatorGetInfo
//
// A [Card] transmits single APDUs; chaining, long responses and status updates
// are done here. What this package leaves out: finding readers, and the meaning
// of the messages (package ctap2).
package nfc
