package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// User is an account of the tenant.
type User struct {
	ID          string `json:"id"`
	UPN         string `json:"userPrincipalName"`
	DisplayName string `json:"displayName"`
	Type        string `json:"userType"` // Member, Guest
	Enabled     *bool  `json:"accountEnabled"`
}

const userMembers = "id,userPrincipalName,displayName,userType,accountEnabled"

// Users lists the accounts of the tenant.
func (c *Client) Users(ctx context.Context) iter.Seq2[User, error] {
	return pages[User](ctx, c, call{task: usersTask, path: "v1.0/users", query: url.Values{"$select": {userMembers}, "$top": {"999"}}})
}

// User returns one account, by UPN or ID.
func (c *Client) User(ctx context.Context, user string) (*User, error) {
	u := &User{}
	err := c.do(ctx, call{task: usersTask, method: http.MethodGet, path: userPath("v1.0", user, ""), query: url.Values{"$select": {userMembers}}}, u)
	return u, err
}

// Groups lists the IDs of the groups that a user is in, through other groups too.
func (c *Client) Groups(ctx context.Context, user string) (ids []string, err error) {
	type group struct{ ID string }
	k := call{task: groupsTask, path: userPath("v1.0", user, "/transitiveMemberOf/microsoft.graph.group"), query: url.Values{"$select": {"id"}, "$top": {"999"}}}
	for g, err := range pages[group](ctx, c, k) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, g.ID)
	}
	return ids, nil
}

const (
	policyPath = "v1.0/policies/authenticationMethodsPolicy/authenticationMethodConfigurations/fido2"
	policyType = "#microsoft.graph.fido2AuthenticationMethodConfiguration"
)

// Policy returns the tenant's passkey policy as Graph has it.
func (c *Client) Policy(ctx context.Context) (json.RawMessage, error) {
	var p json.RawMessage
	err := c.do(ctx, call{task: policyTask, method: http.MethodGet, path: policyPath}, &p)
	return p, err
}

// SetPolicy changes the members of the policy that changes has: a JSON object, to which
// the type that Graph asks for is added. A list replaces the old one as a whole.
func (c *Client) SetPolicy(ctx context.Context, changes json.RawMessage) error {
	body, err := withType(changes, policyType)
	if err != nil {
		return fmt.Errorf("%s: %w", changeTask.name, err)
	}
	return c.do(ctx, call{task: changeTask, method: http.MethodPatch, path: policyPath, body: body}, nil)
}

// withType adds a member @odata.type where it is missing; Graph does not take such a body
// without it. The order of the other members stays.
func withType(object json.RawMessage, kind string) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil || members == nil {
		return nil, errors.New("it is not a JSON object")
	}
	if _, has := members["@odata.type"]; has {
		return object, nil
	}
	first := fmt.Sprintf(`{"@odata.type":%q`, kind)
	if len(members) > 0 {
		first += ","
	}
	return append([]byte(first), bytes.TrimLeft(object, " \t\r\n")[1:]...), nil
}

const strengthsPath = "v1.0/identity/conditionalAccess/authenticationStrength/policies"

// Strengths lists the authentication strengths of the tenant, with their combination
// configurations.
func (c *Client) Strengths(ctx context.Context) ([]json.RawMessage, error) {
	return all(pages[json.RawMessage](ctx, c, call{task: strengthsTask, path: strengthsPath, query: url.Values{"$expand": {"combinationConfigurations"}}}))
}

// Combinations lists the combination configurations of an authentication strength.
func (c *Client) Combinations(ctx context.Context, strength string) ([]json.RawMessage, error) {
	return all(pages[json.RawMessage](ctx, c, call{task: strengthsTask, path: combinationsPath(strength)}))
}

func combinationsPath(strength string) string {
	return strengthsPath + "/" + url.PathEscape(strength) + "/combinationConfigurations"
}

// SetCombination adds a combination configuration to an authentication strength, or
// changes the one with an ID. Which keys a passkey may be on is a
// #microsoft.graph.fido2CombinationConfiguration, which is the type where none is given.
func (c *Client) SetCombination(ctx context.Context, strength, id string, combination json.RawMessage) error {
	body, err := withType(combination, "#microsoft.graph.fido2CombinationConfiguration")
	if err != nil {
		return fmt.Errorf("%s: %w", setStrengthTask.name, err)
	}
	k := call{task: setStrengthTask, method: http.MethodPost, path: combinationsPath(strength), body: body}
	if id == "" {
		return c.do(c.retriedSafely(ctx), k, nil)
	}
	k.method, k.path = http.MethodPatch, k.path+"/"+url.PathEscape(id)
	return c.do(ctx, k, nil)
}

// DeleteCombination deletes a combination configuration of an authentication strength.
func (c *Client) DeleteCombination(ctx context.Context, strength, id string) error {
	return c.do(ctx, call{task: setStrengthTask, method: http.MethodDelete, path: combinationsPath(strength) + "/" + url.PathEscape(id)}, nil)
}

// UserRegistration says which methods a user has registered (userRegistrationDetails).
type UserRegistration struct {
	ID          string   `json:"id"`
	UPN         string   `json:"userPrincipalName"`
	DisplayName string   `json:"userDisplayName"`
	Type        string   `json:"userType"`
	Methods     []string `json:"methodsRegistered"`
}

// PasskeyMethods are the values of UserRegistration.Methods that are passkeys.
var PasskeyMethods = []string{
	"passKeyDeviceBound", "passKeyDeviceBoundAuthenticator", "passKeyDeviceBoundWindowsHello", "passKeySynced", "fido2SecurityKey",
}

// IsPasskey reports whether one of UserRegistration.Methods is a passkey.
func IsPasskey(method string) bool { return slices.Contains(PasskeyMethods, method) }

// UserRegistrations lists what users have registered; with methods only the users that
// have any of them. Without a licence for Entra ID P1 or P2 the error is ErrNonPremium,
// and all there is are Users.
func (c *Client) UserRegistrations(ctx context.Context, methods ...string) iter.Seq2[UserRegistration, error] {
	k := call{task: reportTask, path: "v1.0/reports/authenticationMethods/userRegistrationDetails", query: url.Values{}}
	var filters []string
	for _, m := range methods {
		filters = append(filters, fmt.Sprintf("methodsRegistered/any(x:x eq %s)", odataString(m)))
	}
	if len(filters) > 0 {
		k.query.Set("$filter", strings.Join(filters, " or "))
	}
	return pages[UserRegistration](ctx, c, k)
}

// odataString writes a text into a filter.
func odataString(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// LoggedSignIn is an entry of the sign-in log (signIn), as far as it is about passkeys.
type LoggedSignIn struct {
	Created     Time   `json:"createdDateTime"`
	User        string `json:"userId"`
	UPN         string `json:"userPrincipalName"`
	DisplayName string `json:"userDisplayName"`
	App         string `json:"appDisplayName"`
	Status      struct {
		ErrorCode int `json:"errorCode"` // 0: it succeeded
	} `json:"status"`
	Details []AuthenticationDetail `json:"authenticationDetails"`
}

// AuthenticationDetail is a step of a sign-in (authenticationDetail).
type AuthenticationDetail struct {
	Method    string `json:"authenticationMethod"`       // for people: Password, FIDO2 security key, Passkey (device-bound)
	Detail    string `json:"authenticationMethodDetail"` // of a passkey: its name, and often the AAGUID
	Succeeded bool   `json:"succeeded"`
}

// SignIns lists the interactive sign-ins since a time, the latest first; the log needs a
// licence, as UserRegistrations do. How somebody signed in only the beta version tells,
// and it filters by no method.
func (c *Client) SignIns(ctx context.Context, since time.Time) iter.Seq2[LoggedSignIn, error] {
	filter := "createdDateTime ge " + since.UTC().Format(time.RFC3339)
	return pages[LoggedSignIn](ctx, c, call{task: signInsTask, path: "beta/auditLogs/signIns", query: url.Values{"$filter": {filter}, "$top": {"999"}}})
}
