package guest

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// firefoxPrefs leave out the question whether the page may identify the key, and
// what would go out to the network.
const firefoxPrefs = `
user_pref("security.webauthn.always_allow_direct_attestation", true);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("app.normandy.enabled", false);
user_pref("app.update.enabled", false);
user_pref("extensions.update.enabled", false);
user_pref("services.settings.server", "http://localhost:9");
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("dom.ipc.processPrelaunch.enabled", false);
`

// TestFirefox is TestChromium for Debian's Firefox, which knows keys by a library
// of its own. Without a screen, so nobody can type a PIN.
func TestFirefox(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "profile")
	if err := os.Mkdir(profile, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(firefoxPrefs), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t, httptest.NewServer)
	b.door = uhid
	cmd := exec.Command("/usr/lib/firefox-esr/firefox-esr", "--headless", "--no-remote", "--profile", profile, b.url)
	cmd.Env = append(os.Environ(), "RUST_LOG=authenticator=debug")
	b.start(t, cmd)
	b.runCommon(t)
}
