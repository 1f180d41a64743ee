package simulator

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAttachVHCI: the kernel is told the first free port for the key's speed.
func TestAttachVHCI(t *testing.T) {
	const head = "hub port sta spd dev      sockfd local_busid\n"
	used := head + "hs  0000 006 002 00010002 000005 1-1\nss  0008 004 000 00000000 000000 0-0\n"
	free := head + "hs  0016 006 002 00010002 000007 1-1\nhs  0017 004 000 00000000 000000 0-0\n"
	for _, c := range []struct{ name, second, want string }{
		{"on the second controller", free, "0017 "},
		{"none", used, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			for name, content := range map[string]string{"status": used, "status.1": c.second, "attach": ""} {
				if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			conn, err := attachVHCI(folder)
			written, _ := os.ReadFile(filepath.Join(folder, "attach"))
			if c.want == "" {
				if err == nil || !strings.Contains(err.Error(), "no port") || len(written) > 0 {
					t.Errorf("error %v, wrote %q", err, written)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if s := string(written); !strings.HasPrefix(s, c.want) || !strings.HasSuffix(s, " 65538 2") {
				t.Errorf("wrote %q", written)
			}
		})
	}
}

func TestVHCIErrorsNameTheRemedy(t *testing.T) {
	if _, err := attachVHCI(filepath.Join(t.TempDir(), "vhci_hcd.0")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no module: %v", err)
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{fs.ErrNotExist, "modprobe vhci-hcd"},
		{fs.ErrPermission, "run as root"},
	} {
		err := vhciError(&fs.PathError{Op: "open", Path: "attach", Err: c.err})
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.err, err)
		}
	}
}
