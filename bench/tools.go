package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// toolTimeout is how long a program or a server may take.
const toolTimeout = 30 * time.Second

// run runs a program and returns what it wrote to standard output. An error has
// the end of what it wrote to standard error.
func run(ctx context.Context, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("it did not end within %v, and was ended", toolTimeout)
		}
		if errors.Is(err, exec.ErrNotFound) {
			err = fmt.Errorf("%w: install it, or put its folder into PATH", err)
		}
		said := strings.TrimSpace(stderr.String())
		if said == "" {
			said = strings.TrimSpace(stdout.String())
		}
		if said != "" {
			err = fmt.Errorf("%w: %s", err, strings.Join(strings.Fields(said[max(0, len(said)-400):]), " "))
		}
		return "", fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return stdout.String(), nil
}

// command runs a program of the bench's own.
type command struct {
	On       []string `yaml:"on"`
	Off      []string `yaml:"off"`
	ProbeCmd []string `yaml:"probe"`
}

func (c *command) check() error {
	if len(c.On) == 0 || len(c.Off) == 0 {
		return errors.New("on and off are lists, of a program and its arguments")
	}
	return nil
}

func (c *command) Set(ctx context.Context, on bool) error {
	argv := c.Off
	if on {
		argv = c.On
	}
	_, err := run(ctx, argv...)
	return err
}

// Probe runs the program for that, if there is one, else it looks whether there are
// programs.
func (c *command) Probe(ctx context.Context) (string, error) {
	if len(c.ProbeCmd) > 0 {
		said, err := run(ctx, c.ProbeCmd...)
		return strings.TrimSpace(said), err
	}
	for _, argv := range [][]string{c.On, c.Off} {
		if _, err := exec.LookPath(argv[0]); err != nil {
			return "", err
		}
	}
	return "the programs are there; without probe there is no more to see", nil
}

// uhubctl switches a port of a hub that can.
type uhubctl struct {
	Hub  string `yaml:"hub"` // its location: "1-1.4"
	Port int    `yaml:"port"`
	// Repeat sends the power-off again and again: kernels before 6.0 switch it on
	// again.
	Repeat int `yaml:"repeat"`
	// Force takes a hub that does not say that it switches each port.
	Force bool `yaml:"force"`
}

func (u *uhubctl) check() error {
	if !regexp.MustCompile(`^[0-9]+(-[0-9.]+)?$`).MatchString(u.Hub) || u.Port < 1 || u.Port > 31 {
		return errors.New("hub is a location as uhubctl lists them (1-1.4), port a number from 1")
	}
	return nil
}

func (u *uhubctl) argv(more ...string) []string {
	argv := append([]string{"uhubctl"}, more...)
	argv = append(argv, "-l", u.Hub, "-p", strconv.Itoa(u.Port))
	if u.Force {
		argv = append(argv, "-f")
	}
	return argv
}

func (u *uhubctl) Set(ctx context.Context, on bool) error {
	argv := u.argv("-a", "on")
	if !on {
		argv = u.argv("-a", "off")
		if u.Repeat > 0 {
			argv = append(argv, "-r", strconv.Itoa(u.Repeat))
		}
	}
	said, err := run(ctx, argv...)
	if err != nil {
		return err
	}
	_, said, found := strings.Cut(said, "New status for hub")
	is, seen := u.status(said)
	switch {
	case !found || !seen:
		return fmt.Errorf("uhubctl says nothing of port %d of hub %s after it was switched", u.Port, u.Hub)
	case is != on:
		return fmt.Errorf("port %d of hub %s is %s, though uhubctl switched it %s: the hub may not switch single ports", u.Port, u.Hub, onOff(is), onOff(on))
	}
	return nil
}

func (u *uhubctl) Probe(ctx context.Context) (string, error) {
	said, err := run(ctx, u.argv()...)
	if err != nil {
		return "", err
	}
	is, seen := u.status(said)
	if !seen {
		return "", fmt.Errorf("uhubctl says nothing of port %d of hub %s", u.Port, u.Hub)
	}
	return fmt.Sprintf("port %d of hub %s is %s", u.Port, u.Hub, onOff(is)), nil
}

// uhubctlPort is a line as "  Port 2: 0103 power enable connect [...]".
var uhubctlPort = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^ +Port ([0-9]+): [0-9a-f]{4}(( [A-Za-z0-9.]+)*)`)
})

// status is whether any of the port's halves has power: a hub of USB 3 is two.
func (u *uhubctl) status(said string) (on, seen bool) {
	for _, m := range uhubctlPort().FindAllStringSubmatch(said, -1) {
		if m[1] == strconv.Itoa(u.Port) {
			seen = true
			on = on || strings.Contains(m[2]+" ", " power ")
		}
	}
	return on, seen
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// ykushcmd switches a port of a YKUSH board.
type ykushcmd struct {
	Board  string `yaml:"board"` // ykush, ykush2, ykush3 or ykushxs
	Serial string `yaml:"serial"`
	Port   int    `yaml:"port"`
}

func (y *ykushcmd) check() error {
	switch {
	case y.Board == "ykushxs" && y.Port == 0:
		return nil
	case y.Board != "ykush" && y.Board != "ykush2" && y.Board != "ykush3":
		return errors.New("board is ykush, ykush2, ykush3 or ykushxs, which alone has no port")
	case y.Port < 1 || y.Port > 3:
		return errors.New("port is 1, 2 or 3")
	}
	return nil
}

func (y *ykushcmd) argv(action string) []string {
	argv := []string{"ykushcmd"}
	if y.Board != "ykush" { // which has no name of its own
		argv = append(argv, y.Board)
	}
	if y.Serial != "" {
		argv = append(argv, "-s", y.Serial)
	}
	argv = append(argv, action)
	if y.Port > 0 {
		argv = append(argv, strconv.Itoa(y.Port))
	}
	return argv
}

// Set switches the port and asks for it, since ykushcmd exits with 0 whether there
// is a board or not.
func (y *ykushcmd) Set(ctx context.Context, on bool) error {
	action := "-d"
	if on {
		action = "-u"
	}
	if _, err := run(ctx, y.argv(action)...); err != nil {
		return err
	}
	is, err := y.status(ctx)
	if err == nil && is != on {
		err = fmt.Errorf("the port of %s is %s, though ykushcmd switched it %s", y.Board, onOff(is), onOff(on))
	}
	return err
}

func (y *ykushcmd) Probe(ctx context.Context) (string, error) {
	is, err := y.status(ctx)
	return fmt.Sprintf("the port of %s is %s", y.Board, onOff(is)), err
}

// ykushPort is a line as "Downstream port 1 is ON", "Downstream port is OFF" or
// "Port 1 ON". Without a board ykushcmd speaks of port 15.
var ykushPort = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?im)^(?:downstream )?port(?: ([0-9]+))?(?: is)? (on|off)\s*$`)
})

func (y *ykushcmd) status(ctx context.Context) (on bool, err error) {
	said, err := run(ctx, y.argv("-g")...)
	if err != nil {
		return false, err
	}
	return y.read(said)
}

func (y *ykushcmd) read(said string) (on bool, err error) {
	m := ykushPort().FindStringSubmatch(said)
	if m == nil || y.Port > 0 && m[1] != strconv.Itoa(y.Port) {
		return false, fmt.Errorf("ykushcmd does not see port %d of the board %s; 'ykushcmd -l' lists boards with their serial numbers", y.Port, strings.TrimSpace(y.Board+" "+y.Serial))
	}
	return strings.EqualFold(m[2], "on"), nil
}
