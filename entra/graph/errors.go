package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A task is what a call is for, and who may do it.
type task struct {
	name   string
	scopes []string // any of them
	roles  string   // of the person, where one is signed in
}

const (
	administrators = "Authentication Administrator or Privileged Authentication Administrator"
	readers        = administrators + ", or Global Reader"
)

var (
	writeScopes = []string{"UserAuthMethod-Passkey.ReadWrite.All", "UserAuthenticationMethod.ReadWrite.All"}
	readScopes  = []string{"UserAuthMethod-Passkey.Read.All", "UserAuthenticationMethod.Read.All"}

	optionsTask     = task{"creation options", writeScopes, administrators}
	registerTask    = task{"registration", writeScopes, administrators}
	deleteTask      = task{"deletion of a passkey", writeScopes, administrators}
	listTask        = task{"list of passkeys", readScopes, readers}
	usersTask       = task{"users", []string{"User.Read.All"}, "Global Reader"}
	groupsTask      = task{"groups of a user", []string{"GroupMember.Read.All"}, "Global Reader"}
	policyTask      = task{"passkey policy", []string{"Policy.Read.AuthenticationMethod", "Policy.Read.All"}, "Authentication Policy Administrator or Global Reader"}
	changeTask      = task{"change of the passkey policy", []string{"Policy.ReadWrite.AuthenticationMethod"}, "Authentication Policy Administrator"}
	strengthsTask   = task{"authentication strengths", []string{"Policy.Read.All"}, "Conditional Access Administrator or Global Reader"}
	setStrengthTask = task{"change of an authentication strength", []string{"Policy.ReadWrite.ConditionalAccess", "Policy.ReadWrite.AuthenticationMethod"}, "Conditional Access Administrator"}
	reportTask      = task{"registration report", []string{"AuditLog.Read.All"}, "Reports Reader or Global Reader"}
	signInsTask     = task{"sign-in log", []string{"AuditLog.Read.All (in some tenants with Directory.Read.All)"}, "Reports Reader or Global Reader"}
	batchTask       = task{"batch", nil, ""}
)

// What an Error may be, for errors.Is.
var (
	ErrUnauthorized = errors.New("the token is not taken by Graph")
	ErrForbidden    = errors.New("it is not permitted by Graph")
	ErrNotFound     = errors.New("it is not found by Graph")
	ErrConflict     = errors.New("it is in Graph already")
	ErrThrottled    = errors.New("too many requests to Graph")
	ErrRefused      = errors.New("the tenant does not take the passkey")
	ErrNonPremium   = errors.New("the tenant's licence has no such report")
)

// nonPremium is Graph's code where a report needs Entra ID P1 or P2.
const nonPremium = "Authentication_RequestFromNonPremiumTenantOrB2CTenant"

// Error is an answer of Graph that is not what was asked for.
type Error struct {
	Task       string
	Status     int // of HTTP
	Code       string
	Message    string
	RequestID  string // Microsoft's support asks for it
	RetryAfter time.Duration
	Hint       string // what may help, in a sentence or two
}

// Error has Graph's code, message and request ID.
func (e *Error) Error() string {
	words := fmt.Sprintf("%s: Graph refuses with status %d", e.Task, e.Status)
	if e.Code != "" {
		words += ", " + e.Code
	}
	if e.Message != "" {
		words += ": " + e.Message
	}
	if e.RequestID != "" {
		words += " (request-id " + e.RequestID + ")"
	}
	return words
}

// Is tells the kinds of errors apart.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrNonPremium:
		return e.Code == nonPremium
	case ErrRefused:
		return e.Task == registerTask.name && e.Status == http.StatusBadRequest
	case ErrUnauthorized:
		return e.Status == http.StatusUnauthorized
	case ErrForbidden:
		return e.Status == http.StatusForbidden && e.Code != nonPremium
	case ErrNotFound:
		return e.Status == http.StatusNotFound
	case ErrConflict:
		return e.Status == http.StatusConflict
	case ErrThrottled:
		return throttled(e.Status)
	}
	return false
}

func throttled(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
}

// newError reads Graph's envelope. A gateway before Graph may have another form: then
// the status is all there is.
func newError(t task, status int, header http.Header, body []byte) *Error {
	var envelope struct {
		Error struct {
			Code, Message string
			InnerError    struct {
				RequestID string `json:"request-id"`
			}
		}
	}
	_ = json.Unmarshal(body, &envelope) // what it cannot read stays empty
	e := &Error{
		Task: t.name, Status: status, Code: printable(envelope.Error.Code), Message: printable(envelope.Error.Message),
		RequestID: printable(envelope.Error.InnerError.RequestID), RetryAfter: retryAfter(header),
	}
	if e.RequestID == "" {
		e.RequestID = printable(header.Get("request-id"))
	}
	e.Hint = e.hint(t)
	return e
}

// hint says what may help. Graph's own words seldom do.
func (e *Error) hint(t task) string {
	switch {
	case e.Code == nonPremium:
		return "The report needs a licence for Microsoft Entra ID P1 or P2. Without it each user is asked for."
	case e.Status == http.StatusUnauthorized:
		return "The token has expired, or is for another service than Graph. Sign in again. " + t.needs()
	case e.Status == http.StatusForbidden, e.Status == http.StatusBadRequest && strings.HasPrefix(e.Code, "Authorization_"):
		return t.needs()
	case e.Status == http.StatusBadRequest && t.name == optionsTask.name:
		return "Is the passkey method enabled and self-service setup allowed, does the policy target the user, and is the user no guest? " + t.needs()
	case e.Status == http.StatusBadRequest && t.name == registerTask.name:
		return "Compare the key's AAGUID and attestation with the policy. Options that are too old are refused, too."
	case e.Status == http.StatusNotFound:
		return "There is no such user or passkey. What is new can take minutes until every server has it."
	case e.Status == http.StatusMethodNotAllowed:
		return "Nobody registers a passkey for themselves this way. Sign in as another administrator."
	case e.Status == http.StatusConflict:
		return "The user has this passkey already."
	case throttled(e.Status):
		return "Graph is asked too often. Run the command again in some minutes."
	}
	return ""
}

// needs lists who may do the task.
func (t task) needs() string {
	if len(t.scopes) == 0 {
		return ""
	}
	return fmt.Sprintf("It takes the permission %s; a person who is signed in needs the role %s.", strings.Join(t.scopes, " or "), t.roles)
}

// retryAfter reads a number of seconds or a date.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(date))
	}
	return 0
}

// printable keeps what a server sends from steering a terminal.
func printable(s string) string {
	const longest = 2000
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
	return s[:min(len(s), longest)]
}
