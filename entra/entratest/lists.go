package entratest

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// nonPremium is the code where a report needs a licence.
const nonPremium = "Authentication_RequestFromNonPremiumTenantOrB2CTenant"

// known refuses what a list does not understand, for the real one does too.
func known(r *http.Request, options ...string) error {
	for name := range r.URL.Query() {
		if !slices.Contains(options, name) && name != "$skiptoken" {
			return badRequest("the query option " + name + " is not supported here")
		}
	}
	return nil
}

// asJSON is a user as Graph shows it.
func (u *User) asJSON() map[string]any {
	kind := u.Type
	if kind == "" {
		kind = "Member"
	}
	return map[string]any{"id": u.ID, "userPrincipalName": u.UPN, "displayName": u.DisplayName, "userType": kind, "accountEnabled": !u.Disabled}
}

// selected keeps the members that $select names.
func selected(r *http.Request, v map[string]any) map[string]any {
	names := r.URL.Query().Get("$select")
	if names == "" {
		return v
	}
	kept := map[string]any{}
	for name := range strings.SplitSeq(names, ",") {
		if value, ok := v[name]; ok {
			kept[name] = value
		}
	}
	return kept
}

func listUsers(t *Tenant, r *http.Request) (done, error) {
	if err := known(r, "$select", "$top"); err != nil {
		return done{}, err
	}
	var list []any
	for _, u := range t.config.Users {
		list = append(list, selected(r, u.asJSON()))
	}
	return pageOf(t, r, list)
}

func getUser(t *Tenant, r *http.Request) (done, error) {
	u, err := t.userOf(r)
	if err != nil {
		return done{}, err
	}
	return done{http.StatusOK, selected(r, u.asJSON())}, nil
}

func listGroups(t *Tenant, r *http.Request) (done, error) {
	u, err := t.userOf(r)
	if err != nil {
		return done{}, err
	}
	var list []any
	for _, id := range u.Groups {
		list = append(list, map[string]any{"@odata.type": "#microsoft.graph.group", "id": id})
	}
	return pageOf(t, r, list)
}

// condition reads the one filter that the report has: methodsRegistered/any(x:x eq 'word').
func condition(text string) (word string, ok bool) {
	text = strings.Replace(text, "x: x", "x:x", 1)
	word, begins := strings.CutPrefix(text, "methodsRegistered/any(x:x eq '")
	word, ends := strings.CutSuffix(word, "')")
	return word, begins && ends && word != "" && !strings.ContainsAny(word, "'() ")
}

// report lists what users have registered, for tenants with a licence.
func report(t *Tenant, r *http.Request) (done, error) {
	if t.switches.NonPremium {
		return done{}, refuse(http.StatusForbidden, nonPremium, "Neither tenant is B2C or tenant doesn't have premium license")
	}
	if err := known(r, "$filter", "$select", "$top"); err != nil {
		return done{}, err
	}
	var wanted []string
	if filter := r.URL.Query().Get("$filter"); filter != "" {
		for one := range strings.SplitSeq(filter, " or ") {
			word, ok := condition(one)
			if !ok {
				return done{}, badRequest("Invalid filter clause: " + one)
			}
			wanted = append(wanted, word)
		}
	}
	if t.switches.OneCondition && len(wanted) > 1 {
		return done{}, badRequest("Invalid filter clause: or")
	}
	var list []any
	for _, u := range t.config.Users {
		has := t.registered(&u)
		if wanted != nil && !slices.ContainsFunc(has, func(m string) bool { return slices.Contains(wanted, m) }) {
			continue
		}
		list = append(list, selected(r, map[string]any{
			"id": u.ID, "userPrincipalName": u.UPN, "userDisplayName": u.DisplayName, "userType": strings.ToLower(u.asJSON()["userType"].(string)),
			"methodsRegistered": has, "isMfaRegistered": len(has) > 0, "isPasswordlessCapable": len(has) > 0,
		}))
	}
	return pageOf(t, r, list)
}

// registered are the report's words for what a user has.
func (t *Tenant) registered(u *User) []string {
	has := append([]string{}, u.Methods...)
	for _, m := range t.methods[u.ID] {
		word := "passKeyDeviceBound"
		if m.json.PasskeyType == "synced" {
			word = "passKeySynced"
		}
		if !slices.Contains(has, word) {
			has = append(has, word)
		}
	}
	return has
}

// signInsV1 does not say how somebody signed in.
func signInsV1(t *Tenant, r *http.Request) (done, error) {
	return t.signIns(r, func(one map[string]any) { delete(one, "authenticationDetails") })
}

func signInsBeta(t *Tenant, r *http.Request) (done, error) {
	return t.signIns(r, func(map[string]any) {})
}

// signIns lists the sign-ins that the tenant was made with, the latest first.
func (t *Tenant) signIns(r *http.Request, change func(one map[string]any)) (done, error) {
	if t.switches.NonPremium {
		return done{}, refuse(http.StatusForbidden, nonPremium, "Neither tenant is B2C or tenant doesn't have premium license")
	}
	if err := known(r, "$filter", "$top"); err != nil {
		return done{}, err
	}
	var since time.Time
	if filter := r.URL.Query().Get("$filter"); filter != "" {
		text, ok := strings.CutPrefix(filter, "createdDateTime ge ")
		var err error
		if since, err = time.Parse(time.RFC3339, text); !ok || err != nil {
			return done{}, badRequest("Invalid filter clause: " + filter)
		}
	}
	type entry struct {
		at  time.Time
		all map[string]any
	}
	var list []entry
	for _, text := range t.config.SignIns {
		at, one, err := readSignIn(text)
		if err != nil {
			return done{}, err
		}
		if !at.Before(since) {
			change(one)
			list = append(list, entry{at, one})
		}
	}
	slices.SortStableFunc(list, func(a, b entry) int { return b.at.Compare(a.at) })
	values := make([]map[string]any, len(list))
	for i, e := range list {
		values[i] = e.all
	}
	return pageOf(t, r, values)
}

func readSignIn(text []byte) (at time.Time, all map[string]any, err error) {
	var known struct{ CreatedDateTime time.Time }
	err = errors.Join(json.Unmarshal(text, &known), json.Unmarshal(text, &all))
	return known.CreatedDateTime, all, err
}

func defaultStrengths() []Strength {
	return []Strength{
		{ID: "00000000-0000-0000-0000-000000000004", DisplayName: "Phishing-resistant MFA", BuiltIn: true, Allowed: []string{"windowsHelloForBusiness", "fido2", "x509CertificateMultiFactor"}},
		{ID: "5c5c5c5c-0000-4000-8000-000000000001", DisplayName: "Security keys"},
	}
}

func (t *Tenant) strength(r *http.Request) (*Strength, error) {
	for i := range t.config.Strengths {
		if s := &t.config.Strengths[i]; s.ID == r.PathValue("strength") {
			return s, nil
		}
	}
	return nil, refuse(http.StatusNotFound, "notFound", "There is no such authentication strength")
}

func (s *Strength) allowed() []string {
	if s.Allowed == nil {
		return []string{"fido2"}
	}
	return s.Allowed
}

// changeable returns the strength of a request that changes it.
func (t *Tenant) changeable(r *http.Request) (*Strength, error) {
	s, err := t.strength(r)
	if err == nil && s.BuiltIn {
		return nil, badRequest("Built-in authentication strengths cannot be changed")
	}
	return s, err
}

func listStrengths(t *Tenant, r *http.Request) (done, error) {
	var list []any
	for _, s := range t.config.Strengths {
		one := map[string]any{"id": s.ID, "displayName": s.DisplayName, "policyType": "custom", "allowedCombinations": s.allowed()}
		if s.BuiltIn {
			one["policyType"] = "builtIn"
		}
		if r.URL.Query().Get("$expand") == "combinationConfigurations" {
			one["combinationConfigurations"] = append([]json.RawMessage{}, s.Combinations...)
		}
		list = append(list, one)
	}
	return pageOf(t, r, list)
}

func listCombinations(t *Tenant, r *http.Request) (done, error) {
	s, err := t.strength(r)
	if err != nil {
		return done{}, err
	}
	return pageOf(t, r, s.Combinations)
}

// combination reads a configuration that was sent, and gives it an ID.
func combination(r *http.Request, id string) (json.RawMessage, error) {
	text, err := object(r, "fido2CombinationConfiguration")
	if err != nil {
		return nil, err
	}
	var c struct {
		Type    string   `json:"@odata.type"`
		ID      string   `json:"id"`
		AAGUIDs []string `json:"allowedAAGUIDs"`
		Applies []string `json:"appliesToCombinations"`
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, badRequest(err.Error())
	}
	if c.Type != "#microsoft.graph.fido2CombinationConfiguration" {
		return nil, badRequest("@odata.type must be #microsoft.graph.fido2CombinationConfiguration")
	}
	if !slices.Contains(c.Applies, "fido2") {
		return nil, badRequest("appliesToCombinations must have fido2")
	}
	for _, a := range c.AAGUIDs {
		if !isGUID(a) {
			return nil, badRequest("allowedAAGUIDs: " + a + " is no GUID")
		}
	}
	c.ID = id
	return json.Marshal(c)
}

func addCombination(t *Tenant, r *http.Request) (done, error) {
	s, err := t.changeable(r)
	if err != nil {
		return done{}, err
	}
	c, err := combination(r, newGUID())
	if err != nil {
		return done{}, err
	}
	if !slices.Contains(s.allowed(), "fido2") {
		return done{}, badRequest("fido2 is not among the allowed combinations")
	}
	if !t.switches.LosePolicyChanges {
		s.Combinations = append(s.Combinations, c)
	}
	return done{http.StatusCreated, c}, nil
}

func patchCombination(t *Tenant, r *http.Request) (done, error) {
	s, i, err := t.combination(r)
	if err != nil {
		return done{}, err
	}
	c, err := combination(r, r.PathValue("id"))
	if err != nil {
		return done{}, err
	}
	if !t.switches.LosePolicyChanges {
		s.Combinations[i] = c
	}
	return done{http.StatusOK, c}, nil
}

func deleteCombination(t *Tenant, r *http.Request) (done, error) {
	s, i, err := t.combination(r)
	if err != nil {
		return done{}, err
	}
	if !t.switches.LosePolicyChanges {
		s.Combinations = slices.Delete(s.Combinations, i, i+1)
	}
	return done{status: http.StatusNoContent}, nil
}

// combination finds the one that a request is to change.
func (t *Tenant) combination(r *http.Request) (s *Strength, i int, err error) {
	if s, err = t.changeable(r); err != nil {
		return nil, 0, err
	}
	for i, old := range s.Combinations {
		var has struct{ ID string }
		if json.Unmarshal(old, &has) == nil && has.ID == r.PathValue("id") {
			return s, i, nil
		}
	}
	return nil, 0, refuse(http.StatusNotFound, "notFound", "There is no such combination configuration")
}
