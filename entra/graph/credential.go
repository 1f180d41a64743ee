package graph

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// SignIn says how to get a token. One of its kinds is chosen; Tenant and Client go with
// those that need them.
type SignIn struct {
	Cloud          Cloud  // the zero value is the global one
	Tenant, Client string // the tenant, and the application that is registered in it

	Token       Secret // a ready one
	Secret      Secret // the application's
	Certificate Certificate
	CLI         bool // as whom the Azure CLI is signed in
	Managed     bool // as the machine in Azure that this runs on
	// DeviceCode shows a person where to sign in, and with which code.
	DeviceCode func(message string)

	// Transport, and Disconnected: no service that knows all clouds is asked whether
	// there is this one. Both are for tests.
	Transport    policy.Transporter
	Disconnected bool
}

// A Certificate proves that a program is the application.
type Certificate struct {
	Chain []*x509.Certificate
	Key   crypto.PrivateKey
}

// ParseCertificate reads a certificate and its key, in PEM or PKCS #12; the password is
// for the latter.
func ParseCertificate(data, password []byte) (Certificate, error) {
	chain, key, err := azidentity.ParseCertificates(data, password)
	return Certificate{chain, key}, err
}

// Secret is a text that no print shows.
type Secret string

// String hides it.
func (Secret) String() string { return "(secret)" }

// GoString hides it.
func (Secret) GoString() string { return "(secret)" }

// MarshalText hides it.
func (Secret) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }

// readyToken is a token that somebody else got. It is a function, for the print of a
// field that is not exported does not ask whether it may be shown.
type readyToken func() string

// GetToken says that the token is good for an hour. Whether it is Graph will say; it is
// not ours to read.
func (r readyToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: r(), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// Credential returns what gets tokens. Nobody is asked before the first is needed.
func (s SignIn) Credential() (azcore.TokenCredential, error) {
	if s.Cloud == (Cloud{}) {
		s.Cloud = clouds["global"]
	}
	options := azcore.ClientOptions{Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: s.Cloud.Authority}, Transport: s.Transport}
	switch {
	case s.Token != "":
		if strings.ContainsFunc(string(s.Token), func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, errors.New("the token has characters that no token has; is it something else?")
		}
		return readyToken(func() string { return string(s.Token) }), nil
	case s.Secret != "":
		if err := s.needsApplication(); err != nil {
			return nil, err
		}
		return azidentity.NewClientSecretCredential(s.Tenant, s.Client, string(s.Secret),
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: s.Disconnected})
	case s.Certificate.Key != nil:
		if err := s.needsApplication(); err != nil {
			return nil, err
		}
		return azidentity.NewClientCertificateCredential(s.Tenant, s.Client, s.Certificate.Chain, s.Certificate.Key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: s.Disconnected, SendCertificateChain: true})
	case s.CLI:
		return azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: s.Tenant})
	case s.Managed:
		o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
		if s.Client != "" {
			o.ID = azidentity.ClientID(s.Client)
		}
		return azidentity.NewManagedIdentityCredential(o)
	case s.DeviceCode != nil:
		if err := s.needsApplication(); err != nil {
			return nil, err
		}
		return azidentity.NewDeviceCodeCredential(&azidentity.DeviceCodeCredentialOptions{
			ClientOptions: options, TenantID: s.Tenant, ClientID: s.Client, DisableInstanceDiscovery: s.Disconnected,
			UserPrompt: func(_ context.Context, m azidentity.DeviceCodeMessage) error {
				s.DeviceCode(printable(m.Message))
				return nil
			},
		})
	}
	return nil, errors.New("no way to sign in is chosen")
}

func (s SignIn) needsApplication() error {
	if s.Tenant == "" || s.Client == "" {
		return fmt.Errorf("this way to sign in needs the tenant and the ID of an application that is registered in it")
	}
	return nil
}
