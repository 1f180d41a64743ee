package conformance_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/transport/nfc"
)

// A lie is a wrong answer that stands in for the key's. One of its functions is
// set; each takes what came from the key and returns what the host gets.
type lie struct {
	name string
	// about are beginnings of the identifiers of the cases that it is for; none
	// is all. A wrong answer to what a case only starts from proves nothing.
	about string
	// ctap takes the answer to a message of CTAP2, through either door: the
	// status and the body.
	ctap func(request, answer []byte) []byte
	// hid takes a message that goes over HID; none is silence.
	hid func(m packet) []packet
	// apdu takes a response with its status word.
	apdu func(command, response []byte) []byte
}

// A packet is a message of CTAPHID. Without the initialization bit in its
// command it is a continuation of nothing.
type packet struct {
	cid     uint32
	cmd     byte
	payload []byte
}

// The commands of CTAPHID, with the initialization bit.
const (
	hidPing  = 0x81
	hidMsg   = 0x83
	hidInit  = 0x86
	hidCBOR  = 0x90
	hidError = 0xbf
)

// A liar changes the answers of a key while told is set.
type liar struct {
	told *lie
}

// tell puts the liar between a bench and its key.
func (l *liar) tell(bench *conformance.Bench) {
	if port := bench.Port; port != nil {
		bench.Port = func() (hid.Port, error) {
			p, err := port()
			return &lyingPort{Port: p, liar: l, in: map[uint32]*part{}, out: map[uint32]*part{}}, err
		}
	}
	if card := bench.Card; card != nil {
		bench.Card = func() (nfc.Card, error) {
			c, err := card()
			return &lyingCard{c, l}, err
		}
	}
}

// A lyingPort takes the messages of both directions apart.
type lyingPort struct {
	hid.Port
	*liar
	in, out map[uint32]*part // by channel
	queue   [][]byte         // reports for the host
}

// A part is a message that is not complete, or the last one.
type part struct {
	packet
	size int
}

// take adds a report, and reports whether the message is complete.
func take(messages map[uint32]*part, report []byte) (m *part, complete bool) {
	cid := binary.BigEndian.Uint32(report)
	if report[4]&0x80 != 0 {
		m = &part{packet{cid, report[4], nil}, int(binary.BigEndian.Uint16(report[5:]))}
		messages[cid] = m
		report = report[7:]
	} else if m = messages[cid]; m == nil {
		return &part{packet: packet{cid, report[4], report[5:]}}, true
	} else {
		report = report[5:]
	}
	m.payload = append(m.payload, report[:min(len(report), m.size-len(m.payload))]...)
	return m, len(m.payload) == m.size
}

func (p *lyingPort) Write(report []byte) (int, error) {
	take(p.out, report)
	return p.Port.Write(report)
}

func (p *lyingPort) Read(report []byte) (int, error) {
	for len(p.queue) == 0 {
		b := make([]byte, len(report))
		n, err := p.Port.Read(b)
		if err != nil {
			return n, err
		}
		m, complete := take(p.in, b[:n])
		if !complete {
			continue
		}
		delete(p.in, m.cid)
		for _, told := range p.changed(m.packet) {
			p.queue = append(p.queue, told.reports(n)...)
		}
	}
	n := copy(report, p.queue[0])
	p.queue = p.queue[1:]
	return n, nil
}

// changed is what the host gets in place of a message.
func (p *lyingPort) changed(m packet) []packet {
	switch {
	case p.told == nil:
	case p.told.hid != nil:
		return p.told.hid(m)
	case p.told.ctap != nil && m.cmd == hidCBOR && p.out[m.cid] != nil && len(m.payload) > 0:
		m.payload = p.told.ctap(p.out[m.cid].payload, m.payload)
	case p.told.apdu != nil && m.cmd == hidMsg && len(m.payload) >= 2:
		m.payload = p.told.apdu(p.out[m.cid].payload, m.payload)
	}
	return []packet{m}
}

// reports are those that carry a message.
func (m packet) reports(size int) [][]byte {
	head := append(binary.BigEndian.AppendUint32(nil, m.cid), m.cmd)
	if m.cmd&0x80 != 0 {
		head = binary.BigEndian.AppendUint16(head, uint16(len(m.payload)))
	}
	var reports [][]byte
	rest := m.payload
	for seq := byte(0); len(reports) == 0 || len(rest) > 0; seq++ {
		report := make([]byte, size)
		n := copy(report[copy(report, head):], rest)
		rest = rest[n:]
		reports = append(reports, report)
		head = append(binary.BigEndian.AppendUint32(nil, m.cid), seq)
	}
	return reports
}

// A lyingCard lies on the reader.
type lyingCard struct {
	nfc.Card
	*liar
}

func (c *lyingCard) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	response, err := c.Card.Transmit(ctx, command)
	if err != nil || c.told == nil {
		return response, err
	}
	switch {
	case c.told.apdu != nil:
		return c.told.apdu(command, response), nil
	case c.told.ctap != nil && bytes.HasSuffix(response, []byte{0x90, 0}) && len(response) > 2:
		if request := message(command); request != nil {
			response = append(c.told.ctap(request, response[:len(response)-2]), 0x90, 0)
		}
	}
	return response, nil
}

// message is the message of CTAP2 in an APDU that is not chained, or nil.
func message(apdu []byte) []byte {
	switch {
	case len(apdu) < 7 || apdu[0] != 0x80 || apdu[1] != 0x10:
		return nil
	case apdu[4] == 0:
		return apdu[7:][:binary.BigEndian.Uint16(apdu[5:])]
	}
	return apdu[5:][:apdu[4]]
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

func cut(answer []byte) []byte { return answer[:max(1, len(answer)-1)] }

// slow takes its time.
func slow(answer []byte) []byte { time.Sleep(1500 * time.Millisecond); return answer }

// subjects are commands and subcommands that are lied about in the same ways.
var subjects = []struct {
	name    string
	command byte
	sub     int64
	about   string
}{
	{"getNextAssertion", 0x08, 0, ""}, {"selection", 0x0b, 0, ""}, {"reset", 0x07, 0, "RST"},
	{"enrollBegin", 0x09, 1, "BIO"}, {"enrollCaptureNextSample", 0x09, 2, "BIO"}, {"cancelCurrentEnrollment", 0x09, 3, "BIO"},
	{"enumerateEnrollments", 0x09, 4, "BIO"}, {"setFriendlyName", 0x09, 5, "BIO"}, {"removeEnrollment", 0x09, 6, "BIO"},
	{"getFingerprintSensorInfo", 0x09, 7, "BIO"}, {"bioEnrollment", 0x09, 0, "BIO CBR"},
	{"getCredsMetadata", 0x0a, 1, "CM"}, {"enumerateRPsGetNextRP", 0x0a, 3, "CM"}, {"enumerateRPsBegin", 0x0a, 2, "CM"},
	{"enumerateCredentialsBegin", 0x0a, 4, "CM XCP"}, {"enumerateCredentialsGetNextCredential", 0x0a, 5, "CM"},
	{"deleteCredential", 0x0a, 6, "CM STA"}, {"updateUserInformation", 0x0a, 7, "CM"}, {"credentialManagement", 0x0a, 0, "CM CBR"},
	{"largeBlobs get", 0x0c, 1, "LB"}, {"largeBlobs set", 0x0c, 2, "LB"}, {"largeBlobs", 0x0c, 0, "LB CBR"},
	{"enableEnterpriseAttestation", 0x0d, 1, "CFG"}, {"toggleAlwaysUv", 0x0d, 2, "CFG"}, {"setMinPINLength", 0x0d, 3, "CFG"},
	{"enableLongTouchForReset", 0x0d, 4, "CFG"}, {"authenticatorConfig", 0x0d, 0, "CFG CBR"},
	{"preview bioEnrollment", 0x40, 0, "BIO"}, {"preview credentialManagement", 0x41, 0, "CM"},
	{"getPINRetries", 0x06, 1, "PIN STA"}, {"setPIN", 0x06, 3, "PIN CBR RST-008 RST-016"}, {"changePIN", 0x06, 4, "PIN STA-007"},
	{"getPinToken", 0x06, 5, "PIN STA-007"}, {"getUVRetries", 0x06, 7, "PIN"}, {"token by UV", 0x06, 6, "PIN"}, {"token by PIN", 0x06, 9, "PIN"},
	{"getKeyAgreement", 0x06, 2, "PIN-009 PIN-010 PIN-011 PIN-012 PIN-013 PIN-014"}, {"clientPIN", 0x06, 0, "PIN CBR"},
	{"getAssertion", 0x02, 0, ""}, {"makeCredential", 0x01, 0, ""}, {"getInfo", 0x04, 0, "INF NFC STA"},
}

// lies are all, those about little before those about much.
func lies() []lie {
	var all []lie
	add := func(name string, ctap func(request, answer []byte) []byte) {
		all = append(all, lie{name: name, ctap: ctap})
	}
	for name, change := range map[string]func([]byte) []byte{
		"no versions":                     member(1, []any{}),
		"version FIDO_2_2":                listed(1, plus("FIDO_2_2")),
		"no U2F_V2":                       listed(1, minus("U2F_V2")),
		"an extension twice":              listed(2, plus("hmac-secret")),
		"no credProtect":                  listed(2, minus("credProtect")),
		"no hmac-secret":                  listed(2, minus("hmac-secret")),
		"no credBlob":                     listed(2, minus("credBlob")),
		"largeBlobKey beside largeBlob":   listed(2, plus("largeBlobKey")),
		"aaguid of 15 bytes":              member(3, make([]byte, 15)),
		"an option that is a number":      option("rk", 1),
		"no credMgmt":                     option("credMgmt", nil),
		"no pinUvAuthToken":               option("pinUvAuthToken", nil),
		"no largeBlobs":                   option("largeBlobs", nil),
		"no authnrCfg":                    option("authnrCfg", nil),
		"no bioEnroll":                    option("bioEnroll", nil),
		"no clientPin":                    option("clientPin", nil),
		"clientPin true":                  option("clientPin", true),
		"clientPin false":                 option("clientPin", false),
		"alwaysUv false":                  option("alwaysUv", false),
		"maxMsgSize 512":                  member(5, 512),
		"no protocols":                    member(6, []any{}),
		"protocol 1 alone":                member(6, []any{1}),
		"maxCredentialCountInList 0":      member(7, 0),
		"no transports":                   member(9, []any{}),
		"transports without nfc":          member(9, []any{"usb"}),
		"transport avian":                 listed(9, plus("avian")),
		"no algorithms":                   member(10, []any{}),
		"maxSerializedLargeBlobArray 512": member(11, 512),
		"forcePINChange true":             member(12, true),
		"minPINLength 3":                  member(13, 3),
		"firmwareVersion text":            member(14, "1.2"),
		"maxCredBlobLength 16":            member(15, 16),
		"uvModality with an unknown bit":  member(18, 1<<30),
		"certification FIDO level 9":      member(19, map[string]int{"FIDO": 9}),
		"remaining credentials -5":        member(20, -5),
		"attestation format none":         member(22, []any{"none"}),
		"longTouchForReset 1":             member(24, 1),
		"encIdentifier of 31 bytes":       member(25, make([]byte, 31)),
		"transportsForReset hybrid":       member(26, []any{"hybrid"}),
		"pinComplexityPolicy 1":           member(27, 1),
		"maxPINLength 64":                 member(29, 64),
	} {
		add("getInfo: "+name, about(0x04, 0, change))
	}
	slices.SortFunc(all, func(a, b lie) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })

	count := 0
	add("getInfo: another firmwareVersion each time", about(0x04, 0, edited(func(body map[int]any) { count++; body[14] = count })))
	add("getInfo: keys out of order", about(0x04, 0, when(true, func(answer []byte) []byte {
		head, body := 2, map[int]cbor.RawMessage{}
		if answer[1] == 0xb8 {
			head = 3
		}
		if cbor.Unmarshal(answer[1:], &body) != nil || len(body[1]) == 0 {
			return answer
		}
		first := 1 + len(body[1])
		return slices.Concat(answer[:head], answer[head+first:], answer[head:head+first])
	})))
	for i := range all {
		all[i].about = "INF NFC-026 CFG-012 CFG-016 CFG-031 CFG-033"
	}
	add("getPINRetries: 9", about(0x06, 1, member(3, 9)))
	before := len(all)
	add("getPINRetries: one less each time", about(0x06, 1, edited(func(body map[int]any) { count++; body[3] = 8 - count%2 })))
	add("getUVRetries: 26", about(0x06, 7, member(5, 26)))
	all[before].about = "PIN-005 CM-011"
	before = len(all)
	add("getKeyAgreement: no key", about(0x06, 2, member(1, map[int]any{})))
	all[before].about = "PIN-012 PIN-013 PIN-014"
	add("getAssertion: userSelected", about(0x02, 0, member(6, true)))
	add("getAssertion: numberOfCredentials 1", about(0x02, 0, edited(func(body map[int]any) {
		if body[5] == nil {
			body[5] = 1
		}
	})))
	add("getAssertion: a user", about(0x02, 0, member(4, map[string]any{"id": []byte{1}, "name": "eve"})))
	add("getAssertion: largeBlobKey", about(0x02, 0, member(7, make([]byte, 32))))
	before = len(all)
	add("getAssertion: another credential", about(0x02, 0, member(1, map[string]any{"id": []byte{1}, "type": "public-key"})))
	add("getAssertion: another signature", about(0x02, 0, member(3, make([]byte, 70))))
	for i := range all[before:] {
		all[before+i].about = "GA-"
	}
	before = len(all)
	add("makeCredential: a ninth member", about(0x01, 0, member(9, 1)))
	add("makeCredential: format is a number", about(0x01, 0, member(1, 1)))
	add("makeCredential: another format", about(0x01, 0, member(1, "fido-u2f")))
	add("makeCredential: no attestation statement", about(0x01, 0, member(3, map[string]any{})))
	add("makeCredential: largeBlobKey of 31 bytes", about(0x01, 0, member(5, make([]byte, 31))))
	add("makeCredential: epAtt is a number", about(0x01, 0, member(4, 1)))
	add("makeCredential: outputs for extensions", about(0x01, 0, authData(func(data []byte) []byte {
		if data[32]&0x80 != 0 {
			return data
		}
		data[32] |= 0x80
		outputs, _ := canonical.Marshal(map[string]any{"credBlob": []byte{1}, "credProtect": 3, "hmac-secret": true, "minPinLength": 99, "uvm": 1})
		return append(data, outputs...)
	})))
	add("makeCredential: another RP", about(0x01, 0, authData(func(data []byte) []byte { data[0] ^= 1; return data })))
	add("makeCredential: flag UV", about(0x01, 0, authData(func(data []byte) []byte { data[32] ^= 4; return data })))
	add("makeCredential: a longer credential ID", about(0x01, 0, authData(func(data []byte) []byte {
		const at = 37 + 16
		n := binary.BigEndian.Uint16(data[at:])
		binary.BigEndian.PutUint16(data[at:], n+2000)
		return slices.Concat(data[:at+2+int(n)], make([]byte, 2000), data[at+2+int(n):])
	})))
	add("makeCredential: a point that is not on the curve", about(0x01, 0, authData(func(data []byte) []byte {
		if data[32]&0x80 == 0 {
			data[len(data)-1] ^= 1
		}
		return data
	})))
	for i := range all[before:] {
		all[before+i].about = "MC XHS-003 XLB-001"
	}
	before = len(all)
	add("getAssertion: flag UV", about(0x02, 0, authData(func(data []byte) []byte { data[32] ^= 4; return data })))
	add("getAssertion: a byte behind the data", about(0x02, 0, authData(func(data []byte) []byte { return append(data, 0) })))
	for i := range all[before:] {
		all[before+i].about = "GA-"
	}

	before = len(all)
	all = append(all,
		lie{name: "PING: a byte more", hid: of(hidPing, func(m packet) []packet { m.payload = append(m.payload, 0xa5); return []packet{m} })},
		lie{name: "PING: late", hid: of(hidPing, func(m packet) []packet { time.Sleep(600 * time.Millisecond); return []packet{m} })},
		lie{name: "PING: twice", hid: of(hidPing, func(m packet) []packet { return []packet{m, m} })},
		lie{name: "INIT: another channel", hid: of(hidInit, func(m packet) []packet {
			if m.cid != 0xffffffff {
				m.payload[8] ^= 0x40
			}
			return []packet{m}
		})},
		lie{name: "INIT: an error", hid: of(hidInit, func(m packet) []packet { return []packet{{m.cid, hidError, []byte{0x7f}}} })},
		lie{name: "ERROR: a stray packet", hid: of(hidError, func(m packet) []packet { m.cmd, m.payload = 0x05, m.payload[:1]; return []packet{m} })},
		lie{name: "ERROR: another code", hid: of(hidError, func(m packet) []packet { m.payload = []byte{0x7f}; return []packet{m} })},
		lie{name: "ERROR: silence", hid: of(hidError, func(packet) []packet { return nil })},
		lie{name: "CBOR: an error of CTAPHID for errors", hid: of(hidCBOR, func(m packet) []packet {
			if len(m.payload) > 0 && m.payload[0] != 0 {
				m.cmd, m.payload = hidError, []byte{0x7f}
			}
			return []packet{m}
		})},
		lie{name: "PING: silence", hid: of(hidPing, func(packet) []packet { return nil })},
		lie{name: "CBOR: late", hid: of(hidCBOR, func(m packet) []packet { slow(nil); return []packet{m} })},
	)
	for i := range all[before:] {
		all[before+i].about = "HID CBR-011 CBR-020 STA-011"
	}
	for _, s := range subjects {
		before := len(all)
		add(s.name+": OK for errors", about(s.command, s.sub, when(false, status(0))))
		add(s.name+": OK and an empty map for errors", about(s.command, s.sub, when(false, func([]byte) []byte { return []byte{0, 0xa0} })))
		add(s.name+": another error", about(s.command, s.sub, when(false, status(0x7f))))
		for i := range all[before:] {
			all[before+i].about = s.about
		}
	}
	before = len(all)
	for ins, name := range map[byte]string{0x01: "REGISTER", 0x02: "AUTHENTICATE", 0x03: "VERSION", 0xc0: "GET RESPONSE", 0x10: "message", 0x11: "poll", 0x12: "control"} {
		all = append(all,
			lie{name: name + ": status word 6f00", apdu: response(ins, func([]byte, bool) []byte { return []byte{0x6f, 0} })},
			lie{name: name + ": 9000 for errors", apdu: response(ins, func(r []byte, ok bool) []byte {
				if ok {
					return r
				}
				return []byte{0x90, 0}
			})},
			lie{name: name + ": cut", apdu: response(ins, func(r []byte, ok bool) []byte {
				if !ok || len(r) < 3 {
					return r
				}
				return append(slices.Clone(r[:len(r)-3]), 0x90, 0)
			})})
	}
	for i := range all[before:] {
		all[before+i].about = "U2F NFC"
	}
	add("unknown commands: OK", func(_, answer []byte) []byte {
		if answer[0] == 1 {
			return []byte{0}
		}
		return answer
	})
	return all
}

// of limits a lie to one command of CTAPHID.
func of(cmd byte, change func(m packet) []packet) func(m packet) []packet {
	return func(m packet) []packet {
		if m.cmd != cmd {
			return []packet{m}
		}
		m.payload = slices.Clone(m.payload)
		return change(m)
	}
}

// response limits a lie to one instruction.
func response(ins byte, change func(response []byte, ok bool) []byte) func(command, response []byte) []byte {
	return func(command, response []byte) []byte {
		if len(command) < 2 || command[1] != ins || len(response) < 2 {
			return response
		}
		sw := response[len(response)-2]
		return change(response, sw == 0x90 || sw == 0x61)
	}
}

// authData changes the authenticator data of an answer.
func authData(change func(data []byte) []byte) func(answer []byte) []byte {
	return edited(func(body map[int]any) {
		if data, ok := body[2].([]byte); ok {
			body[2] = change(data)
		}
	})
}
