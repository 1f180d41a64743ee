package entratest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// refusal is an answer that is an error.
type refusal struct {
	status        int
	code, message string
}

func (r *refusal) Error() string { return r.message }

func refuse(status int, code, message string) error { return &refusal{status, code, message} }

func badRequest(message string) error { return refuse(http.StatusBadRequest, "badRequest", message) }

// done is an answer: a status, and what goes into the body.
type done struct {
	status int
	body   any
}

// An operation answers a request. It has the tenant for itself.
type operation func(t *Tenant, r *http.Request) (done, error)

var (
	writeMethods = []string{"UserAuthMethod-Passkey.ReadWrite.All", "UserAuthenticationMethod.ReadWrite.All"}
	readMethods  = append([]string{"UserAuthMethod-Passkey.Read.All", "UserAuthenticationMethod.Read.All"}, writeMethods...)
	readPolicies = []string{"Policy.Read.AuthenticationMethod", "Policy.Read.All", "Policy.ReadWrite.AuthenticationMethod"}
	setPolicies  = []string{"Policy.ReadWrite.AuthenticationMethod"}
	getStrengths = []string{"Policy.Read.All", "Policy.ReadWrite.ConditionalAccess", "Policy.ReadWrite.AuthenticationMethod"}
	setStrengths = []string{"Policy.ReadWrite.ConditionalAccess", "Policy.ReadWrite.AuthenticationMethod"}
	readUsers    = []string{"User.Read.All"}
	readGroups   = []string{"GroupMember.Read.All"}
	readLogs     = []string{"AuditLog.Read.All"}
)

const (
	methodsOf    = "/users/{user}/authentication/fido2Methods"
	policyAt     = "/v1.0/policies/authenticationMethodsPolicy/authenticationMethodConfigurations/fido2"
	strengthsAt  = "/v1.0/identity/conditionalAccess/authenticationStrength/policies"
	combinations = strengthsAt + "/{strength}/combinationConfigurations"
)

// routes are the requests that the tenant knows, with the permissions of which it asks
// for one.
func (t *Tenant) routes() http.Handler {
	mux := http.NewServeMux()
	for _, route := range []struct {
		pattern, name string
		scopes        []string
		do            operation
	}{
		{"GET /v1.0" + methodsOf, "list", readMethods, listMethods},
		{"POST /v1.0" + methodsOf, "register", writeMethods, register},
		{"GET /v1.0" + methodsOf + "/{id}", "get", readMethods, getMethod},
		{"GET /v1.0" + methodsOf + "/creationOptions", "options", writeMethods, optionsV1},
		{"GET /beta" + methodsOf + "/{call}", "options", writeMethods, optionsBeta},
		{"DELETE /v1.0" + methodsOf + "/{id}", "delete", writeMethods, deleteMethod},
		{"GET /v1.0/users", "users", readUsers, listUsers},
		{"GET /v1.0/users/{user}", "user", readUsers, getUser},
		{"GET /v1.0/users/{user}/transitiveMemberOf/microsoft.graph.group", "groups", readGroups, listGroups},
		{"GET " + policyAt, "policy", readPolicies, getPolicy},
		{"PATCH " + policyAt, "setPolicy", setPolicies, patchPolicy},
		{"GET " + strengthsAt, "strengths", getStrengths, listStrengths},
		{"GET " + combinations, "combinations", getStrengths, listCombinations},
		{"POST " + combinations, "setCombination", setStrengths, addCombination},
		{"PATCH " + combinations + "/{id}", "setCombination", setStrengths, patchCombination},
		{"DELETE " + combinations + "/{id}", "deleteCombination", setStrengths, deleteCombination},
		{"GET /v1.0/reports/authenticationMethods/userRegistrationDetails", "report", readLogs, report},
		{"GET /v1.0/auditLogs/signIns", "signIns", readLogs, signInsV1},
		{"GET /beta/auditLogs/signIns", "signIns", readLogs, signInsBeta},
	} {
		mux.HandleFunc(route.pattern, func(w http.ResponseWriter, r *http.Request) {
			t.answer(w, r, route.name, route.scopes, route.do)
		})
	}
	mux.HandleFunc("POST /v1.0/$batch", t.batch)
	mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", t.openID)
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", t.token)
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/devicecode", t.deviceCode)
	mux.HandleFunc("/device", t.device)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		t.fail(w, r, refuse(http.StatusNotFound, "ResourceNotFound", "The stand-in does not know "+r.Method+" "+r.URL.Path))
	})
	return mux
}

// ServeHTTP answers a request; $batch comes back to it for each of its own.
func (t *Tenant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if t.throttles(&t.requests, func(s Switches) int { return s.ThrottleEvery }) {
		t.throttle(w, r)
		return
	}
	t.mux.ServeHTTP(w, r)
}

func (t *Tenant) throttles(counter *int, every func(Switches) int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	*counter++
	n := every(t.switches)
	if n == 0 || *counter%n != 0 {
		return false
	}
	t.counts["throttled"]++
	return true
}

func (t *Tenant) throttle(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	after := t.switches.RetryAfter
	t.mu.Unlock()
	if after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(after))
	}
	t.fail(w, r, refuse(http.StatusTooManyRequests, "TooManyRequests", "Too many requests"))
}

// answer carries out an operation for who may have it.
func (t *Tenant) answer(w http.ResponseWriter, r *http.Request, name string, scopes []string, do operation) {
	d, err := func() (done, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if err := t.permits(r, scopes); err != nil {
			return done{}, err
		}
		t.counts[name]++
		return do(t, r)
	}()
	if err != nil {
		t.fail(w, r, err)
		return
	}
	t.write(w, r, d.status, d.body)
}

// permits compares the bearer with the permissions of which one is needed.
func (t *Tenant) permits(r *http.Request, scopes []string) error {
	bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	has, known := t.tokens[bearer]
	if !ok || !known {
		return refuse(http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token is missing or unknown")
	}
	for _, s := range scopes {
		if slices.Contains(has, s) && !slices.Contains(t.switches.MissingPermissions, s) {
			return nil
		}
	}
	return refuse(http.StatusForbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
}

// fail answers with Graph's envelope.
func (t *Tenant) fail(w http.ResponseWriter, r *http.Request, err error) {
	var why *refusal
	if !errors.As(err, &why) {
		why = &refusal{http.StatusInternalServerError, "InternalServerError", err.Error()}
	}
	id := newGUID()
	w.Header().Set("request-id", id)
	inner := map[string]string{
		"date": t.now().UTC().Format("2006-01-02T15:04:05"), "request-id": id,
		"client-request-id": r.Header.Get("client-request-id"),
	}
	t.write(w, r, why.status, map[string]any{"error": map[string]any{"code": why.code, "message": why.message, "innerError": inner}})
}

func (t *Tenant) write(w http.ResponseWriter, _ *http.Request, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body)
}

// maxBody bounds what is posted.
const maxBody = 1 << 20

// object reads the body, which must be a JSON object.
func object(r *http.Request, entity string) (json.RawMessage, error) {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return nil, badRequest(err.Error())
	}
	if !json.Valid(text) {
		return nil, badRequest("Unable to read JSON request payload.")
	}
	if text = bytes.TrimSpace(text); text[0] != '{' { // a string with JSON in it, for one
		return nil, badRequest("The request is missing a " + entity + " entity")
	}
	return text, nil
}

// strict reads an object that may have no other members but those of OData.
func strict(text json.RawMessage, v any) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return badRequest(err.Error())
	}
	maps.DeleteFunc(members, func(name string, _ json.RawMessage) bool { return strings.HasPrefix(name, "@odata.") })
	text, err := json.Marshal(members)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return badRequest(err.Error())
	}
	return nil
}

// pageOf answers with one page of a list, and where the next one is.
func pageOf[T any](t *Tenant, r *http.Request, list []T) (done, error) {
	query := r.URL.Query()
	size := t.config.PageSize
	if top, err := strconv.Atoi(query.Get("$top")); err == nil && top > 0 {
		size = min(size, top)
	}
	start := 0
	if token := query.Get("$skiptoken"); token != "" {
		n, err := strconv.Atoi(token)
		if err != nil || n < 0 || n > len(list) {
			return done{}, badRequest("$skiptoken is unknown")
		}
		start = n
	}
	end := min(len(list), start+size)
	body := map[string]any{"@odata.context": "stand-in", "value": slices.Clone(list[start:end])}
	if start == end {
		body["value"] = []T{}
	}
	if end < len(list) {
		query.Set("$skiptoken", strconv.Itoa(end))
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		body["@odata.nextLink"] = (&url.URL{Scheme: scheme, Host: r.Host, Path: r.URL.Path, RawQuery: query.Encode()}).String()
	}
	return done{http.StatusOK, body}, nil
}

// batch carries out up to twenty requests, each with its own status.
func (t *Tenant) batch(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Requests []struct {
			ID, Method, URL string
			Body            json.RawMessage
			Headers         map[string]string
		}
	}
	text, err := object(r, "batch")
	if err == nil {
		if e := json.Unmarshal(text, &body); e != nil {
			err = badRequest(e.Error())
		}
	}
	if n := len(body.Requests); err == nil && (n == 0 || n > 20) {
		err = badRequest("Number of requests in a batch must be between 1 and 20")
	}
	t.mu.Lock()
	if err == nil {
		err = t.permits(r, Everything)
	}
	t.counts["batch"]++
	t.mu.Unlock()
	if err != nil {
		t.fail(w, r, err)
		return
	}
	var responses []map[string]any
	for _, one := range body.Requests {
		answer := t.inBatch(r, one.Method, "/v1.0"+one.URL, one.Body)
		item := map[string]any{"id": one.ID, "status": answer.status, "headers": answer.headers()}
		if answer.body.Len() > 0 {
			item["body"] = json.RawMessage(answer.body.Bytes())
		}
		responses = append(responses, item)
	}
	slices.Reverse(responses) // the order is not promised
	t.write(w, r, http.StatusOK, map[string]any{"responses": responses})
}

func (t *Tenant) inBatch(outer *http.Request, method, address string, body []byte) *recorded {
	answer := &recorded{header: http.Header{}, status: http.StatusOK}
	r, err := http.NewRequestWithContext(outer.Context(), method, address, bytes.NewReader(body))
	if err != nil {
		t.fail(answer, outer, badRequest(err.Error()))
		return answer
	}
	r.Host, r.TLS = outer.Host, outer.TLS
	r.Header.Set("Authorization", outer.Header.Get("Authorization"))
	if t.throttles(&t.batched, func(s Switches) int { return s.ThrottleBatchEvery }) {
		t.throttle(answer, r)
	} else {
		t.mux.ServeHTTP(answer, r)
	}
	return answer
}

// recorded is an answer within a batch.
type recorded struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *recorded) Header() http.Header         { return a.header }
func (a *recorded) WriteHeader(status int)      { a.status = status }
func (a *recorded) Write(b []byte) (int, error) { return a.body.Write(b) }

func (a *recorded) headers() map[string]string {
	h := map[string]string{}
	for name := range a.header {
		h[name] = a.header.Get(name)
	}
	return h
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }
