package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fidokey/fidokey/simulator"
)

func (s *server) routes(mux *http.ServeMux) {
	for pattern, f := range map[string]method{
		"GET /v1/touch":          s.touch,
		"PUT /v1/touch":          s.setTouch,
		"POST /v1/touch/next":    s.nextTouches,
		"POST /v1/touch/answer":  s.answerTouch,
		"PUT /v1/finger":         s.setFinger,
		"POST /v1/finger/next":   s.nextFingers,
		"GET /v1/power":          s.power,
		"PUT /v1/power":          s.setPower,
		"POST /v1/power/cycle":   s.powerCycle,
		"GET /v1/clock":          s.clock,
		"POST /v1/clock/advance": s.advance,
		"GET /v1/faults":         s.faults,
		"POST /v1/faults":        s.addFault,
		"DELETE /v1/faults":      s.clearFaults,
		"GET /v1/counters":       s.counters,
		"DELETE /v1/counters":    s.resetCounters,
		"GET /v1/snapshot":       s.snapshot,
		"PUT /v1/snapshot":       s.restore,
		"GET /v1/profile":        s.profile,
		"PUT /v1/profile":        s.setProfile,
		"PUT /v1/reset-window":   s.resetWindow,
	} {
		mux.Handle(pattern, f)
	}
}

// A waitingTouch is a request for a touch.
type waitingTouch struct {
	Command uint8  `json:"command"`
	RPID    string `json:"rpId,omitempty"`
}

func (s *server) touch(*http.Request) (any, error) {
	waiting := []waitingTouch{}
	for _, w := range s.Touch.Waiting() {
		waiting = append(waiting, waitingTouch{uint8(w.Command), w.RPID})
	}
	return map[string]any{"usual": s.Touch.Usual(), "waiting": waiting}, nil
}

func (s *server) setTouch(r *http.Request) (any, error) {
	var body struct {
		Usual *simulator.Touch `json:"usual"`
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	if body.Usual == nil {
		return nil, badRequest{errors.New("usual is missing")}
	}
	s.Touch.Set(*body.Usual)
	return nil, nil
}

func (s *server) nextTouches(r *http.Request) (any, error) {
	var body struct {
		Touches []simulator.Touch `json:"touches"`
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	s.Touch.Next(body.Touches...)
	return nil, nil
}

func (s *server) answerTouch(r *http.Request) (any, error) {
	var body struct {
		Answer string `json:"answer"`
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	for _, p := range []simulator.Presence{
		simulator.PresenceTouched, simulator.PresenceLongTouch, simulator.PresenceDeclined, simulator.PresenceNone,
	} {
		if body.Answer != p.String() {
			continue
		}
		if !s.Touch.Answer(p) {
			return nil, badRequest{errors.New("no request waits for a touch")}
		}
		return nil, nil
	}
	return nil, badRequest{fmt.Errorf("answer %q: must be touched, long, declined or none", body.Answer)}
}

// A sample is a simulator.Sample.
type sample struct {
	Finger  string                  `json:"finger"`
	Quality simulator.SampleQuality `json:"quality"`
}

// setFinger takes a sample; one without a finger is nobody's.
func (s *server) setFinger(r *http.Request) (any, error) {
	var body sample
	if err := read(r, &body); err != nil {
		return nil, err
	}
	if s.Finger == nil {
		return nil, badRequest{errors.New("the sensor is not steered")}
	}
	usual := simulator.Sample(body)
	if usual.Finger == "" {
		s.Finger.Set(nil)
	} else {
		s.Finger.Set(&usual)
	}
	return nil, nil
}

func (s *server) nextFingers(r *http.Request) (any, error) {
	var body struct {
		Samples []sample `json:"samples"`
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	if s.Finger == nil {
		return nil, badRequest{errors.New("the sensor is not steered")}
	}
	for _, next := range body.Samples {
		s.Finger.Next(simulator.Sample(next))
	}
	return nil, nil
}

// A toggle is a thing that is on or off.
type toggle struct {
	On *bool `json:"on"`
}

func readToggle(r *http.Request) (bool, error) {
	var body toggle
	if err := read(r, &body); err != nil {
		return false, err
	}
	if body.On == nil {
		return false, badRequest{errors.New("on is missing")}
	}
	return *body.On, nil
}

func (s *server) power(*http.Request) (any, error) {
	on, _ := s.Key.Powered()
	return toggle{&on}, nil
}

func (s *server) setPower(r *http.Request) (any, error) {
	on, err := readToggle(r)
	if err != nil {
		return nil, err
	}
	s.switchPower(on)
	return nil, nil
}

func (s *server) switchPower(on bool) {
	if on {
		s.Key.PowerOn()
	} else {
		s.Key.PowerOff()
	}
}

func (s *server) powerCycle(*http.Request) (any, error) {
	s.Key.PowerCycle()
	return nil, nil
}

func (s *server) clock(*http.Request) (any, error) {
	return map[string]time.Time{"now": s.Clock.Now()}, nil
}

func (s *server) advance(r *http.Request) (any, error) {
	var body struct {
		MS uint32 `json:"ms"`
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	s.Clock.Advance(time.Duration(body.MS) * time.Millisecond)
	return s.clock(r)
}

func (s *server) faults(*http.Request) (any, error) {
	return append([]simulator.Fault{}, s.Key.Faults().Pending()...), nil
}

func (s *server) addFault(r *http.Request) (any, error) {
	var fault simulator.Fault
	if err := read(r, &fault); err != nil {
		return nil, err
	}
	if err := s.Key.Faults().Add(fault); err != nil {
		return nil, badRequest{err}
	}
	return nil, nil
}

func (s *server) clearFaults(*http.Request) (any, error) {
	s.Key.Faults().Clear()
	return nil, nil
}

func (s *server) counters(*http.Request) (any, error) { return s.Key.Counters(), nil }

func (s *server) resetCounters(*http.Request) (any, error) {
	s.Key.ResetCounters()
	return nil, nil
}

func (s *server) snapshot(r *http.Request) (any, error) {
	data, err := s.Key.Snapshot(r.Context())
	return data, err
}

func (s *server) restore(r *http.Request) (any, error) {
	data, err := readAll(r)
	if err != nil {
		return nil, err
	}
	if err := s.Key.Restore(r.Context(), data); err != nil {
		return nil, badRequest{err}
	}
	return nil, nil
}

func (s *server) profile(*http.Request) (any, error) { return s.Key.Profile(), nil }

// setProfile takes the name of a shipped profile, or a profile.
func (s *server) setProfile(r *http.Request) (any, error) {
	data, err := readAll(r)
	if err != nil {
		return nil, err
	}
	p, err := namedProfile(data)
	if p == nil && err == nil {
		p, err = simulator.ParseProfile(data)
	}
	if err == nil {
		err = s.Key.SetProfile(r.Context(), p)
	}
	if err != nil {
		return nil, badRequest{err}
	}
	return nil, nil
}

// namedProfile reads {"name": "..."}; anything else gives nil.
func namedProfile(data []byte) (*simulator.Profile, error) {
	var members map[string]any
	if json.Unmarshal(data, &members) != nil || len(members) != 1 {
		return nil, nil
	}
	name, ok := members["name"].(string)
	if !ok {
		return nil, nil
	}
	return simulator.ShippedProfile(name)
}

func (s *server) resetWindow(r *http.Request) (any, error) {
	on, err := readToggle(r)
	if err != nil {
		return nil, err
	}
	s.Key.SetResetWindow(on)
	return nil, nil
}
