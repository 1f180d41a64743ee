package bench

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/simulator/control"
)

// driverOf reads a driver as a bench file has it.
func driverOf(t *testing.T, member, text string) Switch {
	t.Helper()
	f, err := Parse("bench.yaml", []byte("keys: {a: {match: {serial: x}, "+member+": {driver: "+text+"}}}"))
	if err != nil {
		t.Fatal(err)
	}
	d := map[string]Driver{"power": f.Keys["a"].Power, "touch": f.Keys["a"].Touch}[member]
	t.Cleanup(func() { closeAll(d) })
	return d.Switch
}

// tool puts a program into PATH that notes how it is called and then runs a script.
// It returns what reads the calls.
func tool(t *testing.T, name, script string) (calls func() []string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the stand-ins are shell scripts")
	}
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	text := fmt.Sprintf("#!/bin/sh\necho \"$*\" >> %s\ncd %s\n%s", log, dir, script)
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return func() []string {
		noted, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(noted)), "\n")
	}
}

// flip switches off and on, and looks.
func flip(t *testing.T, s Switch) (probe string) {
	t.Helper()
	for _, on := range []bool{false, true} {
		if err := s.Set(t.Context(), on); err != nil {
			t.Errorf("%v: %v", on, err)
		}
	}
	probe, err := s.Probe(t.Context())
	if err != nil {
		t.Error(err)
	}
	return probe
}

// failing is a switch that cannot; want is part of the reason.
func failing(t *testing.T, s Switch, want string) {
	t.Helper()
	if err := s.Set(t.Context(), false); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

// uhubctlScript answers as uhubctl 2.6 does for a hub of USB 3, which is two hubs.
const uhubctlScript = `
case "$*" in *"-a off"*) echo off > state;; *"-a on"*) [ -e stuck ] || echo on > state;; esac
two() {
  echo "$1 status for hub 1-1.4 [2109:2817 VIA Labs, Inc. USB2.0 Hub, USB 2.10, 4 ports, ppps]"
  if [ "$(cat state)" = on ]; then echo "  Port 2: 0103 power enable connect [1050:0407 Yubico YubiKey OTP+FIDO+CCID]"; else echo "  Port 2: 0000 off"; fi
  echo "$1 status for hub 2-1.4 [2109:0817 VIA Labs, Inc. USB3.0 Hub, USB 3.20, 4 ports, ppps]"
  if [ "$(cat state)" = on ]; then echo "  Port 2: 02a0 power 5gbps Rx.Detect"; else echo "  Port 2: 0080 off"; fi
}
case "$*" in *"-a "*) two Current > /dev/null; echo "Sent power request"; two New;; *) two Current;; esac
`

func TestUhubctl(t *testing.T) {
	calls := tool(t, "uhubctl", uhubctlScript)
	u := driverOf(t, "power", "uhubctl, hub: 1-1.4, port: 2, repeat: 100, force: true")
	if probe := flip(t, u); probe != "port 2 of hub 1-1.4 is on" {
		t.Error(probe)
	}
	want := []string{"-a off -l 1-1.4 -p 2 -f -r 100", "-a on -l 1-1.4 -p 2 -f", "-l 1-1.4 -p 2 -f"}
	if got := calls(); !slices.Equal(got, want) {
		t.Errorf("calls %q", got)
	}
}

func TestUhubctlFails(t *testing.T) {
	u := driverOf(t, "power", "uhubctl, hub: 1-1.4, port: 2")
	t.Run("not there", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		failing(t, u, "install it")
	})
	t.Run("no hub", func(t *testing.T) {
		tool(t, "uhubctl", "echo 'No compatible devices detected at location 1-1.4!' >&2; echo 'Run with -h to get usage info.' >&2; exit 1")
		failing(t, u, "No compatible devices detected at location 1-1.4!")
	})
	t.Run("does not switch", func(t *testing.T) {
		tool(t, "uhubctl", "echo 'New status for hub 1-1.4 [x]'; echo '  Port 2: 0103 power enable connect [x]'")
		failing(t, u, "is on, though uhubctl switched it off: the hub may not switch single ports")
	})
	t.Run("silent", func(t *testing.T) {
		tool(t, "uhubctl", "echo 'Current status for hub 1-1.4 [x]'; echo '  Port 2: 0103 power [x]'")
		failing(t, u, "says nothing of port 2")
	})
}

// ykushScript answers as ykushcmd does, which exits with 0 whatever happened.
const ykushScript = `
[ -e state ] || echo ON > state
case "$*" in *"-d"*) echo OFF > state;; *"-u"*) echo ON > state;; esac
case "$*" in
  "ykush3 "*-g*) echo "Port 3 $(cat state)";;
  "ykushxs "*-g*) printf '\n\nDownstream port is %s\n\n' "$(cat state)";;
  *-g*) printf '\n\nDownstream port 3 is %s\n\n' "$(cat state)";;
esac
`

func TestYkushcmd(t *testing.T) {
	for text, want := range map[string][]string{
		"ykushcmd, board: ykush, port: 3":                    {"-d 3", "-g 3", "-u 3", "-g 3", "-g 3"},
		"ykushcmd, board: ykush3, serial: Y3N10001, port: 3": {"ykush3 -s Y3N10001 -d 3", "ykush3 -s Y3N10001 -g 3", "ykush3 -s Y3N10001 -u 3", "ykush3 -s Y3N10001 -g 3", "ykush3 -s Y3N10001 -g 3"},
		"ykushcmd, board: ykushxs":                           {"ykushxs -d", "ykushxs -g", "ykushxs -u", "ykushxs -g", "ykushxs -g"},
	} {
		t.Run(text, func(t *testing.T) {
			calls := tool(t, "ykushcmd", ykushScript)
			flip(t, driverOf(t, "power", text))
			if got := calls(); !slices.Equal(got, want) {
				t.Errorf("calls %q", got)
			}
		})
	}
	t.Run("no board", func(t *testing.T) {
		tool(t, "ykushcmd", `printf '\n\nDownstream port 15 is ON\n\n'`)
		failing(t, driverOf(t, "power", "ykushcmd, board: ykush, port: 1"), "does not see port 1 of the board ykush")
	})
	t.Run("does not switch", func(t *testing.T) {
		tool(t, "ykushcmd", `echo "Port 1 ON"`)
		failing(t, driverOf(t, "power", "ykushcmd, board: ykush3, port: 1"), "is on, though ykushcmd switched it off")
	})
}

func TestCommand(t *testing.T) {
	calls := tool(t, "plug", `[ "$1" != broken ] || { echo "no relay" >&2; exit 3; }; echo well`)
	if probe := flip(t, driverOf(t, "power", "command, on: [plug, in, 'a b'], off: [plug, out], probe: [plug, look]")); probe != "well" {
		t.Error(probe)
	}
	if got := calls(); !slices.Equal(got, []string{"out", "in a b", "look"}) {
		t.Errorf("calls %q", got)
	}
	failing(t, driverOf(t, "power", "command, on: [plug], off: [plug, broken]"), "plug broken: exit status 3: no relay")
	if _, err := driverOf(t, "power", "command, on: [plug], off: [nowhere]").Probe(t.Context()); err == nil {
		t.Error("a program that is not there")
	}
}

func TestHTTP(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, strings.TrimSpace(fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.Header.Get("Authorization"), " ", string(body))))
		if r.URL.Path == "/broken" {
			http.Error(w, "no such port", http.StatusNotFound)
		}
	}))
	defer server.Close()
	flip(t, driverOf(t, "touch", fmt.Sprintf("http, on: '%[1]s/usb1/touch/on', off: '%[1]s/usb1/touch/off', probe: '%[1]s/'", server.URL)))
	t.Setenv("BENCH_TOKEN", "secret")
	if err := driverOf(t, "power", fmt.Sprintf("http, on: '%[1]s/on', off: '%[1]s/off', method: POST, body: '{}', tokenEnv: BENCH_TOKEN", server.URL)).Set(t.Context(), true); err != nil {
		t.Error(err)
	}
	if want := []string{"GET /usb1/touch/off", "GET /usb1/touch/on", "GET /", "POST /on Bearer secret {}"}; !slices.Equal(got, want) {
		t.Errorf("requests %q", got)
	}
	failing(t, driverOf(t, "power", fmt.Sprintf("http, on: '%[1]s/on', off: '%[1]s/broken'", server.URL)), "404 Not Found: no such port")
}

// TestRelays writes to a terminal's other end and reads what a relay would.
func TestRelays(t *testing.T) {
	for text, want := range map[string]string{
		"lcus":                  "a00100a1" + "a00101a2",
		"lcus, channel: 2":      "a00200a2" + "a00201a3",
		"kmtronic, channel: 3":  "ff0300" + "ff0301",
		"numato, channel: 10":   hex.EncodeToString([]byte("relay off A\rrelay on A\r")),
		"devantech, channel: 2": hex.EncodeToString([]byte("pf")),
		"bytes, on: 'A0 01 01 A2', off: 'A00100A1'": "a00100a1" + "a00101a2",
	} {
		t.Run(text, func(t *testing.T) {
			if runtime.GOOS == "windows" {
				t.Skip("there are no pseudo-terminals here")
			}
			relay, line, err := pty.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer relay.Close()
			defer line.Close()
			if _, err := term.MakeRaw(int(line.Fd())); err != nil {
				t.Fatal(err)
			}
			flip(t, driverOf(t, "touch", "serial, device: "+line.Name()+", protocol: "+text))
			got := make([]byte, len(want)/2)
			relay.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.ReadFull(relay, got); err != nil || hex.EncodeToString(got) != want {
				t.Errorf("%x, %v, want %s", got, err, want)
			}
		})
	}
	failing(t, driverOf(t, "touch", "serial, device: /dev/nowhere, protocol: lcus"), "/dev/nowhere")
}

// lines are a serial port whose control lines are looked at.
type lines struct{ moved []string }

func (l *lines) Write(b []byte) (int, error) { return 0, errors.New("unplugged") }
func (l *lines) Drain() error                { return nil }
func (l *lines) Close() error                { l.moved = append(l.moved, "closed"); return nil }
func (l *lines) SetRTS(on bool) error        { l.moved = append(l.moved, "rts "+onOff(on)); return nil }
func (l *lines) SetDTR(on bool) error        { l.moved = append(l.moved, "dtr "+onOff(on)); return nil }

func TestRelayLines(t *testing.T) {
	port := &lines{}
	for _, protocol := range []string{"rts", "dtr", "lcus"} {
		r := driverOf(t, "touch", "serial, device: d, protocol: "+protocol).(*serialRelay)
		r.open = func(*serialRelay) (serialPort, error) { return port, nil }
		if protocol == "lcus" {
			failing(t, r, "unplugged")
			continue
		}
		flip(t, r)
		r.Close()
	}
	want := []string{"rts off", "rts on", "closed", "dtr off", "dtr on", "closed", "closed"}
	if !slices.Equal(port.moved, want) {
		t.Errorf("%q", port.moved)
	}
}

// noted is a GPIO line.
type noted struct{ states []string }

func (n *noted) set(on bool) error { n.states = append(n.states, onOff(on)); return nil }
func (n *noted) Close() error      { n.states = append(n.states, "closed"); return nil }

// TestGPIO is on a line that notes what happens to it; the kernel's is in
// test/e2e/guest.
func TestGPIO(t *testing.T) {
	g := driverOf(t, "touch", "gpio, chip: /dev/gpiochip0, line: 4").(*gpio)
	line, opened := &noted{}, 0
	g.open = func(*gpio) (gpioLine, error) { opened++; return line, nil }
	flip(t, g)
	if err := g.Close(); err != nil || opened != 1 || !slices.Equal(line.states, []string{"off", "on", "off", "closed"}) {
		t.Errorf("%v, opened %d times, %q", err, opened, line.states)
	}
	failing(t, driverOf(t, "touch", "gpio, chip: /dev/null, line: 4"), "")

	// A key has power before it is asked whether its line responds, and after.
	b := newBench(t, Options{}, "  blue:\n    match: {serial: x}\n    power: {driver: gpio, chip: c, line: 4}\n")
	line = &noted{}
	power := place(t, b, "blue").Power.Switch.(*gpio)
	power.open = func(g *gpio) (gpioLine, error) { return line, line.set(g.rest) }
	if _, err := power.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := power.Close(); err != nil || !slices.Equal(line.states, []string{"on", "on", "closed"}) {
		t.Errorf("%v, %q", err, line.states)
	}
}

// TestSimulatorSwitch steers a simulator by HTTP.
func TestSimulatorSwitch(t *testing.T) {
	clock := simulator.NewVirtualClock()
	plan := simulator.NewTouchPlan(clock, simulator.Touch{Action: simulator.TouchNever})
	key, err := simulator.New(simulator.Config{Clock: clock, Presence: plan.Presence})
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close()
	server := httptest.NewServer(control.New(control.Config{Key: key, Touch: plan, Clock: clock, Token: "secret"}))
	defer server.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(server.URL, "http://")
	power := &simulatorSwitch{Control: address, TokenFile: token}
	touch := &simulatorSwitch{Control: address, TokenFile: token, touch: true}
	if probe := flip(t, power); probe != `a simulator that runs: {"on":true}` || key.Counters().PowerCycles != 1 {
		t.Errorf("%s, %+v", probe, key.Counters())
	}
	for _, step := range []struct {
		do   func(context.Context) error
		want simulator.TouchAction
	}{
		{func(ctx context.Context) error { return touch.Set(ctx, true) }, simulator.TouchKey},
		{touch.setLong, simulator.TouchLong},
		{touch.setDecline, simulator.TouchDecline},
		{func(ctx context.Context) error { return touch.Set(ctx, false) }, simulator.TouchNever},
	} {
		if err := step.do(t.Context()); err != nil || plan.Usual().Action != step.want {
			t.Errorf("%v, %v, want %v", plan.Usual(), err, step.want)
		}
	}
	if err := os.WriteFile(token, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	failing(t, power, "401")
}
