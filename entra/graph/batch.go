package graph

import (
	"context"
	"encoding/json"
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
	User    string
	Methods []Method
	Err     error
}

// MethodsOf lists the passkeys of many users, twenty in a request. What fails for one
// user is in its UserMethods; an error of the sequence ends it.
func (c *Client) MethodsOf(ctx context.Context, users iter.Seq[string]) iter.Seq2[UserMethods, error] {
	return func(yield func(UserMethods, error) bool) {
		var some []string
		flush := func() bool {
			found, err := c.methodsOfSome(ctx, some)
			if err != nil {
				yield(UserMethods{}, err)
				return false
			}
			for _, u := range found {
				if !yield(u, nil) {
					return false
				}
			}
			some = some[:0]
			return true
		}
		for user := range users {
			if some = append(some, user); len(some) == maxBatch && !flush() {
				return
			}
		}
		if len(some) > 0 {
			flush()
		}
	}
}

// methodsOfSome is MethodsOf for as many users as one request takes.
func (c *Client) methodsOfSome(ctx context.Context, users []string) ([]UserMethods, error) {
	paths := make([]string, len(users))
	for i, u := range users {
		paths[i] = strings.TrimPrefix(userPath("", u, methodsPath), "/")
	}
	answers, err := c.getBatch(ctx, paths)
	if err != nil {
		return nil, err
	}
	found := make([]UserMethods, len(users))
	for i, a := range answers {
		found[i].User = users[i]
		found[i].Methods, found[i].Err = c.methodsIn(ctx, a)
	}
	return found, nil
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
