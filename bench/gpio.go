package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// gpio is a line of a GPIO chip, with a transistor, a relay or an analogue switch at
// it. The line is held until Close; the kernel lets go of it then.
type gpio struct {
	Chip      string `yaml:"chip"` // "/dev/gpiochip0"
	Line      int    `yaml:"line"`
	ActiveLow bool   `yaml:"activeLow"`
	Drive     string `yaml:"drive"` // push-pull, open-drain or open-source

	// rest is how the line is before it is switched and after: on where it is the
	// key's power, which nobody wants to lose for a question.
	rest bool
	open func(g *gpio) (gpioLine, error)
	mu   sync.Mutex
	line gpioLine
}

// A gpioLine is a line that was asked for as an output.
type gpioLine interface {
	set(on bool) error
	Close() error
}

func (g *gpio) check() error {
	switch {
	case g.Chip == "" || g.Line < 0:
		return errors.New("chip is a device as /dev/gpiochip0, line a number from 0")
	case g.Drive != "" && g.Drive != "push-pull" && g.Drive != "open-drain" && g.Drive != "open-source":
		return fmt.Errorf("drive %q: must be push-pull, open-drain or open-source", g.Drive)
	}
	return nil
}

func (g *gpio) files() []*string { return []*string{&g.Chip} }

// hold asks for the line, which is at rest at first.
func (g *gpio) hold() (err error) {
	if g.line == nil {
		g.line, err = g.open(g)
	}
	return err
}

func (g *gpio) Set(_ context.Context, on bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.hold(); err != nil {
		return err
	}
	return g.line.set(on)
}

func (g *gpio) Probe(context.Context) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return fmt.Sprintf("line %d of %s can be switched", g.Line, g.Chip), g.hold()
}

func (g *gpio) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.line == nil {
		return nil
	}
	line := g.line
	g.line = nil
	return errors.Join(line.set(g.rest), line.Close())
}
