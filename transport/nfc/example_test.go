package nfc_test

import (
	"context"
	"fmt"
	"log"

	"github.com/fidokey/fidokey/transport/nfc"
)

func ExampleOpen() {
	card := &fakeCard{responses: script("4649444f5f325f309000", "00a101816846494441 9000")}
	ctx := context.Background()
	key, err := nfc.Open(ctx, card)
	if err != nil {
		log.Fatal(err)
	}
	answer, err := key.Exchange(ctx, []byte{0x04}) // authenticatorGetInfo
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s answers status %#02x\n", key.Version(), answer[0])
	// Output: FIDO_2_0 answers status 0x00
}
