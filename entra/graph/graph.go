// Package graph is a client for the part of Microsoft Graph that deals with passkeys:
// registering, listing and deleting them, the tenant's policy, authentication strengths,
// and the reports on what is in use. It knows how to ask; what a policy means is not its
// business, so policies go through it as the JSON that they are.
//
// Requests go through azcore's pipeline: it repeats what was throttled, waits as long as
// Retry-After says, and keeps tokens out of its log.
package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// maxAnswer bounds what one answer may take of memory.
const maxAnswer = 32 << 20

// A Cloud is one of Microsoft's clouds, which share no accounts.
type Cloud struct {
	Name      string
	Graph     string // the root of Graph
	Authority string // who signs people in
}

// clouds are those that have passkeys. Creation options are offered in the global one
// only, listing in those of the US Government too.
var clouds = map[string]Cloud{
	"global":   {"global", "https://graph.microsoft.com", cloud.AzurePublic.ActiveDirectoryAuthorityHost},
	"usgov-l4": {"usgov-l4", "https://graph.microsoft.us", cloud.AzureGovernment.ActiveDirectoryAuthorityHost},
	"usgov-l5": {"usgov-l5", "https://dod-graph.microsoft.us", cloud.AzureGovernment.ActiveDirectoryAuthorityHost},
	"china":    {"china", "https://microsoftgraph.chinacloudapi.cn", cloud.AzureChina.ActiveDirectoryAuthorityHost},
}

// CloudNames lists the names that CloudNamed takes.
func CloudNames() []string { return slices.Sorted(maps.Keys(clouds)) }

// CloudNamed returns the cloud of a name.
func CloudNamed(name string) (Cloud, error) {
	c, ok := clouds[name]
	if !ok {
		return c, fmt.Errorf("there is no cloud %q; it is one of %s", name, strings.Join(CloudNames(), ", "))
	}
	return c, nil
}

func knownAuthority(address string) bool {
	for _, c := range clouds {
		if c.Authority == address {
			return true
		}
	}
	return false
}

// ErrNotOffered means that nobody can register passkeys for others in a cloud.
var ErrNotOffered = errors.New("administrators can register passkeys for users in the global cloud only; here users register them themselves")

// Provisions returns ErrNotOffered for the clouds without creation options, so that no
// key is asked for what cannot be registered.
func (c *Client) Provisions() error {
	if _, national := clouds[c.cloud]; national && c.cloud != "global" {
		return fmt.Errorf("cloud %s: %w", c.cloud, ErrNotOffered)
	}
	return nil
}

// Options are what New needs to know.
type Options struct {
	Cloud     Cloud // the zero value is the global one
	UserAgent string
	Retry     policy.RetryOptions // the zero value has azcore's defaults
	Transport policy.Transporter  // nil: one that uses $HTTPS_PROXY and follows nobody elsewhere
	// Waiting is told how long Graph wants to be left alone, before that is done; many
	// goroutines may call it. nil: nobody is told.
	Waiting func(time.Duration)
}

// Client asks Graph. Many goroutines may use it.
type Client struct {
	root     *url.URL
	cloud    string
	pipeline runtime.Pipeline
	retry    policy.RetryOptions
}

// New returns a client. Tokens are sent over TLS only, but for a stand-in on this
// machine.
func New(credential azcore.TokenCredential, o Options) (*Client, error) {
	if o.Cloud == (Cloud{}) {
		o.Cloud = clouds["global"]
	}
	root, err := url.Parse(strings.TrimSuffix(o.Cloud.Graph, "/"))
	if err != nil {
		return nil, err
	}
	plain := root.Scheme == "http" && isLoopback(root.Hostname())
	if root.Host == "" || root.Scheme != "https" && !plain {
		return nil, fmt.Errorf("%s: Graph is asked over https only; http is for a stand-in on this machine", o.Cloud.Graph)
	}
	if o.Transport == nil {
		o.Transport = &http.Client{CheckRedirect: stay}
	}
	bearer := runtime.NewBearerTokenPolicy(credential, []string{o.Cloud.Graph + "/.default"},
		&policy.BearerTokenOptions{InsecureAllowCredentialWithHTTP: plain})
	pipeline := runtime.NewPipeline("fidokey", o.UserAgent, runtime.PipelineOptions{PerRetry: []policy.Policy{bearer, waiting(o.Waiting)}},
		&policy.ClientOptions{Retry: o.Retry, Transport: o.Transport})
	return &Client{root: root, cloud: o.Cloud.Name, pipeline: pipeline, retry: o.Retry}, nil
}

// stay follows no redirect: the token would go along, even from https to http.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// waiting looks for the Retry-After that azcore goes by.
type waiting func(time.Duration)

// Do passes everything on.
func (tell waiting) Do(r *policy.Request) (*http.Response, error) {
	response, err := r.Next()
	if err == nil && tell != nil && throttled(response.StatusCode) {
		if d := retryAfter(response.Header); d > 0 {
			tell(d)
		}
	}
	return response, err
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// A call is one request.
type call struct {
	task   task
	method string
	path   string // below the root: "v1.0/users"; or a whole address of Graph's own
	query  url.Values
	body   any
}

// do sends a call and reads the answer into out, unless that is nil.
func (c *Client) do(ctx context.Context, k call, out any) error {
	address, err := c.address(k)
	if err != nil {
		return err
	}
	request, err := runtime.NewRequest(ctx, k.method, address)
	if err != nil {
		return err
	}
	request.Raw().Header.Set("Accept", "application/json")
	if k.body != nil {
		if err := runtime.MarshalAsJSON(request, k.body); err != nil {
			return err
		}
	}
	response, err := c.pipeline.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", k.task.name, signInError(err))
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", k.task.name, err)
	case len(text) > maxAnswer:
		return fmt.Errorf("%s: Graph's answer is longer than %d bytes", k.task.name, maxAnswer)
	case response.StatusCode >= 300:
		return newError(k.task, response.StatusCode, response.Header, text)
	case out == nil || response.StatusCode == http.StatusNoContent:
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s: Graph's answer is not what it should be: %w", k.task.name, err)
	}
	return nil
}

// address is where a call goes. An address that Graph gave for the next page is taken
// only if it is Graph's: the token goes with it.
func (c *Client) address(k call) (string, error) {
	if !strings.Contains(k.path, "://") {
		address := c.root.String() + "/" + k.path
		if len(k.query) > 0 { // OData wants %20 for a space
			address += "?" + strings.ReplaceAll(k.query.Encode(), "+", "%20")
		}
		return address, nil
	}
	u, err := url.Parse(k.path)
	if err != nil || u.Scheme != c.root.Scheme || u.Host != c.root.Host {
		return "", errors.New(k.task.name + ": Graph names another server for the next page; it gets no token")
	}
	return k.path, nil
}

// retriedSafely makes a call be repeated only where it was surely not carried out:
// what throttled it says so.
func (c *Client) retriedSafely(ctx context.Context) context.Context {
	o := c.retry
	o.ShouldRetry = func(r *http.Response, err error) bool {
		return err == nil && (r.StatusCode == http.StatusTooManyRequests ||
			r.StatusCode == http.StatusServiceUnavailable && r.Header.Get("Retry-After") != "")
	}
	return policy.WithRetryOptions(ctx, o)
}

// userPath is the path of a user. An UPN may have any character, and one that begins
// with $ is for OData.
func userPath(version, user, rest string) string {
	return version + "/users/" + url.PathEscape(user) + rest
}

// Time is a time as Graph writes it; some answers have none, or leave the zone out.
type Time struct{ time.Time }

// UnmarshalJSON takes null and the empty text for no time.
func (t *Time) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil || s == "" {
		return err
	}
	parsed, err := time.Parse(time.RFC3339, s)
	if err != nil {
		if parsed, err = time.Parse("2006-01-02T15:04:05", s); err != nil {
			return err
		}
	}
	t.Time = parsed.UTC()
	return nil
}
