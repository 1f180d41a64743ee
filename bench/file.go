package bench

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/fidokey/fidokey/internal/yamlfile"
)

// A File is a bench file.
type File struct {
	// State is the folder with the locks and with what was noted of the keys. All
	// who share the bench must have the same.
	State string          `yaml:"state"`
	Times Times           `yaml:"times"`
	Keys  map[string]*Key `yaml:"keys"`
}

// Times are how long things take on a bench.
type Times struct {
	// Settle is how long the power stays off.
	Settle time.Duration `yaml:"settle"`
	// Enumerate is how long a key may take until it is there, or gone.
	Enumerate time.Duration `yaml:"enumerate"`
	// Touch is how long a finger stays on the key, TouchGap how long it is off
	// before it comes again. LongTouch is the touch that some keys ask for.
	Touch     time.Duration `yaml:"touch"`
	TouchGap  time.Duration `yaml:"touchGap"`
	LongTouch time.Duration `yaml:"longTouch"`
}

// defaultTimes are what other benches have found to do. A long touch is five
// seconds by the specification, as the key sees them.
var defaultTimes = Times{
	Settle: time.Second, Enumerate: 5 * time.Second,
	Touch: 300 * time.Millisecond, TouchGap: 100 * time.Millisecond, LongTouch: 6 * time.Second,
}

// A Key is a key in a bench file.
type Key struct {
	Match  Match   `yaml:"match"`
	Power  Driver  `yaml:"power"`
	Touch  Driver  `yaml:"touch"`
	Reader *Reader `yaml:"reader"`
	PIN    *PIN    `yaml:"pin"`
	// Release lets the bench wipe the key and lock its PIN. It takes two
	// properties in Match.
	Release bool `yaml:"release"`
	// Profile is the key that a simulator in this process plays, for
	// match.device: simulator.
	Profile string `yaml:"profile"`
}

// PIN says where the PIN of a key is. It is never in the file itself.
type PIN struct {
	File string `yaml:"file"`
	Env  string `yaml:"env"`
}

// A Reader is a smart-card reader that the key lies on.
type Reader struct {
	// Name is the reader's name, or a part that no other has.
	Name string `yaml:"name"`
	// Field takes the key out of the field and puts it back. Without it PC/SC
	// cuts the card's power.
	Field Driver `yaml:"field"`
}

// A FileError is what is wrong with a bench file, at a line and a column.
type FileError = yamlfile.Error

// LoadFile reads a bench file. Paths in it are those of its folder.
func LoadFile(path string) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := Parse(path, text)
	if err != nil {
		return nil, err
	}
	f.resolve(filepath.Dir(path))
	return f, nil
}

// Parse reads the text of a bench file; path is for errors. Members that are not
// known are errors, each with its place.
func Parse(path string, text []byte) (*File, error) {
	f := &File{Times: defaultTimes}
	root, err := yamlfile.Parse(path, text, f)
	if err != nil {
		return nil, err
	}
	var wrong []error
	at := func(node *yaml.Node, format string, args ...any) {
		wrong = append(wrong, yamlfile.At(path, node, format, args...))
	}
	f.Times.check(func(member, format string, args ...any) {
		at(yamlfile.Lookup(root, "times", member), "times: "+format, args...)
	})
	if len(f.Keys) == 0 {
		at(root, "there are no keys")
	}
	for _, name := range slices.Sorted(maps.Keys(f.Keys)) {
		node := yamlfile.Lookup(root, "keys", name)
		if !keyName().MatchString(name) {
			at(node, "key %q: a name has letters, digits, and dots, dashes and underscores between them", name)
		}
		if f.Keys[name] == nil {
			f.Keys[name] = &Key{}
		}
		f.Keys[name].check(func(member, format string, args ...any) {
			at(yamlfile.Lookup(root, "keys", name, member), "key "+name+": "+format, args...)
		})
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return f, nil
}

// keyName is what can be part of a file name everywhere.
var keyName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`) })

// A complaint says what is wrong with a member.
type complaint func(member, format string, args ...any)

func (t *Times) check(wrong complaint) {
	for name, d := range map[string]time.Duration{
		"settle": t.Settle, "enumerate": t.Enumerate, "touch": t.Touch, "touchGap": t.TouchGap, "longTouch": t.LongTouch,
	} {
		if d < 0 || d > time.Minute || d > 0 && d < time.Millisecond {
			wrong(name, "%s is %v: must be a time from 1ms to 1m, as 1s", name, d)
		}
	}
	if t.LongTouch > 10*time.Second {
		wrong("longTouch", "longTouch is %v: keys wait for 10 seconds", t.LongTouch)
	}
}

func (k *Key) check(wrong complaint) {
	k.Match.check(wrong)
	if k.PIN != nil && (k.PIN.File == "") == (k.PIN.Env == "") {
		wrong("pin", "pin has either a file or an env, never the PIN itself")
	}
	inProcess := k.Match.Device == inProcess
	if k.Profile != "" && !inProcess {
		wrong("profile", "profile is for match.device: simulator")
	}
	for member, d := range map[string]Driver{"power": k.Power, "touch": k.Touch} {
		if s, ok := d.Switch.(*simulatorSwitch); ok && (s.Control == "") != inProcess {
			wrong(member, "the driver simulator has a control address, or the key is match.device: simulator")
		}
		if d.Switch != nil && !slices.Contains(d.purposes, member) {
			wrong(member, "the driver %s is not for %s", d.name, member)
		}
	}
	if k.Match.Device == onReader && k.Reader == nil {
		wrong("match", "match.device is reader, and there is none")
	}
	if k.Reader != nil && k.Reader.Name == "" {
		wrong("reader", "reader has no name")
	}
	if k.Reader != nil && k.Reader.Field.Switch != nil && !slices.Contains(k.Reader.Field.purposes, "field") {
		wrong("reader", "the driver %s is not for a field", k.Reader.Field.name)
	}
}

// resolve makes relative paths those of a folder.
func (f *File) resolve(folder string) {
	abs := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(folder, *p)
		}
	}
	abs(&f.State)
	for _, k := range f.Keys {
		if k.PIN != nil {
			abs(&k.PIN.File)
		}
		if strings.HasSuffix(k.Profile, ".yaml") {
			abs(&k.Profile)
		}
		drivers := []Driver{k.Power, k.Touch}
		if k.Reader != nil {
			drivers = append(drivers, k.Reader.Field)
		}
		for _, d := range drivers {
			if s, ok := d.Switch.(interface{ files() []*string }); ok {
				for _, p := range s.files() {
					abs(p)
				}
			}
		}
	}
}
