package simulator

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
)

// metadataStatement is what profiles need of a FIDO metadata statement.
type metadataStatement struct {
	AAGUID         string         `json:"aaguid"`
	Description    string         `json:"description"`
	ProtocolFamily string         `json:"protocolFamily"`
	GetInfo        map[string]any `json:"authenticatorGetInfo"`
}

// ProfileFromMetadata makes a profile that plays a model as its FIDO metadata
// statement describes it. data is a metadata BLOB (a JWT), from which the AAGUID
// chooses, or one statement in JSON. Nobody's signature is checked: the profile
// is for trying things, and proves nothing about the model.
//
// The notes say what the simulator does not have and the profile leaves out.
func ProfileFromMetadata(data []byte, aaguid ctap2.AAGUID) (p *Profile, notes []string, err error) {
	s, err := findStatement(bytes.TrimSpace(data), aaguid)
	if err != nil {
		return nil, nil, fmt.Errorf("metadata: %w", err)
	}
	p = &Profile{Name: profileName(s.Description), Purpose: s.Description + ", after its metadata statement"}
	if s.GetInfo == nil {
		if s.ProtocolFamily != "u2f" {
			return nil, nil, errors.New("metadata: the statement has no authenticatorGetInfo")
		}
		p.GetInfo.Versions = []string{ctap2.VersionU2F}
		return p, nil, p.check()
	}
	if notes, err = readStatedInfo(&p.GetInfo, s.GetInfo); err != nil {
		return nil, nil, fmt.Errorf("metadata: authenticatorGetInfo: %w", err)
	}
	notes = append(notes, leaveOut(&p.GetInfo)...)
	notes = append(notes, factoryState(&p.GetInfo)...)
	if len(p.GetInfo.Algorithms) == 0 {
		p.GetInfo.Algorithms = credentialParameters(cose.ES256)
		p.Quirks.OmitMembers = []int64{10}
	}
	return p, notes, p.check()
}

// findStatement finds the statement for an AAGUID.
func findStatement(data []byte, aaguid ctap2.AAGUID) (*metadataStatement, error) {
	if bytes.HasPrefix(data, []byte("{")) {
		var s metadataStatement
		if err := json.Unmarshal(data, &s); err != nil {
			return nil, err
		}
		return &s, nil
	}
	parts := bytes.Split(data, []byte("."))
	if len(parts) != 3 {
		return nil, errors.New("neither a BLOB nor a statement")
	}
	payload, err := base64.RawURLEncoding.AppendDecode(nil, parts[1])
	if err != nil {
		return nil, err
	}
	var blob struct {
		Entries []struct {
			AAGUID    string            `json:"aaguid"`
			Statement metadataStatement `json:"metadataStatement"`
		} `json:"entries"`
	}
	if err := json.Unmarshal(payload, &blob); err != nil {
		return nil, err
	}
	for _, entry := range blob.Entries {
		if entry.AAGUID == aaguid.String() {
			return &entry.Statement, nil
		}
	}
	return nil, fmt.Errorf("no entry for AAGUID %v", aaguid)
}

// profileName makes a name of a description.
func profileName(description string) string {
	words := strings.FieldsFunc(strings.ToLower(description), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	if len(words) == 0 {
		return "metadata"
	}
	return strings.Join(words, "-")
}

// readStatedInfo fills in what has a field.
func readStatedInfo(info *ctap2.GetInfoResponse, stated map[string]any) (notes []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(stated)) {
		one, err := json.Marshal(map[string]any{name: stated[name]})
		if err != nil {
			return nil, err
		}
		d := json.NewDecoder(bytes.NewReader(one))
		d.DisallowUnknownFields()
		if err := d.Decode(info); err != nil {
			notes = append(notes, fmt.Sprintf("%s: %v", name, err))
		}
	}
	return notes, nil
}

// leaveOut takes away what the simulator does not have.
func leaveOut(info *ctap2.GetInfoResponse) []string {
	notes := unsupported(info)
	for i := range notes {
		notes[i] += ": the simulator does not have it"
	}
	without := func(names, known []string) []string {
		return slices.DeleteFunc(names, func(name string) bool { return !slices.Contains(known, name) })
	}
	info.Versions = without(info.Versions, supportedVersions)
	info.Extensions = without(info.Extensions, supportedExtensions)
	info.Transports = without(info.Transports, supportedTransports)
	info.AttestationFormats = without(info.AttestationFormats, supportedFormats)
	maps.DeleteFunc(info.Options, func(name string, _ bool) bool { return !slices.Contains(supportedOptions, name) })
	info.Algorithms = slices.DeleteFunc(info.Algorithms, func(c ctap2.CredentialParameters) bool {
		return !slices.Contains(supportedAlgorithms, c.Algorithm)
	})
	info.PINUVAuthProtocols = slices.DeleteFunc(info.PINUVAuthProtocols, func(n uint) bool { return pinProtocols[n] == nil })
	switch size := info.MaxMsgSize; {
	case size > hidMaxMsgSize:
		info.MaxMsgSize = hidMaxMsgSize
		notes = append(notes, fmt.Sprintf("maxMsgSize %d: more than HID carries", size))
	case size != 0 && size < ctap2.DefaultMaxMsgSize:
		info.MaxMsgSize = ctap2.DefaultMaxMsgSize
		notes = append(notes, fmt.Sprintf("maxMsgSize %d: less than the %d that every key takes", size, ctap2.DefaultMaxMsgSize))
	}
	return notes
}

// factoryState sets back the options that tell what a person has set up, which
// some statements give as they were on the maker's table.
func factoryState(info *ctap2.GetInfoResponse) (notes []string) {
	for _, name := range []string{ctap2.OptionClientPIN, ctap2.OptionUV, ctap2.OptionBioEnroll, ctap2.OptionUVMgmtPreview, ctap2.OptionEP} {
		if info.Options[name] {
			info.Options[name] = false
			notes = append(notes, fmt.Sprintf("options %s: false, as nothing is set up", name))
		}
	}
	if len(info.PINUVAuthProtocols) == 0 && (info.HasVersion(ctap2.VersionFIDO20) || info.HasVersion(ctap2.VersionFIDO21)) {
		if _, pin := info.Options[ctap2.OptionClientPIN]; pin {
			info.PINUVAuthProtocols = []uint{1}
		}
	}
	return notes
}
