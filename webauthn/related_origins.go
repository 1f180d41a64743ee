package webauthn

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
)

const (
	// maxLabels is how many different names a list of related origins may have, as
	// browsers count them: the least that the specification allows.
	maxLabels = 5
	// maxRelatedOrigins is the longest document, in bytes.
	maxRelatedOrigins = 256 << 10
)

// related reports whether a document of a relying party, its .well-known/webauthn,
// names the origin (WebAuthn Level 3, section 5.11.1, related origins validation
// procedure).
func related(caller origin, document []byte) (bool, error) {
	var list struct {
		Origins []string `json:"origins"`
	}
	if err := json.Unmarshal(document, &list); err != nil || list.Origins == nil {
		return false, refuse("SecurityError", "the list of related origins is no JSON with the member origins")
	}
	var labelsSeen []string
	for _, item := range list.Origins {
		url, err := parseOrigin(strings.TrimSuffix(item, "/"))
		if err != nil {
			continue
		}
		label, _, _ := strings.Cut(site(url.host), ".")
		if label == "" || len(labelsSeen) >= maxLabels && !slices.Contains(labelsSeen, label) {
			continue
		}
		if url == caller {
			return true, nil
		}
		if !slices.Contains(labelsSeen, label) {
			labelsSeen = append(labelsSeen, label)
		}
	}
	return false, nil
}

// FetchRelatedOrigins asks a relying party for its related origins, over HTTPS. It
// is for [Client.RelatedOrigins]; c may be nil.
func FetchRelatedOrigins(c *http.Client) func(ctx context.Context, rpID string) ([]byte, error) {
	if c == nil {
		c = &http.Client{}
	}
	return func(ctx context.Context, rpID string) ([]byte, error) {
		only := *c // without cookies, and by HTTPS all the way
		only.Jar = nil
		only.CheckRedirect = func(r *http.Request, via []*http.Request) error {
			if r.URL.Scheme != "https" || len(via) >= 10 {
				return fmt.Errorf("sent on to %s", r.URL)
			}
			return nil
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+rpID+"/.well-known/webauthn", nil)
		if err != nil {
			return nil, err
		}
		answer, err := only.Do(request)
		if err != nil {
			return nil, fmt.Errorf("related origins: %w", err)
		}
		defer answer.Body.Close()
		kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
		if answer.StatusCode != http.StatusOK || kind != "application/json" {
			return nil, fmt.Errorf("related origins: %s answers %s, %s", request.URL, answer.Status, kind)
		}
		return io.ReadAll(io.LimitReader(answer.Body, maxRelatedOrigins))
	}
}
