package graph

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"software.sslmate.com/src/go-pkcs12"
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

	Transport policy.Transporter // for tests
}

// A Certificate proves that a program is the application.
type Certificate struct {
	Chain []*x509.Certificate
	Key   crypto.PrivateKey
}

// ParseCertificate reads a certificate and its key, in PEM or PKCS #12; the password is
// for the latter. Files of PKCS #12 are not left to azidentity, which knows only those
// that OpenSSL and Windows made before 2021.
func ParseCertificate(data, password []byte) (Certificate, error) {
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		chain, key, err := azidentity.ParseCertificates(data, nil)
		return Certificate{chain, key}, err
	}
	key, leaf, others, err := pkcs12.DecodeChain(data, string(password))
	if err != nil {
		return Certificate{}, fmt.Errorf("neither PEM nor PKCS #12 that can be read: %w", err)
	}
	return Certificate{append([]*x509.Certificate{leaf}, others...), key}, nil
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
	// Of Microsoft's own authorities it is known that there are such; any other one is not
	// for a service of theirs to know.
	alone := !knownAuthority(s.Cloud.Authority)
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
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: alone})
	case s.Certificate.Key != nil:
		if err := s.needsApplication(); err != nil {
			return nil, err
		}
		return azidentity.NewClientCertificateCredential(s.Tenant, s.Client, s.Certificate.Chain, s.Certificate.Key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: alone, SendCertificateChain: true})
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
			ClientOptions: options, TenantID: s.Tenant, ClientID: s.Client, DisableInstanceDiscovery: alone,
			UserPrompt: func(_ context.Context, m azidentity.DeviceCodeMessage) error {
				s.DeviceCode(printable(m.Message))
				return nil
			},
		})
	}
	return nil, errors.New("no way to sign in is chosen")
}

// ErrSignIn means that there is no token, for who signs people in refuses it.
var ErrSignIn = errors.New("the sign-in is refused")

// signInError has the words of who signs people in, where azidentity has the whole of
// their answer.
func signInError(err error) error {
	var failed *azidentity.AuthenticationFailedError
	if !errors.As(err, &failed) || failed.RawResponse == nil {
		return err
	}
	var answer struct {
		Error       string
		Description string `json:"error_description"`
	}
	text, unread := runtime.Payload(failed.RawResponse)
	if unread != nil || json.Unmarshal(text, &answer) != nil || answer.Error == "" {
		return fmt.Errorf("%w with status %d", ErrSignIn, failed.RawResponse.StatusCode)
	}
	return fmt.Errorf("%w: %s: %s", ErrSignIn, printable(answer.Error), printable(answer.Description))
}

func (s SignIn) needsApplication() error {
	if s.Tenant == "" || s.Client == "" {
		return fmt.Errorf("this way to sign in needs the tenant and the ID of an application that is registered in it")
	}
	return nil
}
