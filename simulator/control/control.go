package control

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/fidokey/fidokey/simulator"
)

const (
	// maxBody is the length in bytes of the longest body: a snapshot of a full key.
	maxBody = 16 << 20

	headerTimeout   = 5 * time.Second
	shutdownTimeout = time.Second
)

// Config is what a control interface reaches.
type Config struct {
	Key   *simulator.Authenticator
	Touch *simulator.TouchPlan    // the key's person
	Clock *simulator.VirtualClock // the key's clock
	// Finger is the finger on the key's sensor; nil: it is not steered.
	Finger *simulator.FingerPlan
	// Token is what clients must know. Without one nobody is let in.
	Token string
	// Bench and Certification let in, without a token, those who speak these
	// dialects.
	Bench, Certification bool
	// Results, if set, is given what the certification tool reports.
	Results func(report []byte)
}

// New returns the handler of a control interface.
func New(c Config) http.Handler {
	s := &server{c}
	own := http.NewServeMux()
	s.routes(own)
	all := http.NewServeMux()
	all.Handle("/v1/", Authorized(s.Token, own))
	if c.Bench {
		all.Handle("/", s.benchRoutes())
	}
	if c.Certification {
		s.certificationRoutes(all)
	}
	return SameSite(all)
}

// Serve serves a handler until ctx ends; it then returns nil. Addresses that are
// not loopback need allowRemote. ready, if not nil, is called with the address.
func Serve(ctx context.Context, address string, allowRemote bool, handler http.Handler, ready func(net.Addr)) error {
	if !allowRemote {
		if err := simulator.CheckLoopback(address); err != nil {
			return fmt.Errorf("control: %w", err)
		}
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout}
	defer context.AfterFunc(ctx, func() {
		soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if server.Shutdown(soon) != nil {
			server.Close()
		}
	})()
	if host, _, _ := net.SplitHostPort(address); host == "localhost" {
		// Clients may take that for either address, and try no other.
		second, err := net.Listen("tcp", fmt.Sprintf("[::1]:%d", l.Addr().(*net.TCPAddr).Port))
		if err == nil {
			go func() { _ = server.Serve(second) }() // until the first ends
		}
	}
	if ready != nil {
		ready(l.Addr())
	}
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control: %w", err)
	}
	return nil
}

// SameSite refuses what a browser sends on behalf of a page.
func SameSite(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" {
			http.Error(w, "not for web pages", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// server is a Config at work.
type server struct{ Config }

// Authorized lets in who knows the token; nobody, if that is empty. Hashes are
// compared, so that the time it takes tells nothing, the length neither.
func Authorized(secret string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(secret))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(token))
		if !bearer || secret == "" || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "the token is missing or wrong", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// badRequest is an error that is the client's.
type badRequest struct{ error }

// A method serves a request; its result becomes JSON, nil no content.
type method func(r *http.Request) (any, error)

func (f method) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	result, err := f(r)
	var bad badRequest
	switch {
	case errors.As(err, &bad):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case result == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		answer(w, result)
	}
}

// answer writes bytes as they are and everything else as JSON.
func answer(w http.ResponseWriter, result any) {
	if raw, ok := result.([]byte); ok {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(raw)
		return
	}
	encoded, err := json.Marshal(result)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(encoded, '\n'))
}

// read decodes the body, in which every member must be known.
func read(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return badRequest{err}
	}
	return nil
}

func readAll(r *http.Request) ([]byte, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, badRequest{err}
	}
	return data, nil
}
