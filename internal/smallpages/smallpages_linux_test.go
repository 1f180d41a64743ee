package smallpages

import (
	"os"
	"strings"
	"testing"
)

func TestSmallPages(t *testing.T) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(status), "THP_enabled:") {
		t.Skip("the kernel does not say it")
	}
	if !strings.Contains(string(status), "THP_enabled:\t0") {
		t.Errorf("huge pages are not off:\n%s", status)
	}
}
