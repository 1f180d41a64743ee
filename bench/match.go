package bench

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport/hid"
)

// A Match says how a key is told from others. All that it has must fit.
type Match struct {
	Vendor  *hexID `yaml:"vendor"`
	Product *hexID `yaml:"product"`
	Serial  string `yaml:"serial"`
	// Port is where on USB the key is plugged in, as Linux names it: "1-4.2".
	Port string `yaml:"port"`
	// Name is the product's name, or part of it.
	Name   string `yaml:"name"`
	AAGUID string `yaml:"aaguid"`
	// Firmware is firmwareVersion of getInfo.
	Firmware *uint64 `yaml:"firmware"`
	// Device is a software key as of --device: "tcp:127.0.0.1:35962", or
	// "simulator"; or "reader": the key lies on its reader, and nowhere else.
	Device string `yaml:"device"`
}

// inProcess is the Device of a simulator in this process.
const inProcess = "simulator"

// onReader is the Device of a key on a reader.
const onReader = "reader"

// A hexID is a vendor's or product's number, four hexadecimal digits.
type hexID uint16

// UnmarshalYAML reads the digits as they are written: 0407 is no octal number.
func (h *hexID) UnmarshalYAML(n *yaml.Node) error {
	v, err := strconv.ParseUint(n.Value, 16, 16)
	if n.Kind != yaml.ScalarNode || err != nil || len(n.Value) != 4 {
		return fmt.Errorf("%q is not four hexadecimal digits", n.Value)
	}
	*h = hexID(v)
	return nil
}

// The names of properties. USB's two numbers together are one: they name a model.
const (
	byModel    = "vendor and product"
	bySerial   = "serial"
	byPort     = "port"
	byName     = "name"
	byAAGUID   = "aaguid"
	byFirmware = "firmware"
	byDevice   = "device"
)

// properties are what the key is told by.
func (m *Match) properties() (names []string) {
	for _, p := range []struct {
		name  string
		given bool
	}{
		{byModel, m.Vendor != nil || m.Product != nil},
		{bySerial, m.Serial != ""},
		{byPort, m.Port != ""},
		{byName, m.Name != ""},
		{byAAGUID, m.AAGUID != ""},
		{byFirmware, m.Firmware != nil},
		{byDevice, m.Device != ""},
	} {
		if p.given {
			names = append(names, p.name)
		}
	}
	return names
}

func (m *Match) check(wrong complaint) {
	if len(m.properties()) == 0 {
		wrong("match", "match has nothing that tells the key from others")
	}
	if _, err := ctap2.ParseAAGUID(m.AAGUID); m.AAGUID != "" && err != nil {
		wrong("match", "aaguid: %v", err)
	}
	if m.Device == "" {
		return
	}
	if m.Device != inProcess && m.Device != onReader && hid.Dialer(m.Device) == nil {
		wrong("match", "device %q is neither simulator nor reader, unix:PATH, tcp:HOST:PORT or udp:HOST:PORT", m.Device)
	}
	if m.Vendor != nil || m.Product != nil || m.Serial != "" || m.Port != "" || m.Name != "" {
		wrong("match", "a software key at %s has no vendor, product, serial, port or name", m.Device)
	}
}

// fitsUSB compares what a key says of itself before it is opened.
func (m *Match) fitsUSB(i hid.Info, port func(path string) string) bool {
	switch {
	case m.Device != "",
		m.Vendor != nil && uint16(*m.Vendor) != i.VendorID,
		m.Product != nil && uint16(*m.Product) != i.ProductID,
		m.Serial != "" && m.Serial != i.Serial,
		m.Name != "" && !strings.Contains(strings.ToLower(i.Manufacturer+" "+i.Product), strings.ToLower(m.Name)),
		m.Port != "" && m.Port != port(i.Path):
		return false
	}
	return true
}

// asks says whether it takes getInfo to tell.
func (m *Match) asks() bool { return m.AAGUID != "" || m.Firmware != nil }

// differs says in which property of getInfo a key is another one; empty: in none.
func (m *Match) differs(info *ctap2.GetInfoResponse) string {
	if m.AAGUID != "" {
		if want, _ := ctap2.ParseAAGUID(m.AAGUID); info.AAGUID != want {
			return fmt.Sprintf("its AAGUID is %v", info.AAGUID)
		}
	}
	if m.Firmware != nil && (info.FirmwareVersion == nil || *info.FirmwareVersion != *m.Firmware) {
		if info.FirmwareVersion == nil {
			return "it tells no firmware version"
		}
		return fmt.Sprintf("its firmware version is %d", *info.FirmwareVersion)
	}
	return ""
}
