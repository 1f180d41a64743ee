package simulator

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/fidokey/fidokey/internal/yamlfile"
)

//go:embed profiles/*.yaml
var shippedProfiles embed.FS

const maxBases = 8 // how long a chain of bases may be

// profilesInGo are those that the others are a change of.
var profilesInGo = map[string]func() *Profile{"default": DefaultProfile, "ctap-2.3": Full23}

// ProfileNames returns the names of the profiles that LoadProfile knows.
func ProfileNames() []string {
	names := slices.Collect(maps.Keys(profilesInGo))
	files, err := shippedProfiles.ReadDir("profiles")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	slices.Sort(names)
	return names
}

// LoadProfile returns the shipped profile with a name, or reads one from a file,
// when the name has a slash or ends in .yaml, .yml or .json.
func LoadProfile(name string) (*Profile, error) {
	var p *Profile
	var err error
	switch {
	case !isProfilePath(name):
		p, err = ShippedProfile(name)
	default:
		var data []byte
		if data, err = os.ReadFile(name); err == nil {
			p, err = ParseProfile(data)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", name, err)
	}
	return p, nil
}

func isProfilePath(name string) bool {
	return strings.ContainsAny(name, `/\`) || slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}

// ShippedProfile returns the shipped profile with a name, and reads no other file.
func ShippedProfile(name string) (*Profile, error) {
	if inGo := profilesInGo[name]; inGo != nil {
		return inGo(), nil
	}
	data, err := shippedProfiles.ReadFile(path.Join("profiles", name+".yaml"))
	if err != nil {
		return nil, fmt.Errorf("there is no such profile: there are %s", strings.Join(ProfileNames(), ", "))
	}
	return ParseProfile(data)
}

// ParseProfile reads a profile in YAML or JSON. Its members are those of
// [Profile]; getInfo has the names of authenticatorGetInfo in a FIDO metadata
// statement. A member base names a shipped profile that the rest is a change of:
// maps are merged, null takes a member away, anything else is replaced. A member
// that is unknown, and a feature that the simulator does not have, is an error.
func ParseProfile(data []byte) (*Profile, error) {
	members, root, err := yamlfile.Members("", data)
	if err != nil {
		return nil, err
	}
	if members, err = onBase(members, maxBases); err != nil {
		return nil, err
	}
	p := &Profile{}
	if err := yamlfile.Convert("", root, members, p); err != nil {
		return nil, err
	}
	return p, p.check()
}

// onBase returns the members of a profile on top of those of its bases.
func onBase(members map[string]any, depth int) (map[string]any, error) {
	base, derived := members["base"]
	delete(members, "base")
	if !derived {
		return members, nil
	}
	name, ok := base.(string)
	if !ok || depth == 0 {
		return nil, errors.New("base is not the name of a profile, or is its own base")
	}
	under, err := readBase(name, depth-1)
	if err != nil {
		return nil, fmt.Errorf("base %s: %w", name, err)
	}
	delete(under, "name")
	delete(under, "purpose")
	return merge(under, members), nil
}

func readBase(name string, depth int) (map[string]any, error) {
	var data []byte
	var err error
	if inGo := profilesInGo[name]; inGo != nil {
		data, err = json.Marshal(inGo())
	} else if data, err = shippedProfiles.ReadFile(path.Join("profiles", name+".yaml")); err != nil {
		err = errors.New("there is no such profile")
	}
	if err != nil {
		return nil, err
	}
	members, _, err := yamlfile.Members("", data)
	if err != nil {
		return nil, err
	}
	return onBase(members, depth)
}

// merge applies a change to a JSON object (RFC 7396).
func merge(object, change map[string]any) map[string]any {
	for name, value := range change {
		switch value := value.(type) {
		case nil:
			delete(object, name)
		case map[string]any:
			under, _ := object[name].(map[string]any)
			if under == nil {
				under = map[string]any{}
			}
			object[name] = merge(under, value)
		default:
			object[name] = value
		}
	}
	return object
}

// YAML returns the profile as a file for LoadProfile, without a base.
func (p *Profile) YAML() ([]byte, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	members, _, err := yamlfile.Members("", text) // JSON is YAML
	if err != nil {
		return nil, err
	}
	return yaml.Dump(members)
}
