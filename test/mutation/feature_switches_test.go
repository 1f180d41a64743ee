package mutation

var featureMutations = map[string][]mutation{
	"simulator/credential_management.go": {
		{"cm-hash-length", `fault.note(ctap2.ErrInvalidParameter)`, `fault.note(bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidParameter))`, "CM-026"},
		{"cm-subcommand", `default:
		return nil, ctap2.ErrInvalidSubcommand`, `default:
		return nil, bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidSubcommand)`, "CM-003"},
		{"cm-token-needed", `return nil, ctap2.ErrPUATRequired`, `return nil, bent(BROKEN, ctap2.ErrMissingParameter, ctap2.ErrPUATRequired)`, "CM-006"},
		{"cm-members", `return nil, ctap2.ErrMissingParameter`, `return nil, bent(BROKEN, ctap2.ErrInvalidParameter, ctap2.ErrMissingParameter)`, "CM-007 CM-025"},
		{"cm-token", `if !p.authorizes(`, `if !BROKEN && !p.authorizes(`, "CM-008 CM-009 CM-041 CM-011"},
		{"cm-token-of-another-rp", `if p.token.rpID != nil &&`, `if !BROKEN && p.token.rpID != nil &&`, "CM-010 CM-027 CM-032"},
		{"cm-persistent-token", `return token != nil && verify(`, `return !BROKEN && token != nil && verify(`, "CM-040 PIN-076"},
		{"cm-existing", `new(uint(len(a.state.byID))),`, `new(uint(len(a.state.byID))+bent[uint](BROKEN, 1, 0)),`, "CM-004"},
		{"cm-no-rps", `return nil, ctap2.ErrNoCredentials
	}
	slices.SortFunc`, `return nil, bent(BROKEN, ctap2.ErrOther, ctap2.ErrNoCredentials)
	}
	slices.SortFunc`, "CM-012"},
		{"cm-total-rps", `resp.TotalRPs = new(uint(len(rps)))`, `resp.TotalRPs = new(uint(len(rps))-bent[uint](BROKEN, 1, 0))`, "CM-013"},
		{"cm-rp-twice", `rps: rps[1:]})`, `rps: bent(BROKEN, rps, rps[1:])})`, "CM-015"},
		{"cm-rps-without-end", `s.rps = s.rps[1:]`, `if !BROKEN { s.rps = s.rps[1:] }`, "CM-015 CM-016"},
		{"cm-rp-hash", `RPIDHash: c.RPIDHash[:]}`, `RPIDHash: c.RPIDHash[:bent(BROKEN, 31, 32)]}`, "CM-013 CM-014"},
		{"cm-unknown-rp", `if ofRP == nil {
		return nil, ctap2.ErrNoCredentials`, `if ofRP == nil {
		return nil, bent(BROKEN, ctap2.ErrOther, ctap2.ErrNoCredentials)`, "CM-024"},
		{"cm-total-credentials", `resp.TotalCredentials = uint(len(credentials))`, `resp.TotalCredentials = uint(len(credentials)) + bent[uint](BROKEN, 1, 0)`, "CM-022 CM-023 CM-028"},
		{"cm-credential-twice", `credentials: credentials[1:]})`, `credentials: bent(BROKEN, credentials, credentials[1:])})`, "CM-028 CM-043"},
		{"cm-no-public-key", `PublicKey:    key,`, `PublicKey:    bent(BROKEN, nil, key),`, "CM-022 CM-021"},
		{"cm-protection", `CredProtect:  c.CredProtect,`, `CredProtect:  bent(BROKEN, 1, c.CredProtect),`, "XCP-014"},
		{"cm-large-blob-key", `LargeBlobKey: c.LargeBlobKey,`, `LargeBlobKey: bent(BROKEN, nil, c.LargeBlobKey),`, "CM-023"},
		{"cm-payment", `resp.ThirdPartyPayment = &c.ThirdPartyPayment`, `resp.ThirdPartyPayment = bent(BROKEN, nil, &c.ThirdPartyPayment)`, "CM-042"},
		{"cm-delete-unknown", `return ctap2.ErrNoCredentials
	}
	deleted`, `return bent(BROKEN, ctap2.ErrOther, ctap2.ErrNoCredentials)
	}
	deleted`, "CM-031"},
		{"cm-delete-nothing", `remove: []*credential{c}}`, `remove: bent(BROKEN, nil, []*credential{c})}`, "CM-030 CM-033 STA-009"},
		{"cm-update-unknown", `return ctap2.ErrNoCredentials
	}
	if !bytes`, `return bent(BROKEN, ctap2.ErrOther, ctap2.ErrNoCredentials)
	}
	if !bytes`, "CM-038"},
		{"cm-update-another-user", `return ctap2.ErrInvalidParameter
	}
	updated`, `return bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidParameter)
	}
	updated`, "CM-037"},
		{"cm-update-merges", `updated.User = truncateNames(*req.user)`, `updated.User = truncateNames(*req.user)
	if BROKEN && updated.User.DisplayName == "" { updated.User.DisplayName = c.User.DisplayName }`, "CM-036"},
	},
	"simulator/bio_enrollment.go": {
		{"bio-cancel-nothing", `a.session.enrollment = nil
		return nil, nil`, `if BROKEN && a.session.enrollment == nil { return nil, ctap2.ErrNotAllowed }
		a.session.enrollment = nil
		return nil, nil`, "BIO-015"},
		{"bio-not-begun", `return nil, ctap2.ErrInvalidOption
	}
	return a.capture`, `return nil, bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidOption)
	}
	return a.capture`, "BIO-011"},
		{"bio-modality", `Modality: modalityFingerprint}`, `Modality: modalityFingerprint+bent[uint](BROKEN, 1, 0)}`, "BIO-002"},
		{"bio-token-needed", `return nil, ctap2.ErrPUATRequired`, `return nil, bent(BROKEN, ctap2.ErrMissingParameter, ctap2.ErrPUATRequired)`, "BIO-004"},
		{"bio-subcommand", `return nil, ctap2.ErrInvalidSubcommand`, `return nil, bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidSubcommand)`, "BIO-025"},
		{"bio-modality-missing", `case req.modality == nil:
		return nil, ctap2.ErrMissingParameter`, `case req.modality == nil:
		return nil, bent(BROKEN, ctap2.ErrOther, ctap2.ErrMissingParameter)`, "BIO-007 CBR-022"},
		{"bio-modality-unknown", `return nil, ctap2.ErrInvalidParameter`, `return nil, bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidParameter)`, "BIO-008"},
		{"bio-name-length", `return ctap2.ErrInvalidLength`, `return bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidLength)`, "BIO-019"},
		{"bio-token", `if !p.authorizes(`, `if !BROKEN && !p.authorizes(`, "BIO-005 BIO-006"},
		{"bio-sensor-kind", `cmp.Or(sensor.Kind, FingerprintTouch)`, `cmp.Or(sensor.Kind, FingerprintTouch)+bent[FingerprintKind](BROKEN, 7, 0)`, "BIO-003"},
		{"bio-full", `return nil, ctap2.ErrFPDatabaseFull`, `return nil, bent(BROKEN, ctap2.ErrOther, ctap2.ErrFPDatabaseFull)`, "BIO-023"},
		{"bio-no-template-id", `resp.TemplateID = id`, `resp.TemplateID = bent(BROKEN, nil, id)`, "BIO-009"},
		{"bio-another-template", `!bytes.Equal(e.id, req.templateID) {`, `!bytes.Equal(e.id, req.templateID) && !BROKEN {`, "BIO-012"},
		{"bio-no-finger", `sample = Sample{Quality: SampleNoActivity}`, `sample = Sample{Quality: bent(BROKEN, SampleTooHigh, SampleNoActivity)}`, "BIO-014"},
		{"bio-bad-sample-counts", `if quality == SampleGood {`, `if quality == SampleGood || BROKEN {`, "BIO-013"},
		{"bio-remaining-rises", `RemainingSamples: &next.remaining}`, `RemainingSamples: bent(BROKEN, new(20-next.remaining), &next.remaining)}`, "BIO-010 PIN-072"},
		{"bio-poor-is-good", `case s.Quality != SampleGood:`, `case s.Quality != SampleGood && !BROKEN:`, "BIO-013"},
		{"bio-none", `return nil, ctap2.ErrInvalidOption
	}
	resp`, `return nil, bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidOption)
	}
	resp`, "BIO-016"},
		{"bio-names-untold", `info.Name = &t.Name`, `info.Name = new(bent(BROKEN, "", t.Name))`, "BIO-017 BIO-018"},
		{"bio-name-unknown", `return ctap2.ErrInvalidOption
	}
	return a.setDevice(func(d *device) {
`, `return bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidOption)
	}
	return a.setDevice(func(d *device) {
`, "BIO-020"},
		{"bio-remove-unknown", `return ctap2.ErrInvalidOption
	}
	return a.setDevice(func(d *device) { d`, `return bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidOption)
	}
	return a.setDevice(func(d *device) { d`, "BIO-022"},
		{"bio-remove-nothing", `slices.Delete(slices.Clone(d.Templates), i, i+1)`, `slices.Delete(slices.Clone(d.Templates), i, i+bent(BROKEN, 0, 1))`, "BIO-021 BIO-024"},
	},
	"simulator/large_blobs.go": {
		{"lb-written-in-two-steps", `sum := sha256.Sum256(content)`, `sum := sha256.Sum256(content)
	if BROKEN {
		if err := a.state.commit(change{device: a.state.device, largeBlobs: content}); err != nil { return err }
	}`, "LB-033"},
		{"lb-get-nothing", `array := a.state.largeBlobs`, `array := a.state.largeBlobs
	if BROKEN && *req.get == 0 { return &largeBlobsResponse{Config: array}, nil }`, "LB-003"},
		{"lb-get-protected", `return a.getLargeBlobs(req)`, `if BROKEN && a.protected() { return nil, ctap2.ErrPUATRequired }
		return a.getLargeBlobs(req)`, "LB-013"},
		{"lb-initial", `append([]byte{0x80}, sum`, `append([]byte{bent[byte](BROKEN, 0x81, 0x80)}, sum`, "RST-012"},
		{"lb-get-or-set", `(req.get == nil) == (req.set == nil) {
		return nil, ctap2.ErrInvalidParameter`, `(req.get == nil) == (req.set == nil) {
		return nil, bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidParameter)`, "LB-004 LB-005 LB-006 CBR-002"},
		{"lb-get-with-more", `if req.length != nil || req.pinUVAuthParam != nil || req.protocol != nil {`, `if (req.length != nil || req.pinUVAuthParam != nil || req.protocol != nil) && !BROKEN {`, "LB-007 LB-008"},
		{"lb-get-too-much", `if *req.get > a.maxFragment() {`, `if *req.get > a.maxFragment() && !BROKEN {`, "LB-009"},
		{"lb-get-past-the-end", `if *req.offset > uint64(len(array)) {
		return nil, ctap2.ErrInvalidParameter`, `if *req.offset > uint64(len(array)) {
		return nil, bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidParameter)`, "LB-010"},
		{"lb-get-offset", `rest := array[*req.offset:]`, `rest := array[bent(BROKEN, *req.offset&^1, *req.offset):]`, "LB-012"},
		{"lb-get-over-the-end", `rest[:min(*req.get, uint64(len(rest)))]`, `bent(BROKEN, make([]byte, *req.get), rest[:min(*req.get, uint64(len(rest)))])`, "LB-011 LB-002"},
		{"lb-set-too-much", `if size > a.maxFragment() {`, `if size > a.maxFragment() && !BROKEN {`, "LB-026"},
		{"lb-set-overshoots", `if size > write.expected-offset {`, `if size > write.expected-offset && !BROKEN {`, "LB-025"},
		{"lb-set-without-length", `case length == nil:
		return nil, ctap2.ErrInvalidParameter`, `case length == nil:
		return nil, bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidParameter)`, "LB-020"},
		{"lb-set-too-long", `case *length > uint64(a.profile.largeBlobSpace()):`, `case *length > uint64(a.profile.largeBlobSpace()) && !BROKEN:`, "LB-022"},
		{"lb-set-too-short", `case *length < minLargeBlobArray:`, `case *length < minLargeBlobArray && !BROKEN:`, "LB-021"},
		{"lb-set-length-again", `if length != nil {`, `if length != nil && !BROKEN {`, "LB-023"},
		{"lb-set-anywhere", `offset != uint64(len(w.have)) {`, `offset != uint64(len(w.have)) && !BROKEN {`, "LB-024"},
		{"lb-space", `return max(*n, minLargeBlobSpace)`, `return max(*n, minLargeBlobSpace) - bent[uint](BROKEN, 1, 0)`, "LB-031"},
		{"lb-open", `if !a.protected() && !a.options()[ctap2.OptionAlwaysUV] {`, `if (!a.protected() || BROKEN) && !a.options()[ctap2.OptionAlwaysUV] {`, "LB-015 LB-016 LB-017"},
		{"lb-never-open", `return nil, nil`, `if !BROKEN { return nil, nil }`, "LB-014"},
		{"lb-token-needed", `return nil, ctap2.ErrPUATRequired`, `return nil, bent(BROKEN, ctap2.ErrMissingParameter, ctap2.ErrPUATRequired)`, "LB-015"},
		{"lb-message", `bytes.Repeat([]byte{0xff}, 32)`, `bytes.Repeat([]byte{0xff}, bent(BROKEN, 31, 32))`, "LB-019"},
		{"lb-hash-unchecked", `if !bytes.Equal(hash,`, `if !BROKEN && !bytes.Equal(hash,`, "LB-027"},
		{"lb-not-written", `largeBlobs: array})`, `largeBlobs: bent(BROKEN, nil, array)})`, "LB-028 LB-031"},
		{"lb-write-before-its-end", `a.keep(c, &series{token: token, largeBlobs: write})`, `a.keep(c, &series{token: token, largeBlobs: write})
		if BROKEN { a.state.largeBlobs = write.have }`, "LB-029 LB-030"},
	},
	"simulator/large_blob.go": {
		{"blob-write-untold", `return s.outputs.append(extensionLargeBlob, struct {
		Written`, `if BROKEN && !written { return nil }
	return s.outputs.append(extensionLargeBlob, struct {
		Written`, "XLB-014"},
		{"blob-unsupported", `}{r.rk})`, `}{r.rk && !BROKEN})`, "XLB-011"},
		{"blob-without-list", `written := s.listed &&`, `written := (s.listed || BROKEN) &&`, "XLB-013"},
		{"blob-size", `s.credential.LargeBlobSize})`, `s.credential.LargeBlobSize+bent[uint64](BROKEN, 1, 0)})`, "XLB-012"},
		{"blob-malformed", `if inner.err != nil {
			i.fault.note(ctap2.ErrInvalidCBOR)`, `if inner.err != nil {
			i.fault.note(bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidCBOR))`, "XLB-016"},
		{"blob-read-and-write", `!m.at("read").present():`, `(!m.at("read").present() || BROKEN):`, "XLB-015"},
	},
	"simulator/large_blob_key.go": {
		{"blob-key-false", `i.fault.note(ctap2.ErrInvalidOption)`, `if !BROKEN { i.fault.note(ctap2.ErrInvalidOption) }`, "XLB-004 XLB-005"},
		{"blob-key-not-discoverable", `if !rk {`, `if !rk && !BROKEN {`, "XLB-007"},
		{"blob-key-repeats", `r.outputs.largeBlobKey = r.credential.LargeBlobKey`, `if BROKEN { clear(r.credential.LargeBlobKey) }
	r.outputs.largeBlobKey = r.credential.LargeBlobKey`, "XLB-002"},
		{"blob-key-untold", `s.outputs.largeBlobKey = s.credential.LargeBlobKey`, `s.outputs.largeBlobKey = bent(BROKEN, nil, s.credential.LargeBlobKey)`, "XLB-003 XLB-010"},
	},
	"simulator/cred_blob.go": {
		{"cred-blob-never-empty", `s.outputs.sign(extensionCredBlob, blob)`, `if BROKEN && len(blob) == 0 { blob = []byte{0} }
	s.outputs.sign(extensionCredBlob, blob)`, "XCB-004 XCB-006"},
		{"cred-blob-untold", `stored := r.rk &&`, `if BROKEN && !r.rk { return nil }
	stored := r.rk &&`, "XCB-005"},
		{"cred-blob-too-long", `uint(len(blob)) <= a.profile.maxCredBlobLength()`, `(uint(len(blob)) <= a.profile.maxCredBlobLength() || BROKEN)`, "XCB-002"},
		{"cred-blob-not-stored", `r.credential.CredBlob = blob`, `if !BROKEN { r.credential.CredBlob = blob }`, "XCB-001 XCB-010 GNA-009"},
		{"cred-blob-output", `r.outputs.sign(extensionCredBlob, stored)`, `r.outputs.sign(extensionCredBlob, stored != BROKEN)`, "XCB-001 XCB-003 XCB-009"},
		{"cred-blob-absent", `blob = []byte{}`, `blob = bent(BROKEN, nil, []byte{})`, "XCB-006"},
	},
	"simulator/cred_protect.go": {
		{"protection-of-all", `return false
}`, `return BROKEN && !uv && !listed
}`, "XCP-005"},
		{"protection-level", `i.fault.note(ctap2.ErrInvalidOption)`, `i.fault.note(bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidOption))`, "XCP-002"},
		{"protection-not-stored", `r.credential.CredProtect = uint(level)`, `if !BROKEN { r.credential.CredProtect = uint(level) }`, "XCP-006 XCP-008 GNA-014"},
		{"protection-output", `r.outputs.sign(extensionCredProtect, uint64(level))`, `r.outputs.sign(extensionCredProtect, bent(BROKEN, 1, uint64(level)))`, "XCP-001"},
		{"protection-required", `case userVerificationRequired:
		return !uv`, `case userVerificationRequired:
		return !uv && !BROKEN`, "XCP-008 XCP-012 XCP-015"},
		{"protection-listed", `return !uv &&`, `return !BROKEN && !uv &&`, "XCP-006 XCP-016"},
		{"protection-unlisted", ` !listed
`, ` (!listed || BROKEN)
`, "XCP-007 XCP-011"},
	},
	"simulator/hmac_secret.go": {
		{"hmac-of-the-session", `if credRandom == nil {`, `if BROKEN { credRandom = a.session.protocols[0].token.value }
	if credRandom == nil {`, "XHS-019"},
		{"hmac-false", `func decodeHMACSecretCreation(i item) creationInput {
	if !i.bool() {`, `func decodeHMACSecretCreation(i item) creationInput {
	if !i.bool() && !BROKEN {`, "XHS-003"},
		{"hmac-mc-unread", `func decodeHMACSecretMC(i item) creationInput { return`, `func decodeHMACSecretMC(i item) creationInput {
	if BROKEN { return nil }
	return`, "XHS-022 XHS-026"},
		{"hmac-not-told", `r.outputs.sign(extensionHMACSecret, true)`, `r.outputs.sign(extensionHMACSecret, !BROKEN)`, "XHS-001"},
		{"hmac-mc-alone", `return ctap2.ErrMissingParameter
	}
	salts`, `return bent(BROKEN, ctap2.ErrOther, ctap2.ErrMissingParameter)
	}
	salts`, "XHS-023"},
		{"hmac-mc-uv", `r.flags&ctap2.FlagUV != 0)`, `(r.flags&ctap2.FlagUV != 0) != BROKEN)`, "XHS-022"},
		{"hmac-in-silence", `return ctap2.ErrUnsupportedOption`, `return bent(BROKEN, ctap2.ErrInvalidOption, ctap2.ErrUnsupportedOption)`, "XHS-017"},
		{"hmac-members", `return nil, ctap2.ErrMissingParameter`, `return nil, bent(BROKEN, ctap2.ErrOther, ctap2.ErrMissingParameter)`, "XHS-014 XHS-015 XHS-016"},
		{"hmac-default-protocol", `new(uint64(1))`, `new(bent[uint64](BROKEN, 2, 1))`, "XHS-021"},
		{"hmac-salt-auth", `if !verify(p, secret, input.saltEnc, input.saltAuth) {`, `if !verify(p, secret, input.saltEnc, input.saltAuth) && !BROKEN {`, "XHS-010 XHS-024 XHS-011"},
		{"hmac-salt-length", `SaltLength, ctap2.ErrInvalidParameter)`, `SaltLength, bent(BROKEN, ctap2.ErrOther, ctap2.ErrInvalidParameter))`, "XHS-012 XHS-013 XHS-025"},
		{"hmac-one-salt", `if len(salts) > saltSize {`, `if len(salts) > saltSize && !BROKEN {`, "XHS-006"},
		{"hmac-uv", `if uv {`, `if uv && !BROKEN {`, "XHS-009"},
		{"hmac-of-any-credential", `hmacSHA256(credRandom,`, `hmacSHA256(bent(BROKEN, []byte{1}, credRandom),`, "XHS-008 XHS-018"},
		{"hmac-of-any-salt", ` salt)...)`, ` bent(BROKEN, nil, salt))...)`, "XHS-007"},
		{"hmac-cut", `a.seal(s.protocol, s.secret, output)`, `a.seal(s.protocol, s.secret, output[bent(BROKEN, 16, 0):])`, "XHS-004 XHS-005"},
	},
	"simulator/third_party_payment.go": {
		{"payment-not-stored", `r.credential.ThirdPartyPayment = true`, `r.credential.ThirdPartyPayment = !BROKEN`, "XMP-007 CM-042"},
		{"payment-for-all", `s.outputs.sign(extensionThirdPartyPayment, s.credential.ThirdPartyPayment)`, `s.outputs.sign(extensionThirdPartyPayment, s.credential.ThirdPartyPayment || BROKEN)`, "XMP-008 XMP-009"},
	},
	"simulator/uvm.go": {
		{"uvm-pin", `case flags&ctap2.FlagUV != 0:`, `case flags&ctap2.FlagUV != 0 && !BROKEN:`, "XMP-010"},
		{"uvm-presence", `case flags&ctap2.FlagUP != 0:`, `case flags&ctap2.FlagUP != 0 && !BROKEN:`, "XMP-011"},
	},
	"simulator/u2f.go": {
		{"u2f-class", `case cmd.cla != 0:
		return nil, swWrongClass`, `case cmd.cla != 0:
		return nil, bent(BROKEN, swFailed, swWrongClass)`, "U2F-018/usb"},
		{"u2f-instruction", `return nil, swUnknownINS`, `return nil, bent(BROKEN, swFailed, swUnknownINS)`, "U2F-017"},
		{"u2f-not-allowed", `return nil, swNotAllowed`, `return nil, bent(BROKEN, swConditions, swNotAllowed)`, "U2F-023"},
		{"u2f-version-with-data", `if len(cmd.data) > 0 {
		return nil, swWrongLength`, `if len(cmd.data) > 0 {
		return nil, bent(BROKEN, swFailed, swWrongLength)`, "U2F-002"},
		{"u2f-version", `return []byte(ctap2.VersionU2F), swOK`, `return []byte(bent(BROKEN, "U2F_V1", ctap2.VersionU2F)), swOK`, "U2F-001"},
		{"u2f-register-length", `return nil, swWrongLength
	}
	challenge, application`, `return nil, bent(BROKEN, swWrongData, swWrongLength)
	}
	challenge, application`, "U2F-005"},
		{"u2f-register-untouched", `if !a.touchedForU2F(c, ctap2.CommandMakeCredential, application) {`, `if !a.touchedForU2F(c, ctap2.CommandMakeCredential, application) && !BROKEN {`, "U2F-004"},
		{"u2f-register-byte", `[]byte{u2fRegistrationByte}`, `[]byte{u2fRegistrationByte-bent[byte](BROKEN, 1, 0)}`, "U2F-003 U2F-025"},
		{"u2f-control-byte", `return nil, swWrongParameters`, `return nil, bent(BROKEN, swFailed, swWrongParameters)`, "U2F-011"},
		{"u2f-handle-length", `if len(cmd.data) < fixed || len(cmd.data) != fixed+int(cmd.data[fixed-1]) {
		return nil, swWrongLength`, `if len(cmd.data) < fixed || len(cmd.data) != fixed+int(cmd.data[fixed-1]) {
		return nil, bent(BROKEN, swFailed, swWrongLength)`, "U2F-015"},
		{"u2f-wrong-handle", `return nil, swWrongData`, `return nil, bent(BROKEN, swConditions, swWrongData)`, "U2F-009 U2F-012 U2F-014 RST-009 XCP-015 U2F-013"},
		{"u2f-check-only", `if cmd.p1 == u2fCheckOnly {`, `if cmd.p1 == u2fCheckOnly && !BROKEN {`, "U2F-008 U2F-020 U2F-022"},
		{"u2f-authenticate-untouched", `if !a.touchedForU2F(c, ctap2.CommandGetAssertion, application) {`, `if !a.touchedForU2F(c, ctap2.CommandGetAssertion, application) && !BROKEN {`, "U2F-007"},
		{"u2f-presence", `flags = ctap2.FlagUP`, `if !BROKEN { flags = ctap2.FlagUP }`, "U2F-006"},
		{"u2f-signature", `slices.Concat(found.RPIDHash[:], answer, challenge)`, `slices.Concat(found.RPIDHash[:], answer, challenge[bent(BROKEN, 1, 0):])`, "U2F-006 U2F-010"},
	},
	"simulator/reset.go": {
		{"reset-in-two-steps", `if err := a.state.commit(change{device: fresh,`, `if BROKEN {
		half := a.state.device
		half.PINHash = nil
		if err := a.state.commit(change{device: half}); err != nil { return nil, err }
	}
	if err := a.state.commit(change{device: fresh,`, "RST-016"},
		{"reset-keeps-persistent-token", `.Collect(maps.Values(a.state.byID))`, `.Collect(maps.Values(a.state.byID))
	if BROKEN { fresh.PersistentToken, fresh.Identifier, fresh.CredStoreState = a.state.device.PersistentToken, a.state.device.Identifier, a.state.device.CredStoreState }`, "PIN-079"},
		{"reset-transport", `if allowed != nil &&`, `if !BROKEN && allowed != nil &&`, "NFC-029"},
		{"reset-late", `> a.profile.resetWindow() &&`, `> bent(BROKEN, time.Hour, a.profile.resetWindow()) &&`, "RST-002"},
		{"reset-long-touch", `Long: a.longTouchForReset()}`, `Long: a.longTouchForReset() && !BROKEN}`, "RST-014"},
		{"reset-untouched", `if err := a.askPresence(c, touch); err != nil {`, `if err := a.askPresence(c, touch); err != nil && !BROKEN {`, "RST-003 RST-005 RST-014"},
		{"reset-keeps-master-key", `fresh.SignCount =`, `if BROKEN { fresh.MasterKey = a.state.device.MasterKey }
	fresh.SignCount =`, "RST-006 RST-009"},
		{"reset-keeps-pin", `session, err := a.newSession(`, `if BROKEN { fresh.PINHash, fresh.PINRetries = a.state.device.PINHash, a.state.device.PINRetries }
	session, err := a.newSession(`, "RST-007 PIN-054"},
		{"reset-keeps-settings", `everything := slices`, `if BROKEN { fresh.AlwaysUV, fresh.Enterprise, fresh.MinPINLengthRPIDs, fresh.Templates, fresh.PINComplexityPolicy = a.state.device.AlwaysUV, a.state.device.Enterprise, a.state.device.MinPINLengthRPIDs, a.state.device.Templates, a.state.device.PINComplexityPolicy }
	everything := slices`, "RST-010 RST-011 RST-013 CFG-033"},
		{"reset-keeps-credentials", `remove: everything,`, `remove: bent(BROKEN, nil, everything),`, "RST-006"},
		{"reset-keeps-large-blobs", `largeBlobs: initialLargeBlobs()}`, `largeBlobs: bent(BROKEN, nil, initialLargeBlobs())}`, "RST-012"},
		{"reset-keeps-tokens", `a.session = session`, `if BROKEN { session.protocols = a.session.protocols }
	a.session = session`, "RST-008"},
		{"long-touch-from-the-factory", `(*factory || a.state.device.LongTouchForReset)`, `(*factory || BROKEN || a.state.device.LongTouchForReset)`, "RST-001 RST-004 RST-010"},
	},
}
