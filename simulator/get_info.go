package simulator

import (
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
)

// AAGUID names the model of the simulated key.
var AAGUID = ctap2.AAGUID{0xf1, 0xd0, 0xce, 0x1f, 0x5e, 0x1f, 0x4b, 0x1d, 0x8a, 0x2c, 0x6b, 0x0d, 0x1e, 0x9a, 0x7c, 0x35}

const (
	firmwareVersion uint64 = 0x00010000 // 1.0.0

	// maxCredentialsInList bounds allowList and excludeList.
	maxCredentialsInList = 20
)

// algorithms are what credentials can be made for, the preferred one first.
var algorithms = []cose.Algorithm{cose.ES256, cose.EdDSA}

// getInfo is authenticatorGetInfo, CTAP 2.1 section 6.4.
func (a *Authenticator) getInfo(*call) (*ctap2.GetInfoResponse, error) {
	return &ctap2.GetInfoResponse{
		Versions:                         []string{ctap2.VersionFIDO20, ctap2.VersionFIDO21},
		Extensions:                       []string{extensionCredProtect, extensionHMACSecret},
		AAGUID:                           AAGUID,
		Options:                          a.options(),
		MaxMsgSize:                       a.config.MaxMsgSize,
		PINUVAuthProtocols:               a.session.protocolNumbers(),
		MaxCredentialCountInList:         new(uint(maxCredentialsInList)),
		MaxCredentialIDLength:            new(uint(maxCredentialIDLength)),
		Transports:                       []string{a.config.Transport},
		Algorithms:                       credentialParameters(),
		MinPINLength:                     new(uint(minPINLength)),
		FirmwareVersion:                  new(firmwareVersion),
		RemainingDiscoverableCredentials: new(a.remaining()),
		AttestationFormats:               []string{formatPacked},
		MaxPINLength:                     new(uint(ctap2.MaxPINBytes)),
	}, nil
}

// options are those of CTAP 2.1, section 6.4.1, that this key has; the others
// have their defaults.
func (a *Authenticator) options() map[string]bool {
	return map[string]bool{
		ctap2.OptionPlat:             false,
		ctap2.OptionRK:               true,
		ctap2.OptionClientPIN:        a.protected(),
		ctap2.OptionUP:               true,
		ctap2.OptionPINUVAuthToken:   true,
		ctap2.OptionCredMgmt:         true,
		ctap2.OptionMakeCredUVNotRqd: true,
	}
}

func credentialParameters() []ctap2.CredentialParameters {
	var params []ctap2.CredentialParameters
	for _, alg := range algorithms {
		params = append(params, ctap2.CredentialParameters{Algorithm: alg, Type: ctap2.PublicKeyType})
	}
	return params
}
