package release

import (
	"bufio"
	"bytes"
	"debug/pe"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	wineFolder = "/usr/lib/wine" // Debian has it in no PATH
	wine       = wineFolder + "/wine64"
)

// TestWindows runs the Windows program under wine: what needs no key of the system.
func TestWindows(t *testing.T) {
	if _, err := os.Stat(wine); err != nil {
		missing(t, "wine64 is missing: make deps")
	}
	first, _ := dist(t)
	program := filepath.Join(unzip(t, one(t, first, "*_windows_amd64.zip")), "fidokey.exe")
	newWine(t)

	for _, tt := range []struct {
		says string
		args []string
	}{
		{"windows/amd64", []string{"version"}},
		{"inspects, sets up and tries", []string{"--help"}},
		{"AAGUID", []string{"info", "--device", "simulator", "--simulator-state", ":memory:"}},
		{"The PIN is set", []string{"pin", "set", "--device", "simulator", "--simulator-state", "key.db", "--new-pin-file", "pin"}},
		{"The PIN is right", []string{"pin", "verify", "--device", "simulator", "--simulator-state", "key.db", "--pin-file", "pin"}},
		{" 0 fail", []string{"conformance", "run", "--device", "simulator", "--group", "INF"}},
	} {
		cmd := exec.CommandContext(t.Context(), wine, append([]string{program}, tt.args...)...)
		cmd.Dir = filepath.Dir(program)
		if err := os.WriteFile(filepath.Join(cmd.Dir, "pin"), []byte("246813\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), tt.says) {
			t.Errorf("%q: %v\n%s", tt.args, err, out)
		}
	}

	// Wine 8 has no smart cards. What fails is named, and not a number only.
	for _, command := range []string{"list", "doctor"} {
		out, _ := exec.CommandContext(t.Context(), wine, program, command).CombinedOutput()
		if bare := regexp.MustCompile(`PC/SC error 0x[0-9a-f]+[^0-9a-f,]`).Find(out); bare != nil || len(out) == 0 {
			t.Errorf("%s says:\n%s", command, out)
		}
	}

	// Its simulator is a key for a program outside.
	key := exec.CommandContext(t.Context(), wine, program, "simulator", "run", "--tcp", "127.0.0.1:0", "--state", ":memory:")
	out, err := key.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Start(); err != nil {
		t.Fatal(err)
	}
	defer key.Wait()
	defer key.Process.Kill()
	var seen strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		seen.WriteString(lines.Text() + "\n")
		address, ok := strings.CutPrefix(lines.Text(), "tcp ")
		address, _, ready := strings.Cut(address, ": ready")
		if !ok || !ready {
			continue
		}
		if said := run(t, wine, program, "info", "--device", "tcp:"+address); !strings.Contains(said, "AAGUID") {
			t.Errorf("info of the simulator says:\n%s", said)
		}
		return
	}
	t.Errorf("the simulator names no address:\n%s", &seen)
}

// newWine makes a Windows of the test's own, which ends with it.
func newWine(t *testing.T) {
	t.Helper()
	home := t.TempDir()
	for name, value := range map[string]string{
		"HOME": home, "WINEPREFIX": filepath.Join(home, "wine"), "WINEDEBUG": "-all", "DISPLAY": "",
		"WINEDLLOVERRIDES": "mscoree,mshtml=;winemenubuilder.exe=d", // nothing to download, no menus
	} {
		t.Setenv(name, value)
	}
	server := func(how string) { exec.Command(wineFolder+"/wineserver64", how).Run() }
	run(t, wine, "wineboot", "--init")
	server("-w")
	t.Cleanup(func() { server("-k"); server("-w") })
	// Programs in Go take their random numbers from a library that Wine 8 does not have; what
	// Windows had before gives them too.
	library := filepath.Join(home, "wine/drive_c/windows/system32/bcryptprimitives.dll")
	if _, err := os.Stat(library); err == nil {
		return
	}
	if err := os.WriteFile(library, forwarder("bcryptprimitives.dll", "ProcessPrng", "advapi32.SystemFunction036"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// forwarder makes a library without code: its only function is that of another library.
func forwarder(name, function, to string) []byte {
	const (
		page    = 0x1000 // where the section is in memory
		aligned = 0x200  // where it is in the file, and its size there
		strings = page + 13*4
	)
	text := name + "\x00" + function + "\x00" + to + "\x00"
	nameAt := uint32(strings)
	functionAt := nameAt + uint32(len(name)) + 1
	toAt := functionAt + uint32(len(function)) + 1
	var section, file bytes.Buffer
	put := func(w *bytes.Buffer, what any) { binary.Write(w, binary.LittleEndian, what) }
	put(&section, []uint32{0, 0, 0, nameAt, 1, 1, 1, page + 40, page + 44, page + 48, // the export directory:
		toAt, functionAt, 0}) // one address, one name, ordinal 0. An address in here is a name.
	section.WriteString(text)

	header := pe.OptionalHeader64{
		Magic: 0x20b, ImageBase: 0x180000000, SectionAlignment: page, FileAlignment: aligned, SizeOfImage: 2 * page, SizeOfHeaders: aligned,
		MajorOperatingSystemVersion: 6, MajorSubsystemVersion: 6, Subsystem: pe.IMAGE_SUBSYSTEM_WINDOWS_CUI,
		DllCharacteristics: pe.IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE | pe.IMAGE_DLLCHARACTERISTICS_NX_COMPAT, NumberOfRvaAndSizes: 16,
	}
	header.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_EXPORT] = pe.DataDirectory{VirtualAddress: page, Size: uint32(section.Len())}
	start := [64]byte{0: 'M', 1: 'Z', 60: 64}
	put(&file, start)
	file.WriteString("PE\x00\x00")
	put(&file, pe.FileHeader{Machine: pe.IMAGE_FILE_MACHINE_AMD64, NumberOfSections: 1, SizeOfOptionalHeader: uint16(binary.Size(header)),
		Characteristics: pe.IMAGE_FILE_EXECUTABLE_IMAGE | pe.IMAGE_FILE_LARGE_ADDRESS_AWARE | pe.IMAGE_FILE_DLL})
	put(&file, header)
	put(&file, pe.SectionHeader32{Name: [8]uint8{'.', 'r', 'd', 'a', 't', 'a'}, VirtualSize: uint32(section.Len()), VirtualAddress: page,
		SizeOfRawData: aligned, PointerToRawData: aligned, Characteristics: pe.IMAGE_SCN_CNT_INITIALIZED_DATA | pe.IMAGE_SCN_MEM_READ})
	file.Write(make([]byte, aligned-file.Len()))
	file.Write(section.Bytes())
	file.Write(make([]byte, 2*aligned-file.Len()))
	return file.Bytes()
}
