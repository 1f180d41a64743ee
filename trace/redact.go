package trace

import (
	"bytes"

	"github.com/fidokey/fidokey/ctap2"
)

// A rule says what of a CBOR item is secret. Under nil nothing is.
type rule struct {
	// members are those of a map with secrets, by number or name, and others is
	// for all that are not listed. A string in place of the map is secret.
	members map[any]*rule
	others  *rule
	// within redacts a byte string that has a structure of its own.
	within func([]byte)
}

// secret is the rule for what is secret as a whole: every string in it.
var secret = &rule{}

// members is the rule for a map with some secrets.
func members(m map[any]*rule) *rule { return &rule{members: m} }

// requestRules and responseRules have every command that is known; a nil rule is
// for messages without secrets. Of other commands, a vendor's, all is secret.
var requestRules = map[ctap2.Command]*rule{
	ctap2.CommandMakeCredential: members(map[any]*rule{
		6: extensionInputs,
		8: secret, // pinUvAuthParam
	}),
	ctap2.CommandGetAssertion: members(map[any]*rule{
		4: extensionInputs,
		6: secret, // pinUvAuthParam
	}),
	ctap2.CommandGetInfo:              nil,
	ctap2.CommandClientPIN:            clientPINRequest,
	ctap2.CommandReset:                nil,
	ctap2.CommandGetNextAssertion:     nil,
	ctap2.CommandSelection:            nil,
	ctap2.CommandBioEnrollment:        members(map[any]*rule{5: secret}), // pinUvAuthParam
	ctap2.CommandLargeBlobs:           members(map[any]*rule{5: secret}), // pinUvAuthParam
	ctap2.CommandConfig:               configRequest,
	ctap2.CommandCredentialManagement: members(map[any]*rule{4: secret}), // pinUvAuthParam

	ctap2.CommandBioEnrollmentPreview:        members(map[any]*rule{5: secret}),
	ctap2.CommandCredentialManagementPreview: members(map[any]*rule{4: secret}),
}

// clientPINRequest has secrets in all members but these. Of keyAgreement it leaves
// what every such key has: who gets at the key's private key could decrypt the PIN
// with our public one.
var clientPINRequest = &rule{
	members: map[any]*rule{
		1:  nil, // pinUvAuthProtocol
		2:  nil, // subCommand
		9:  nil, // permissions
		10: nil, // rpId
	},
	others: secret,
}

var clientPINResponse = &rule{
	members: map[any]*rule{
		1: nil, // keyAgreement, which is public
		3: nil, // pinRetries
		4: nil, // powerCycleState
		5: nil, // uvRetries
	},
	others: secret,
}

// configRequest: the strings among the parameters of a vendor's prototype may be
// anything. Those of the other subcommands are numbers, and RP IDs.
var configRequest = members(map[any]*rule{
	2: {within: func(b []byte) { clear(b) }},
	4: secret, // pinUvAuthParam
})

// extensionInputs of makeCredential and getAssertion.
var extensionInputs = members(map[any]*rule{
	ctap2.ExtensionHMACSecret:   hmacSecretInput,
	ctap2.ExtensionHMACSecretMC: hmacSecretInput,
	ctap2.ExtensionCredBlob:     secret,
	ctap2.ExtensionLargeBlob:    members(map[any]*rule{"write": secret}),
})

var hmacSecretInput = members(map[any]*rule{
	1: secret, // keyAgreement
	2: secret, // saltEnc
	3: secret, // saltAuth
})

var responseRules = map[ctap2.Command]*rule{
	ctap2.CommandMakeCredential: members(map[any]*rule{
		2: {within: redactAuthData},
		5: secret, // largeBlobKey
		6: extensionOutputs,
	}),
	ctap2.CommandGetAssertion:     assertion,
	ctap2.CommandGetNextAssertion: assertion,
	ctap2.CommandGetInfo:          nil,
	ctap2.CommandClientPIN:        clientPINResponse,
	ctap2.CommandReset:            nil,
	ctap2.CommandSelection:        nil,
	ctap2.CommandBioEnrollment:    nil,
	ctap2.CommandLargeBlobs:       nil, // encrypted under largeBlobKey
	ctap2.CommandConfig:           nil,

	ctap2.CommandCredentialManagement:        members(map[any]*rule{11: secret}), // largeBlobKey
	ctap2.CommandCredentialManagementPreview: members(map[any]*rule{11: secret}),
	ctap2.CommandBioEnrollmentPreview:        nil,
}

var assertion = members(map[any]*rule{
	2: {within: redactAuthData},
	7: secret, // largeBlobKey
	8: extensionOutputs,
})

// extensionOutputs, signed or not. Those of hmac-secret are encrypted under a
// secret of which the trace has no half, and stay.
var extensionOutputs = members(map[any]*rule{
	ctap2.ExtensionCredBlob:  secret,
	ctap2.ExtensionLargeBlob: members(map[any]*rule{"blob": secret}),
})

// RedactRequest returns a copy of a request with zero bytes in place of secrets.
// All else, and every length, is as it was.
func RedactRequest(kind Kind, request []byte) []byte {
	b := bytes.Clone(request)
	switch {
	case len(b) == 0:
	case kind == KindCBOR:
		rule, known := requestRules[ctap2.Command(b[0])]
		redactCBOR(b[1:], rule, known)
	case kind == KindMsg && !knownAPDU(b):
		clear(b[min(len(b), 4):]) // all but CLA, INS, P1, P2
	}
	return b
}

// RedactResponse does the same for the answer to a request.
func RedactResponse(kind Kind, request, response []byte) []byte {
	b := bytes.Clone(response)
	switch {
	case len(b) == 0:
	case kind == KindCBOR && len(request) > 0:
		rule, known := responseRules[ctap2.Command(request[0])]
		redactCBOR(b[1:], rule, known)
	case kind == KindMsg && !knownAPDU(request):
		clear(b[:max(0, len(b)-2)]) // all but the status word
	}
	return b
}

// knownAPDU reports whether an APDU is one of U2F, which has no secrets.
func knownAPDU(apdu []byte) bool {
	return len(apdu) >= 4 && apdu[0] == 0 && apdu[1] >= 1 && apdu[1] <= 3
}

// redactCBOR overwrites the secrets in the CBOR of a message. Where there may be
// some and the message cannot be read, it overwrites everything.
func redactCBOR(body []byte, r *rule, known bool) {
	if len(body) == 0 || known && r == nil {
		return
	}
	if !known || redactMap(body, r) != nil {
		clear(body)
	}
}
