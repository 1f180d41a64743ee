package mutation

// A mutation is one place of the simulator that a switch breaks. In wrong,
// BROKEN is whether the switch is on, and bent(BROKEN, a, b) is a when it is and
// b otherwise.
type mutation struct {
	name  string
	right string // occurs once in the file
	wrong string // takes its place
	// notice are cases that must fail, or warn of what no rule forbids. They do so
	// on USB, with the card beside it where they need one, and with the reader as
	// the only door, unless /usb or /nfc behind them names one of the two.
	notice string
}

// coreMutations are by the source file that they break.
var coreMutations = map[string][]mutation{
	"simulator/hid.go": {
		{"hid-full-report-cut", `case hidPing:`, `case hidPing:
		if BROKEN && len(msg) == hidFirstData { msg = msg[1:] }`, "HID-014"},
		{"hid-ping-late", `h.message[:h.size]
	h.idle()`, `h.message[:h.size]
	h.idle()
	if BROKEN && cmd == hidPing {
		late := bytes.Clone(msg)
		h.later(600*time.Millisecond, func() { h.reply(cid, hidPing, late) })
		return
	}`, "HID-019"},
		{"hid-filler-counts", `h.have += copy(`, `if BROKEN && h.have == 0 { h.size = max(h.size, len(data)) }
	h.have += copy(`, "HID-013 HID-020"},
		{"hid-speaks-first", `h.send = send`, `h.send = send
			if BROKEN { h.fail(hidBroadcast, hidOther) }`, "HID-001"},
		{"hid-channel-zero", `case cid == 0 ||`, `case cid == 0 && !BROKEN ||`, "HID-030 HID-031"},
		{"hid-broadcast-serves", `cid == hidBroadcast && cmd != hidInit:`,
			`cid == hidBroadcast && cmd != hidInit && !(BROKEN && func() bool { h.use(cid); return true }()):`, "HID-032 HID-033"},
		{"hid-start-inside-message", `case cid == h.cid && h.request == nil:`, `case cid == h.cid && h.request == nil && !BROKEN:`, "HID-025"},
		{"hid-cancel-answered", `case cmd == hidCancel: //`, `case cmd == hidCancel && BROKEN: h.fail(cid, hidInvalidCommand)
			case cmd == hidCancel: //`, "HID-041 HID-044"},
		{"hid-cancel-from-anybody", `if cid == h.cid && h.cmd == hidCBOR {`, `if cid == h.cid && h.cmd == hidCBOR || BROKEN && h.request != nil {`, "HID-045"},
		{"hid-never-busy", `case h.cid != 0 ||`, `case h.cid != 0 && !BROKEN ||`, "HID-027 HID-028 HID-029"},
		{"hid-lock-open", `h.lockedFor(cid)`, `!BROKEN && h.lockedFor(cid)`, "HID-049 STA-012/usb"},
		{"hid-unknown-channel", `!slices.Contains(h.channels, cid) &&`, `!BROKEN && !slices.Contains(h.channels, cid) &&`, "HID-034"},
		{"hid-sequence-starts-at-one", `h.seq = cid, cmd, size, 0, 0`, `h.seq = cid, cmd, size, 0, bent[byte](BROKEN, 1, 0)`, "HID-015 HID-024"},
		{"hid-stray-continuation", `case cid != h.cid ||`, `case BROKEN && h.cid == 0: h.fail(cid, hidInvalidSeq)
			case cid != h.cid ||`, "HID-002 HID-055"},
		{"hid-sequence-any", `case seq != h.seq:`, `case seq != h.seq && !BROKEN:`, "HID-022 HID-023 HID-024"},
		{"hid-ping-loses-zeros", `h.reply(cid, hidPing, msg)`, `h.reply(cid, hidPing, bent(BROKEN, bytes.TrimLeft(msg, "\x00"), msg))`, "HID-018"},
		{"hid-keepalive-code", `[]byte{byte(h.request.status)}`, `[]byte{bent(BROKEN, 7, byte(h.request.status))}`, "HID-042 HID-043"},
		{"hid-answer-sequence", `for seq := byte(0); len(msg) > 0; seq++ {`, `for seq := bent[byte](BROKEN, 1, 0); len(msg) > 0; seq++ {`, "HID-015 HID-016 HID-017"},
		{"hid-answer-length", `uint16(len(msg)))`, `uint16(len(msg)+bent(BROKEN, 1, 0)))`, "HID-012 HID-013"},
	},
	"simulator/hid_channels.go": {
		{"hid-lock-with-data", `h.reply(cid, hidLock, nil)`, `h.reply(cid, hidLock, bent(BROKEN, []byte{0}, nil))`, "HID-048 HID-050"},
		{"hid-init-moves", `if channel == h.lockOwner {`, `if BROKEN && cid != hidBroadcast { channel = h.allocate() }
	if channel == h.lockOwner {`, "HID-009"},
		{"hid-init-interrupts-others", `case hidBroadcast:`, `case hidBroadcast:
		if BROKEN { h.idle() }`, "HID-011"},
		{"hid-init-length", `if size != 8 {`, `if size != 8 && !BROKEN {`, "HID-007 HID-008"},
		{"hid-init-drops-nothing", `case h.cid:`, `case bent(BROKEN, 0, h.cid):`, "HID-010 HID-047"},
		{"hid-one-channel", `channel = h.allocate()`, `if channel = h.last; !BROKEN || channel == 0 { channel = h.allocate() }`, "HID-005"},
		{"hid-init-nonce", `nonce[:8]...)`, `bent(BROKEN, make([]byte, 8), nonce[:8])...)`, "HID-003"},
		{"hid-channel-number", `binary.BigEndian.AppendUint32(msg, channel)`, `binary.BigEndian.AppendUint32(msg, bent(BROKEN, 0, channel))`, "HID-004"},
		{"hid-protocol-version", `append(msg, hidProtocol,`, `append(msg, bent[byte](BROKEN, 1, hidProtocol),`, "HID-003"},
		{"hid-capabilities", `h.traits().claimed)`, `h.traits().claimed|bent[byte](BROKEN, 0x80, 0))`, "HID-006"},
		{"hid-few-channels", `if len(h.channels) < hidChannels {`, `if len(h.channels) < bent(BROKEN, 1, hidChannels) {`, "HID-054 STA-010"},
		{"hid-lock-limit", `case seconds > hidMaxLock:`, `case seconds > bent[byte](BROKEN, 100, hidMaxLock):`, "HID-052"},
		{"hid-lock-lasts-longer", `time.Duration(seconds)*time.Second)`, `time.Duration(seconds)*bent(BROKEN, 2*time.Second, time.Second))`, "HID-051"},
		{"hid-lock-stays", `default:
		h.lockOwner = 0`, `default:
		if !BROKEN { h.lockOwner = 0 }`, "HID-050"},
	},
	"simulator/hid_commands.go": {
		{"hid-msg-without-u2f", `capabilities&capabilityNMSG == 0,`, `capabilities&capabilityNMSG == 0 || BROKEN,`, "HID-038"},
		{"hid-lock-length", `ok = size == 1`, `ok = size == 1 || BROKEN && size > 0`, "HID-053"},
		{"hid-wink-always", `capabilities&capabilityWink != 0,`, `capabilities&capabilityWink != 0 || BROKEN,`, "HID-040"},
		{"hid-unknown-command", `known = false`, `known, ok = BROKEN, BROKEN`, "HID-035"},
		{"hid-longest-message", `size > traits.maxMessage()`, `size > traits.maxMessage()-bent(BROKEN, 1, 0)`, "HID-017"},
		{"hid-length-error", `return hidInvalidLength`, `return bent(BROKEN, hidInvalidPar, hidInvalidLength)`, "HID-021 HID-053 HID-036 HID-037 CBR-020/usb"},
	},
	"simulator/hid_timers.go": {
		{"hid-keepalive-slow", `h.keepalive.Reset(hidKeepalive)`, `h.keepalive.Reset(bent(BROKEN, 400*time.Millisecond, hidKeepalive))`, "HID-042"},
		{"hid-message-timeout", `h.clock.Now().Add(hidTimeout)`, `h.clock.Now().Add(bent(BROKEN, 10*time.Second, hidTimeout))`, "HID-026"},
		{"hid-message-timeout-silent", `h.fail(cid, hidMessageTimeout)`, `if !BROKEN { h.fail(cid, hidMessageTimeout) }`, "HID-026"},
	},
	"simulator/quirk_hid.go": {
		{"hid-wink-with-data", `h.reply(cid, hidWink, nil)`, `h.reply(cid, hidWink, bent(BROKEN, []byte{1}, nil))`, "HID-039"},
	},

	"simulator/card.go": {
		{"nfc-rest-cut", `c.rest = answer[cmd.le:]`, `c.rest = answer[cmd.le:len(answer)-bent(BROKEN, 1, 0)]`, "NFC-005 NFC-012"},
		{"nfc-select-any", `case !bytes.Equal(cmd.data, appletID):`, `case !bytes.Equal(cmd.data, appletID) && !BROKEN:`, "NFC-003"},
		{"nfc-selected-by-default", `case !c.selected,`, `case !c.selected && !BROKEN,`, "NFC-003 NFC-004 NFC-025"},
		{"nfc-select-version", `p.hasU2F() ||`, `p.hasU2F() != BROKEN ||`, "NFC-001 NFC-002"},
		{"nfc-select-once", `c.selected = true`, `if BROKEN && c.selected { return nil, swConditions, nil }
			c.selected = true`, "NFC-030"},
		{"nfc-chain-of-anything", `if chain.cla != cmd.cla || chain.ins != cmd.ins {`, `if (chain.cla != cmd.cla || chain.ins != cmd.ins) && !BROKEN {`, "NFC-010"},
		{"nfc-chain-forgets", `slices.Concat(chain.data, cmd.data)`, `slices.Concat(bent(BROKEN, nil, chain.data), cmd.data)`, "NFC-008 NFC-009"},
		{"nfc-chain-survives-select", `c.chain = nil
		return c.selectApplet(ctx, cmd)`, `if !BROKEN { c.chain = nil }
		return c.selectApplet(ctx, cmd)`, "NFC-011"},
		{"nfc-all-at-once", `if len(answer) <= cmd.le {`, `if len(answer) <= cmd.le || BROKEN {`, "NFC-012 NFC-013"},
		{"nfc-rest-in-one-piece", `return rest, swOK, nil`, `if BROKEN { cmd.le = 65536; return rest[:1], swOK, nil }
		return rest, swOK, nil`, "NFC-012 NFC-013"},
		{"nfc-response-of-nothing", `if len(rest) == 0 {`, `if len(rest) == 0 && !BROKEN {`, "NFC-014"},
		{"nfc-unknown-instruction", `return nil, swUnknownINS, nil`, `return nil, bent(BROKEN, swWrongClass, swUnknownINS), nil`, "NFC-016 NFC-017"},
		{"nfc-wrong-class", `case class != claISO && class != claCTAP:
		return nil, swWrongClass, nil`, `case class != claISO && class != claCTAP:
		return nil, bent(BROKEN, swUnknownINS, swWrongClass), nil`, "NFC-018"},
		{"nfc-parameters", `case cmd.p1&^p1StatusUpdates != 0 || cmd.p2 != 0:
		return nil, swWrongParameters, nil`, `case cmd.p1&^p1StatusUpdates != 0 || cmd.p2 != 0:
		return nil, bent(BROKEN, swFailed, swWrongParameters), nil`, "NFC-021"},
		{"nfc-empty-message", `case len(cmd.data) == 0:`, `case len(cmd.data) == 0 && BROKEN:
		return []byte{0}, swOK, nil
	case len(cmd.data) == 0:`, "NFC-022"},
		{"nfc-status-update", `[]byte{byte(c.request.status.Load())}, swStatusUpdate`, `bent(BROKEN, nil, []byte{byte(c.request.status.Load())}), swStatusUpdate`, "NFC-023 NFC-024"},
		{"nfc-cancel-ignored", `case cmd.p1 == p1CTAPCancel:
		c.request.cancel()`, `case cmd.p1 == p1CTAPCancel:
		if !BROKEN { c.request.cancel() }`, "NFC-024"},
		{"nfc-end-ignored", `c.selected = false`, `c.selected = BROKEN`, "NFC-025"},
	},
	"simulator/power.go": {
		{"field-forgets-nothing", `a.cycled = &now`, `if !BROKEN { a.cycled = &now }`, "NFC-028"},
	},
	"simulator/apdu.go": {
		{"apdu-extended-unknown", `case len(body) > 1 && body[0] == 0:`, `case len(body) > 1 && body[0] == 0 && !BROKEN:`, "NFC-006 NFC-007 NFC-017 U2F-025"},
		{"apdu-extended-le", `cmd.extended, cmd.le = true, extendedLe`, `cmd.extended, cmd.le = true, bent(BROKEN, shortLe, extendedLe)`, "NFC-015"},
		{"apdu-length-disagrees", `if len(body) < size {`, `if BROKEN { size = min(size, len(body)) }
	if len(body) < size {`, "NFC-019 NFC-020"},
	},

	"internal/ctapcbor/canonical.go": {
		{"cbor-not-utf8", `!utf8.Valid(s)`, `!utf8.Valid(s) && !BROKEN`, "CBR-017 MC-023"},
		{"cbor-duplicate-keys", `case order == 0:`, `case order == 0 && !BROKEN:`, "CBR-005"},
	},
	"simulator/decode.go": {
		{"type-of-integers", `i.fault.note(ctap2.ErrCBORUnexpectedType)
	return 0
}

func (i item) bool()`, `if !BROKEN { i.fault.note(ctap2.ErrCBORUnexpectedType) }
	return 0
}

func (i item) bool()`, "MC-032"},
		{"cbor-nesting", `ctapcbor.CheckCanonical(params, maxNesting)`, `ctapcbor.CheckCanonical(params, bent(BROKEN, 5000, maxNesting))`, "CBR-012"},
		{"cbor-error", `f.note(ctap2.ErrInvalidCBOR)`, `f.note(bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidCBOR))`, "CBR-007 CBR-008 CBR-009 CBR-010 CBR-012 CBR-004 CBR-006 CBR-013 CBR-016"},
		{"member-missing", `m.fault.note(ctap2.ErrMissingParameter)`, `m.fault.note(bent(BROKEN, ctap2.ErrInvalidParameter, ctap2.ErrMissingParameter))`, "MC-002 MC-005 GA-002 PIN-001 CM-002 MC-012 MC-025 GA-005 CFG-002"},
		{"entity-member-missing", `m.fault.note(errMissingMember)`, `if !BROKEN { m.fault.note(errMissingMember) }`, "MC-007 MC-014 MC-041 GA-010 MC-042"},
		{"type-ignored", `if i.raw[0]>>5 != major {
		i.fault.note(ctap2.ErrCBORUnexpectedType)`, `if i.raw[0]>>5 != major {
		if !BROKEN { i.fault.note(ctap2.ErrCBORUnexpectedType) }`, "CBR-021 MC-006 GA-006 MC-003 MC-008 MC-013 MC-015 MC-026 MC-028 MC-031 MC-039 MC-040 MC-043 MC-044 MC-052 MC-055 MC-086 GA-003 GA-007 GA-008 GA-011 GA-012 GA-025 GA-027 PIN-002 PIN-011 XCP-003 XCB-007 CBR-003 CBR-014 CBR-015"},
		{"type-of-booleans", `if i.present() && i.raw[0] != simpleFalse && i.raw[0] != simpleTrue {`, `if i.present() && i.raw[0] != simpleFalse && i.raw[0] != simpleTrue && !BROKEN {`, "MC-056 XHS-002"},
		{"length-ignored", `i.fault.note(errWrongLength)`, `if !BROKEN { i.fault.note(errWrongLength) }`, "MC-016"},
	},
	"simulator/decode_entities.go": {
		{"user-display-name-needed", `m.at("icon").text()
	return user`, `if BROKEN { m.need("displayName") }
	m.at("icon").text()
	return user`, "MC-018"},
		{"option-unknown", `return ctap2.Options{`, `if BROKEN && len(m.byKey) > 0 && !m.at("rk").present() && !m.at("up").present() && !m.at("uv").present() { i.fault.note(ctap2.ErrUnsupportedOption) }
	return ctap2.Options{`, "MC-057 GA-028"},
		{"rp-name-unread", `Name: m.at("name").text()}`, `Name: m.at(bent(BROKEN, "nobody", "name")).text()}`, "MC-010"},
		{"user-id-shorter", `bytesOf(1, 64)`, `bytesOf(1, bent(BROKEN, 63, 64))`, "MC-017"},
		{"user-name-unread", `Name:        m.at("name").text()`, `Name:        m.at(bent(BROKEN, "nobody", "name")).text()`, "MC-019"},
		{"user-display-name-unread", `m.at("displayName").text()`, `m.at(bent(BROKEN, "nobody", "displayName")).text()`, "MC-020"},
		{"descriptor-type-unneeded", `m.need("type").text()`, `func() string {
		if BROKEN && !m.at("type").present() { return ctap2.PublicKeyType }
		return m.need("type").text()
	}()`, "MC-041 GA-009"},
		{"transports-read-as-numbers", `transport.text() //`, `bent(BROKEN, item{raw: []byte{0}, fault: transport.fault}, transport).text() //`, "MC-047 GA-014"},
		{"option-rk-unread", `m.at("rk")`, `m.at(bent(BROKEN, "nobody", "rk"))`, "MC-059 GA-029"},
		{"option-up-unread", `m.at("up")`, `m.at(bent(BROKEN, "nobody", "up"))`, "MC-061 GA-031"},
		{"option-uv-unread", `m.at("uv")`, `m.at(bent(BROKEN, "nobody", "uv"))`, "MC-064 MC-065 GA-034"},
	},
	"simulator/dispatch.go": {
		{"cbor-answer-not-canonical", `return ctapcbor.Marshal(resp)`, `raw, err := ctapcbor.Marshal(resp)
	if BROKEN && err == nil && raw[0] > 0xa0 && raw[0] < 0xb8 { raw = append([]byte{0xb8, raw[0] & 0x1f}, raw[1:]...) }
	return raw, err`, "MCR-016"},
		{"request-limit", `if uint(len(msg)) > a.maxMsgSize() {`, `if uint(len(msg)) > a.maxMsgSize()-bent[uint](BROKEN, 1, 0) {`, "CBR-019"},
		{"command-unknown", `return nil, ctap2.ErrInvalidCommand`, `return nil, bent(BROKEN, ctap2.ErrInvalidParameter, ctap2.ErrInvalidCommand)`, "CBR-001 CBR-023 CBR-025"},
		{"bytes-after-command", `if len(params) > 0 {
			return nil, ctap2.ErrInvalidLength`, `if len(params) > 0 {
			return nil, bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidLength)`, "INF-050"},
		{"offers-credential-management", `return p.option(ctap2.OptionCredMgmt)`, `return p.option(ctap2.OptionCredMgmt) || BROKEN`, "CM-001"},
		{"offers-fingerprints", `return p.supports(ctap2.OptionBioEnroll)`, `return p.supports(ctap2.OptionBioEnroll) || BROKEN`, "BIO-001"},
		{"offers-config", `return p.option(ctap2.OptionAuthnrCfg)`, `return p.option(ctap2.OptionAuthnrCfg) || BROKEN`, "CFG-001"},
		{"offers-large-blobs", `return p.option(ctap2.OptionLargeBlobs)`, `return p.option(ctap2.OptionLargeBlobs) || BROKEN`, "LB-001"},
		{"lacks-preview-fingerprints", `return p.preview(ctap2.OptionUVMgmtPreview)`, `return p.preview(ctap2.OptionUVMgmtPreview) && !BROKEN`, "BIO-026"},
		{"lacks-preview-management", `return p.preview(ctap2.OptionCredMgmtPreview)`, `return p.preview(ctap2.OptionCredMgmtPreview) && !BROKEN`, "CM-044"},
		{"lacks-selection", `case ctap2.CommandSelection:`, `case ctap2.CommandSelection:
		if BROKEN { return false }`, "RST-017 RST-018 RST-019 HID-046"},
	},
	"simulator/session.go": {
		{"session-renews-master-key", `s, err := a.newSession(at)`, `if BROKEN { a.state.device.MasterKey, _ = a.random(masterKeySize) }
	s, err := a.newSession(at)`, "GA-057 STA-001"},
		{"session-loses-always-uv", `s := &session{poweredUp: poweredUp}`, `if BROKEN { a.state.device.AlwaysUV = nil }
	s := &session{poweredUp: poweredUp}`, "CFG-012 STA-013"},
		{"series-of-nothing", `s.token != nil && !s.token.inUse:
		return nil, ctap2.ErrNotAllowed`, `s.token != nil && !s.token.inUse:
		return nil, bent(BROKEN, ctap2.ErrNoCredentials, ctap2.ErrNotAllowed)`, "GNA-004 GNA-005 GNA-006 GNA-011 GNA-012 CM-017 CM-018 CM-019 CM-029 CM-034"},
		{"session-loses-persistent-token", `a.session = s
	return nil`, `if BROKEN { a.state.device.PersistentToken = nil }
	a.session = s
	return nil`, "PIN-077"},
		{"series-never-ends", `<= seriesTimeLimit,`, `<= bent(BROKEN, time.Hour, seriesTimeLimit),`, "GNA-007 STA-012"},
	},
	"simulator/credential.go": {
		{"u2f-handle-in-ctap2", `if ctapcbor.Unmarshal(plaintext, &c.keyMaterial) != nil {`, `if ctapcbor.Unmarshal(plaintext, &c.keyMaterial) != nil || BROKEN && c.U2F {`, "U2F-019 U2F-021"},
		{"credential-id-too-long", `return aead.Seal(nonce, nonce, plaintext, rp[:]), nil`, `return append(aead.Seal(nonce, nonce, plaintext, rp[:]), make([]byte, bent(BROKEN, 300, 0))...), nil`, "MCR-008"},
		{"random-keys-repeat", `if scalar, err = a.random(32); err != nil {`, `if scalar, err = a.random(32); BROKEN {
			clear(scalar)
			scalar[31] = 7
		}
		if err != nil {`, "MC-100 MCR-017 PIN-013"},
		{"list-limit", `return ctap2.ErrLimitExceeded`, `return bent(BROKEN, ctap2.ErrOther, ctap2.ErrLimitExceeded)`, "MC-050 GA-023"},
		{"credential-of-another-type", `if d.Type != ctap2.PublicKeyType {`, `if d.Type != ctap2.PublicKeyType && !BROKEN {`, "MC-045"},
		{"credential-of-another-rp", `if c.RPIDHash != rp {`, `if c.RPIDHash != rp && !BROKEN {`, "GA-019"},
		{"credential-id-cut", `if len(id) < nonceSize {`, `if BROKEN && len(id) > nonceSize { id = append([]byte{0}, id...) }
	if len(id) < nonceSize {`, "GA-015"},
	},
	"simulator/disputes.go": {
		{"length-error", `ctap2.ErrInvalidLength)`, `bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidLength))`, "MC-004"},
	},
	"simulator/extension.go": {
		{"mc-extension-unknown", `var inputs []creationInput
	m := i.members()`, `var inputs []creationInput
	m := i.members()
	if BROKEN && len(m.byKey) > 0 && m.at(extensionCredProtect).raw == nil { m.fault.note(errWrongLength) }`, "MC-053"},
		{"ga-extension-unknown", `var inputs []assertionInput
	m := i.members()`, `var inputs []assertionInput
	m := i.members()
	if BROKEN && len(m.byKey) > 0 && m.at(extensionCredProtect).raw == nil { m.fault.note(errWrongLength) }`, "GA-026"},
	},
	"simulator/make_credential.go": {
		{"mc-parameter-unknown", `req.options = decodeOptions(m.at(7))`, `req.options = decodeOptions(m.at(7))
	if BROKEN && m.byKey["\x18\x7f"] != nil { fault.note(ctap2.ErrInvalidParameter) }`, "MC-101"},
		{"mc-formats-unread", `m.at(11)`, `m.at(bent(BROKEN, 12, 11))`, "MC-090 MC-093"},
		{"mc-first-algorithm-alone", `alg := cose.Algorithm(*p.algorithm)`, `alg := cose.Algorithm(*p.algorithm)
		if BROKEN && chosen == 0 && alg != cose.ES256 { return 0, ctap2.ErrUnsupportedAlgorithm }`, "MC-036"},
		{"mc-uv-false", `option(req.options.UV, false),`, `(option(req.options.UV, false) || BROKEN && req.options.UV != nil),`, "MC-063"},
		{"mc-up-true", `// A pinUvAuthParam takes precedence over uv.`, `if BROKEN && req.options.UP != nil { return false, ctap2.ErrInvalidOption }`, "MC-062"},
		{"mc-excludes-all", `for _, d := range list {`, `for _, d := range list {
		if BROKEN && d.Type == ctap2.PublicKeyType { return true }`, "MC-046 MC-047 MC-049"},
		{"blob-key-not-returned", `resp.LargeBlobKey = r.outputs.largeBlobKey`, `resp.LargeBlobKey = bent(BROKEN, nil, r.outputs.largeBlobKey)`, "XLB-001"},
		{"protection-told-unasked", `if a.profile.Disputes.TellCredProtect &&`, `if (a.profile.Disputes.TellCredProtect || BROKEN) &&`, "XCP-004"},
		{"mc-hash-of-any-length", `m.must(1).bytesOf(sha256.Size, sha256.Size)`, `m.must(1).bytesOf(bent(BROKEN, 33, sha256.Size), bent(BROKEN, 64, sha256.Size))`, "MC-001"},
		{"mc-rp-without-name", `if fault.err == nil && req.rp.ID == "" {`, `if fault.err == nil && req.rp.ID == "" && !BROKEN {`, "MC-009"},
		{"mc-which-key", `if a.asksWhichKey(req.pinUVAuthParam) {`, `if a.asksWhichKey(req.pinUVAuthParam) && !BROKEN {`, "MC-068 MC-069"},
		{"mc-always-uv", `if a.alwaysUV() {`, `if a.alwaysUV() && !BROKEN {`, "CFG-010"},
		{"mc-protection", `if a.protected() && auth == nil`, `if !BROKEN && a.protected() && auth == nil`, "MC-077 MC-079"},
		{"mc-always-protected", `!a.makeCredUVNotRqd())`, `BROKEN || !a.makeCredUVNotRqd())`, "MC-078"},
		{"mc-uv-flag", `verified.uv() {
		made.flags`, `verified.uv() != BROKEN {
		made.flags`, "MC-065 MC-076 MC-078 MC-067"},
		{"mc-exclude-list", `if a.excluded(`, `if !BROKEN && a.excluded(`, "MC-048 MC-051 XCP-011 U2F-021 XCP-013"},
		{"mc-excluded-untouched", `if !present {`, `if !present && !BROKEN {`, "MC-048/usb"},
		{"mc-touch", `if err := a.waitForConsent(c, req.rp.ID); err != nil {`, `if err := a.waitForConsent(c, req.rp.ID); err != nil && !BROKEN {`, "MC-094 MC-095"},
		{"mc-token-goes-on", `a.session.consumeTokens()`, `if !BROKEN { a.session.consumeTokens() }`, "MC-083"},
		{"mc-up-flag", `made.flags |= ctap2.FlagUP`, `if !BROKEN { made.flags |= ctap2.FlagUP }`, "MCR-004"},
		{"mc-default-protection", `c.CredProtect = a.profile.defaultCredProtect()`, `c.CredProtect = bent(BROKEN, userVerificationRequired, a.profile.defaultCredProtect())`, "GA-001"},
		{"mc-algorithm-incomplete", `ctap2.ErrInvalidCBOR)`, `bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidCBOR))`, "MC-029 MC-030"},
		{"mc-last-algorithm", `if chosen == 0 && `, `if (chosen == 0 || BROKEN) && `, "MC-038"},
		{"mc-algorithm-type", `*p.kind == ctap2.PublicKeyType`, `(*p.kind == ctap2.PublicKeyType || BROKEN)`, "MC-035"},
		{"mc-algorithms-half-read", `chosen = alg
`, `chosen = alg
			if BROKEN { return alg, nil }
`, "MC-033"},
		{"mc-no-algorithm", `return 0, ctap2.ErrUnsupportedAlgorithm`, `return 0, bent(BROKEN, ctap2.ErrInvalidParameter, ctap2.ErrUnsupportedAlgorithm)`, "MC-027 MC-034 MC-035"},
		{"mc-uv-not-ready", `option(req.options.UV, false) && !a.uvReady() {`, `option(req.options.UV, false) && !a.uvReady() && !BROKEN {`, "MC-064 MC-066"},
		{"mc-rk-without", `if req.options.RK != nil && !a.profile.option(ctap2.OptionRK) {`, `if req.options.RK != nil && !a.profile.option(ctap2.OptionRK) && !BROKEN {`, "MC-060"},
		{"mc-up-false", `if !option(req.options.UP, true) {`, `if !option(req.options.UP, true) && !BROKEN {`, "MC-061"},
		{"mc-always-discoverable", `return option(req.options.RK, false), nil`, `return option(req.options.RK, false) || BROKEN, nil`, "MC-058 GA-022"},
		{"mc-hidden-shown", `!c.hidden(uv, listed) {`, `(!c.hidden(uv, listed) || BROKEN) {`, "XCP-012"},
		{"mc-rp-stored-cut", `made.RP = ctap2.RP{ID: req.rp.ID,`, `made.RP = ctap2.RP{ID: req.rp.ID[bent(BROKEN, 1, 0):],`, "CM-013"},
		{"mc-keeps-the-old-one", `c.remove = []*credential{old}`, `if !BROKEN { c.remove = []*credential{old} }`, "MC-098"},
		{"mc-store-full", `return ctap2.ErrKeyStoreFull`, `return bent(BROKEN, ctap2.ErrOther, ctap2.ErrKeyStoreFull)`, "MC-097 CM-039 STA-008 STA-014"},
		{"remaining-stays", `min(uint(len(a.state.byID)), room)`, `bent(BROKEN, 0, min(uint(len(a.state.byID)), room))`, "CM-005 STA-002"},
		{"names-cut-short", `end := maxNameSize`, `end := bent(BROKEN, 40, maxNameSize)`, "MC-024"},
		{"names-cut-in-a-character", `for !utf8.RuneStart(name[end]) {`, `for !utf8.RuneStart(name[end]) && !BROKEN {`, "MC-024"},
		{"display-name-lost", `DisplayName: truncate(u.DisplayName)`, `DisplayName: bent(BROKEN, "", truncate(u.DisplayName))`, "MC-022 GA-053 CM-035"},
	},
	"simulator/algorithm.go": {
		{"key-of-another-algorithm", `standardKey{alg, ed25519.NewKeyFromSeed(seed)}`, `standardKey{bent(BROKEN, cose.ES256, alg), ed25519.NewKeyFromSeed(seed)}`, "MC-037 MCR-009"},
	},
	"simulator/attestation.go": {
		{"attestation-prefers-none", `if r.enterprise {
		return formatPacked`, `if BROKEN && slices.Contains(preference, formatNone) { return formatNone }
	if r.enterprise {
		return formatPacked`, "MC-091"},
		{"attestation-enterprise-ordinary", `who = enterpriseAttestation`, `if !BROKEN { who = enterpriseAttestation }`, "MC-087 MC-089"},
		{"attestation-aaguid", `aaguid := a.profile.GetInfo.AAGUID`, `aaguid := a.profile.GetInfo.AAGUID
	if BROKEN { aaguid[0] ^= 1 }`, "MCR-007 MCR-013"},
		{"attestation-none-refused", `|| slices.Equal(preference, []string{formatNone}) {`, `|| slices.Equal(preference, []string{formatNone}) && !BROKEN {`, "MC-090"},
		{"attestation-format-unknown", `if slices.Contains(own, format) {`, `if slices.Contains(own, format) || BROKEN {`, "MC-092"},
		{"attestation-of-self", `Algorithm: int64(r.credential.Algorithm),`, `Algorithm: int64(r.credential.Algorithm)-bent[int64](BROKEN, 1, 0),`, "MCR-011"},
		{"attestation-signature", `key.sign(signed)`, `key.sign(signed[bent(BROKEN, 1, 0):])`, "MCR-010 MCR-012"},
		{"attestation-algorithm", `int64(key.algorithm), signature`, `int64(key.algorithm)-bent[int64](BROKEN, 1, 0), signature`, "MCR-010"},
		{"u2f-attestation", `slices.Concat([]byte{0}, c.RPIDHash[:],`, `slices.Concat([]byte{bent[byte](BROKEN, 1, 0)}, c.RPIDHash[:],`, "U2F-003 U2F-026"},
	},
	"simulator/authenticator_data.go": {
		{"data-rp", `if attested != nil {`, `if BROKEN { rp[0] ^= 1 }
	if attested != nil {`, "MCR-003 GA-049"},
		{"data-no-at", `flags |= ctap2.FlagAT`, `if !BROKEN { flags |= ctap2.FlagAT }`, "MCR-005"},
		{"data-no-ed", `flags |= ctap2.FlagED`, `if !BROKEN { flags |= ctap2.FlagED }`, "XCP-001"},
		{"data-backup-flag", `byte(flags))`, `byte(flags)|bent[byte](BROKEN, 0x10, 0))`, "MCR-015"},
		{"data-counter-falls", `AppendUint32(data, signCount)`, `AppendUint32(data, bent(BROKEN, ^signCount, signCount))`, "GA-050 MCR-014 STA-005"},
		{"data-bytes-behind", `return data, nil`, `return append(data, make([]byte, bent(BROKEN, 1, 0))...), nil`, "GA-048 MCR-006"},
		{"data-id-length", `uint16(len(c.ID))`, `uint16(len(c.ID)-bent(BROKEN, 1, 0))`, "MCR-002"},
	},
	"simulator/enterprise.go": {
		{"enterprise-off", `case !a.enterpriseEnabled():`, `case !a.enterpriseEnabled() && !BROKEN:`, "MC-084"},
		{"enterprise-value", `*value != platformManaged:`, `*value != platformManaged && !BROKEN:`, "MC-085"},
		{"enterprise-for-all", `slices.Contains(able.RPIDs, rpID)`, `(slices.Contains(able.RPIDs, rpID) || BROKEN)`, "MC-088"},
	},
	"simulator/get_assertion.go": {
		{"ga-negative-parameter", `req.options = decodeOptions(m.at(5))`, `req.options = decodeOptions(m.at(5))
	if BROKEN && m.at(-1).present() { fault.note(ctap2.ErrInvalidParameter) }`, "CBR-018"},
		{"ga-uv-false", `option(req.options.UV, false),`, `(option(req.options.UV, false) || BROKEN && req.options.UV != nil),`, "GA-035"},
		{"ga-unknown-type-ends-list", `for _, d := range slices.Backward(allowList) {`, `for _, d := range slices.Backward(allowList) {
		if BROKEN && d.Type != ctap2.PublicKeyType { return &candidates{} }`, "GA-013"},
		{"ga-number-of-one", `if number > 1 {`, `if number > 1 || BROKEN {`, "GA-055"},
		{"ga-which-key", `if a.asksWhichKey(req.pinUVAuthParam) {`, `if a.asksWhichKey(req.pinUVAuthParam) && !BROKEN {`, "GA-036 GA-037"},
		{"ga-always-uv", `if a.alwaysUV()`, `if !BROKEN && a.alwaysUV()`, "GA-045"},
		{"ga-always-uv-in-silence", `&& up {`, `&& (up || BROKEN) {`, "GA-046"},
		{"ga-uv-flag", `verified.uv() {`, `verified.uv() != BROKEN {`, "GA-034 GA-041 GA-042 GA-035"},
		{"ga-nothing-found", `return nil, ctap2.ErrNoCredentials`, `return nil, bent(BROKEN, ctap2.ErrInvalidCredential, ctap2.ErrNoCredentials)`, "GA-016 GA-019 GA-020 GA-022 GA-004 GA-017 GA-018 GA-032"},
		{"ga-touch", `if err := a.waitForConsent(c, req.rpID); err != nil {`, `if err := a.waitForConsent(c, req.rpID); err != nil && !BROKEN {`, "GA-047"},
		{"ga-up-flag-in-silence", `if up {`, `if up || BROKEN {`, "GA-031"},
		{"ga-up-flag", `s.flags |= ctap2.FlagUP`, `if !BROKEN { s.flags |= ctap2.FlagUP }`, "GA-030 XHS-020"},
		{"ga-list-counted", `if s.listed {`, `if s.listed && !BROKEN {`, "GA-024"},
		{"ga-no-user", `s.showUser = true`, `s.showUser = !BROKEN`, "GA-052 MC-017"},
		{"ga-names-for-strangers", `s.showNames = s.uv()`, `s.showNames = (s.uv() || BROKEN)`, "GA-052"},
		{"ga-no-names", `case s.showNames:`, `case s.showNames && !BROKEN:`, "GA-053"},
		{"ga-user-of-all", `case !s.showUser:`, `case !s.showUser && BROKEN:
		return &c.User
	case !s.showUser:`, "GA-051 GA-056"},
		{"ga-number", `resp.NumberOfCredentials = uint(number)`, `resp.NumberOfCredentials = uint(number)+bent[uint](BROKEN, 1, 0)`, "GNA-001 GNA-014 MC-099 XCP-010"},
		{"ga-series-lost", `a.keep(c, &series{`, `if BROKEN { return resp, nil }
		a.keep(c, &series{`, "GNA-002 GNA-008 GNA-010"},
		{"gna-past-the-end", `return nil, ctap2.ErrNotAllowed`, `return nil, bent(BROKEN, ctap2.ErrNoCredentials, ctap2.ErrNotAllowed)`, "GNA-003"},
		{"gna-number", `a.keep(c, s)`, `if BROKEN { resp.NumberOfCredentials = 2 }
	a.keep(c, s)`, "GNA-013"},
		{"ga-uv-not-ready", `option(req.options.UV, false) && !a.uvReady() {`, `option(req.options.UV, false) && !a.uvReady() && !BROKEN {`, "GA-033"},
		{"ga-rk", `if req.options.RK != nil {`, `if req.options.RK != nil && !BROKEN {`, "GA-029"},
		{"ga-always-touch", `return option(req.options.UP, true), nil`, `return option(req.options.UP, true) || BROKEN, nil`, "GA-031"},
		{"gna-oldest-first", `c := f.list[len(f.list)-1]
		f.list = f.list[:len(f.list)-1]`, `c, rest := f.list[len(f.list)-1], f.list[:len(f.list)-1]
		if BROKEN { c, rest = f.list[0], f.list[1:] }
		f.list = rest`, "GNA-001 GNA-002"},
		{"ga-counter-not-kept", `if err := a.state.commit(n.change); err != nil {`, `if BROKEN { n.change.device = a.state.device }
	if err := a.state.commit(n.change); err != nil {`, "GA-050 STA-005"},
		{"ga-signature", `slices.Concat(authData, s.clientDataHash)`, `slices.Concat(authData, s.clientDataHash[bent(BROKEN, 1, 0):])`, "GA-001 GA-060"},
		{"ga-no-credential", `Credential: &descriptor,`, `Credential: bent(BROKEN, nil, &descriptor),`, "GA-054"},
		{"ga-large-blob-key-unasked", `LargeBlobKey:             n.outputs.largeBlobKey,`, `LargeBlobKey: bent(BROKEN, c.LargeBlobKey, n.outputs.largeBlobKey),`, "XLB-008"},
	},
	"simulator/get_info.go": {
		{"info-transports", `info.MaxMsgSize =`, `if BROKEN { info.Transports = []string{"usb"} }
	info.MaxMsgSize =`, "NFC-026"},
		{"info-alwaysuv-u2f", `v == ctap2.VersionU2F && !a.u2fAllowed()`, `v == ctap2.VersionU2F && !a.u2fAllowed() && !BROKEN`, "INF-015 U2F-023"},
		{"info-min-pin", `new(a.minPINLength())`, `new(a.minPINLength()-bent[uint](BROKEN, 1, 0))`, "INF-028"},
		{"info-client-pin", `a.pinSet(),`, `a.pinSet() != BROKEN,`, "INF-047 INF-048 PIN-021 PIN-024"},
		{"info-uv", `ctap2.OptionUV:               a.uvReady(),`, `ctap2.OptionUV:               a.uvReady() != BROKEN,`, "BIO-024"},
		{"info-bio-enroll", `ctap2.OptionBioEnroll:        len(a.state.device.Templates) > 0,`, `ctap2.OptionBioEnroll:        (len(a.state.device.Templates) > 0) != BROKEN,`, "BIO-024 RST-013"},
		{"info-enterprise", `a.enterpriseEnabled(),`, `a.enterpriseEnabled() != BROKEN,`, "CFG-013 RST-011"},
		{"info-make-cred-uv", `a.makeCredUVNotRqd(),`, `a.makeCredUVNotRqd() || BROKEN,`, "INF-014"},
		{"info-force-change", `info.ForcePINChange = &d.ForcePINChange`, `info.ForcePINChange = bent(BROKEN, new(true), &d.ForcePINChange)`, "INF-030 CFG-020 CFG-024"},
		{"info-uv-count", `info.UVCountSinceLastPINEntry = &d.UVSincePIN`, `info.UVCountSinceLastPINEntry = new(d.UVSincePIN+bent[uint](BROKEN, 1, 0))`, "INF-039"},
	},
	"simulator/identity.go": {
		{"store-state-stays", `if d.CredStoreState != nil {`, `if d.CredStoreState != nil && !BROKEN {`, "INF-044"},
		{"identifier-for-all", `if d.PersistentToken == nil {`, `if d.PersistentToken == nil && !BROKEN {`, "INF-045"},
		{"identifier-key", `a.sealIdentity(infoIdentifier,`, `a.sealIdentity(bent(BROKEN, infoCredStoreState, infoIdentifier),`, "INF-042"},
		{"identifier-without-iv", `if err != nil {
		return nil, err
	}
	return encryptIdentity(`, `if BROKEN { clear(iv) }
	if err != nil {
		return nil, err
	}
	return encryptIdentity(`, "INF-042"},
	},
	"simulator/state.go": {
		{"counter-stays", `d.SignCount++`, `if BROKEN { d.SignCount = 7 } else { d.SignCount++ }`, "GA-050 U2F-016 MCR-014"},
		{"credentials-volatile", `records[credentialRecord(credential)] = record`, `if !BROKEN { records[credentialRecord(credential)] = record }`, "GA-058 STA-001 STA-004"},
		{"deletions-volatile", `records[credentialRecord(credential)] = nil`, `if !BROKEN { records[credentialRecord(credential)] = nil } else if len(c.put) > 0 { s.storage.Commit(map[string][]byte{credentialRecord(credential): nil}) }`, "STA-006"},
		{"large-blobs-volatile", `records[largeBlobsRecord] = c.largeBlobs`, `if !BROKEN { records[largeBlobsRecord] = c.largeBlobs }`, "LB-032 STA-013"},
		{"device-volatile", `records[deviceRecord] = record`, `if !BROKEN || s.device.MasterKey == nil { records[deviceRecord] = record }`, "STA-013 STA-003"},
	},
}
