package main

import (
	"fmt"
	"strings"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/webauthn"
)

// A preset is what a well-known relying party asks for.
type preset struct {
	name, what string
	source     string // how that is known
	options    webauthn.CreationOptions
	origin     string
	noWeb      bool // it is a program that makes its requests itself

	handlePrefix string // of the user handle
	handleSize   int    // bytes
}

// testUser is who registers with a preset, unless --user says otherwise.
const testUser = "fidokey-test"

func (p *preset) handle() webauthn.Base64URL { return newHandle(p.handlePrefix, p.handleSize) }

// algorithms makes pubKeyCredParams.
func algorithms(list ...cose.Algorithm) (parameters []webauthn.CredentialParameters) {
	for _, a := range list {
		parameters = append(parameters, webauthn.CredentialParameters{Type: "public-key", Algorithm: a})
	}
	return parameters
}

// entraOptions are those of Microsoft Entra ID, for an RP ID.
func entraOptions(rpID string) webauthn.CreationOptions {
	return webauthn.CreationOptions{
		RP: webauthn.RPEntity{ID: rpID, Name: "Microsoft"}, PubKeyCredParams: algorithms(cose.ES256, cose.RS256), Timeout: 60000,
		AuthenticatorSelection: webauthn.AuthenticatorSelection{AuthenticatorAttachment: "cross-platform", RequireResidentKey: true, UserVerification: "required"},
		Attestation:            webauthn.AttestationDirect,
		Extensions: webauthn.ExtensionInputs{
			HMACCreateSecret: true, CredentialProtectionPolicy: "userVerificationOptional", EnforceCredentialProtectionPolicy: true,
		},
	}
}

// presets are in the order of the help.
var presets = []preset{
	{
		name: "entra", what: "Microsoft Entra ID, where its passkeys live: RP ID login.microsoft.com",
		source:  "Microsoft Graph, fido2AuthenticationMethod: creationOptions, and exchanges that others have published",
		options: entraOptions(entraRPID), origin: "https://" + entraRPID, handlePrefix: "OF:", handleSize: 51,
	},
	{
		name: "entra-host", what: "the same for the host of the sign-in pages: RP ID login.microsoftonline.com",
		source:  "the sample in the documentation of Microsoft Graph v1.0; no real passkey has this RP ID",
		options: entraOptions(onlineRPID), origin: "https://" + onlineRPID, handlePrefix: "OF:", handleSize: 51,
	},
	{
		name: "google", what: "a Google account: RP ID google.com",
		source: "RP ID and AppID: the sources of Chromium and Firefox; algorithms: Google's guide to passkeys for servers; the rest is assumed",
		options: webauthn.CreationOptions{
			RP: webauthn.RPEntity{ID: "google.com", Name: "Google"}, PubKeyCredParams: algorithms(cose.ES256, cose.RS256),
			AuthenticatorSelection: webauthn.AuthenticatorSelection{AuthenticatorAttachment: "cross-platform", ResidentKey: "required", RequireResidentKey: true, UserVerification: "preferred"},
			Attestation:            webauthn.AttestationDirect,
			Extensions:             webauthn.ExtensionInputs{AppIDExclude: new("https://www.gstatic.com/securitykey/origins.json"), CredProps: true},
		},
		origin: "https://accounts.google.com", handleSize: 32,
	},
	{
		name: "github", what: "a passkey of GitHub: RP ID github.com",
		source: "RP ID and AppID: tables of U2F and WebAuthn applications in several authenticators; discoverable and verified: GitHub's documentation of passkeys; the rest is assumed",
		options: webauthn.CreationOptions{
			RP: webauthn.RPEntity{ID: "github.com", Name: "GitHub"}, PubKeyCredParams: algorithms(cose.ES256, cose.RS256),
			AuthenticatorSelection: webauthn.AuthenticatorSelection{ResidentKey: "required", RequireResidentKey: true, UserVerification: "required"},
			Attestation:            webauthn.AttestationNone,
			Extensions:             webauthn.ExtensionInputs{AppIDExclude: new("https://github.com/u2f/trusted_facets"), CredProps: true},
		},
		origin: "https://github.com", handleSize: 8,
	},
	{
		name: "ssh", what: "ssh-keygen -t ecdsa-sk of OpenSSH: RP ID ssh:, which no page can use",
		source: "OpenSSH, sk-usbhid.c and PROTOCOL.u2f",
		options: webauthn.CreationOptions{
			RP: webauthn.RPEntity{ID: "ssh:"}, PubKeyCredParams: algorithms(cose.ES256),
			AuthenticatorSelection: webauthn.AuthenticatorSelection{ResidentKey: "discouraged", UserVerification: "discouraged"},
			Attestation:            webauthn.AttestationDirect,
		},
		// The client data hash of OpenSSH is over something else; the key cannot tell.
		origin: "ssh://openssh", noWeb: true, handleSize: 32,
	},
	{
		name: "generic", what: "what libraries for relying parties ask for by default: RP ID example.com",
		source: "the defaults of SimpleWebAuthn: EdDSA, ES256, RS256, all else preferred, no attestation",
		options: webauthn.CreationOptions{
			RP: webauthn.RPEntity{ID: "example.com", Name: "example.com"}, PubKeyCredParams: algorithms(cose.EdDSA, cose.ES256, cose.RS256), Timeout: 60000,
			AuthenticatorSelection: webauthn.AuthenticatorSelection{ResidentKey: "preferred", UserVerification: "preferred"},
			Attestation:            webauthn.AttestationNone,
			Extensions:             webauthn.ExtensionInputs{CredProps: true},
		},
		origin: "https://example.com", handleSize: 32,
	},
}

func presetNamed(name string) (*preset, error) {
	var names []string
	for i := range presets {
		if presets[i].name == name {
			return &presets[i], nil
		}
		names = append(names, presets[i].name)
	}
	return nil, usageError{fmt.Errorf("--preset %q: there are %s", name, strings.Join(names, ", "))}
}

// presetsHelp lists them.
func presetsHelp() string {
	var b strings.Builder
	b.WriteString("--preset asks for what a well-known relying party asks for, so that one command tells\nwhether a key will do there:\n\n")
	for _, p := range presets {
		fmt.Fprintf(&b, "  %-11s %s\n%s", p.name, p.what, indented("Known from: "+p.source+".", 14, 86))
	}
	return b.String()
}

// indented breaks a text into lines of a width, behind some spaces.
func indented(text string, indent, width int) string {
	var b strings.Builder
	line := strings.Repeat(" ", indent-1)
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = strings.Repeat(" ", indent-1)
		}
		line += " " + word
	}
	return b.String() + line + "\n"
}
