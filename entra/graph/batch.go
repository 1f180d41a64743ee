package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxBatch is how many requests Graph takes in one.
const maxBatch = 20

// UserMethods are the passkeys of one user; Err says why they are not known.
type UserMethods struct {
	User             string // as whom Graph was asked for: the ID or UPN
	UPN, DisplayName string // from Passkeys
	Methods          []Method
	Err              error
	NoReport         bool // from Passkeys: the tenant has no report, so every user is asked for
}

// Passkeys lists all passkeys of the tenant, user by user. Who has any is what the
// registration report says, which may be some hours behind. Without a licence for it
// every user is asked for, those with none are listed too, and all have NoReport.
func (c *Client) Passkeys(ctx context.Context) iter.Seq2[UserMethods, error] {
	return c.methodsOf(ctx, func(yield func(UserMethods, error) bool) {
		for r, err := range c.withPasskeys(ctx) {
			if errors.Is(err, ErrNonPremium) { // with the first page, or not at all
				c.everybody(ctx)(yield)
				return
			}
			if !yield(UserMethods{User: r.ID, UPN: r.UPN, DisplayName: r.DisplayName}, err) {
				return
			}
		}
	})
}

// withPasskeys lists who has any, as the report says. Whether it takes several conditions
// at once is not documented; if not, all of it is read.
func (c *Client) withPasskeys(ctx context.Context) iter.Seq2[UserRegistration, error] {
	return func(yield func(UserRegistration, error) bool) {
		conditions := PasskeyMethods
		for r, err := range c.UserRegistrations(ctx, conditions...) {
			var refused *Error
			if errors.As(err, &refused) && refused.Status == http.StatusBadRequest {
				conditions = nil
				break
			}
			if !yield(r, err) {
				return
			}
		}
		if conditions != nil {
			return
		}
		for r, err := range c.UserRegistrations(ctx) {
			if (err != nil || slices.ContainsFunc(r.Methods, IsPasskey)) && !yield(r, err) {
				return
			}
		}
	}
}

func (c *Client) everybody(ctx context.Context) iter.Seq2[UserMethods, error] {
	return func(yield func(UserMethods, error) bool) {
		for u, err := range c.Users(ctx) {
			if !yield(UserMethods{User: u.ID, UPN: u.UPN, DisplayName: u.DisplayName, NoReport: true}, err) {
				return
			}
		}
	}
}

// MethodsOf lists the passkeys of many users, twenty in a request. What fails for one
// user is in its UserMethods; an error of the sequence ends it.
func (c *Client) MethodsOf(ctx context.Context, users iter.Seq[string]) iter.Seq2[UserMethods, error] {
	return c.methodsOf(ctx, func(yield func(UserMethods, error) bool) {
		for user := range users {
			if !yield(UserMethods{User: user}, nil) {
				return
			}
		}
	})
}

// methodsOf adds the passkeys to users. If the first are all refused for lack of a
// permission it ends with that, for the others will be too.
func (c *Client) methodsOf(ctx context.Context, users iter.Seq2[UserMethods, error]) iter.Seq2[UserMethods, error] {
	return func(yield func(UserMethods, error) bool) {
		some := make([]UserMethods, 0, maxBatch)
		permitted := false
		flush := func() bool {
			err := c.addMethods(ctx, some)
			if err == nil && !permitted {
				err = refusedToAll(some)
			}
			if err != nil {
				yield(UserMethods{}, err)
				return false
			}
			permitted = true
			for _, u := range some {
				if !yield(u, nil) {
					return false
				}
			}
			some = some[:0]
			return true
		}
		for user, err := range users {
			if err != nil {
				yield(UserMethods{}, err)
				return
			}
			if some = append(some, user); len(some) == maxBatch && !flush() {
				return
			}
		}
		if len(some) > 0 {
			flush()
		}
	}
}

func refusedToAll(users []UserMethods) error {
	for _, u := range users {
		if !errors.Is(u.Err, ErrForbidden) && !errors.Is(u.Err, ErrUnauthorized) {
			return nil
		}
	}
	return users[0].Err
}

// addMethods asks for the passkeys of as many users as one request takes.
func (c *Client) addMethods(ctx context.Context, users []UserMethods) error {
	paths := make([]string, len(users))
	for i, u := range users {
		paths[i] = strings.TrimPrefix(userPath("", u.User, methodsPath), "/")
	}
	answers, err := c.getBatch(ctx, paths)
	if err != nil {
		return err
	}
	for i, a := range answers {
		users[i].Methods, users[i].Err = c.methodsIn(ctx, a)
	}
	return nil
}

// methodsIn reads an answer of a batch; further pages come one by one.
func (c *Client) methodsIn(ctx context.Context, a batchAnswer) ([]Method, error) {
	if a.Status != http.StatusOK {
		return nil, a.err(listTask)
	}
	var p page[Method]
	if err := json.Unmarshal(a.Body, &p); err != nil {
		return nil, fmt.Errorf("%s: Graph's answer is not what it should be: %w", listTask.name, err)
	}
	if p.NextLink == "" {
		return p.Value, nil
	}
	rest, err := all(pages[Method](ctx, c, call{task: listTask, path: p.NextLink}))
	return append(p.Value, rest...), err
}

type batchRequest struct {
	ID     string `json:"id"`
	Method string `json:"method"`
	URL    string `json:"url"`
}

type batchAnswer struct {
	ID      string            `json:"id"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"`
}

func (a batchAnswer) header() http.Header {
	h := http.Header{}
	for name, value := range a.Headers {
		h.Set(name, value)
	}
	return h
}

func (a batchAnswer) err(t task) *Error { return newError(t, a.Status, a.header(), a.Body) }

// getBatch sends up to maxBatch GET requests as one. A batch succeeds as a whole even if
// Graph throttled some of it, which azcore does not see: those are sent again here.
func (c *Client) getBatch(ctx context.Context, paths []string) ([]batchAnswer, error) {
	answers := make([]batchAnswer, len(paths))
	open := make([]int, len(paths)) // which have no answer yet
	for i := range open {
		open[i] = i
	}
	for try := range c.tries() {
		if err := c.sendBatch(ctx, paths, open, answers); err != nil {
			return nil, err
		}
		var wait time.Duration
		open = slices.DeleteFunc(open, func(i int) bool {
			if !retried(answers[i].Status) {
				return true
			}
			wait = max(wait, retryAfter(answers[i].header()))
			return false
		})
		if len(open) == 0 || try == c.tries()-1 || wait > c.longestWait() {
			break
		}
		if wait == 0 {
			wait = c.firstWait() << try
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

func retried(status int) bool {
	return throttled(status) || status == http.StatusBadGateway || status == http.StatusGatewayTimeout
}

// sendBatch asks for those of the paths that are open.
func (c *Client) sendBatch(ctx context.Context, paths []string, open []int, answers []batchAnswer) error {
	var body struct {
		Requests []batchRequest `json:"requests"`
	}
	for _, i := range open {
		body.Requests = append(body.Requests, batchRequest{strconv.Itoa(i), http.MethodGet, "/" + paths[i]})
	}
	var got struct{ Responses []batchAnswer }
	if err := c.do(ctx, call{task: batchTask, method: http.MethodPost, path: "v1.0/$batch", body: body}, &got); err != nil {
		return err
	}
	left := slices.Clone(open)
	for _, a := range got.Responses { // in any order
		i, err := strconv.Atoi(a.ID)
		at := slices.Index(left, i)
		if err != nil || at < 0 {
			return fmt.Errorf("%s: Graph answers what was not asked: %q", batchTask.name, printable(a.ID))
		}
		answers[i], left = a, slices.Delete(left, at, at+1)
	}
	if len(left) > 0 {
		return fmt.Errorf("%s: Graph leaves %d of %d requests without an answer", batchTask.name, len(left), len(open))
	}
	return nil
}

// tries, firstWait and longestWait are those of azcore, whose options have zero for the
// default and less for none.
func (c *Client) tries() int {
	switch n := c.retry.MaxRetries; {
	case n == 0:
		return 4
	case n < 0:
		return 1
	default:
		return int(n) + 1
	}
}

func (c *Client) firstWait() time.Duration {
	if c.retry.RetryDelay == 0 {
		return 800 * time.Millisecond
	}
	return max(0, c.retry.RetryDelay)
}

func (c *Client) longestWait() time.Duration {
	switch d := c.retry.MaxRetryDelay; {
	case d == 0:
		return time.Minute
	case d < 0:
		return math.MaxInt64
	default:
		return d
	}
}
