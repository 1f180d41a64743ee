package entra

import (
	"encoding/json"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/metadata"
)

// Key is what is known of a key, or of a model of which there is none at hand.
type Key struct {
	AAGUID ctap2.AAGUID
	// Info is getInfo of the key. nil: there is none at hand, and what the metadata
	// has of it counts.
	Info *ctap2.GetInfoResponse
	// Attestation is that of a registration. nil: none was made, and what the
	// metadata has of it counts.
	Attestation *Attestation
}

// Metadata finds what the FIDO Alliance publishes of a model: nil if that is nothing.
// [metadata.Index] is one.
type Metadata interface {
	Entry(aaguid string) (*metadata.Entry, error)
}

// own are Microsoft's authenticators, which stand in no list of the FIDO Alliance.
var own = map[string]struct {
	name          string
	attests       bool // in a way of its own, which Entra takes
	windowsHello  bool
	passkeySynced bool
}{
	"90a3ccdf-635c-4729-a248-9b709135078f": {name: "Microsoft Authenticator (iOS)", attests: true},
	"de1e552d-db1d-4423-a619-566b625cdc84": {name: "Microsoft Authenticator (Android)", attests: true},
	"08987058-cadc-4b81-b6e1-30de50dcbe96": {name: "Windows Hello (hardware)", windowsHello: true},
	"9ddd1817-af5a-4672-a2b9-3e3dd95000a9": {name: "Windows Hello (VBS)", windowsHello: true},
	"6028b017-b1d4-4c02-b4b3-afcdafc96bb2": {name: "Windows Hello (software)", windowsHello: true},
	"d3452668-01fd-4c12-926c-83a4204853aa": {name: "Microsoft Password Manager", passkeySynced: true},
}

// model is what is published of a key's model.
type model struct {
	entry  *metadata.Entry // nil: there is none
	info   *ctap2.GetInfoResponse
	known  bool // metadata was there to look into
	err    error
	listed string // who says that it is accepted with attestation enforced; empty: nobody
}

// find looks up the model of a key.
func (k *Key) find(m Metadata) (found model) {
	id := k.AAGUID.String()
	if named, ok := metadata.Lookup(id); ok && named.EntraAttestable {
		found.listed = "Microsoft listed it on " + metadata.Date().Format("2006-01-02")
	}
	if own[id].attests {
		found.listed = "it is Microsoft's own"
	}
	if m == nil {
		return found
	}
	found.entry, found.err = m.Entry(id)
	found.known = found.err == nil
	if found.entry != nil {
		found.info = publishedInfo(&found.entry.Statement)
	}
	return found
}

// publishedInfo reads authenticatorGetInfo of a statement, or returns nil if it has
// none. A member that does not fit is left out: the rest counts all the same.
func publishedInfo(s *metadata.Statement) *ctap2.GetInfoResponse {
	if len(s.GetInfo) == 0 {
		return nil
	}
	info := new(ctap2.GetInfoResponse)
	for name, raw := range s.GetInfo {
		one, err := json.Marshal(map[string]json.RawMessage{name: raw})
		if err != nil {
			continue
		}
		with := *info
		if json.Unmarshal(one, &with) == nil {
			*info = with
		}
	}
	return info
}
