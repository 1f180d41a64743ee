package conformance_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/conformance"
)

// TestLies proves that cases notice wrong answers. With -v it prints which; with
// the switches of package test/mutation they are all cases.
func TestLies(t *testing.T) {
	teller := &liar{}
	play := func(l *lie, cases string) (outcomes map[string]conformance.Outcome) {
		outcomes = map[string]conformance.Outcome{}
		playCases(t, strings.Fields(cases), teller, func() { teller.told = l }, func() { teller.told = nil },
			func(r *conformance.Result) { outcomes[r.ID()] = r.Outcome })
		return outcomes
	}
	var all []string
	for _, l := range lies {
		all = append(all, l.notice)
	}
	for id, outcome := range play(&lie{}, strings.Join(all, " ")) {
		if outcome != conformance.Pass {
			t.Errorf("%s: %v without a lie", id, outcome)
		}
	}
	for _, l := range lies {
		outcomes := play(&l, l.notice)
		for _, id := range strings.Fields(l.notice) {
			if outcomes[id] < conformance.Warning {
				t.Errorf("%s does not notice: %s", id, l.name)
			}
			if testing.Verbose() {
				fmt.Printf("lie: %s %v %s\n", id, outcomes[id], l.name)
			}
		}
	}
}

// lies are wrong answers that no mutation of the simulator gives.
var lies = []lie{
	{name: "getInfo: keys out of order", notice: "INF-001", ctap: about(0x04, 0, when(true, disordered))},
	{name: "getInfo: no versions", notice: "INF-002", ctap: about(0x04, 0, member(1, []any{}))},
	{name: "getInfo: version FIDO_2_2", notice: "INF-003", ctap: about(0x04, 0, listed(1, plus("FIDO_2_2")))},
	{name: "getInfo: an extension twice", notice: "INF-006", ctap: about(0x04, 0, listed(2, plus("hmac-secret")))},
	{name: "getInfo: no credProtect", notice: "INF-012 INF-016", ctap: about(0x04, 0, listed(2, minus("credProtect")))},
	{name: "getInfo: no hmac-secret", notice: "INF-013", ctap: about(0x04, 0, listed(2, minus("hmac-secret")))},
	{name: "getInfo: no credBlob", notice: "INF-017", ctap: about(0x04, 0, listed(2, minus("credBlob")))},
	{name: "getInfo: largeBlobKey beside largeBlob", notice: "INF-021", ctap: about(0x04, 0, listed(2, plus("largeBlobKey")))},
	{name: "getInfo: aaguid of 15 bytes", notice: "INF-004", ctap: about(0x04, 0, member(3, make([]byte, 15)))},
	{name: "getInfo: an option that is a number", notice: "INF-005", ctap: about(0x04, 0, option("rk", 1))},
	{name: "getInfo: no credMgmt", notice: "INF-011 INF-027", ctap: about(0x04, 0, option("credMgmt", nil))},
	{name: "getInfo: no pinUvAuthToken", notice: "INF-010 INF-027", ctap: about(0x04, 0, option("pinUvAuthToken", nil))},
	{name: "getInfo: no largeBlobs", notice: "INF-018 INF-020", ctap: about(0x04, 0, option("largeBlobs", nil))},
	{name: "getInfo: no authnrCfg", notice: "INF-022 INF-023 INF-024", ctap: about(0x04, 0, option("authnrCfg", nil))},
	{name: "getInfo: no bioEnroll", notice: "INF-025", ctap: about(0x04, 0, option("bioEnroll", nil))},
	{name: "getInfo: no clientPin", notice: "INF-026 INF-046", ctap: about(0x04, 0, option("clientPin", nil))},
	{name: "getInfo: maxMsgSize 512", notice: "INF-007", ctap: about(0x04, 0, member(5, 512))},
	{name: "getInfo: no protocols", notice: "INF-008 INF-009", ctap: about(0x04, 0, member(6, []any{}))},
	{name: "getInfo: protocol 1 alone", notice: "INF-009", ctap: about(0x04, 0, member(6, []any{1}))},
	{name: "getInfo: protocol 2 twice", notice: "INF-008", ctap: about(0x04, 0, member(6, []any{2, 1, 2}))},
	{name: "getInfo: maxCredentialCountInList 0", notice: "INF-031", ctap: about(0x04, 0, member(7, 0))},
	{name: "getInfo: no transports", notice: "INF-032 INF-041", ctap: about(0x04, 0, member(9, []any{}))},
	{name: "getInfo: transport avian", notice: "INF-032", ctap: about(0x04, 0, listed(9, plus("avian")))},
	{name: "getInfo: no algorithms", notice: "INF-033", ctap: about(0x04, 0, member(10, []any{}))},
	{name: "getInfo: maxSerializedLargeBlobArray 512", notice: "INF-019", ctap: about(0x04, 0, member(11, 512))},
	{name: "getInfo: firmwareVersion is text", notice: "INF-034", ctap: about(0x04, 0, member(14, "1.2"))},
	{name: "getInfo: another firmwareVersion each time", notice: "INF-049", ctap: about(0x04, 0, edited(func(body map[int]any) { body[14] = counted() }))},
	{name: "getInfo: maxCredBlobLength 16", notice: "INF-016", ctap: about(0x04, 0, member(15, 16))},
	{name: "getInfo: preferredPlatformUvAttempts is text", notice: "INF-036", ctap: about(0x04, 0, member(17, "3"))},
	{name: "getInfo: uvModality with an unknown bit", notice: "INF-036", ctap: about(0x04, 0, member(18, 1<<30))},
	{name: "getInfo: certification FIDO level 9", notice: "INF-037", ctap: about(0x04, 0, member(19, map[string]int{"FIDO": 9}))},
	{name: "getInfo: -5 remaining credentials", notice: "INF-035", ctap: about(0x04, 0, member(20, -5))},
	{name: "getInfo: attestation format none", notice: "INF-038", ctap: about(0x04, 0, member(22, []any{"none"}))},
	{name: "getInfo: longTouchForReset 1", notice: "INF-040", ctap: about(0x04, 0, member(24, 1))},
	{name: "getInfo: encIdentifier of 31 bytes", notice: "INF-042 INF-043 INF-045", ctap: about(0x04, 0, member(25, make([]byte, 31)))},
	{name: "getInfo: transportsForReset hybrid", notice: "INF-041", ctap: about(0x04, 0, member(26, []any{"hybrid"}))},
	{name: "getInfo: pinComplexityPolicy 1", notice: "INF-046", ctap: about(0x04, 0, member(27, 1))},
	{name: "getInfo: maxPINLength 64", notice: "INF-029", ctap: about(0x04, 0, member(29, 64))},

	{name: "makeCredential: OK for errors", notice: "MC-004 MC-011 MC-021 XMP-003", ctap: about(0x01, 0, when(false, status(0)))},
	{name: "makeCredential: another error", notice: "MC-093 XMP-003", ctap: about(0x01, 0, when(false, status(0x7f)))},
	{name: "makeCredential: no body", notice: "MC-054 MC-062", ctap: about(0x01, 0, when(true, status(0)))},
	{name: "makeCredential: a ninth member", notice: "MCR-001", ctap: about(0x01, 0, member(9, 1))},
	{name: "makeCredential: format is a number", notice: "MCR-001", ctap: about(0x01, 0, member(1, 1))},
	{name: "makeCredential: no attestation statement", notice: "MC-087 MC-089", ctap: about(0x01, 0, member(3, map[string]any{}))},
	{name: "makeCredential: flag UV", notice: "MC-067 MC-073 MC-078", ctap: about(0x01, 0, authData(func(data []byte) []byte { data[32] ^= 4; return data }))},
	{name: "makeCredential: a point that is not on the curve", notice: "MCR-009", ctap: about(0x01, 0, authData(offCurve))},
	{name: "makeCredential: a credential ID of more than 2000 bytes", notice: "MCR-008", ctap: about(0x01, 0, authData(longID))},
	{name: "getAssertion: OK for errors", notice: "GA-021 XCB-008 XLB-006", ctap: about(0x02, 0, when(false, status(0)))},
	{name: "getAssertion: userSelected", notice: "GA-059", ctap: about(0x02, 0, member(6, true))},
	{name: "getAssertion: largeBlobKey", notice: "XLB-008 XLB-009", ctap: about(0x02, 0, member(7, make([]byte, 32)))},
	{name: "getAssertion: another credential", notice: "GA-013 GA-014 GA-054", ctap: about(0x02, 0, member(1, map[string]any{"id": []byte{1}, "type": "public-key"}))},
	{name: "getNextAssertion: OK for errors", notice: "NFC-027 GNA-005 GNA-006", ctap: about(0x08, 0, when(false, status(0)))},
	{name: "enumerateRPsGetNextRP: another error", notice: "CM-018 CM-019 CM-020 CM-034", ctap: about(0x0a, 3, when(false, status(0x7f)))},
	{name: "toggleAlwaysUv: an error", notice: "CFG-011", ctap: about(0x0d, 2, when(true, status(0x7f)))},
	{name: "getPINRetries: 9", notice: "PIN-004", ctap: about(0x06, 1, member(3, 9))},
	{name: "getPINRetries: another number each time", notice: "PIN-005 CM-011", ctap: about(0x06, 1, edited(func(body map[int]any) { body[3] = 1 + counted()%8 }))},
	{name: "getKeyAgreement: no key", notice: "PIN-012 PIN-014", ctap: about(0x06, 2, member(1, map[int]any{}))},

	{name: "CBOR: errors of CTAPHID", notice: "CBR-011 MC-009", hid: of(hidCBOR, func(m packet) []packet {
		if m.payload[0] != 0 {
			m.cmd, m.payload = hidError, []byte{0x7f}
		}
		return []packet{m}
	})},
	{name: "CBOR: late", notice: "STA-011", hid: of(hidCBOR, func(m packet) []packet { time.Sleep(1500 * time.Millisecond); return []packet{m} })},
	{name: "ERROR: a stray packet", notice: "HID-021 HID-034 HID-056", hid: of(hidError, func(m packet) []packet { m.cmd = 0x05; return []packet{m} })},
	{name: "ERROR: silence", notice: "HID-025 HID-035", hid: of(hidError, func(packet) []packet { return nil })},
	{name: "PING: a byte more", notice: "HID-012 HID-020", hid: of(hidPing, func(m packet) []packet { m.payload = append(m.payload, 0xa5); return []packet{m} })},
	{name: "PING: silence", notice: "HID-041 HID-055", hid: of(hidPing, func(packet) []packet { return nil })},
	{name: "message: more data for errors", notice: "NFC-004 NFC-025", apdu: response(0x10, func(r []byte) []byte {
		if r[len(r)-2] == 0x90 {
			return r
		}
		return []byte{0x61, 0x01}
	})},
	{name: "GET RESPONSE: status word 6f00", notice: "NFC-005 NFC-012", apdu: response(0xc0, func([]byte) []byte { return []byte{0x6f, 0} })},
	{name: "AUTHENTICATE: one byte less", notice: "U2F-006 U2F-016", apdu: response(0x02, func(r []byte) []byte {
		if len(r) < 3 {
			return r
		}
		return append(slices.Clone(r[:len(r)-3]), 0x90, 0)
	})},
}

// counted is another number each time.
func counted() int64 { counter++; return counter }

var counter int64

// disordered puts the first member of a map behind the others.
func disordered(answer []byte) []byte {
	head, body := 2, map[int]cbor.RawMessage{}
	if answer[1] == 0xb8 { // 24 members or more
		head = 3
	}
	if cbor.Unmarshal(answer[1:], &body) != nil || len(body[1]) == 0 {
		return answer
	}
	first := 1 + len(body[1])
	return slices.Concat(answer[:head], answer[head+first:], answer[head:head+first])
}

// offCurve bends the public key of authenticator data without extensions.
func offCurve(data []byte) []byte {
	if data[32]&0x80 == 0 {
		data[len(data)-1] ^= 1
	}
	return data
}

// longID makes the credential ID of authenticator data longer.
func longID(data []byte) []byte {
	const at = 37 + 16
	n := binary.BigEndian.Uint16(data[at:])
	binary.BigEndian.PutUint16(data[at:], n+2000)
	return slices.Concat(data[:at+2+int(n)], make([]byte, 2000), data[at+2+int(n):])
}

// about limits a lie to one command, and to one subcommand unless that is 0.
func about(command byte, sub int64, change func(answer []byte) []byte) func(request, answer []byte) []byte {
	return func(request, answer []byte) []byte {
		if len(request) == 0 || request[0] != command || sub != 0 && subCommand(request) != sub {
			return answer
		}
		return change(answer)
	}
}

// subCommand is the subcommand of a request, or 0. That of largeBlobs is 1 for
// get and 2 for set.
func subCommand(request []byte) int64 {
	var params map[int]cbor.RawMessage
	if cbor.Unmarshal(request[1:], &params) != nil {
		return 0
	}
	key := map[byte]int{0x06: 2, 0x09: 2, 0x0a: 1, 0x0d: 1}[request[0]]
	if request[0] == 0x0c {
		if params[1] != nil {
			return 1
		}
		return 2
	}
	var sub int64
	cbor.Unmarshal(params[key], &sub)
	return sub
}

// when changes answers that succeeded, or those that did not.
func when(success bool, change func(answer []byte) []byte) func(answer []byte) []byte {
	return func(answer []byte) []byte {
		if (answer[0] == 0) != success {
			return answer
		}
		return change(answer)
	}
}

// edited changes the body of an answer that succeeded.
func edited(change func(body map[int]any)) func(answer []byte) []byte {
	return when(true, func(answer []byte) []byte {
		body := map[int]any{}
		if len(answer) > 1 && cbor.Unmarshal(answer[1:], &body) != nil {
			return answer
		}
		change(body)
		encoded, err := canonical.Marshal(body)
		if err != nil {
			panic(err)
		}
		return append([]byte{0}, encoded...)
	})
}

var canonical, _ = cbor.CTAP2EncOptions().EncMode()

// member puts a value in the place of a member.
func member(key int, value any) func(answer []byte) []byte {
	return edited(func(body map[int]any) { body[key] = value })
}

// option sets an option of getInfo; nil takes it away.
func option(name string, value any) func(answer []byte) []byte {
	return edited(func(body map[int]any) {
		options, _ := body[4].(map[any]any)
		options = maps.Clone(options)
		if options[name] = value; value == nil {
			delete(options, name)
		}
		body[4] = options
	})
}

// listed changes a list of texts of getInfo.
func listed(key int, change func(list []any) []any) func(answer []byte) []byte {
	return edited(func(body map[int]any) {
		list, _ := body[key].([]any)
		body[key] = change(slices.Clone(list))
	})
}

func plus(element any) func([]any) []any {
	return func(list []any) []any { return append(list, element) }
}

func minus(element string) func([]any) []any {
	return func(list []any) []any {
		return slices.DeleteFunc(list, func(v any) bool { return v == any(element) })
	}
}

func status(code byte) func([]byte) []byte { return func([]byte) []byte { return []byte{code} } }

// authData changes the authenticator data of an answer.
func authData(change func(data []byte) []byte) func(answer []byte) []byte {
	return edited(func(body map[int]any) {
		if data, ok := body[2].([]byte); ok {
			body[2] = change(data)
		}
	})
}
