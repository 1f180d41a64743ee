package client_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/webauthn"
)

// fromServer are the options that a server sends to its page.
var fromServer = []byte(`{"challenge": "AAECAwQFBgcICQoLDA0ODw", "rp": {"id": "example.com", "name": "Example"},
	"user": {"id": "AQID", "name": "alice", "displayName": "Alice"},
	"pubKeyCredParams": [{"type": "public-key", "alg": -7}],
	"authenticatorSelection": {"residentKey": "required", "userVerification": "required"}}`)

// A key is given a PIN and registers as navigator.credentials.create() does. README.md
// shows the lines between the marks.
func Example_register() {
	ctx, person := context.Background(), answers("correct horse")
	check := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	// README begins
	authenticator, err := simulator.New(simulator.Config{}) // a key in software
	check(err)
	dev, err := hid.Open(ctx, simulator.NewHID(authenticator).Port()) // or that of hid.OpenPath("", "/dev/hidraw0")
	check(err)
	key := client.New(dev, client.Options{Prompt: person}) // functions that ask for PIN and touch
	check(key.SetPIN(ctx))
	options, err := webauthn.ParseCreationOptions(fromServer)
	check(err)
	page := webauthn.Client{Origin: "https://login.example.com"}
	response, err := page.Create(ctx, key, options) // for the server
	// README ends
	check(err)
	check(key.Close())
	check(authenticator.Close())
	fmt.Println(response.Type, response.Response.Transports)
	// Output: public-key [usb]
}

// TestTenLines: README.md has the lines of the example.
func TestTenLines(t *testing.T) {
	source, err := os.ReadFile("example_ten_lines_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, lines, _ := strings.Cut(string(source), "\t// README begins\n")
	lines, _, found := strings.Cut(lines, "\t// README ends\n")
	lines = regexp.MustCompile(`(?m)^\t`).ReplaceAllString(lines, "")
	if !found || strings.Count(lines, "\n") != 10 {
		t.Fatalf("the example has\n%s", lines)
	}
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```go\n"+lines+"```\n") {
		t.Errorf("README.md does not have\n%s", lines)
	}
}
