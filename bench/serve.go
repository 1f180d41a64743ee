package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/simulator/control"
)

// maxReport is the length in bytes of the longest report of the certification tool.
const maxReport = 16 << 20

// A Server has programs of others use the bench's drivers, over HTTP. Bodies and
// answers are JSON. Each request is answered when it is done.
//
//	GET  /v1/keys                      the keys, with their drivers
//	PUT  /v1/keys/NAME/power           {"on": false}
//	POST /v1/keys/NAME/power/cycle     a Cycle
//	PUT  /v1/keys/NAME/touch           {"on": true}: the finger stays
//	POST /v1/keys/NAME/touch/press     {"ms": 300}, {"long": true} or {}
//	POST /v1/keys/NAME/reset           a Reset; 403 if the key is not released
//
// These carry the token as "Authorization: Bearer TOKEN". Two dialects of others
// carry none. That of test benches has a number for each key, by name and from 1, or
// the name itself in place of usbN:
//
//	GET / and /usbN/touch/on, /usbN/touch/off, /usbN/power/on, /usbN/power/off
//
// That of the certification tool is for one key, and never wipes anything by itself:
//
//	POST /conformance/userpresence, /conformance/powercycle, /conformance/results
type Server struct {
	Places []*Place
	// Token is what clients of our own paths must know. Without one nobody is let
	// in there.
	Token string
	// Bench lets in, without a token, who speaks the dialect of test benches.
	Bench bool
	// Certified is the key that the certification tool tests; nil: it is not let in.
	Certified *Place
	// Results is given what the certification tool reports.
	Results func(report []byte) error
	// Did is told of what was done; nil is nobody.
	Did func(key, what string, err error)

	mu     sync.Mutex
	turns  map[*Place]*sync.Mutex // one thing at a time happens to a key
	cycled time.Time              // when the certification tool had the power cycled
}

// Handler returns the paths.
func (s *Server) Handler() http.Handler {
	s.turns = map[*Place]*sync.Mutex{}
	for _, p := range s.Places {
		s.turns[p] = &sync.Mutex{}
	}
	own := http.NewServeMux()
	own.HandleFunc("GET /v1/keys", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.keys(), nil) })
	s.handle(own, "PUT /v1/keys/{key}/power", setPower)
	s.handle(own, "POST /v1/keys/{key}/power/cycle", cyclePower)
	s.handle(own, "PUT /v1/keys/{key}/touch", setTouch)
	s.handle(own, "POST /v1/keys/{key}/touch/press", pressKey)
	s.handle(own, "POST /v1/keys/{key}/reset", resetKey)
	all := http.NewServeMux()
	all.Handle("/v1/", control.Authorized(s.Token, own))
	if s.Bench {
		dialect := http.NewServeMux() // which would take our paths for its own
		dialect.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, map[string]any{"status": "ok", "keys": s.keys()}, nil)
		})
		s.handle(dialect, "GET /{key}/{what}/{state}", benchDialect)
		all.Handle("/", dialect)
	}
	if s.Certified != nil {
		s.certification(all)
	}
	return control.SameSite(all)
}

// served is a key in an answer.
type served struct {
	Port  int    `json:"port"` // N of usbN
	Name  string `json:"name"`
	Power string `json:"power"`
	Touch string `json:"touch"`
}

func (s *Server) keys() []served {
	keys := []served{}
	for i, p := range s.Places {
		keys = append(keys, served{i + 1, p.Name, p.Power.Name(), p.Touch.Name()})
	}
	return keys
}

// badRequest is an error that is the client's.
type badRequest struct{ error }

// An action does something to a key; what it is called comes back with the result.
type action func(r *http.Request, p *Place) (what string, result any, err error)

func (s *Server) handle(mux *http.ServeMux, pattern string, do action) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		p := s.named(r.PathValue("key"))
		if p == nil {
			http.Error(w, "no such key", http.StatusNotFound)
			return
		}
		s.do(w, r, p, do)
	})
}

func (s *Server) do(w http.ResponseWriter, r *http.Request, p *Place, do action) {
	r.Body = http.MaxBytesReader(w, r.Body, maxReport)
	turn := s.turns[p]
	turn.Lock()
	defer turn.Unlock()
	if r.Context().Err() != nil {
		return // the client left while another had the key
	}
	what, result, err := do(r, p)
	if s.Did != nil && what != "" {
		s.Did(p.Name, what, err)
	}
	answer(w, result, err)
}

// named is a key by its name, or by usb and its number.
func (s *Server) named(name string) *Place {
	if i := slices.IndexFunc(s.Places, func(p *Place) bool { return p.Name == name }); i >= 0 {
		return s.Places[i]
	}
	digits, ok := strings.CutPrefix(name, "usb")
	if n, err := strconv.Atoi(digits); ok && err == nil && n >= 1 && n <= len(s.Places) {
		return s.Places[n-1]
	}
	return nil
}

// answer writes what came of it.
func answer(w http.ResponseWriter, result any, err error) {
	var bad badRequest
	switch {
	case errors.As(err, &bad):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case errors.Is(err, ErrNotReleased):
		http.Error(w, err.Error(), http.StatusForbidden)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(result)
	}
}

// readBody reads JSON in which every member must be known.
func readBody(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return badRequest{err}
	}
	return nil
}

func readOn(r *http.Request) (bool, error) {
	var body struct {
		On *bool `json:"on"`
	}
	err := readBody(r, &body)
	if err == nil && body.On == nil {
		err = badRequest{errors.New("on is missing")}
	}
	return body.On != nil && *body.On, err
}

var done = map[string]string{"status": "ok"}

func setPower(r *http.Request, p *Place) (string, any, error) {
	on, err := readOn(r)
	if err != nil {
		return "", nil, err
	}
	_, err = p.SwitchPower(r.Context(), on)
	return "power " + onOff(on), done, err
}

func cyclePower(r *http.Request, p *Place) (string, any, error) {
	c, err := p.PowerCycle(r.Context())
	return "power cycle", c, err
}

func setTouch(r *http.Request, p *Place) (string, any, error) {
	on, err := readOn(r)
	if err != nil {
		return "", nil, err
	}
	return "touch " + onOff(on), done, p.HoldTouch(r.Context(), on)
}

func pressKey(r *http.Request, p *Place) (string, any, error) {
	var body struct {
		MS   uint16 `json:"ms"`
		Long bool   `json:"long"`
	}
	if err := readBody(r, &body); err != nil {
		return "", nil, err
	}
	return "touch", done, p.TouchNow(r.Context(), time.Duration(body.MS)*time.Millisecond, body.Long)
}

func resetKey(r *http.Request, p *Place) (string, any, error) {
	ctx := context.WithoutCancel(r.Context()) // a reset that was begun is noted
	v, err := p.Judge(ctx)
	if err != nil {
		return "reset", nil, err
	}
	report, err := p.Reset(ctx, v)
	return "reset", report, err
}

func benchDialect(r *http.Request, p *Place) (string, any, error) {
	what, state := r.PathValue("what"), r.PathValue("state")
	if state != "on" && state != "off" {
		return "", nil, badRequest{fmt.Errorf("%q is neither on nor off", state)}
	}
	var err error
	switch what {
	case "touch":
		err = p.HoldTouch(r.Context(), state == "on")
	case "power":
		_, err = p.SwitchPower(r.Context(), state == "on")
	default:
		err = badRequest{fmt.Errorf("%q is neither touch nor power", what)}
	}
	return what + " " + state, map[string]string{"port": r.PathValue("key"), what: state}, err
}

// HoldTouch puts the finger on the key until it is called again to take it off.
func (p *Place) HoldTouch(ctx context.Context, on bool) error {
	if p.Touch.Switch == nil {
		return p.noDriver("touch")
	}
	p.finger.lift()
	p.finger.set(conformance.TouchNever)
	p.finger.setUsed()
	return p.Touch.Set(ctx, on)
}

// certification is the dialect of the certification tool. It waits for each answer,
// and takes 2xx for done.
func (s *Server) certification(mux *http.ServeMux) {
	on := func(path string, do action) {
		mux.HandleFunc("POST /conformance/"+path, func(w http.ResponseWriter, r *http.Request) { s.do(w, r, s.Certified, do) })
	}
	on("userpresence", func(r *http.Request, p *Place) (string, any, error) {
		return "touch", done, p.TouchNow(r.Context(), 0, s.longNow(p))
	})
	on("powercycle", func(r *http.Request, p *Place) (string, any, error) {
		_, err := p.PowerCycle(r.Context())
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cycled = time.Now()
		return "power cycle", done, err
	})
	on("results", func(r *http.Request, p *Place) (string, any, error) {
		report, err := io.ReadAll(r.Body)
		switch {
		case err != nil:
		case len(bytes.TrimSpace(report)) == 0:
			err = badRequest{errors.New("no results in the body")}
		case s.Results != nil:
			err = s.Results(report)
		}
		return "", done, err
	})
}

// longNow reports whether a touch is for a reset that takes a long one: the tool does
// not say what it is for.
func (s *Server) longNow(p *Place) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.longTouchForReset() && time.Since(s.cycled) < resetWindow
}
