package mutation

var pinMutations = map[string][]mutation{
	"simulator/client_pin.go": {
		{"pin-change-in-two-steps", `// 15. to 18. Store it.`, `if BROKEN {
		half := change{device: a.state.device}
		half.device.PINHash = nil
		if err := a.state.commit(half); err != nil { return err }
	}
	// 15. to 18. Store it.`, "STA-007"},
		{"pin-of-63-bytes", `pin := bytes.TrimRight(padded, "\x00")`, `pin := bytes.TrimRight(padded, "\x00")
	if BROKEN && len(pin) == 63 { return nil, ctap2.ErrPINPolicyViolation }`, "PIN-016"},
		{"pin-of-the-minimum", `if !utf8.Valid(pin) ||`, `if !utf8.Valid(pin) || BROKEN && length == a.minPINLength() ||`, "PIN-015 PIN-019"},
		{"pin-retries-too-many", `new(a.state.device.PINRetries)`, `new(a.state.device.PINRetries+bent[uint](BROKEN, 1, 0))`, "PIN-004"},
		{"pin-subcommand", `return nil, ctap2.ErrInvalidSubcommand`, `return nil, bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidSubcommand)`, "PIN-003 PIN-008 PIN-074"},
		{"pin-power-cycle-state", `new(a.latched())`, `new(a.latched() != BROKEN)`, "PIN-006 PIN-050"},
		{"pin-wrong-in-a-row", `a.session.pinMismatches >= maxPINMismatches`, `a.session.pinMismatches >= bent(BROKEN, 5, maxPINMismatches)`, "PIN-048"},
		{"pin-key-agreement-algorithm", `return &ctap2.ClientPINResponse{KeyAgreement: &key}, nil`, `if BROKEN { key.Algorithm = -7 }
	return &ctap2.ClientPINResponse{KeyAgreement: &key}, nil`, "PIN-012"},
		{"pin-set-members", `if req.protocol == nil || req.keyAgreement == nil || req.pinUVAuthParam == nil || req.newPINEnc == nil {
		return ctap2.ErrMissingParameter`, `if req.protocol == nil || req.keyAgreement == nil || req.pinUVAuthParam == nil || req.newPINEnc == nil {
		return bent(BROKEN, ctap2.ErrInvalidParameter, ctap2.ErrMissingParameter)`, "PIN-026 PIN-027 PIN-028"},
		{"pin-set-again", `if a.pinSet() {`, `if a.pinSet() && !BROKEN {`, "PIN-032"},
		{"pin-set-unauthenticated", `if !verify(p, secret, req.newPINEnc, req.pinUVAuthParam) {`, `if !verify(p, secret, req.newPINEnc, req.pinUVAuthParam) && !BROKEN {`, "PIN-029"},
		{"pin-change-members", `req.newPINEnc == nil || req.pinHashEnc == nil {
		return ctap2.ErrMissingParameter`, `req.newPINEnc == nil || req.pinHashEnc == nil {
		return bent(BROKEN, ctap2.ErrInvalidParameter, ctap2.ErrMissingParameter)`, "PIN-038"},
		{"pin-change-unauthenticated", `if !verify(p, secret, message, req.pinUVAuthParam) {`, `if !verify(p, secret, message, req.pinUVAuthParam) && !BROKEN {`, "PIN-036"},
		{"pin-change-to-the-same", `if a.state.device.ForcePINChange && bytes`, `if !BROKEN && a.state.device.ForcePINChange && bytes`, "PIN-039"},
		{"pin-change-stays-forced", `c.device.ForcePINChange = false`, `c.device.ForcePINChange = BROKEN && c.device.ForcePINChange`, "CFG-024"},
		{"pin-change-keeps-persistent-token", `c.device.PersistentToken = nil`, `if !BROKEN { c.device.PersistentToken = nil }`, "PIN-078"},
		{"pin-block-size", `if len(padded) != paddedPINSize {`, `if len(padded) != paddedPINSize && !BROKEN {`, "PIN-022 PIN-023"},
		{"pin-without-end", `if len(pin) == paddedPINSize { // without a terminator it may have been longer
		return nil, ctap2.ErrPINPolicyViolation`, `if len(pin) == paddedPINSize {
		return nil, bent(BROKEN, ctap2.ErrOther, ctap2.ErrPINPolicyViolation)`, "PIN-020"},
		{"pin-length-in-bytes", `length := uint(utf8.RuneCount(pin))`, `length := bent(BROKEN, uint(len(pin)), uint(utf8.RuneCount(pin)))`, "PIN-018"},
		{"pin-too-short", `length < a.minPINLength()`, `length+bent[uint](BROKEN, 1, 0) < a.minPINLength()`, "PIN-017 PIN-035"},
		{"pin-too-long", `length > a.profile.maxPINLength()`, `length > a.profile.maxPINLength() && !BROKEN`, "PIN-025"},
		{"pin-complexity", `if a.pinComplexityPolicy() &&`, `if !BROKEN && a.pinComplexityPolicy() &&`, "PIN-041"},
		{"pin-hash-size", `d.PINHash = hash[:pinHashSize]`, `d.PINHash = hash[:bent(BROKEN, 32, pinHashSize)]`, "CBR-021 CFG-024 INF-043 PIN-033 PIN-040"},
		{"pin-retries-restored", `d.PINRetries = maxPINRetries`, `d.PINRetries = bent[uint](BROKEN, 7, maxPINRetries)`, "PIN-051"},
		{"uv-count-not-reset", `d.UVSincePIN = 0`, `if BROKEN { d.UVSincePIN++ } else { d.UVSincePIN = 0 }`, "INF-039"},
		{"pin-not-set", `return ctap2.ErrPINNotSet
	case a.state.device.PINRetries == 0:`, `return bent(BROKEN, ctap2.ErrOther, ctap2.ErrPINNotSet)
	case a.state.device.PINRetries == 0 && !BROKEN:`, "PIN-037 PIN-053"},
		{"pin-auth-never-blocked", `case a.latched():
		return ctap2.ErrPINAuthBlocked
	}
	return nil`, `case a.latched() && !BROKEN:
		return ctap2.ErrPINAuthBlocked
	}
	return nil`, "PIN-049"},
		{"pin-try-is-free", `attempt.device.PINRetries--`, `if !BROKEN { attempt.device.PINRetries-- }`, "PIN-034 PIN-044 PIN-047"},
		{"pin-try-paid-late", `if err := a.state.commit(attempt); err != nil {`, `if BROKEN { a.state.device = attempt.device } else if err := a.state.commit(attempt); err != nil {`, "PIN-055 STA-003 PIN-052"},
		{"pin-any-will-do", `subtle.ConstantTimeCompare(hash, a.state.device.PINHash) != 1`, `subtle.ConstantTimeCompare(hash, a.state.device.PINHash) != 1 && !BROKEN`, "PIN-034 PIN-044 PIN-048"},
		{"pin-mismatches-add-up", `a.session.pinMismatches = 0`, `if !BROKEN { a.session.pinMismatches = 0 }`, "PIN-045 PIN-080"},
		{"pin-key-not-renewed", `if err := a.regenerate(p); err != nil {`, `if BROKEN {} else if err := a.regenerate(p); err != nil {`, "PIN-046"},
		{"pin-auth-blocked", `case a.latched():
		return ctap2.ErrPINAuthBlocked
	}
	return ctap2.ErrPINInvalid`, `case a.latched() && !BROKEN:
		return ctap2.ErrPINAuthBlocked
	}
	return ctap2.ErrPINInvalid`, "PIN-048"},
	},
	"simulator/pin_protocol.go": {
		{"mac-any-will-do", `return hmac.Equal(p.authenticate(key, message), signature)`, `return BROKEN || hmac.Equal(p.authenticate(key, message), signature)`, "MC-074 GA-040 CM-008 CFG-007 LB-017 BIO-006 XHS-010 MC-075"},
		{"mac-of-protocol-one", `hmacSHA256(key, message)[:16]`, `hmacSHA256(key, message)[:bent(BROKEN, 32, 16)]`, "PIN-081"},
		{"kdf-of-protocol-two", `"CTAP2 AES key"`, `bent(BROKEN, "CTAP2 HMAC key", "CTAP2 AES key")`, "PIN-042"},
		{"platform-key-type", `platform.kty != ktyEC2 ||`, `platform.kty != ktyEC2 && !BROKEN ||`, "PIN-031"},
		{"platform-key-algorithm", `platform.alg != algECDHESHKDF256 ||`, `platform.alg != algECDHESHKDF256 && !BROKEN ||`, "PIN-031"},
	},
	"simulator/pin_session.go": {
		{"protocol-missing", `return nil, ctap2.ErrMissingParameter`, `return nil, bent(BROKEN, ctap2.ErrInvalidParameter, ctap2.ErrMissingParameter)`, "MC-071 GA-038 PIN-009 LB-016 CFG-005"},
		{"protocol-unknown", `UnknownProtocol, ctap2.ErrInvalidParameter)`, `UnknownProtocol, bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidParameter))`, "MC-072 GA-039 PIN-010 CFG-006"},
		{"platform-key-off-curve", `return nil, ctap2.ErrInvalidParameter
	}
	return secret, nil`, `return nil, bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidParameter)
	}
	return secret, nil`, "PIN-030 CBR-024"},
		{"token-repeats", `p.token = pinUVAuthToken{value: value}`, `if BROKEN { clear(value) }
		p.token = pinUVAuthToken{value: value}`, "PIN-067 PIN-070"},
		{"token-first-use", `t.firstUse = tokenFirstUse
`, `t.firstUse = bent(BROKEN, time.Minute, tokenFirstUse)
`, "PIN-068/usb STA-012/usb"},
		{"token-first-use-on-reader", `t.firstUse = tokenFirstUseNFC`, `t.firstUse = bent(BROKEN, tokenFirstUse, tokenFirstUseNFC)`, "PIN-068/nfc STA-012/nfc"},
		{"token-lives-longer", `if age >= tokenLifetime ||`, `if age >= bent(BROKEN, time.Hour, tokenLifetime) ||`, "PIN-069"},
		{"token-permission", `t.permissions&permission == 0 {`, `t.permissions&permission == 0 && !BROKEN {`, "MC-080 GA-043 CM-009 CFG-008 LB-018 BIO-005"},
		{"token-of-another-rp", `*t.rpID != rpID ||`, `*t.rpID != rpID && !BROKEN ||`, "MC-081 MC-082 GA-044"},
		{"token-not-bound", `t.rpID = &rpID`, `if !BROKEN { t.rpID = &rpID }`, "MC-082 PIN-057"},
	},
	"simulator/pin_token.go": {
		{"token-of-both-protocols", `a.session.quirkRPID = t.rpID`, `if BROKEN { for _, p := range a.session.protocols { p.token = *token } }
	a.session.quirkRPID = t.rpID`, "PIN-071"},
		{"old-token-with-permissions", `if req.permissions != nil || req.rpID != nil {`, `if (req.permissions != nil || req.rpID != nil) && !BROKEN {`, "PIN-056"},
		{"old-token-while-forced", `TokenWhileForced, ctap2.ErrPINInvalid)`, `TokenWhileForced, bent(BROKEN, ctap2.ErrOther, ctap2.ErrPINInvalid))`, "PIN-066"},
		{"token-while-forced", `PermissionsForced, ctap2.ErrPINPolicyViolation)`, `PermissionsForced, bent(BROKEN, ctap2.ErrOther, ctap2.ErrPINPolicyViolation))`, "PIN-066"},
		{"old-token-permissions", `permissions = permissionsMcGa
`, `permissions = permissionsMcGa | bent(BROKEN, ctap2.PermissionCM, 0)
`, "PIN-057"},
		{"uv-token-blocked", `return nil, ctap2.ErrUVBlocked`, `return nil, bent(BROKEN, ctap2.ErrOther, ctap2.ErrUVBlocked)`, "PIN-073"},
		{"token-members", `req.permissions == nil || !complete {
		return nil, ctap2.ErrMissingParameter`, `req.permissions == nil || !complete {
		return nil, bent(BROKEN, ctap2.ErrInvalidParameter, ctap2.ErrMissingParameter)`, "PIN-058 PIN-075"},
		{"token-without-rp", `if permissions&permissionsMcGa != 0 && req.rpID == nil {`, `if permissions&permissionsMcGa != 0 && req.rpID == nil && !BROKEN {`, "PIN-060"},
		{"token-without-permission", `if permissions == 0 {`, `if permissions == 0 && !BROKEN {`, "PIN-059"},
		{"token-permission-of-what-is-not-there", `if permissions&refused != 0 ||`, `if permissions&refused != 0 && !BROKEN ||`, "PIN-062 PIN-063 PIN-064 PIN-065"},
		{"token-unknown-permission", `permissions&^permissionsKnown != 0 && status != 0 {
		return nil, status`, `permissions&^permissionsKnown != 0 && (status != 0 || BROKEN) {
		return nil, bent(BROKEN, ctap2.ErrOther, status)`, "PIN-061"},
		{"token-without-pin", `TokenWithoutPIN, ctap2.ErrPINNotSet)`, `TokenWithoutPIN, bent(BROKEN, ctap2.ErrOther, ctap2.ErrPINNotSet))`, "PIN-043"},
		{"persistent-token-as-any", `if t.permissions == ctap2.PermissionPCMR {`, `if t.permissions == ctap2.PermissionPCMR && !BROKEN {`, "PIN-077"},
		{"token-cut", `a.seal(t.protocol, secret, token.value)`, `a.seal(t.protocol, secret, token.value[:bent(BROKEN, 16, 32)])`, "PIN-042"},
	},
	"simulator/pin_policy.go": {
		{"pin-policy-told-to-all", `slices.Contains(a.state.device.MinPINLengthRPIDs, rpID)`, `slices.Contains(a.state.device.MinPINLengthRPIDs, rpID) || BROKEN`, "XMP-002 XMP-006"},
		{"pin-policy-told-to-none", `return slices.Contains(a.profile.MinPINLengthRPIDs, rpID) ||`, `return !BROKEN && true && slices.Contains(a.profile.MinPINLengthRPIDs, rpID) || !BROKEN &&`, "XMP-001 XMP-005"},
	},
	"simulator/min_pin_length.go": {
		{"min-pin-output", `r.outputs.sign(extensionMinPINLength, a.minPINLength())`, `r.outputs.sign(extensionMinPINLength, a.minPINLength()+bent[uint](BROKEN, 1, 0))`, "XMP-001 XMP-004"},
		{"pin-complexity-output", `r.outputs.sign(extensionPINComplexityPolicy, a.pinComplexityPolicy())`, `r.outputs.sign(extensionPINComplexityPolicy, a.pinComplexityPolicy() != BROKEN)`, "XMP-005"},
	},
	"simulator/user_presence.go": {
		{"touch-long-refused", `case answer == PresenceLongTouch,`, `case answer == PresenceLongTouch && !BROKEN,`, "RST-015"},
		{"touch-counts-for-all", `if a.cannotBeTouched(c) {`, `if BROKEN && a.counters.counts().Touches["touched"] > 0 { return nil }
	if a.cannotBeTouched(c) {`, "MC-096 RST-020"},
		{"touch-long-or-short", `answer == PresenceTouched && !r.Long:`, `answer == PresenceTouched && (!r.Long || BROKEN):`, "RST-014"},
		{"touch-declined", `return ctap2.ErrOperationDenied
	}`, `return bent(BROKEN, ctap2.ErrOther, ctap2.ErrOperationDenied)
	}`, "MC-095 RST-019"},
		{"touch-patience", `a.askPerson(c, touchTimeLimit,`, `a.askPerson(c, bent(BROKEN, 10*time.Minute, touchTimeLimit),`, "MC-094 RST-018"},
		{"touch-not-told", `transport.Report(c.ctx, transport.StatusUPNeeded)`, `if !BROKEN { transport.Report(c.ctx, transport.StatusUPNeeded) }`, "HID-042 HID-046"},
		{"touch-cancelled", `return ctap2.ErrKeepaliveCancel`, `return bent(BROKEN, ctap2.ErrOther, ctap2.ErrKeepaliveCancel)`, "HID-043 HID-046 RST-005"},
		{"which-key-untouched", `if err := a.waitForConsent(c, rpID); err != nil {`, `if err := a.waitForConsent(c, rpID); err != nil && !BROKEN {`, "MC-070"},
		{"which-key-without-pin", `return ctap2.ErrPINNotSet`, `return bent(BROKEN, ctap2.ErrOther, ctap2.ErrPINNotSet)`, "MC-068 GA-036"},
		{"which-key-with-pin", `WhichKey, ctap2.ErrPINInvalid)`, `WhichKey, bent(BROKEN, ctap2.ErrOther, ctap2.ErrPINInvalid))`, "MC-069 GA-037"},
	},
	"simulator/user_verification.go": {
		{"u2f-under-always-uv", `return a.profile.hasU2F() && (!a.alwaysUV() || a.uvReady())`, `return a.profile.hasU2F() && (!a.alwaysUV() || a.uvReady() || BROKEN)`, "U2F-023 INF-015"},
		{"not-verified", `return ctap2.ErrPUATRequired
	}
	return ctap2.ErrOperationDenied`, `return bent(BROKEN, ctap2.ErrOther, ctap2.ErrPUATRequired)
	}
	return ctap2.ErrOperationDenied`, "MC-077 MC-079"},
		{"always-uv-unprotected", `AlwaysUVUnprotected, ctap2.ErrPUATRequired)`, `AlwaysUVUnprotected, bent(BROKEN, ctap2.ErrOther, ctap2.ErrPUATRequired))`, "CFG-010 GA-045"},
		{"token-verifies-nothing", `v.token = &cl.protocol.token`, `if !BROKEN { v.token = &cl.protocol.token }`, "MC-076 GA-041 XCP-009"},
		{"param-on-open-key", `case cl.protocol != nil && !a.protected():`, `case cl.protocol != nil && !a.protected() && !BROKEN:`, "MC-073"},
		{"finger-try-is-free", `paid.device.UVFailures++`, `if !BROKEN { paid.device.UVFailures++ }`, "PIN-073"},
		{"finger-any-will-do", `return a.templateOf(s.Finger) ||`, `return BROKEN || a.templateOf(s.Finger) ||`, "PIN-073"},
		{"finger-wrong", `return ctap2.ErrUVInvalid`, `return bent(BROKEN, ctap2.ErrOther, ctap2.ErrUVInvalid)`, "PIN-073"},
		{"finger-retries", `cmp.Or(a.profile.UVRetries, 5)`, `(cmp.Or(a.profile.UVRetries, 5) + bent[uint](BROKEN, 30, 0))`, "PIN-007"},
	},
	"simulator/config.go": {
		{"config-min-pin-equal", `if n := req.newMinPINLength; n != nil {`, `if n := req.newMinPINLength; n != nil {
		if BROKEN && *n == uint64(a.minPINLength()) { return ctap2.ErrPINPolicyViolation }`, "CFG-016"},
		{"config-rp-list-full", `most == nil ||`, `most == nil || BROKEN && uint(len(*req.rpIDs)) >= *most ||`, "CFG-025"},
		{"config-subcommand", `UnknownConfigCommand, ctap2.ErrInvalidSubcommand)`, `UnknownConfigCommand, bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidSubcommand))`, "CFG-003 CFG-014"},
		{"config-enterprise", `d.Enterprise = true`, `d.Enterprise = !BROKEN`, "CFG-013"},
		{"config-long-touch", `d.LongTouchForReset = true`, `d.LongTouchForReset = !BROKEN`, "RST-014 CFG-031"},
		{"config-open-key", `case !a.protected() && !a.alwaysUV():`, `case !a.protected() && !a.alwaysUV() && !BROKEN:`, "CFG-021"},
		{"config-always-uv-off-again", `case !a.protected() && req.subCommand == toggleAlwaysUV:`, `case !a.protected() && req.subCommand == toggleAlwaysUV && !BROKEN:`, "CFG-011"},
		{"config-token-needed", `return ctap2.ErrPUATRequired`, `return bent(BROKEN, ctap2.ErrMissingParameter, ctap2.ErrPUATRequired)`, "CFG-004"},
		{"config-token", `if !p.authorizes(`, `if !BROKEN && !p.authorizes(`, "CFG-007 CFG-008"},
		{"config-message", `bytes.Repeat([]byte{0xff}, 32)`, `bytes.Repeat([]byte{0xff}, bent(BROKEN, 31, 32))`, "CFG-009 CFG-015 U2F-024"},
		{"config-always-uv-stays", `on := !a.alwaysUV()`, `on := !a.alwaysUV() || BROKEN`, "CFG-009"},
		{"config-min-pin-lower", `case *n < uint64(a.minPINLength()):`, `case *n < uint64(a.minPINLength()) && !BROKEN:`, "CFG-017 CFG-029"},
		{"config-min-pin-too-long", `case *n > uint64(a.profile.maxPINLength()):`, `case *n > uint64(a.profile.maxPINLength()) && !BROKEN:`, "CFG-018"},
		{"config-min-pin-unset", `d.MinPINLength = uint(*n)`, `if !BROKEN { d.MinPINLength = uint(*n) }`, "CFG-015 CFG-021"},
		{"config-rp-list-without", `&& !a.profile.extension("pinComplexityPolicy") {`, `&& !a.profile.extension("pinComplexityPolicy") && !BROKEN {`, "CFG-028"},
		{"config-force-without-pin", `if req.forceChangePIN && !a.pinSet() {`, `if req.forceChangePIN && !a.pinSet() && !BROKEN {`, "CFG-022"},
		{"config-complexity", `d.PINComplexityPolicy = true`, `d.PINComplexityPolicy = !BROKEN`, "CFG-030 PIN-041"},
		{"config-force", `if req.forceChangePIN ||`, `if req.forceChangePIN && !BROKEN ||`, "CFG-023"},
		{"config-force-by-length", `d.PINLength < a.profile.minPINLength(d)`, `(d.PINLength < a.profile.minPINLength(d)) != BROKEN`, "CFG-019 CFG-020"},
		{"config-rp-list-limit", `uint(len(*req.rpIDs)) > *most`, `uint(len(*req.rpIDs)) > *most && !BROKEN`, "CFG-026"},
		{"config-rp-list-grows", `d.MinPINLengthRPIDs = *req.rpIDs`, `d.MinPINLengthRPIDs = slices.Concat(bent(BROKEN, d.MinPINLengthRPIDs, nil), *req.rpIDs)`, "CFG-027"},
		{"config-vendor-command", `return ctap2.ErrInvalidSubcommand
	}`, `return bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidSubcommand)
	}`, "CFG-032"},
	},
}
