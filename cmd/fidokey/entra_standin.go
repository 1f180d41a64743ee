package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/entra/entratest"
)

type entraStandInOptions struct {
	listen, policy, switches, tokenFile string
	world                               string
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

--world names a file with JSON that has users, with what they have registered, and a
sign-in log: {"users": [{"userPrincipalName": "sam@example.com", "displayName": "Sam",
"userType": "Member", "disabled": false, "methodsRegistered": ["mobilePhone"],
"passkeys": [{"credentialId": "AAEC", "aaGuid": "...", "displayName": "Blue key",
"createdDateTime": "2026-01-31T12:00:00Z", "synced": false, "attested": true}]}],
"signIns": [...]}, the latter as Graph has them. All of it may be left out.

--switches names a file with JSON that makes it fail or differ: throttleEvery,
throttleBatchEvery, retryAfter, expireChallenges, replicationReads, nonPremium,
oneCondition, missingPermissions, refuseRegistrations, loseRegistrations, excludeEncoding,
checkCrossOrigin, checkHmacSecret, checkSignCount, wrapOptions, refuseSelf,
losePolicyChanges.`,
		Example: `  fidokey entra stand-in --token-file token --listen 127.0.0.1:8080
  fidokey entra register --graph http://127.0.0.1:8080 --token-file token --user user1@example.onmicrosoft.com --device simulator
  fidokey entra stand-in --token-file token --policy policy.json --users 500`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runEntraStandIn(cmd.Context(), e, &o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.listen, "listen", "127.0.0.1:0", "the address, of this machine: HOST:PORT")
	flags.StringVar(&o.policy, "policy", "", "the passkey policy, a file as Graph gives it (default: one without restrictions)")
	flags.IntVar(&o.users, "users", 10, "how many users there are")
	flags.StringVar(&o.world, "world", "", "a file with JSON that has the users, their passkeys and sign-ins")
	flags.StringVar(&o.switches, "switches", "", "a file with JSON that makes it fail or differ")
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
}

func (r standInReport) print(w *printer) {
	w.printf("A stand-in tenant with %d users is ready at %s", r.Users, r.URL)
}

func runEntraStandIn(ctx context.Context, e *env, o *entraStandInOptions) error {
	token := "stand-in." + rand.Text()
	tenant, err := o.tenant(token)
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
	server := &http.Server{Handler: tenant, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := e.say(nil, standInReport{"ready", "http://" + listener.Addr().String(), o.users}); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// tenant makes the tenant, which takes the token.
func (o *entraStandInOptions) tenant(token string) (*entratest.Tenant, error) {
	if o.users < 1 || o.users > 100000 {
		return nil, usageError{fmt.Errorf("--users %d is not within 1 and 100000", o.users)}
	}
	if err := refuseOldFile("--token-file", o.tokenFile); err != nil {
		return nil, err
	}
	config := entratest.Config{Users: entratest.MakeUsers(o.users), Tokens: []entratest.Token{{Value: token, Scopes: entratest.Everything}}}
	if o.world != "" {
		text, err := os.ReadFile(o.world)
		if err != nil {
			return nil, err
		}
		if config.Users, config.SignIns, err = entratest.ReadWorld(text); err != nil {
			return nil, fmt.Errorf("%s: %w", o.world, err)
		}
		o.users = len(config.Users)
	}
	var switches entratest.Switches
	if o.policy != "" {
		text, err := os.ReadFile(o.policy)
		if err != nil {
			return nil, err
		}
		config.Policy = text
	}
	if o.switches != "" {
		text, err := os.ReadFile(o.switches)
		if err != nil {
			return nil, err
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&switches); err != nil {
			return nil, fmt.Errorf("%s: %w", o.switches, err)
		}
	}
	tenant, err := entratest.New(config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.policy, err)
	}
	tenant.Switch(func(s *entratest.Switches) { *s = switches })
	return tenant, nil
}
