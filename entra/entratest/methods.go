package entratest

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
)

const (
	zeroAAGUID  = "00000000-0000-0000-0000-000000000000"
	jsonPackage = "#microsoft.graph.webauthnCredentialCreationOptions"
	origin      = "https://" + RPID
)

// challenge is one that was given out and has not come back.
type challenge struct {
	user    string // ID
	expires time.Time
}

// method is a registered passkey.
type method struct {
	credentialID []byte
	hidden       int // reads that do not find it yet
	json         methodJSON
}

type methodJSON struct {
	Type                    string   `json:"@odata.type"`
	ID                      string   `json:"id"`
	DisplayName             string   `json:"displayName"`
	Created                 string   `json:"createdDateTime"`
	AAGUID                  string   `json:"aaGuid"`
	Model                   string   `json:"model"`
	AttestationCertificates []string `json:"attestationCertificates"`
	AttestationLevel        string   `json:"attestationLevel"`
	PasskeyType             string   `json:"passkeyType"`
}

// userOf is the user that a request names.
func (t *Tenant) userOf(r *http.Request) (*User, error) {
	if u := t.user(r.PathValue("user")); u != nil {
		return u, nil
	}
	return nil, refuse(http.StatusNotFound, "Request_ResourceNotFound", "Resource '"+r.PathValue("user")+"' does not exist")
}

func optionsV1(t *Tenant, r *http.Request) (done, error) {
	if r.URL.Query().Has("challengeTimeoutInMinutes") {
		return done{}, badRequest("v1.0 has no challengeTimeoutInMinutes")
	}
	return t.options(r, 5*time.Minute, true)
}

// optionsBeta takes the time in parentheses or in the query.
func optionsBeta(t *Tenant, r *http.Request) (done, error) {
	minutes, inPath := strings.CutPrefix(r.PathValue("call"), "creationOptions(challengeTimeoutInMinutes=")
	minutes, closed := strings.CutSuffix(minutes, ")")
	if !inPath || !closed {
		if r.PathValue("call") != "creationOptions" {
			return done{}, refuse(http.StatusNotFound, "ResourceNotFound", "the stand-in has creationOptions only in beta")
		}
		if minutes = r.URL.Query().Get("challengeTimeoutInMinutes"); minutes == "" {
			minutes = "5"
		}
	}
	n, err := strconv.Atoi(minutes)
	if err != nil || n < 5 || n > 43200 {
		return done{}, badRequest("challengeTimeoutInMinutes must be between 5 and 43200")
	}
	return t.options(r, time.Duration(n)*time.Minute, false)
}

// options makes creation options, and remembers the challenge.
func (t *Tenant) options(r *http.Request, valid time.Duration, types bool) (done, error) {
	u, err := t.userOf(r)
	if err != nil {
		return done{}, err
	}
	if strings.EqualFold(t.switches.RefuseSelf, u.UPN) {
		return done{}, refuse(http.StatusMethodNotAllowed, "methodNotAllowed", "Registering for oneself is not supported")
	}
	p, err := readPolicy(t.policy)
	if err != nil {
		return done{}, err
	}
	if _, err := p.gate(u); err != nil {
		return done{}, err
	}
	text := base64url.EncodeToString(longChallenge())
	expires := t.now().Add(valid)
	t.challenges[text] = &challenge{user: u.ID, expires: expires}
	typed := func(kind string, members map[string]any) map[string]any {
		if types {
			members["@odata.type"] = "#microsoft.graph." + kind
		}
		return members
	}
	var parameters []any
	for _, alg := range []int{-7, -257} {
		parameters = append(parameters, typed("webauthnPublicKeyCredentialParameters", map[string]any{"type": "public-key", "alg": alg}))
	}
	answer := typed("webauthnCredentialCreationOptions", map[string]any{
		"@odata.context":           jsonPackage,
		"challengeTimeoutDateTime": rfc3339(expires),
		"publicKey": typed("webauthnPublicKeyCredentialCreationOptions", map[string]any{
			"rp":                     typed("webauthnPublicKeyCredentialRpEntity", map[string]any{"id": RPID, "name": "Microsoft"}),
			"user":                   typed("webauthnPublicKeyCredentialUserEntity", map[string]any{"id": base64url.EncodeToString(t.handle(u)), "name": u.UPN, "displayName": u.DisplayName}),
			"challenge":              text,
			"pubKeyCredParams":       parameters,
			"timeout":                0,
			"excludeCredentials":     t.excluded(u, typed),
			"authenticatorSelection": typed("webauthnAuthenticatorSelectionCriteria", map[string]any{"authenticatorAttachment": "cross-platform", "requireResidentKey": true, "userVerification": "required"}),
			"attestation":            "direct",
			"extensions": typed("webauthnAuthenticationExtensionsClientInputs", map[string]any{
				"hmacCreateSecret": true, "enforceCredentialProtectionPolicy": true, "credentialProtectionPolicy": "userVerificationOptional"}),
		}),
	})
	if t.switches.WrapOptions {
		answer = map[string]any{"value": answer}
	}
	return done{http.StatusOK, answer}, nil
}

// excluded lists what the user has, in the forms that were seen of the service.
func (t *Tenant) excluded(u *User, typed func(string, map[string]any) map[string]any) []any {
	list := []any{}
	for _, m := range t.methods[u.ID] {
		form := t.switches.ExcludeEncoding
		if form == "" {
			form = []string{"base64url", "base64", "counted"}[t.encoded%3]
			t.encoded++
		}
		var id string
		switch form {
		case "base64":
			id = base64.StdEncoding.EncodeToString(m.credentialID)
		case "counted":
			id = counted(m.credentialID)
		default:
			id = base64url.EncodeToString(m.credentialID)
		}
		list = append(list, typed("webauthnPublicKeyCredentialDescriptor", map[string]any{"id": id, "type": "public-key", "transports": []string{}}))
	}
	return list
}

// counted is base64url with the number of padding characters behind it.
func counted(b []byte) string {
	padded := base64.URLEncoding.EncodeToString(b)
	bare := strings.TrimRight(padded, "=")
	return bare + strconv.Itoa(len(padded)-len(bare))
}

// longChallenge is a text of the form and length that the service has, 5198 characters: a
// JWE in compact form, with a certificate in its header.
func longChallenge() []byte {
	header, err := json.Marshal(map[string]any{"alg": "RSA-OAEP-256", "enc": "A256GCM", "x5c": []string{base64.StdEncoding.EncodeToString(random(1500))}})
	if err != nil {
		panic(err)
	}
	part := func(b []byte) string { return base64url.EncodeToString(b) }
	return []byte(strings.Join([]string{part(header), part(random(256)), part(random(12)), part(random(1561)), part(random(16))}, "."))
}

// posted is the body of a registration. No other members may be in it.
type posted struct {
	DisplayName         string          `json:"displayName"`
	PublicKeyCredential json.RawMessage `json:"publicKeyCredential"`
}

type postedCredential struct {
	ID                     string          `json:"id"`
	Response               json.RawMessage `json:"response"`
	ClientExtensionResults json.RawMessage `json:"clientExtensionResults"`
}

type postedResponse struct {
	ClientDataJSON    string `json:"clientDataJSON"`
	AttestationObject string `json:"attestationObject"`
}

// registration is what was posted, decoded.
type registration struct {
	name              string
	credentialID      []byte
	clientDataJSON    []byte
	attestationObject []byte
}

func readRegistration(r *http.Request) (n registration, err error) {
	text, err := object(r, "fido2AuthenticationMethod")
	if err != nil {
		return n, err
	}
	var body posted
	var credential postedCredential
	var response postedResponse
	if err := strict(text, &body); err != nil {
		return n, err
	}
	if len(body.PublicKeyCredential) == 0 {
		return n, badRequest("publicKeyCredential is missing")
	}
	if err := strict(body.PublicKeyCredential, &credential); err != nil {
		return n, err
	}
	if len(credential.Response) == 0 {
		return n, badRequest("response is missing")
	}
	if err := strict(credential.Response, &response); err != nil {
		return n, err
	}
	if n.name = body.DisplayName; utf8.RuneCountInString(n.name) > 30 {
		return n, badRequest("displayName may have 30 characters")
	}
	for _, field := range []struct {
		name, text string
		to         *[]byte
	}{
		{"id", credential.ID, &n.credentialID}, {"clientDataJSON", response.ClientDataJSON, &n.clientDataJSON},
		{"attestationObject", response.AttestationObject, &n.attestationObject},
	} {
		if *field.to, err = base64url.DecodeString(field.text); err != nil || len(*field.to) == 0 {
			return n, badRequest(field.name + " is not base64url without padding")
		}
	}
	return n, nil
}

// register judges a new passkey and keeps it.
func register(t *Tenant, r *http.Request) (done, error) {
	u, err := t.userOf(r)
	if err != nil {
		return done{}, err
	}
	if t.switches.RefuseRegistrations {
		return done{}, badRequest("The registration is refused")
	}
	n, err := readRegistration(r)
	if err != nil {
		return done{}, err
	}
	p, err := readPolicy(t.policy)
	if err != nil {
		return done{}, err
	}
	targets, err := p.gate(u)
	if err != nil {
		return done{}, err
	}
	response := protocol.AuthenticatorAttestationResponse{AttestationObject: n.attestationObject}
	response.ClientDataJSON = n.clientDataJSON
	parsed, err := response.Parse()
	if err != nil {
		return done{}, badRequest("the attestation object or the client data cannot be read: " + explain(err))
	}
	if err := t.checkClientData(u, &parsed.CollectedClientData); err != nil {
		return done{}, err
	}
	m, err := t.check(&n, &parsed.AttestationObject)
	if err != nil {
		return done{}, err
	}
	if err := p.judge(targets, m.made); err != nil {
		return done{}, err
	}
	for _, list := range t.methods {
		if slices.ContainsFunc(list, func(m *method) bool { return bytes.Equal(m.credentialID, n.credentialID) }) {
			return done{}, refuse(http.StatusConflict, "conflict", "The passkey is registered already")
		}
	}
	kept := &method{credentialID: n.credentialID, hidden: t.switches.ReplicationReads, json: m.describe(n.name, counted(n.credentialID), rfc3339(t.now()))}
	t.methods[u.ID] = append(t.methods[u.ID], kept)
	if t.switches.LoseRegistrations {
		return done{}, refuse(http.StatusServiceUnavailable, "serviceNotAvailable", "The service is not available")
	}
	return done{http.StatusCreated, kept.json}, nil
}

// checkClientData takes each challenge once.
func (t *Tenant) checkClientData(u *User, c *protocol.CollectedClientData) error {
	known := t.challenges[c.Challenge]
	delete(t.challenges, c.Challenge)
	switch {
	case known == nil:
		return badRequest("the challenge is unknown, or was used before")
	case known.user != u.ID:
		return badRequest("the challenge is another user's")
	case t.switches.ExpireChallenges || t.now().After(known.expires):
		return badRequest("the challenge has expired")
	}
	err := c.Verify(c.Challenge, protocol.CreateCeremony, []string{origin}, nil, nil, protocol.TopOriginDefaultVerificationMode, !t.switches.CheckCrossOrigin)
	if err != nil {
		return badRequest("client data: " + explain(err))
	}
	return nil
}

// checked is a credential that holds, whatever the policy says of it.
type checked struct {
	made
	model        string
	certificates []string
}

func (m *checked) describe(name, id, created string) methodJSON {
	j := methodJSON{
		Type: "#microsoft.graph.fido2AuthenticationMethod", ID: id, DisplayName: name, Created: created, AAGUID: m.aaguid, Model: m.model,
		AttestationCertificates: m.certificates, AttestationLevel: "notAttested", PasskeyType: "deviceBound",
	}
	if m.attested == nil {
		j.AttestationLevel = "attested"
	}
	if m.synced {
		j.PasskeyType = "synced"
	}
	return j
}

var algorithms = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
}

// check judges the authenticator data and the attestation statement.
func (t *Tenant) check(n *registration, o *protocol.AttestationObject) (*checked, error) {
	if o.Format != "packed" && o.Format != "none" {
		return nil, badRequest("the attestation format " + o.Format + " is not supported")
	}
	hash := sha256.Sum256(n.clientDataJSON)
	if err := o.Verify(RPID, hash[:], true, true, nil, algorithms, protocol.AttestationPolicy{}, protocol.SignaturePolicy{}); err != nil {
		return nil, badRequest("attestation: " + explain(err))
	}
	data := &o.AuthData
	if !bytes.Equal(data.AttData.CredentialID, n.credentialID) {
		return nil, badRequest("id is not the credential ID that the key has signed")
	}
	if t.switches.CheckSignCount && data.Counter != 0 {
		return nil, badRequest("the signature counter is not 0")
	}
	if t.switches.CheckHMACSecret && !bytes.Contains(o.RawAuthData, []byte("\x6bhmac-secret\xf5")) {
		return nil, badRequest("the key has no hmac-secret")
	}
	m := &checked{made: made{aaguid: guid(data.AttData.AAGUID), synced: data.Flags.HasBackupEligible()}, certificates: []string{}}
	model, known := t.config.Models[m.aaguid]
	m.model = model.Name
	chain, err := certificates(o)
	if err != nil {
		return nil, badRequest("attestation: " + err.Error())
	}
	for _, c := range chain {
		m.certificates = append(m.certificates, fmt.Sprintf("%x", sha1.Sum(c.Raw)))
	}
	switch {
	case len(chain) == 0:
		m.attested = errors.New("no certificate vouches for the key")
	case !known:
		m.attested = errors.New("there is no metadata of the AAGUID")
	default:
		m.attested = endsAtRoot(chain, model.Roots, t.now())
	}
	return m, nil
}

// certificates reads x5c.
func certificates(o *protocol.AttestationObject) (chain []*x509.Certificate, err error) {
	list, _ := o.AttStatement["x5c"].([]any)
	for _, one := range list {
		der, ok := one.([]byte)
		if !ok {
			return nil, errors.New("x5c has something else than certificates")
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	return chain, nil
}

// endsAtRoot follows a chain to a root, or finds its first certificate listed itself.
func endsAtRoot(chain, roots []*x509.Certificate, now time.Time) error {
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, root := range roots {
		if root.Equal(chain[0]) {
			return nil
		}
		options.Roots.AddCert(root)
	}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(options)
	return err
}

// explain brings out what the library keeps apart from its error text.
func explain(err error) string {
	var e *protocol.Error
	if errors.As(err, &e) && e.DevInfo != "" {
		return e.Details + ": " + e.DevInfo
	}
	return err.Error()
}

func listMethods(t *Tenant, r *http.Request) (done, error) {
	u, err := t.userOf(r)
	if err != nil {
		return done{}, err
	}
	var list []methodJSON
	for _, m := range t.methods[u.ID] {
		if m.found() {
			list = append(list, m.json)
		}
	}
	return pageOf(t, r, list)
}

// found is false for a method that has not come to every server yet.
func (m *method) found() bool {
	if m.hidden > 0 {
		m.hidden--
		return false
	}
	return true
}

// place finds the method that a request names.
func (t *Tenant) place(r *http.Request) (*User, int, error) {
	u, err := t.userOf(r)
	if err != nil {
		return nil, 0, err
	}
	i := slices.IndexFunc(t.methods[u.ID], func(m *method) bool { return m.json.ID == r.PathValue("id") })
	if i < 0 || !t.methods[u.ID][i].found() {
		return nil, 0, refuse(http.StatusNotFound, "itemNotFound", "The requested passkey does not exist")
	}
	return u, i, nil
}

func getMethod(t *Tenant, r *http.Request) (done, error) {
	u, i, err := t.place(r)
	if err != nil {
		return done{}, err
	}
	return done{http.StatusOK, t.methods[u.ID][i].json}, nil
}

func deleteMethod(t *Tenant, r *http.Request) (done, error) {
	u, i, err := t.place(r)
	if err != nil {
		return done{}, err
	}
	t.methods[u.ID] = slices.Delete(t.methods[u.ID], i, i+1)
	return done{status: http.StatusNoContent}, nil
}
