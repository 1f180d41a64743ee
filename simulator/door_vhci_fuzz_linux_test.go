package simulator

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzAttachVHCI reads anything as the kernel's list of ports: what is written back names
// one that it has.
func FuzzAttachVHCI(f *testing.F) {
	f.Add("hub port sta spd dev      sockfd local_busid\nhs  0000 006 002 00010002 000005 1-1\nhs  0001 004 000 00000000 000000 0-0\n")
	f.Add("hub port sta spd dev      sockfd local_busid\nss  0008 004 000 00000000 000000 0-0\n")
	f.Add("hs 0 004\nhs  004\nhs")
	f.Fuzz(func(t *testing.T, status string) {
		folder := t.TempDir()
		for name, content := range map[string]string{"status": status, "attach": ""} {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		conn, err := attachVHCI(folder)
		written, _ := os.ReadFile(filepath.Join(folder, "attach"))
		if err != nil {
			if len(written) > 0 {
				t.Errorf("wrote %q: %v", written, err)
			}
			return
		}
		conn.Close()
		if words := strings.Fields(string(written)); len(words) != 4 || !strings.Contains(status, words[0]) {
			t.Errorf("wrote %q", written)
		}
	})
}
