// Package nfc speaks CTAP2 and U2F in ISO 7816-4 APDUs, as keys do over NFC and
// smart-card readers (CTAP 2.1, section 11.3), and finds the readers.
//
//	readers, err := nfc.Readers(ctx)
//	card, err := nfc.OpenReader(ctx, readers[0].Name)
//	key, err := nfc.Open(ctx, card) // selects the FIDO applet
//	defer key.Close()
//	answer, err := key.Exchange(ctx, []byte{0x04}) // authenticatorGetInfo
//
// A [Card] transmits single APDUs; chaining, long responses and status updates
// are done here. Readers are reached by PC/SC, which is C on Linux and macOS: see
// [Supported]. [Watch] and [WaitForCard] tell of readers and cards that come and
// go, a [Slot] waits for a card to be taken away and laid on again.
//
// Other programs may use a card too. A Device keeps them out during each of its
// commands, and selects the applet again if they selected another one or reset the
// card. What may have been done is not sent again then, and a PIN never.
//
// Some readers are interfaces of USB keys that only pretend to be FIDO keys:
// ReaderInfo.Pretender names them. OpenReader opens those too, so whoever lists
// readers is to skip them, unless a person has named one.
//
// What this package leaves out: the meaning of the messages (package ctap2), and a
// limit on what a reader may write into its name: quote it before it reaches a
// terminal.
package nfc
