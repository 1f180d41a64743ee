package relyingparty

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/fidokey/fidokey/webauthn"
)

//go:embed page
var page embed.FS

const (
	maxBody        = 1 << 20 // bytes
	maxCredentials = 1000
	maxPending     = 100
	lifetime       = 10 * time.Minute // of options
)

// Config says who the relying party is.
type Config struct {
	RPID   string
	Origin string // of the page, as in http://localhost:8080
	// Judge is what registrations are judged by besides: metadata, roots.
	Judge webauthn.Expected
	// Report is told of each ceremony, one at a time; nil: nobody.
	Report func(*Ceremony)
}

// A Server is the website. Use [New].
type Server struct {
	config  Config
	host    string
	handler http.Handler

	mu          sync.Mutex
	pending     map[string]*pending // by challenge
	credentials []*Credential       // in the order of their registration
}

// New returns a website without credentials.
func New(c Config) (*Server, error) {
	origin, err := url.Parse(c.Origin)
	if err != nil || origin.Host == "" {
		return nil, fmt.Errorf("%q is not an origin", c.Origin)
	}
	s := &Server{config: c, host: origin.Host, pending: map[string]*pending{}}
	files, err := fs.Sub(page, "page")
	if err != nil {
		return nil, err
	}
	routes := http.NewServeMux()
	routes.Handle("GET /", http.FileServerFS(files))
	routes.HandleFunc("GET /api/credentials", s.list)
	routes.HandleFunc("POST /api/reset", s.reset)
	post(routes, "/api/registration/options", s.registrationOptions)
	post(routes, "/api/registration", s.register)
	post(routes, "/api/authentication/options", s.authenticationOptions)
	post(routes, "/api/authentication", s.authenticate)
	s.handler = http.NewCrossOriginProtection().Handler(routes)
	return s, nil
}

// headers keep the page to itself: it loads nothing from elsewhere, runs no script
// that is not its own, and is in nobody's frame.
var headers = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options":  "nosniff",
	"Referrer-Policy":         "no-referrer",
	"Cache-Control":           "no-store",
}

// ServeHTTP answers under the name of the origin only: another name that leads here
// is that of an address, which WebAuthn does not take, or of somebody else's page.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range headers {
		w.Header().Set(name, value)
	}
	if r.Host != s.host {
		if r.Method == http.MethodGet && r.URL.Path == "/" {
			http.Redirect(w, r, s.config.Origin+"/", http.StatusTemporaryRedirect)
			return
		}
		fail(w, &Error{http.StatusMisdirectedRequest, "this page is at " + s.config.Origin})
		return
	}
	s.handler.ServeHTTP(w, r)
}

// Error is why something is not judged.
type Error struct {
	Status  int    `json:"-"`
	Message string `json:"error"`
}

func (e *Error) Error() string { return e.Message }

func fail(w http.ResponseWriter, err error) {
	e := &Error{http.StatusBadRequest, err.Error()}
	errors.As(err, &e)
	answer(w, e.Status, e)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// post routes a request with a body of JSON. Another type would be one that any
// page may send.
func post[Body, Answer any](routes *http.ServeMux, path string, do func(*Body) (Answer, error)) {
	routes.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") != "application/json" {
			fail(w, &Error{http.StatusUnsupportedMediaType, "the body must be application/json"})
			return
		}
		body := new(Body)
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(body); err != nil {
			fail(w, fmt.Errorf("not the JSON that belongs here: %w", err))
			return
		}
		v, err := do(body)
		if err != nil {
			fail(w, err)
			return
		}
		answer(w, http.StatusOK, v)
	})
}

func (s *Server) list(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	list := append([]*Credential{}, s.credentials...)
	for i, c := range list {
		list[i] = new(*c)
	}
	s.mu.Unlock()
	answer(w, http.StatusOK, list)
}

func (s *Server) reset(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.credentials = nil
	clear(s.pending)
	w.WriteHeader(http.StatusNoContent)
}

// expect remembers options until they are answered; of too many the oldest go.
func (s *Server) expect(p *pending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.expires = time.Now().Add(lifetime)
	for len(s.pending) >= maxPending {
		oldest := ""
		for challenge, other := range s.pending {
			if oldest == "" || other.expires.Before(s.pending[oldest].expires) {
				oldest = challenge
			}
		}
		delete(s.pending, oldest)
	}
	s.pending[p.want.Challenge.String()] = p
}

// answered returns the options that a response is for, which are used up by it.
func (s *Server) answered(clientDataJSON []byte, registration bool) (*pending, error) {
	var said struct{ Challenge string }
	if err := json.Unmarshal(clientDataJSON, &said); err != nil {
		return nil, fmt.Errorf("clientDataJSON: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pending[said.Challenge]
	delete(s.pending, said.Challenge)
	if p == nil || p.registration != registration || time.Now().After(p.expires) {
		return nil, &Error{http.StatusConflict, "no such request is open: its challenge was used, is too old, or was never given out"}
	}
	return p, nil
}

// find returns the credential with an ID, or nil. s.mu is held.
func (s *Server) find(id []byte) *Credential {
	i := slices.IndexFunc(s.credentials, func(c *Credential) bool { return string(c.ID) == string(id) })
	if i < 0 {
		return nil
	}
	return s.credentials[i]
}

func (s *Server) report(c *Ceremony) {
	if s.config.Report == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config.Report(c)
}
