package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/fidokey/fidokey/simulator"
)

// httpSwitch asks a server: a board on the network, a smart socket, another bench.
type httpSwitch struct {
	On     string `yaml:"on"`
	Off    string `yaml:"off"`
	URL    string `yaml:"probe"`
	Method string `yaml:"method"` // GET without one
	Body   string `yaml:"body"`   // JSON
	// The token that the server asks for, as a Bearer.
	TokenFile string `yaml:"tokenFile"`
	TokenEnv  string `yaml:"tokenEnv"`

	client *http.Client
}

func (h *httpSwitch) files() []*string { return []*string{&h.TokenFile} }

func (h *httpSwitch) check() error {
	for _, address := range []string{h.On, h.Off, h.URL} {
		u, err := url.Parse(address)
		if (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") && (address != "" || h.On == "" || h.Off == "") {
			return errors.New("on and off are addresses, as http://bench.example/usb1/power/on, and so is probe")
		}
		if u.User != nil {
			return errors.New("the address has a password in it: give a token with tokenFile or tokenEnv")
		}
	}
	if h.Body != "" && !json.Valid([]byte(h.Body)) {
		return errors.New("body is not JSON")
	}
	if h.TokenFile != "" && h.TokenEnv != "" {
		return errors.New("the token comes from tokenFile or from tokenEnv")
	}
	return nil
}

func (h *httpSwitch) Set(ctx context.Context, on bool) error {
	address := h.Off
	if on {
		address = h.On
	}
	method := h.Method
	if method == "" {
		method = http.MethodGet
	}
	_, err := h.ask(ctx, method, address, h.Body)
	return err
}

func (h *httpSwitch) Probe(ctx context.Context) (string, error) {
	if h.URL == "" {
		return "without probe there is nothing to see", nil
	}
	said, err := h.ask(ctx, http.MethodGet, h.URL, "")
	return strings.TrimSpace(said), err
}

func (h *httpSwitch) ask(ctx context.Context, method, address, body string) (string, error) {
	token := os.Getenv(h.TokenEnv)
	if h.TokenFile != "" {
		text, err := os.ReadFile(h.TokenFile)
		if err != nil {
			return "", err
		}
		token = string(bytes.TrimSpace(text))
	}
	return ask(ctx, h.client, method, address, body, token)
}

// maxAnswer is as much of an answer as anybody wants to see.
const maxAnswer = 4096

// ask sends a request; everything but 2xx is an error.
func ask(ctx context.Context, client *http.Client, method, address, body, token string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", err
	}
	if resp.StatusCode/100 != 2 {
		return "", fmt.Errorf("%s %s: %s: %s", method, address, resp.Status, bytes.TrimSpace(said))
	}
	return string(said), nil
}

// simulatorSwitch steers a simulated key, by its control interface or in this
// process.
type simulatorSwitch struct {
	Control   string `yaml:"control"` // HOST:PORT
	TokenFile string `yaml:"tokenFile"`

	touch bool // else the power
	key   *simulator.Authenticator
	plan  *simulator.TouchPlan
}

func (s *simulatorSwitch) files() []*string { return []*string{&s.TokenFile} }

func (s *simulatorSwitch) check() error {
	if (s.Control == "") != (s.TokenFile == "") {
		return errors.New("control and tokenFile go together")
	}
	return nil
}

func (s *simulatorSwitch) Set(ctx context.Context, on bool) error {
	switch {
	case !s.touch && s.key != nil && on:
		s.key.PowerOn()
		return nil
	case !s.touch && s.key != nil:
		s.key.PowerOff()
		return nil
	case !s.touch:
		return s.put(ctx, "power", map[string]any{"on": on})
	case on:
		return s.set(ctx, simulator.Touch{Action: simulator.TouchKey})
	}
	return s.set(ctx, simulator.Touch{Action: simulator.TouchNever})
}

func (s *simulatorSwitch) setLong(ctx context.Context) error {
	return s.set(ctx, simulator.Touch{Action: simulator.TouchLong})
}

func (s *simulatorSwitch) setDecline(ctx context.Context) error {
	return s.set(ctx, simulator.Touch{Action: simulator.TouchDecline})
}

// set says how the simulated person behaves.
func (s *simulatorSwitch) set(ctx context.Context, t simulator.Touch) error {
	if s.plan != nil {
		s.plan.Set(t)
		return nil
	}
	return s.put(ctx, "touch", map[string]any{"usual": t})
}

func (s *simulatorSwitch) put(ctx context.Context, what string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	_, err = s.ask(ctx, http.MethodPut, what, string(text))
	return err
}

func (s *simulatorSwitch) ask(ctx context.Context, method, what, body string) (string, error) {
	token, err := os.ReadFile(s.TokenFile)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	direct := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // by no proxy, for it carries the token
	return ask(ctx, direct, method, "http://"+s.Control+"/v1/"+what, body, string(bytes.TrimSpace(token)))
}

func (s *simulatorSwitch) Probe(ctx context.Context) (string, error) {
	if s.Control == "" {
		return "a simulator in this process", nil
	}
	said, err := s.ask(ctx, http.MethodGet, "power", "")
	return "a simulator that runs: " + strings.TrimSpace(said), err
}

// person is somebody who does as they are told.
type person struct {
	say   func(format string, args ...any)
	name  string // of the key
	touch bool
	field bool
}

func (p *person) Set(_ context.Context, on bool) error {
	switch {
	case p.touch && on:
		p.say("Touch the key %s.", p.name)
	case p.touch: // a finger leaves by itself
	case p.field && on:
		p.say("Lay the key %s on its reader.", p.name)
	case p.field:
		p.say("Take the key %s off its reader.", p.name)
	case on:
		p.say("Plug the key %s in again.", p.name)
	default:
		p.say("Unplug the key %s.", p.name)
	}
	return nil
}

func (p *person) setLong(context.Context) error {
	p.say("Touch the key %s, and keep the finger there.", p.name)
	return nil
}

func (p *person) Probe(context.Context) (string, error) { return "a person", nil }
