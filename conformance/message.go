package conformance

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/u2f"
)

// Door is where a [Message] went through.
type Door string

const (
	DoorHID    Door = "hid"    // whole messages of CTAPHID
	DoorReport Door = "report" // single HID reports, where a case is about these
	DoorNFC    Door = "nfc"    // APDUs
)

// A Message is what went one way between a case and the key. Secrets of the key's
// owner are in none: a PIN goes out encrypted only, and tokens come back so.
type Message struct {
	At      time.Duration // since the case began
	FromKey bool
	Door    Door
	Channel uint32 // of CTAPHID
	Command byte   // of CTAPHID, with the bit of an initialization packet
	Data    []byte // the payload, the report or the APDU
	Times   int    // that it came in a row, as KEEPALIVE does
	About   byte   // the command of CTAP that it belongs to; 0: none
}

var hidNames = map[byte]string{
	hidPing: "CTAPHID_PING", hidMsg: "CTAPHID_MSG", hidLock: "CTAPHID_LOCK", hidInit: "CTAPHID_INIT",
	hidWink: "CTAPHID_WINK", hidCBOR: "CTAPHID_CBOR", hidCancel: "CTAPHID_CANCEL",
	hidKeepalive: "CTAPHID_KEEPALIVE", hidError: "CTAPHID_ERROR",
}

var faultNames = map[byte]string{
	faultCommand: "INVALID_CMD", faultPar: "INVALID_PAR", faultLen: "INVALID_LEN", faultSeq: "INVALID_SEQ",
	faultTimeout: "MSG_TIMEOUT", faultBusy: "CHANNEL_BUSY", 0x0a: "LOCK_REQUIRED", faultChannel: "INVALID_CHANNEL", 0x7f: "OTHER",
}

// subcommands are the names of the sub-commands of CTAP.
var subcommands = map[byte]map[uint64]string{
	cmdClientPIN: {1: "getPINRetries", 2: "getKeyAgreement", 3: "setPIN", 4: "changePIN", 5: "getPinToken",
		6: "getPinUvAuthTokenUsingUvWithPermissions", 7: "getUVRetries", 9: "getPinUvAuthTokenUsingPinWithPermissions"},
	cmdBioEnrollment: {1: "enrollBegin", 2: "enrollCaptureNextSample", 3: "cancelCurrentEnrollment", 4: "enumerateEnrollments",
		5: "setFriendlyName", 6: "removeEnrollment", 7: "getFingerprintSensorInfo"},
	cmdCredentialManagement: {1: "getCredsMetadata", 2: "enumerateRPsBegin", 3: "enumerateRPsGetNextRP", 4: "enumerateCredentialsBegin",
		5: "enumerateCredentialsGetNextCredential", 6: "deleteCredential", 7: "updateUserInformation"},
	cmdConfig: {1: "enableEnterpriseAttestation", 2: "toggleAlwaysUv", 3: "setMinPINLength", 4: "enableLongTouchForReset", 0xff: "vendorPrototype"},
}

// Name says what the message is: a command with its sub-command, the status of an
// answer.
func (m *Message) Name() string {
	switch {
	case m.Door == DoorReport:
		return "HID report"
	case m.Door == DoorNFC:
		return m.apduName()
	case m.Command == hidCBOR:
		return "CTAPHID_CBOR " + m.ctapName(m.Data)
	case m.Command == hidMsg && !m.FromKey && len(m.Data) > 1:
		return "CTAPHID_MSG " + u2f.Instruction(m.Data[1]).String()
	case m.Command == hidMsg && len(m.Data) > 1:
		return "CTAPHID_MSG " + statusWordName(m.Data)
	case m.Command == hidError && len(m.Data) == 1:
		return strings.TrimSpace("CTAPHID_ERROR " + faultNames[m.Data[0]])
	case m.Command == hidKeepalive && len(m.Data) == 1:
		return "CTAPHID_KEEPALIVE " + map[byte]string{1: "processing", 2: "touch needed"}[m.Data[0]]
	case hidNames[m.Command] != "":
		return hidNames[m.Command]
	}
	return fmt.Sprintf("CTAPHID command %02x", m.Command&^0x80)
}

// ctapName names a CTAP message: its command, or its status.
func (m *Message) ctapName(data []byte) string {
	if len(data) == 0 {
		return "empty"
	}
	if m.FromKey {
		return ctap2.Status(data[0]).String()
	}
	name := ctap2.Command(data[0]).String()
	var params map[any]cbor.RawMessage
	if names := subcommands[data[0]]; names != nil && decMode.Unmarshal(data[1:], &params) == nil {
		key := int64(1)
		if data[0] == cmdBioEnrollment || data[0] == cmdClientPIN {
			key = 2
		}
		var sub uint64
		if decMode.Unmarshal(params[key], &sub) == nil && names[sub] != "" {
			name += " " + names[sub]
		}
	}
	return name
}

func statusWordName(answer []byte) string { return fmt.Sprintf("SW %04X", answer[len(answer)-2:]) }

// apduName names an APDU, and the CTAP message in it.
func (m *Message) apduName() string {
	message := m.ctap()
	switch {
	case len(m.Data) < 2:
		return "nothing"
	case m.FromKey && len(message) > 0:
		return statusWordName(m.Data) + " " + m.ctapName(message)
	case m.FromKey:
		return statusWordName(m.Data)
	case m.Data[1] == insSelect:
		return "SELECT"
	case m.Data[0]&claCTAP == 0 && m.Data[1] == insISOResponse:
		return "GET RESPONSE"
	case m.Data[0]&claCTAP == 0:
		return u2f.Instruction(m.Data[1]).String()
	case m.Data[1] == insMessage && message != nil:
		return strings.TrimSpace("NFCCTAP_MSG " + m.ctapName(message))
	case m.Data[1] == insMessage:
		return "NFCCTAP_MSG"
	case m.Data[1] == insGetResponse:
		return "NFCCTAP_GETRESPONSE"
	case m.Data[1] == insControl:
		return "NFCCTAP_CONTROL"
	}
	return fmt.Sprintf("APDU with INS %02x", m.Data[1])
}

// ctap is the CTAP message in the Data, or nil.
func (m *Message) ctap() []byte {
	switch {
	case m.Door == DoorHID && m.Command == hidCBOR:
		return m.Data
	case m.Door != DoorNFC || len(m.Data) < 2:
		return nil
	case m.FromKey && m.About != 0 && int(binary.BigEndian.Uint16(m.Data[len(m.Data)-2:])) == swOK:
		return m.Data[:len(m.Data)-2]
	case m.FromKey || m.Data[0] != claCTAP || m.Data[1] != insMessage || len(m.Data) < 6:
		return nil
	}
	length, rest := int(m.Data[4]), m.Data[5:]
	if length == 0 && len(rest) > 2 { // extended
		length, rest = int(binary.BigEndian.Uint16(rest)), rest[2:]
	}
	if length == 0 || length > len(rest) {
		return nil
	}
	return rest[:length]
}

// Diagnostic is the CBOR of the message in diagnostic notation, RFC 8949; empty if
// there is none, or none that is well-formed.
func (m *Message) Diagnostic() string {
	message := m.ctap()
	if len(message) < 2 {
		return ""
	}
	text, err := cbor.Diagnose(message[1:])
	if err != nil {
		return ""
	}
	return text
}

// String is for people: the direction, the name and the bytes, which are cut when
// there are very many.
func (m *Message) String() string {
	var b strings.Builder
	b.WriteString(m.Headline() + "\n  " + short(m.Data))
	if text := m.Diagnostic(); text != "" {
		b.WriteString("\n  " + cut(text, 2400))
	}
	return b.String()
}

// Headline is String without the bytes.
func (m *Message) Headline() string {
	direction := "sent"
	if m.FromKey {
		direction = "received"
	}
	times := ""
	if m.Times > 1 {
		times = fmt.Sprintf(", %d times", m.Times)
	}
	return fmt.Sprintf("%s %s%s, at %v", direction, m.Name(), times, m.At.Round(time.Millisecond))
}

func cut(text string, length int) string {
	if len(text) <= length {
		return text
	}
	return text[:length] + "..."
}

// A messageLog has the first and the last messages of a case; a case may send ten
// thousand.
type messageLog struct {
	start    time.Time
	first    []Message
	last     []Message
	leftOut  int
	about    byte // the command of CTAP that is under way over NFC
	observed []string
}

const (
	firstLogged = 20
	lastLogged  = 60
)

func newLog() *messageLog { return &messageLog{start: time.Now()} }

func (l *messageLog) add(m Message) {
	if l == nil {
		return
	}
	m.At, m.Times = time.Since(l.start), 1
	if before := l.latest(); before != nil && m.FromKey && m.Command == hidKeepalive && before.Command == hidKeepalive &&
		before.Channel == m.Channel && string(before.Data) == string(m.Data) {
		before.Times++
		return
	}
	if m.Door == DoorNFC {
		l.belong(&m)
	}
	l.keep(m)
}

// belong notes which command an APDU belongs to, so that the answer can be read.
func (l *messageLog) belong(m *Message) {
	if m.FromKey {
		m.About = l.about
		return
	}
	switch message := m.ctap(); {
	case len(message) > 0:
		l.about = message[0]
	case len(m.Data) < 2 || m.Data[1] != insGetResponse:
		l.about = 0 // parts of a message cannot be read
	}
	m.About = l.about
}

func (l *messageLog) keep(m Message) {
	switch {
	case len(l.first) < firstLogged:
		l.first = append(l.first, m)
		return
	case len(l.last) == lastLogged:
		copy(l.last, l.last[1:])
		l.last = l.last[:lastLogged-1]
		l.leftOut++
	}
	l.last = append(l.last, m)
}

func (l *messageLog) latest() *Message {
	switch {
	case len(l.last) > 0:
		return &l.last[len(l.last)-1]
	case len(l.first) > 0:
		return &l.first[len(l.first)-1]
	}
	return nil
}

// join adds what a part of the case has said.
func (l *messageLog) join(part *messageLog) {
	for _, m := range append(part.first, part.last...) {
		m.At += part.start.Sub(l.start)
		l.keep(m)
	}
	l.leftOut += part.leftOut
	l.about = part.about
	l.observed = append(l.observed, part.observed...)
}

func (l *messageLog) messages() []Message {
	return append(l.first[:len(l.first):len(l.first)], l.last...)
}
