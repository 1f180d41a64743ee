//go:build linux

package relyingparty_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/internal/chromiumtest"
)

const (
	verdict = `document.getElementById("verdict")?.textContent`
	failing = `document.querySelectorAll("#checks .fail").length`
)

// TestChromium registers and signs in with a real browser, whose key is its own
// virtual one. With FIDOKEY_SCREENSHOT=FILE a picture of the page is left there.
func TestChromium(t *testing.T) {
	s := newSite(t)
	b := chromiumtest.Open(t, s.browser.Origin+"/")
	b.Call("WebAuthn.enable", map[string]any{"enableUI": false}, nil)
	b.Call("WebAuthn.addVirtualAuthenticator", map[string]any{"options": map[string]any{
		"protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "usb", "hasResidentKey": true, "hasUserVerification": true,
		"hasLargeBlob": true, "hasPrf": true, "isUserVerified": true, "automaticPresenceSimulation": true,
	}}, nil)
	b.Await("document.readyState", "complete") // so page.js has run
	b.Await(verdict, "Nothing yet.")

	evil := `<img src=x onerror=document.title='evil'>`
	b.Eval(`document.querySelector("#register [name=user]").value = ` + string(mustJSON(evil)) + `;
		document.querySelector("#register [name=residentKey]").value = "required";
		document.querySelector("#register [name=prf]").click();
		document.querySelector("#register [name=largeBlob]").click();
		document.querySelector("#register button").click()`)
	b.Await(verdict, "The registration of "+evil+" is accepted.")
	if rows := b.Eval(`document.querySelectorAll("#checks tbody tr").length`); rows != "27" || b.Eval(failing) != "0" {
		t.Errorf("%s checks, %s fail", rows, b.Eval(failing))
	}
	if facts := b.Eval(`document.getElementById("facts").textContent`); !strings.Contains(facts, `prf{"enabled":true`) || !strings.Contains(facts, `largeBlob{"supported":true`) {
		t.Errorf("facts: %s", facts)
	}
	b.Await(`document.querySelector("#credentials tbody").textContent`, evil)
	if title, images := b.Eval("document.title"), b.Eval(`document.querySelectorAll("img").length`); title != "fidokey relying party" || images != "0" {
		t.Errorf("a name became a part of the page: %q, %s images", title, images)
	}
	if file := os.Getenv("FIDOKEY_SCREENSHOT"); file != "" {
		var picture struct{ Data string }
		b.Call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &picture)
		png, err := base64.StdEncoding.DecodeString(picture.Data)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, png, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	b.Eval(`document.querySelector("#authenticate [name=userVerification]").value = "required"; document.querySelector("#authenticate button").click()`)
	b.Await(verdict, "The sign-in of "+evil+" is accepted.")
	b.Eval(`document.querySelector("#authenticate [name=allow]").click(); document.querySelector("#authenticate button").click()`)
	b.Await(`document.querySelector("#credentials tbody tr").children[4].textContent`, "2")
	if len(s.told) != 3 {
		t.Errorf("the server was told of %d ceremonies", len(s.told))
	}
	b.Eval(`document.querySelector("#register [name=exclude]").click(); document.querySelector("#register button").click()`)
	b.Await(verdict, "InvalidStateError")
	b.Eval(`document.getElementById("reset").click()`)
	b.Await(verdict, "Nothing is registered any more.")
	b.Await(`String(document.querySelectorAll("#credentials tbody tr").length)`, "0")
}

func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}
