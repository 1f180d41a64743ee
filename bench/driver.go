package bench

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A Switch is a driver. For power, on is a key that is plugged in; for touch, a
// finger on the key; for a field, a key in it.
type Switch interface {
	// Set returns when it is done, as far as the driver can tell.
	Set(ctx context.Context, on bool) error
	// Probe asks whether the thing responds, and changes nothing. It returns what
	// there is to say, as "port 2 is on".
	Probe(ctx context.Context) (string, error)
}

// What only some can do for touches.
type (
	// A longToucher must be told that a touch is a long one.
	longToucher interface {
		setLong(ctx context.Context) error
	}
	// A decliner can refuse for the person.
	decliner interface {
		setDecline(ctx context.Context) error
	}
)

// A Driver is a Switch in a bench file; the zero Driver is none.
type Driver struct {
	Switch
	name     string
	purposes []string
}

// Name is the word in the bench file; "none" for none.
func (d Driver) Name() string {
	if d.Switch == nil {
		return "none"
	}
	return d.name
}

// drivers makes a driver by its name, and says what it is for.
var drivers = map[string]struct {
	make     func() Switch
	purposes []string
}{
	"uhubctl":   {func() Switch { return &uhubctl{} }, []string{"power"}},
	"ykushcmd":  {func() Switch { return &ykushcmd{} }, []string{"power"}},
	"http":      {func() Switch { return &httpSwitch{client: &http.Client{Timeout: toolTimeout}} }, []string{"power", "touch", "field"}},
	"command":   {func() Switch { return &command{} }, []string{"power", "touch", "field"}},
	"gpio":      {func() Switch { return &gpio{open: openLine} }, []string{"power", "touch", "field"}},
	"serial":    {func() Switch { return &serialRelay{open: openSerial} }, []string{"power", "touch", "field"}},
	"simulator": {func() Switch { return &simulatorSwitch{} }, []string{"power", "touch"}},
	"pcsc":      {func() Switch { return &pcscField{} }, []string{"field"}},
	"person":    {func() Switch { return &person{} }, []string{"power", "touch", "field"}},
}

// UnmarshalYAML reads the members that belong to the driver, and refuses others.
func (d *Driver) UnmarshalYAML(n *yaml.Node) error {
	var which struct {
		Driver string `yaml:"driver"`
	}
	if err := n.Load(&which); err != nil {
		return err
	}
	if which.Driver == "none" && len(n.Content) == 2 {
		d.name = "none"
		return nil
	}
	kind, ok := drivers[which.Driver]
	if !ok {
		names := slices.Sorted(maps.Keys(drivers))
		return fmt.Errorf("driver %q: must be none or one of %s", which.Driver, strings.Join(names, ", "))
	}
	*d = Driver{kind.make(), which.Driver, kind.purposes}
	if err := without(n, "driver").Load(d.Switch, yaml.WithKnownFields()); err != nil {
		return err
	}
	if c, ok := d.Switch.(interface{ check() error }); ok {
		if err := c.check(); err != nil {
			return fmt.Errorf("driver %s: %v", which.Driver, err)
		}
	}
	return nil
}

// without is a mapping but for one member.
func without(n *yaml.Node, member string) *yaml.Node {
	c := *n
	c.Content = nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != member {
			c.Content = append(c.Content, n.Content[i], n.Content[i+1])
		}
	}
	return &c
}

// closeAll closes what drivers hold open: a GPIO line, a serial port.
func closeAll(drivers ...Driver) (err error) {
	for _, d := range drivers {
		if c, ok := d.Switch.(io.Closer); ok {
			if e := c.Close(); err == nil {
				err = e
			}
		}
	}
	return err
}
