package control

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/fidokey/fidokey/simulator"
)

// touchNow is a finger on the key.
var touchNow = simulator.Touch{Action: simulator.TouchKey}

// benchRoutes is the dialect of test benches with a power switch and a finger for
// each USB port. All ports are this one key.
func (s *server) benchRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", method(func(*http.Request) (any, error) {
		on, _ := s.Key.Powered()
		return map[string]any{"status": "ok", "power": on}, nil
	}))
	mux.Handle("GET /{port}/{what}/{state}", method(s.bench))
	return mux
}

func (s *server) bench(r *http.Request) (any, error) {
	port, what, state := r.PathValue("port"), r.PathValue("what"), r.PathValue("state")
	number, isUSB := strings.CutPrefix(port, "usb")
	if _, err := strconv.ParseUint(number, 10, 8); !isUSB || err != nil || state != "on" && state != "off" {
		return nil, badRequest{errors.New("must be /usbN/touch/on, /touch/off, /power/on or /power/off")}
	}
	on := state == "on"
	switch what {
	case "touch":
		touch := simulator.Touch{Action: simulator.TouchNever}
		if on {
			touch = touchNow
		}
		s.Touch.Set(touch)
	case "power":
		s.switchPower(on)
	default:
		return nil, badRequest{fmt.Errorf("%q is neither touch nor power", what)}
	}
	return map[string]string{"port": port, what: state}, nil
}

// certificationRoutes is the dialect of the certification tool. It takes an
// answer of 200 for done.
func (s *server) certificationRoutes(mux *http.ServeMux) {
	done := map[string]string{"status": "ok"}
	mux.Handle("POST /conformance/userpresence", method(func(*http.Request) (any, error) {
		if !s.Touch.Answer(simulator.PresenceTouched) {
			s.Touch.Next(touchNow) // the request is still on its way
		}
		return done, nil
	}))
	mux.Handle("POST /conformance/powercycle", method(func(*http.Request) (any, error) {
		s.Key.PowerCycle()
		return done, nil
	}))
	mux.Handle("POST /conformance/results", method(func(r *http.Request) (any, error) {
		report, err := readAll(r)
		if err != nil {
			return nil, err
		}
		if s.Results != nil {
			s.Results(report)
		}
		return done, nil
	}))
}
