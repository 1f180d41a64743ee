package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/entra/entratest"
)

type entraStandInOptions struct {
	listen, policy, switches, tokenFile string
	world, metadata, root, tls          string
	users                               int
}

func newEntraStandInCmd(e *env) *cobra.Command {
	var o entraStandInOptions
	cmd := &cobra.Command{
		Use:   "stand-in --token-file FILE",
		Short: "Be a tenant of Microsoft Entra ID in software, to try the commands on",
		Long: `Be a tenant of Microsoft Entra ID in software, on this machine, to try the commands
on: users user1@example.onmicrosoft.com and so on, a passkey policy, and the checks
that the service makes. It keeps nothing and reaches nobody. It ends with Ctrl-C.

The token that it takes is written into a new file. The other commands find the
stand-in by --graph, or by $FIDOKEY_GRAPH.

--world names a file with JSON that says who is in the tenant and what is:
{"users": [{"userPrincipalName": "sam@example.com", "displayName": "Sam", "userType":
"Member", "disabled": false, "groups": ["the ID of a group"],
"methodsRegistered": ["mobilePhone"], "passkeys": [{"credentialId": "AAEC", "aaGuid":
"...", "displayName": "Blue key", "createdDateTime": "2026-01-31T12:00:00Z", "synced":
false, "attested": true}]}], "policy": {...}, "strengths": [...], "signIns": [...]}, the
last three as Graph has them. All of it may be left out. --metadata is a metadata BLOB:
where a policy enforces attestation, keys of the models in it are accepted if their
certificates lead to a root of the model.

The token is also the secret of an application, for those who want to try --sign-in
client-secret or device-code. That takes --tls: the certificate that is made for it is
written into a new file, for $SSL_CERT_FILE; $AZURE_AUTHORITY_HOST is the stand-in.

--switches names a file with JSON that makes it fail or differ: throttleEvery,
throttleBatchEvery, retryAfter, expireChallenges, replicationReads, nonPremium,
oneCondition, missingPermissions, refuseRegistrations, loseRegistrations, excludeEncoding,
checkCrossOrigin, checkHmacSecret, checkSignCount, wrapOptions, refuseSelf,
losePolicyChanges.`,
		Example: `  fidokey entra stand-in --token-file token --listen 127.0.0.1:8080
  fidokey entra register --graph http://127.0.0.1:8080 --token-file token --user user1@example.onmicrosoft.com --device simulator
  fidokey entra stand-in --token-file token --policy policy.json --users 500
  fidokey entra stand-in --token-file token --world tenant.json --metadata blob.jwt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runEntraStandIn(cmd.Context(), e, &o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.listen, "listen", "127.0.0.1:0", "the address, of this machine: HOST:PORT")
	flags.StringVar(&o.policy, "policy", "", "the passkey policy, a file as Graph gives it (default: one without restrictions)")
	flags.StringVar(&o.world, "world", "", "a file with JSON that says what is in the tenant")
	flags.IntVar(&o.users, "users", 10, "how many users there are, where --world has none")
	flags.StringVar(&o.metadata, "metadata", "", "a metadata BLOB with the models that it knows, a file")
	addRootFlag(cmd, &o.root)
	flags.StringVar(&o.switches, "switches", "", "a file with JSON that makes it fail or differ")
	flags.StringVar(&o.tls, "tls", "", "speak https, and write the certificate into this new file")
	flags.StringVar(&o.tokenFile, "token-file", "", "write the token into this new file")
	cmd.MarkFlagRequired("token-file")
	cmd.MarkFlagsMutuallyExclusive("world", "users")
	return cmd
}

// standInReport is the answer of "entra stand-in", which comes when it is ready.
type standInReport struct {
	Status string `json:"status"` // "ready"
	URL    string `json:"url"`
	Users  int    `json:"users"`
	Tenant string `json:"tenantId"`
	Client string `json:"clientId"` // the application
}

func (r standInReport) print(w *printer) {
	w.printf("A stand-in tenant with %d users is ready at %s", r.Users, r.URL)
	if strings.HasPrefix(r.URL, "https:") { // without TLS nobody signs in
		w.line("Tenant", "%s", r.Tenant)
		w.line("Application", "%s", r.Client)
	}
}

func runEntraStandIn(ctx context.Context, e *env, o *entraStandInOptions) error {
	token := "stand-in." + rand.Text()
	tenant, ready, err := o.tenant(e, token)
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(o.listen)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return usageError{fmt.Errorf("--listen %s: it must be an address of this machine, as 127.0.0.1:8080, for it keeps no secrets", o.listen)}
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	if err := writeNewFile(o.tokenFile, []byte(token+"\n")); err != nil {
		return errors.Join(err, listener.Close())
	}
	ready.URL = "http://" + listener.Addr().String()
	if o.tls != "" {
		ready.URL = "https://" + listener.Addr().String()
		if listener, err = overTLS(listener, o.tls); err != nil {
			return err
		}
	}
	server := &http.Server{Handler: tenant, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := e.say(nil, ready); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// overTLS makes a certificate for the listener's address, and writes it into a new file.
func overTLS(listener net.Listener, file string) (net.Listener, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fidokey entra stand-in"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 1, 0),
		IPAddresses: []net.IP{listener.Addr().(*net.TCPAddr).IP},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err == nil {
		err = writeNewFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}), nil
}

// theApplication is the one that is registered in the stand-in, if --world has no other.
const theApplication = "66666666-7777-4888-8999-000000000000"

// tenant makes the tenant, which takes the token, and says what is in it.
func (o *entraStandInOptions) tenant(e *env, token string) (tenant *entratest.Tenant, ready standInReport, err error) {
	if o.users < 1 || o.users > 100000 {
		return nil, ready, usageError{fmt.Errorf("--users %d is not within 1 and 100000", o.users)}
	}
	if err := refuseOldFile("--token-file", o.tokenFile); err != nil {
		return nil, ready, err
	}
	if err := refuseOldFile("--tls", o.tls); err != nil {
		return nil, ready, err
	}
	config, err := o.config(e)
	if err != nil {
		return nil, ready, err
	}
	var switches entratest.Switches
	if o.switches != "" {
		text, err := os.ReadFile(o.switches)
		if err != nil {
			return nil, ready, err
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&switches); err != nil {
			return nil, ready, fmt.Errorf("%s: %w", o.switches, err)
		}
	}
	config.Tokens = []entratest.Token{{Value: token, Scopes: entratest.Everything}}
	config.Tenant, config.Client = cmp.Or(config.Tenant, entratest.TenantID), cmp.Or(config.Client, theApplication)
	config.Secret, config.TokenScopes = token, entratest.Everything
	tenant, err = entratest.New(config)
	if err != nil {
		return nil, ready, fmt.Errorf("%s: %w", cmp.Or(o.policy, o.world), err)
	}
	tenant.Switch(func(s *entratest.Switches) { *s = switches })
	return tenant, standInReport{Status: "ready", Users: len(config.Users), Tenant: config.Tenant, Client: config.Client}, nil
}

// config reads what is in the tenant.
func (o *entraStandInOptions) config(e *env) (c entratest.Config, err error) {
	if o.world != "" {
		text, err := os.ReadFile(o.world)
		if err != nil {
			return c, err
		}
		if c, err = entratest.ParseConfig(text); err != nil {
			return c, fmt.Errorf("%s: %w", o.world, err)
		}
	}
	if o.policy != "" {
		if c.Policy, err = os.ReadFile(o.policy); err != nil {
			return c, err
		}
	}
	if c.Users == nil {
		c.Users = entratest.MakeUsers(o.users)
	}
	if o.metadata != "" {
		err = o.addModels(e, &c)
	}
	return c, err
}

// addModels has the tenant know the models of --metadata.
func (o *entraStandInOptions) addModels(e *env, c *entratest.Config) error {
	entries, err := e.readMetadata(o.metadata, o.root, time.Time{})
	if err != nil {
		return err
	}
	models := map[string]entratest.Model{}
	for aaguid, entry := range entries {
		roots, err := entry.Statement.Roots()
		if err != nil {
			e.note("%s: %v", aaguid, err)
		}
		models[aaguid] = entratest.Model{Name: entry.Statement.Description, Roots: roots}
	}
	maps.Copy(models, c.Models) // --world is for what is to be otherwise
	c.Models = models
	return nil
}
