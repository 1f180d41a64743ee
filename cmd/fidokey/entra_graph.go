package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/entra/graph"
)

// The environment variables of the commands that ask Graph.
const (
	graphRootVariable  = "FIDOKEY_GRAPH"
	graphTokenVariable = "FIDOKEY_GRAPH_TOKEN"
	signInVariable     = "FIDOKEY_SIGN_IN"
	// These are Azure's own.
	tenantVariable    = "AZURE_TENANT_ID"
	clientVariable    = "AZURE_CLIENT_ID"
	authorityVariable = "AZURE_AUTHORITY_HOST"
)

// signInWays are the words of --sign-in.
var signInWays = []string{signInToken, signInDeviceCode, signInSecret, signInCertificate, signInCLI, signInManaged}

// The words of --sign-in.
const (
	signInToken       = "token"
	signInDeviceCode  = "device-code"
	signInSecret      = "client-secret"
	signInCertificate = "certificate"
	signInCLI         = "azure-cli"
	signInManaged     = "managed-identity"
)

const signInHelp = `How to sign in is the matter of --sign-in: 'token' takes one that somebody else got,
from $FIDOKEY_GRAPH_TOKEN, --token-file or --token-stdin; 'device-code' has you sign in
with a browser, on any machine; 'client-secret' and 'certificate' are for an
application; 'azure-cli' asks az; 'managed-identity' is for machines in Azure. A token
or secret is never a flag's value, and is neither shown nor kept. $FIDOKEY_SIGN_IN,
$AZURE_TENANT_ID and $AZURE_CLIENT_ID stand for --sign-in, --tenant-id and --client-id.`

// graphOptions are the flags of commands that ask Graph.
type graphOptions struct {
	cloud, root, signIn    string
	tenant, client         string
	tokenFile, secretFile  string
	secretEnv, certificate string
	certificatePasswordEnv string
	tokenStdin             bool
}

func (o *graphOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	o.cloud = "global"
	flags.Var(oneOf{&o.cloud, graph.CloudNames()}, "cloud", "the tenant's cloud: "+strings.Join(graph.CloudNames(), ", "))
	flags.StringVar(&o.root, "graph", "", "where Graph is, for a stand-in on this machine (default: $"+graphRootVariable+", else that of the cloud)")
	flags.Var(oneOf{&o.signIn, signInWays}, "sign-in", "token, device-code, client-secret, certificate, azure-cli or managed-identity (default: $"+signInVariable+", else token)")
	flags.StringVar(&o.tenant, "tenant-id", "", "the tenant: its ID or a domain of it (default: $"+tenantVariable+")")
	flags.StringVar(&o.client, "client-id", "", "the ID of the application that is registered in the tenant (default: $"+clientVariable+")")
	flags.StringVar(&o.tokenFile, "token-file", "", "read the token from a file")
	flags.BoolVar(&o.tokenStdin, "token-stdin", false, "read the token from a line of standard input")
	flags.StringVar(&o.secretFile, "client-secret-file", "", "read the client secret from a file")
	flags.StringVar(&o.secretEnv, "client-secret-env", "", "read the client secret from an environment variable")
	flags.StringVar(&o.certificate, "certificate", "", "the application's certificate and key: a file in PEM or PKCS #12")
	flags.StringVar(&o.certificatePasswordEnv, "certificate-password-env", "", "read the password of a PKCS #12 file from an environment variable")
	cmd.MarkFlagsMutuallyExclusive("token-file", "token-stdin")
	cmd.MarkFlagsMutuallyExclusive("client-secret-file", "client-secret-env")
}

// clientOf returns a client of Graph. Nobody signs in before it asks for something.
func (o *graphOptions) clientOf(e *env) (*graph.Client, error) {
	return o.clientWith(e, graph.Options{})
}

func (o *graphOptions) clientWith(e *env, options graph.Options) (*graph.Client, error) {
	cloud, err := graph.CloudNamed(o.cloud)
	if err != nil {
		return nil, usageError{err}
	}
	if root := cmp.Or(o.root, os.Getenv(graphRootVariable)); root != "" { // a stand-in may have an authority of its own
		cloud.Graph, cloud.Authority = root, cmp.Or(os.Getenv(authorityVariable), cloud.Authority)
	}
	if o.signIn = cmp.Or(o.signIn, os.Getenv(signInVariable), signInToken); !slices.Contains(signInWays, o.signIn) {
		return nil, usageError{fmt.Errorf("$%s is %q, and must be one of %s", signInVariable, o.signIn, strings.Join(signInWays, ", "))}
	}
	s := graph.SignIn{Cloud: cloud, Tenant: cmp.Or(o.tenant, os.Getenv(tenantVariable)), Client: cmp.Or(o.client, os.Getenv(clientVariable))}
	if err := o.choose(e, &s); err != nil {
		return nil, err
	}
	credential, err := s.Credential()
	if err != nil {
		return nil, usageError{fmt.Errorf("--sign-in %s: %w", o.signIn, err)}
	}
	agent, _, _ := strings.Cut(version(), ",")
	options.Cloud, options.UserAgent = cloud, agent
	client, err := graph.New(credential, options)
	if err != nil {
		return nil, usageError{err}
	}
	return client, nil
}

// choose reads what the way to sign in needs.
func (o *graphOptions) choose(e *env, s *graph.SignIn) (err error) {
	switch o.signIn {
	case signInToken:
		s.Token, err = o.token(e)
	case signInDeviceCode:
		s.DeviceCode = func(message string) { e.note("%s", message) }
	case signInSecret:
		if s.Secret, err = readSecret(o.secretFile, o.secretEnv); err == nil && s.Secret == "" {
			err = usageError{errors.New("--sign-in client-secret needs --client-secret-file or --client-secret-env")}
		}
	case signInCertificate:
		var data []byte
		var password graph.Secret
		if o.certificate == "" {
			return usageError{errors.New("--sign-in certificate needs --certificate")}
		}
		if data, err = os.ReadFile(o.certificate); err != nil {
			return err
		}
		if password, err = readSecret("", o.certificatePasswordEnv); err != nil {
			return err
		}
		if s.Certificate, err = graph.ParseCertificate(data, []byte(password)); err != nil {
			err = fmt.Errorf("%s: %w", o.certificate, err)
		}
	case signInCLI:
		s.CLI = true
	case signInManaged:
		s.Managed = true
	}
	return err
}

// token reads a ready one.
func (o *graphOptions) token(e *env) (graph.Secret, error) {
	const longest = 64 << 10
	if o.tokenStdin {
		// Byte by byte: the next line may be a PIN.
		var line []byte
		for b := make([]byte, 1); len(line) < longest; {
			n, err := e.stdin.Read(b)
			if n == 1 && b[0] != '\n' {
				line = append(line, b[0])
			}
			if n == 1 && b[0] == '\n' || errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return "", err
			}
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			return "", usageError{errors.New("--token-stdin: there is no token on standard input")}
		}
		return graph.Secret(line), nil
	}
	variable := graphTokenVariable
	if o.tokenFile != "" {
		variable = ""
	}
	token, err := readSecret(o.tokenFile, variable)
	if err == nil && token == "" || o.tokenFile == "" && err != nil {
		err = usageError{fmt.Errorf("there is no token in $%s: choose how to sign in with --sign-in, or give one with --token-file or --token-stdin", graphTokenVariable)}
	}
	return token, err
}

// readSecret reads a file or an environment variable, if one is named.
func readSecret(file, variable string) (graph.Secret, error) {
	switch {
	case file != "":
		text, err := os.ReadFile(file)
		return graph.Secret(bytes.TrimSpace(text)), err
	case variable != "":
		value, ok := os.LookupEnv(variable)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set", variable)
		}
		return graph.Secret(value), nil
	}
	return "", nil
}
