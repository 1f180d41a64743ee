package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/yamlfile"
	"github.com/fidokey/fidokey/webauthn"
)

// expectations are what a team expects of a key: the file of "ci".
type expectations struct {
	AAGUID   oneOrMore     `yaml:"aaguid"` // one of them
	Model    string        `yaml:"model"`  // part of its name
	Firmware *wantFirmware `yaml:"firmware"`

	Versions   []string         `yaml:"versions"`
	Extensions []string         `yaml:"extensions"`
	Transports []string         `yaml:"transports"`
	Algorithms []string         `yaml:"algorithms"`
	Options    map[string]*bool `yaml:"options"` // null: the key must not list it

	PIN           *wantPIN           `yaml:"pin"`
	Certification *wantCertification `yaml:"certification"`
	Register      []wantRegistration `yaml:"register"`
	Latency       *wantLatency       `yaml:"latency"`
}

// oneOrMore is a text or a list of texts.
type oneOrMore []string

func (o *oneOrMore) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*o = oneOrMore{n.Value}
		return nil
	}
	return n.Load((*[]string)(o))
}

type wantFirmware struct {
	AtLeast string `yaml:"atLeast"` // 328707, or 5.4.3
	Exactly string `yaml:"exactly"`
}

type wantPIN struct {
	Set         *bool `yaml:"set"`
	MinLength   *uint `yaml:"minLength"` // of the key's policy, at least
	Retries     *uint `yaml:"retries"`   // left, at least
	ForceChange *bool `yaml:"forceChange"`
	Complexity  *bool `yaml:"complexity"`
}

type wantCertification struct {
	Level   string `yaml:"level"`   // at least: L1, L1plus, L2, ...
	Trusted *bool  `yaml:"trusted"` // nothing is known against the model
}

type wantRegistration struct {
	RP               string `yaml:"rp"`
	Discoverable     bool   `yaml:"discoverable"`
	UserVerification string `yaml:"userVerification"`
	Algorithm        string `yaml:"algorithm"`
	Attestation      bool   `yaml:"attestation"` // and it is judged
}

type wantLatency struct {
	GetInfo  time.Duration `yaml:"getInfo"`
	Register time.Duration `yaml:"register"` // the touch included
	SignIn   time.Duration `yaml:"signIn"`   // the touch included
}

// parseExpectations reads the file, strictly.
func parseExpectations(path string, text []byte) (*expectations, error) {
	var x expectations
	root, err := yamlfile.Parse(path, text, &x)
	if err != nil {
		return nil, err
	}
	var wrong []error
	at := func(member string, format string, args ...any) {
		wrong = append(wrong, yamlfile.At(path, yamlfile.Lookup(root, member), format, args...))
	}
	if len(root.Content) == 0 {
		at("", "nothing is expected of the key")
	}
	for _, a := range x.AAGUID {
		if _, err := ctap2.ParseAAGUID(a); err != nil {
			at("aaguid", "aaguid: %v", err)
		}
	}
	if f := x.Firmware; f != nil {
		for _, v := range []string{f.AtLeast, f.Exactly} {
			if _, err := parseFirmware(v); v != "" && err != nil {
				at("firmware", "firmware: %v", err)
			}
		}
		if (f.AtLeast == "") == (f.Exactly == "") {
			at("firmware", "firmware has either atLeast or exactly")
		}
	}
	for _, name := range x.Algorithms {
		if _, err := cose.ParseAlgorithm(name); err != nil {
			at("algorithms", "algorithms: %v", err)
		}
	}
	if c := x.Certification; c != nil && c.Level != "" && !slices.Contains(certificationLevels, c.Level) {
		at("certification", "certification: level %q: must be one of %s", c.Level, strings.Join(certificationLevels, ", "))
	}
	for _, r := range x.Register {
		if err := r.check(); err != nil {
			at("register", "register: %v", err)
		}
	}
	if l := x.Latency; l != nil && (l.Register > 0 || l.SignIn > 0) && len(x.Register) == 0 {
		at("latency", "latency: register has no relying party, so nothing of it is measured")
	}
	return &x, errors.Join(wrong...)
}

// certificationLevels are FIDO's, the lowest first.
var certificationLevels = []string{"L1", "L1plus", "L2", "L2plus", "L3", "L3plus"}

func (w *wantRegistration) check() error {
	if err := webauthn.CheckRPID(w.RP); err != nil {
		return err
	}
	if _, err := cose.ParseAlgorithm(w.Algorithm); w.Algorithm != "" && err != nil {
		return err
	}
	if !slices.Contains([]string{"", "required", "preferred", "discouraged"}, w.UserVerification) {
		return fmt.Errorf("userVerification %q: must be required, preferred or discouraged", w.UserVerification)
	}
	return nil
}

// parseFirmware reads a number, or three with dots as 'fidokey info' shows them.
func parseFirmware(text string) (uint64, error) {
	var major, minor, patch uint64
	if n, err := fmt.Sscanf(text, "%d.%d.%d", &major, &minor, &patch); n == 3 && err == nil && major < 1<<16 && minor < 256 && patch < 256 && text == fmt.Sprintf("%d.%d.%d", major, minor, patch) {
		return major<<16 | minor<<8 | patch, nil
	}
	var number uint64
	if _, err := fmt.Sscanf(text, "%d", &number); err != nil || text != fmt.Sprint(number) {
		return 0, fmt.Errorf("%q is neither a number nor as 5.4.3", text)
	}
	return number, nil
}

// sortedOptions are the names of the options that something is expected of.
func (x *expectations) sortedOptions() []string { return slices.Sorted(maps.Keys(x.Options)) }
