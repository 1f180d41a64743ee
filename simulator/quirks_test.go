package simulator_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/simulator"
)

// A quirky is a key of one quirk, behind a host that speaks to it in reports.
type quirky struct {
	*key
	host *host
}

// ask returns the whole answer, as it was on the wire.
func (q quirky) ask(command byte, params any) []byte {
	q.Helper()
	return q.host.exchange(request(command, params))
}

// body is the answer to what must succeed, in whatever encoding.
func (q quirky) body(command byte, params any) map[any]any {
	q.Helper()
	answer := q.ask(command, params)
	var reply map[any]any
	if answer[0] != ok || decMode.Unmarshal(answer[1:], &reply) != nil {
		q.Fatalf("command %#02x: %x", command, answer)
	}
	return reply
}

func (q quirky) status(want byte, command byte, params any) {
	q.Helper()
	if answer := q.ask(command, params); len(answer) != 1 || answer[0] != want {
		q.Fatalf("command %#02x: %x, want %#02x", command, answer, want)
	}
}

func u(n uint64) uint64 { return n }

// quirkTests show each quirk profile on the wire.
var quirkTests = map[string]func(q quirky){
	"unsorted-maps": func(q quirky) {
		answer := q.ask(getInfo, nil)
		first, last := bytes.Index(answer, []byte("FIDO_2_0")), bytes.LastIndex(answer, []byte("packed"))
		if first < last {
			q.Errorf("members in order: %x", answer)
		}
		if info := q.body(getInfo, nil); !slices.Contains(info[u(1)].([]any), any("FIDO_2_1")) {
			q.Errorf("%v", info)
		}
	},
	"cut-names": func(q quirky) {
		q.setPIN(testPIN)
		q.ok(makeCredential, q.token(2, permMC, testRP).authorize(with(resident(testRP, "alice"), "Zoë Größe", 3, "name")))
		answer := q.ask(credentialManagement, q.token(2, permCM, "").manage(4, m{1: hashOf(testRP)}))
		if !bytes.Contains(answer, []byte("\x64nameGZo\xc3\xab Gr\xc3")) && !bytes.Contains(answer, []byte("\x64name\x67Zo\xc3\xab Gr")) {
			q.Errorf("name is not cut at 7 bytes: %x", answer)
		}
	},
	"no-names": func(q quirky) {
		q.setPIN(testPIN)
		q.add(testRP, "alice")
		user := q.body(credentialManagement, q.token(2, permCM, "").manage(4, m{1: hashOf(testRP)}))[u(6)].(m)
		if len(user) != 1 || user["id"] == nil {
			q.Errorf("user %v", user)
		}
	},
	"no-user": func(q quirky) {
		q.ok(makeCredential, resident(testRP, "alice"))
		if reply := q.body(getAssertion, sign(testRP)); reply[u(4)] != nil || reply[u(3)] == nil {
			q.Errorf("%v", reply)
		}
	},
	"no-credential": func(q quirky) {
		c := q.create(creation())
		if reply := q.body(getAssertion, with(sign(testRP), descriptors(c.id), 3)); reply[u(1)] != nil || reply[u(3)] == nil {
			q.Errorf("one entry: %v", reply)
		}
		if reply := q.body(getAssertion, with(sign(testRP), descriptors(c.id, []byte{1}), 3)); reply[u(1)] == nil {
			q.Errorf("two entries: %v", reply)
		}
	},
	"empty-body": func(q quirky) {
		q.setPIN(testPIN)
		q.status(ok, credentialManagement, q.token(2, permCM, "").manage(2, nil))
	},
	"zero-total": func(q quirky) {
		q.setPIN(testPIN)
		if reply := q.body(credentialManagement, q.token(2, permCM, "").manage(2, nil)); reply[u(5)] != u(0) {
			q.Errorf("%v", reply)
		}
	},
	"no-totals": func(q quirky) {
		q.setPIN(testPIN)
		q.add(testRP, "alice")
		token := q.token(2, permCM, "")
		if reply := q.body(credentialManagement, token.manage(2, nil)); reply[u(5)] != nil || reply[u(3)] == nil {
			q.Errorf("RPs: %v", reply)
		}
		if reply := q.body(credentialManagement, token.manage(4, m{1: hashOf(testRP)})); reply[u(9)] != nil {
			q.Errorf("credentials: %v", reply)
		}
	},
	"unknown-getinfo": func(q quirky) {
		info := q.body(getInfo, nil)
		if !slices.Contains(info[u(1)].([]any), any("FIDO_9_9")) || info[u(4)].(m)["makersMark"] != true ||
			info[u(4)].(m)["rk"] != true || info[u(64)] == nil || info[int64(-1)] != true {
			q.Errorf("%v", info)
		}
	},
	"no-extensions": func(q quirky) {
		if info := q.body(getInfo, nil); info[u(2)] != nil {
			q.Errorf("%v", info)
		}
		q.ok(makeCredential, with(creation(), m{"hmac-secret": true}, 6))
	},
	"no-protocols": func(q quirky) {
		if info := q.body(getInfo, nil); info[u(6)] != nil {
			q.Errorf("%v", info)
		}
		q.setPIN(testPIN)
	},
	"zero-limits": func(q quirky) {
		if info := q.body(getInfo, nil); info[u(7)] != u(0) || info[u(8)] != u(0) {
			q.Errorf("%v", info)
		}
	},
	"no-max-message": func(q quirky) {
		if info := q.body(getInfo, nil); info[u(5)] != nil {
			q.Errorf("%v", info)
		}
		q.status(requestTooLarge, getInfo, bytes.Repeat([]byte{0}, 1030))
	},
	"uv-false": func(q quirky) {
		options := q.body(getInfo, nil)[u(4)].(m)
		if uv, present := options["uv"]; !present || uv != false {
			q.Errorf("options %v", options)
		}
		q.status(invalidOption, makeCredential, with(creation(), true, 7, "uv"))
	},
	"status-unknown": func(q quirky) { q.status(0xf1, getAssertion, sign(testRP)) },
	"status-probe":   func(q quirky) { q.status(0x22, getAssertion, with(sign(testRP), descriptors([]byte{1}), 3)) },
	"getinfo-fails":  func(q quirky) { q.status(invalidCommand, getInfo, nil) },
	"no-rp-list": func(q quirky) {
		q.setPIN(testPIN)
		q.add(testRP, "alice")
		token := q.token(2, permCM, "")
		q.status(missingParameter, credentialManagement, token.manage(2, nil))
		q.body(credentialManagement, token.manage(4, m{1: hashOf(testRP)}))
	},
	"key-agreement-es256": func(q quirky) {
		if key := q.body(clientPIN, m{1: 2, 2: 2})[u(1)].(m); key[u(3)] != int64(-7) {
			q.Errorf("%v", key)
		}
		q.status(invalidParameter, clientPIN, with(q.agree(2).setPINParams(padded(testPIN)), -7, 3, 3))
	},
	"refuses-transports": func(q quirky) {
		c := q.create(creation())
		plain := descriptor(c.id)
		q.body(getAssertion, with(sign(testRP), []any{plain}, 3))
		q.status(invalidCBOR, getAssertion, with(sign(testRP), []any{with(plain, []any{"usb"}, "transports")}, 3))
	},
	"refuses-empty-lists": func(q quirky) {
		q.status(invalidCBOR, makeCredential, with(creation(), []any{}, 5))
		q.status(invalidCBOR, getAssertion, with(sign(testRP), []any{}, 3))
	},
	"refuses-up": func(q quirky) {
		q.status(invalidOption, makeCredential, with(creation(), true, 7, "up"))
	},
	"refuses-uv-with-token": func(q quirky) {
		q.setPIN(testPIN)
		params := q.token(2, permMC, testRP).authorize(creation())
		q.status(invalidOption, makeCredential, with(params, true, 7, "uv"))
		q.body(makeCredential, params)
	},
	"refuses-extensions": func(q quirky) {
		q.body(makeCredential, with(creation(), m{"hmac-secret": true}, 6))
		q.status(0x16, makeCredential, with(creation(), m{"hmac-secret": true, "aroma": true}, 6))
	},
	"refuses-algorithms": func(q quirky) {
		q.status(unsupportedAlgorithm, makeCredential, with(creation(), []any{publicKeyParam(-7), publicKeyParam(-999)}, 4))
		q.body(makeCredential, creation())
	},
	"false-eddsa": func(q quirky) {
		q.status(unsupportedAlgorithm, makeCredential, with(creation(), []any{publicKeyParam(-8)}, 4))
	},
	"protocol-two-fails": func(q quirky) {
		q.ok(clientPIN, q.agree(1).setPINParams(padded(testPIN)))
		q.status(pinAuthInvalid, clientPIN, q.agree(2).tokenParams(testPIN))
		if n := q.retries(); n != 8 {
			q.Errorf("%d tries left", n)
		}
		q.oldToken(1)
	},
	"no-power-cycle-state": func(q quirky) {
		if reply := q.body(clientPIN, m{2: 1}); len(reply) != 1 || reply[u(3)] != u(8) {
			q.Errorf("%v", reply)
		}
	},
	"hangs-pin-retries": func(q quirky) {
		q.host.send(0x90, request(clientPIN, m{2: 1}))
		for range 20 {
			if command, msg := q.host.message(); command != wireKeepalive || msg[0] != 1 {
				q.Fatalf("%#02x %x", command, msg)
			}
		}
		q.host.send(0x91, nil)
		if answer, _ := q.host.answer(); answer[0] != keepaliveCancel {
			q.Errorf("after CANCEL: %x", answer)
		}
	},
	"which-key-protocol": func(q quirky) {
		q.touch = func(context.Context) simulator.Presence { q.Error("waited for a touch"); return 0 }
		q.status(missingParameter, makeCredential, with(creation(), []byte{}, 8))
		q.touch = nil
		q.status(pinNotSet, makeCredential, with(with(creation(), []byte{}, 8), 1, 9))
	},
	"which-key-costs": func(q quirky) {
		q.setPIN(testPIN)
		q.status(pinInvalid, makeCredential, with(with(creation(), []byte{}, 8), 1, 9))
		if n := q.retries(); n != 7 {
			q.Errorf("%d tries left", n)
		}
	},
	"token-one-rp": func(q quirky) {
		q.setPIN(testPIN)
		// What was asked before the token was given does not matter.
		q.status(noCredentials, getAssertion, sign("other.example"))
		q.body(makeCredential, q.token(2, permMC|permGA, testRP).authorize(creation()))
		token := q.token(2, permMC|permGA, testRP)
		q.status(noCredentials, getAssertion, sign("other.example"))
		q.status(pinAuthInvalid, makeCredential, token.authorize(creation()))
	},
	"all-discoverable": func(q quirky) {
		q.body(makeCredential, creation())
		q.body(getAssertion, sign(testRP))
	},
	"short-reset-window": func(q quirky) {
		q.clock.Advance(5 * time.Second)
		q.status(ok, reset, nil)
		q.clock.Advance(time.Second)
		q.status(notAllowed, reset, nil)
	},
	"lying-capabilities": func(q quirky) {
		if c := q.host.capabilities; c != 0xd3 {
			q.Errorf("capabilities %#02x", c)
		}
		q.body(getInfo, nil)
	},
	"corrupt-large-blobs": func(q quirky) {
		array := q.body(largeBlobArray, m{1: maxFragment, 3: 0})[u(1)].([]byte)
		if len(array) != len(noBlobs) || bytes.Equal(array, noBlobs) || !bytes.Equal(array[:16], noBlobs[:16]) {
			q.Errorf("array %x", array)
		}
	},
	"any-channel": func(q quirky) {
		own := q.host.channel
		for _, channel := range []string{"\x01\x02\x03\x04", string(own), "\xca\xfe\xba\xbe"} {
			q.host.channel = []byte(channel)
			q.body(getInfo, nil)
		}
		for _, channel := range []string{"\x00\x00\x00\x00", "\xff\xff\xff\xff"} {
			q.host.channel = []byte(channel)
			q.host.send(0x90, []byte{getInfo})
			if command, msg := q.host.message(); command != 0xbf || msg[0] != 0x0b {
				q.Errorf("channel %x: %#02x %x", channel, command, msg)
			}
		}
		q.host.channel = own
	},
	"silent-wink": func(q quirky) {
		q.host.send(0x88, nil)
		q.body(getInfo, nil) // comes first
	},
	"busy-after-wink": func(q quirky) {
		q.host.send(0x88, nil)
		q.host.message()
		q.host.send(0x90, []byte{getInfo})
		if command, msg := q.host.message(); command != 0xbf || msg[0] != 6 {
			q.Errorf("CBOR after WINK: %#02x %x", command, msg)
		}
		q.clock.Advance(2 * time.Second)
		q.body(getInfo, nil)
	},
	"no-keepalive": func(q quirky) {
		q.touch = func(context.Context) simulator.Presence {
			time.Sleep(10 * time.Second)
			return simulator.PresenceTouched
		}
		q.host.send(0x90, []byte{selection})
		if command, msg := q.host.message(); command != 0x90 || msg[0] != ok {
			q.Errorf("%#02x %x", command, msg)
		}
	},
	"foreign-reports": func(q quirky) {
		q.host.transcript.Reset()
		q.body(getInfo, nil)
		all := q.host.transcript.Bytes()
		if !bytes.Contains(all, []byte("\xff\xff\xff\xff\x86\x00\x11stale")) || !bytes.Contains(all, []byte("\xde\xad\xbe\xef\x90")) {
			q.Errorf("%x", all)
		}
	},
	"short-reports": func(q quirky) {
		if in, out := q.host.port.ReportSizes(); in != 32 || out != 32 {
			q.Errorf("reports of %d and %d bytes", in, out)
		}
		q.body(makeCredential, creation())
	},
}

// quirkTests of U2F and the card.
func init() {
	maps.Copy(quirkTests, map[string]func(q quirky){
		"u2f-wrong-length": func(q quirky) {
			q.u2fRefuses("foreign handle", 0x6700, u2fAPDU(2, 7, authenticateData(make([]byte, 64))))
		},
		"u2f-needs-lc": func(q quirky) {
			q.u2fRefuses("version without Lc", 0x6700, []byte{0, 3, 0, 0, 0, 0, 0})
			if data, sw := q.u2f(u2fAPDU(3, 0, nil)); sw != 0x9000 || string(data) != "U2F_V2" {
				q.Errorf("version with Lc: %x %04x", data, sw)
			}
		},
		"select-u2f": func(q quirky) {
			r := (&reader{q.key, simulator.NewCard(q.Authenticator)}).selected()
			if _, sw := r.transmit(u2fAPDU(3, 0, nil)); sw == 0x9000 {
				q.Error("it has U2F")
			}
		},
		"card-unusable": func(q quirky) {
			r := &reader{q.key, simulator.NewCard(q.Authenticator)}
			if _, sw := r.transmit([]byte("\x00\xa4\x04\x00\x08\xa0\x00\x00\x06\x47\x2f\x00\x01\x00")); sw != 0x9000 {
				q.Errorf("SELECT: %04x", sw)
			}
			if _, sw := r.transmit(longAPDU(0, []byte{getInfo})); sw != 0x6985 {
				q.Errorf("getInfo: %04x", sw)
			}
		},
	})
}

func TestQuirks(t *testing.T) {
	for _, name := range simulator.ProfileNames() {
		quirk, is := strings.CutPrefix(name, "quirk-")
		if !is {
			continue
		}
		t.Run(quirk, func(t *testing.T) {
			show := quirkTests[quirk]
			if show == nil {
				t.Fatal("nothing shows this quirk")
			}
			synctest.Test(t, func(t *testing.T) {
				k := newKey(t, playing(t, name))
				defer k.Close()
				host := newHost(t, simulator.NewHID(k.Authenticator).Port())
				defer host.port.Close()
				show(quirky{k, host})
			})
		})
	}
}

// TestDisputedStatuses: any status can be made another for one subcommand.
func TestDisputedStatuses(t *testing.T) {
	p, err := simulator.ParseProfile(fmt.Appendf(nil, "name: x\npurpose: x\nbase: default\nquirks: {statuses: [{command: 6, subCommand: 5, from: %d, to: %d}]}", pinNotSet, puatRequired))
	if err != nil {
		t.Fatal(err)
	}
	k := newKey(t, func(c *simulator.Config) { c.Profile = p })
	k.refuses(puatRequired, clientPIN, k.agree(2).tokenParams(testPIN))
	k.refuses(pinNotSet, clientPIN, with(with(with(k.agree(2).tokenParams(testPIN), 9, 2), 1, 9), testRP, 10))
}
