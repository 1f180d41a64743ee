package hid_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

func ExampleOpen() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ctx = transport.WithStatus(ctx, func(s transport.Status) {
		if s == transport.StatusUPNeeded {
			fmt.Println("touch the key")
		}
	})

	infos, err := hid.Devices("")
	if err != nil || len(infos) == 0 {
		log.Fatal("no key: ", err)
	}
	port, err := hid.OpenPath("", infos[0].Path)
	if err != nil {
		log.Fatal(err)
	}
	key, err := hid.Open(ctx, port)
	if err != nil {
		log.Fatal(err)
	}
	defer key.Close()
	answer, err := key.Exchange(ctx, []byte{0x0b}) // authenticatorSelection
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q answers status %#02x\n", infos[0].Product, answer[0])
}
