// Package download gets a file that seldom changes by HTTP: it asks only whether there
// is a newer one, tries again, and takes no more than it was told to. What comes is
// for the caller to judge.
package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/hashicorp/go-retryablehttp"
)

// Validators are what a server said of a file, so that it can be asked for a newer
// one (RFC 9110, section 8.8).
type Validators struct {
	ETag, LastModified string
}

// Options bound a download.
type Options struct {
	MaxSize   int64         // of the file, unpacked
	Timeout   time.Duration // for all tries together
	Tries     int
	Wait      time.Duration // before the second try; it doubles
	UserAgent string
}

// File is what a server gave.
type File struct {
	// Data is nil if the file is the one that the validators are of.
	Data []byte
	Validators
}

// ErrTooLarge is for a file above Options.MaxSize.
var ErrTooLarge = errors.New("the file is too large")

// Get gets a file. A server that is busy, broken or breaks off is asked again.
func Get(ctx context.Context, address string, known Validators, o Options) (*File, error) {
	outer := ctx
	ctx, cancel := context.WithTimeout(outer, o.Timeout)
	defer cancel()
	request, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", o.UserAgent)
	if known.ETag != "" {
		request.Header.Set("If-None-Match", known.ETag)
	}
	if known.LastModified != "" {
		request.Header.Set("If-Modified-Since", known.LastModified)
	}
	file := &File{}
	// Within the handler a broken body counts as a failed try.
	request.SetResponseHandler(func(r *http.Response) error { return file.read(r, o.MaxSize) })
	r, err := o.client().Do(request)
	if err == nil {
		return file, r.Body.Close()
	}
	if outer.Err() == nil && ctx.Err() != nil {
		return nil, fmt.Errorf("%s: not here within %v", address, o.Timeout)
	}
	if errors.As(err, new(*url.Error)) { // which names the address
		return nil, err
	}
	return nil, fmt.Errorf("%s: %w", address, err)
}

func (o Options) client() *retryablehttp.Client {
	c := retryablehttp.NewClient()
	c.Logger = nil
	c.RetryMax, c.RetryWaitMin = o.Tries-1, o.Wait
	c.RetryWaitMax = max(o.Wait, 30*time.Second)
	c.HTTPClient = &http.Client{Transport: cleanhttp.DefaultTransport(), CheckRedirect: redirect}
	c.CheckRetry = again
	c.ErrorHandler = failed
	return c
}

// final is an error that another try does not mend.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// again is the library's rule for what may pass.
func again(ctx context.Context, r *http.Response, err error) (bool, error) {
	if errors.As(err, new(final)) {
		return false, err
	}
	return retryablehttp.DefaultRetryPolicy(ctx, r, err)
}

// failed gives an answer without the file its error, after the last try.
func failed(r *http.Response, err error, tries int) (*http.Response, error) {
	if r != nil {
		r.Body.Close()
		if err == nil {
			err = fmt.Errorf("the server says %s", r.Status)
		}
	}
	if tries > 1 {
		err = fmt.Errorf("%w (tried %d times)", err, tries)
	}
	return nil, err
}

// redirect follows, but not from https to http.
func redirect(to *http.Request, via []*http.Request) error {
	switch {
	case len(via) >= 10:
		return final{errors.New("the server sends on and on")}
	case via[0].URL.Scheme == "https" && to.URL.Scheme != "https":
		return final{fmt.Errorf("the server sends on to %s, which is not https", to.URL.Redacted())}
	}
	return nil
}

func (f *File) read(r *http.Response, limit int64) error {
	defer r.Body.Close()
	f.Validators = Validators{r.Header.Get("ETag"), r.Header.Get("Last-Modified")}
	asked := r.Request.Header.Get("If-None-Match") + r.Request.Header.Get("If-Modified-Since")
	switch {
	case r.StatusCode == http.StatusNotModified && asked != "":
		f.Data = nil
		return nil
	case r.StatusCode != http.StatusOK:
		return final{fmt.Errorf("the server says %s", r.Status)}
	}
	if r.ContentLength > limit {
		return final{ErrTooLarge}
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = final{ErrTooLarge}
	}
	f.Data = data
	return err
}
