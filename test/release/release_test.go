package release

import (
	"archive/zip"
	"bytes"
	"debug/buildinfo"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// wants skips the test where a program is missing; in CI, where "make deps" has put it
// there, that is a failure.
func wants(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		missing(t, name+" is missing: make deps")
	}
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// run returns what a program prints, and fails the test with it.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, &out, &words)
	}
	return out.String()
}

// folders are those of two releases of two targets, made one after the other.
var folders struct {
	sync.Once
	first, second string
	err           error
}

// TestMain removes them.
func TestMain(m *testing.M) {
	code := m.Run()
	if folders.first != "" {
		os.RemoveAll(filepath.Dir(folders.first))
	}
	os.Exit(code)
}

func dist(t *testing.T) (first, second string) {
	t.Helper()
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("the package with PC/SC is built on Linux on amd64")
	}
	wants(t, "pkg-config")
	if exec.Command("pkg-config", "--exists", "libpcsclite").Run() != nil {
		missing(t, "libpcsclite-dev is missing: make deps")
	}
	folders.Do(func() { folders.err = release() })
	if folders.err != nil {
		t.Fatal(folders.err)
	}
	return folders.first, folders.second
}

// release makes two of them. For the second the clock's zone, the language, the folder for
// what is temporary and the rights of new files are others.
func release() error {
	scratch, err := os.MkdirTemp("", "release")
	if err != nil {
		return err
	}
	folders.first, folders.second = filepath.Join(scratch, "first"), filepath.Join(scratch, "second")
	tool, temporary := filepath.Join(scratch, "release"), filepath.Join(scratch, "some", "where")
	if err := os.MkdirAll(temporary, 0o700); err != nil {
		return err
	}
	for _, step := range []struct{ script, folder, environ string }{
		{`exec go build -o "$1" .`, tool, "CGO_ENABLED=0 GOFLAGS=-trimpath"}, // as 'make release' does
		{`umask 022; exec "$2" -only '^(linux_amd64_pcsc|windows_amd64)$' -o "$1"`, folders.first, "TZ=UTC"},
		{`umask 077; exec "$2" -only '^(linux_amd64_pcsc|windows_amd64)$' -o "$1"`, folders.second, "TZ=Asia/Tokyo LC_ALL=tr_TR.UTF-8 USER=nobody TMPDIR=" + temporary},
	} {
		cmd := exec.Command("bash", "-c", step.script, "release", step.folder, tool)
		cmd.Dir, cmd.Env = "../../scripts/release", append(os.Environ(), strings.Fields(step.environ)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", step.script, err, out)
		}
	}
	return nil
}

// one returns the only file of a pattern.
func one(t *testing.T, folder, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s: %q, %v", pattern, files, err)
	}
	return files[0]
}

// TestReproducible: two releases of a commit are the same, and know nothing of the machine.
func TestReproducible(t *testing.T) {
	first, second := dist(t)
	sums := [2]string{}
	for i, folder := range []string{first, second} {
		text, err := os.ReadFile(filepath.Join(folder, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = string(text)
	}
	// Two archives, two SBOMs, two packages.
	if sums[0] != sums[1] || strings.Count(sums[0], "\n") != 6 {
		t.Errorf("the first:\n%s\nthe second:\n%s", sums[0], sums[1])
	}
	project, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	program := run(t, "tar", "xzOf", one(t, first, "*_linux_amd64_pcsc.tar.gz"), "--wildcards", "*/fidokey")
	for _, path := range []string{project, filepath.Dir(first)} {
		if strings.Contains(program, path) {
			t.Errorf("the program has %s in it", path)
		}
	}
	if !strings.Contains(run(t, "cat", one(t, first, "*_linux_amd64_pcsc.cdx.json")), "pkg:golang/github.com/fxamacker/cbor/v2@") {
		t.Error("the SBOM lacks a module")
	}
	if !strings.Contains(run(t, "cat", one(t, first, "*_windows_amd64.cdx.json")), "goos=windows") {
		t.Error("the SBOM of the Windows program is for another system")
	}
}

// TestArchives: each has what it says, and the license of every module in its program.
func TestArchives(t *testing.T) {
	first, _ := dist(t)
	wants(t, "tar", "sha256sum")
	sums := exec.Command("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	sums.Dir = first
	if said, err := sums.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
	laid := t.TempDir()
	run(t, "tar", "xzf", one(t, first, "*_linux_amd64_pcsc.tar.gz"), "-C", laid)
	for folder, own := range map[string][]string{
		one(t, laid, "*"): {"fidokey", "70-fidokey.rules", "man/man1/fidokey-pin-set.1"},
		unzip(t, one(t, first, "*_windows_amd64.zip")): {"fidokey.exe"},
	} {
		for _, name := range append(own, "README.md", "LICENSE", "CHANGELOG.md", "docs/install.md", "docs/session.svg", "licenses/go/LICENSE",
			"completions/fidokey.bash", "completions/_fidokey", "completions/fidokey.fish", "completions/fidokey.ps1") {
			if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Size() == 0 {
				t.Errorf("%s: %v", name, err)
			}
		}
		info, err := buildinfo.ReadFile(filepath.Join(folder, own[0]))
		if err != nil {
			t.Fatal(err)
		}
		if len(info.Deps) < 30 {
			t.Errorf("%s has %d modules", own[0], len(info.Deps))
		}
		for _, module := range info.Deps {
			if !hasLicense(t, filepath.Join(folder, "licenses", module.Path)) {
				t.Errorf("%s: no license of %s", own[0], module.Path)
			}
		}
	}
}

// hasLicense finds it in a folder or below, for some modules have one for each part.
func hasLicense(t *testing.T, folder string) (found bool) {
	t.Helper()
	err := filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		found = found || err == nil && strings.HasPrefix(strings.ToUpper(entry.Name()), "LICENSE")
		return err
	})
	return found && err == nil
}

// TestDebianPackage installs it below a folder, uses it and removes it. What it needs the
// system has: the package manager says so.
func TestDebianPackage(t *testing.T) {
	wants(t, "dpkg", "apt-get", "man", "bash")
	if os.Getuid() != 0 {
		missing(t, "dpkg installs for root only")
	}
	first, _ := dist(t)
	file := one(t, first, "*.deb")
	if said := run(t, "apt-get", "install", "--simulate", "--no-install-recommends", file); !strings.Contains(said, "Inst fidokey") {
		t.Errorf("apt-get would not install it:\n%s", said)
	}
	root := t.TempDir()
	for _, folder := range []string{"info", "updates"} {
		if err := os.MkdirAll(filepath.Join(root, "var/lib/dpkg", folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dpkg := func(args ...string) string {
		t.Helper()
		return run(t, "dpkg", append([]string{"--root=" + root, "--log=/dev/null", "--force-depends"}, args...)...)
	}
	dpkg("--install", file)

	t.Setenv("HOME", t.TempDir())
	program := filepath.Join(root, "usr/bin/fidokey")
	if said := run(t, program, "info", "--device", "simulator", "--simulator-state", ":memory:"); !strings.Contains(said, "AAGUID") {
		t.Errorf("info says:\n%s", said)
	}
	if page := run(t, "man", "-M", filepath.Join(root, "usr/share/man"), "-w", "fidokey-pin-set"); !strings.HasSuffix(strings.TrimSpace(page), "fidokey-pin-set.1.gz") {
		t.Errorf("man finds %s", page)
	}
	if said := run(t, "bash", "-c", "source "+root+"/usr/share/bash-completion/completions/fidokey && complete -p fidokey"); !strings.Contains(said, "__start_fidokey") {
		t.Errorf("completion: %s", said)
	}
	for _, name := range []string{
		"usr/lib/udev/rules.d/70-fidokey.rules", "usr/share/zsh/vendor-completions/_fidokey", "usr/share/fish/vendor_completions.d/fidokey.fish",
		"usr/share/doc/fidokey/copyright", "usr/share/doc/fidokey/changelog.gz", "usr/share/doc/fidokey/changelog.Debian.gz",
		"usr/share/doc/fidokey/licenses/go/LICENSE", "usr/share/doc/fidokey/licenses/github.com/fxamacker/cbor/v2/LICENSE",
	} {
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Size() == 0 || info.Mode() != 0o644 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	dpkg("--verify", "fidokey")
	dpkg("--purge", "fidokey")
	if left := run(t, "find", root, "-not", "-path", root, "-not", "-path", root+"/var*"); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

// TestRPM: its checksums are right, and it has the same files where such systems have them.
func TestRPM(t *testing.T) {
	wants(t, "rpm")
	first, _ := dist(t)
	file := one(t, first, "*.rpm")
	run(t, "rpm", "--checksig", "--nosignature", file)
	files := run(t, "rpm", "--query", "--package", "--list", file)
	for _, name := range []string{
		"/usr/bin/fidokey", "/usr/lib/udev/rules.d/70-fidokey.rules", "/usr/share/man/man1/fidokey-pin-set.1.gz", "/usr/share/licenses/fidokey/LICENSE",
		"/usr/share/bash-completion/completions/fidokey", "/usr/share/zsh/site-functions/_fidokey", "/usr/share/fish/vendor_completions.d/fidokey.fish",
	} {
		if !strings.Contains(files, name+"\n") {
			t.Errorf("%s is not in it:\n%s", name, files)
		}
	}
	if documents := run(t, "rpm", "--query", "--package", "--docfiles", file); !strings.Contains(documents, "/fidokey-pin-set.1.gz\n") || strings.Contains(documents, "/usr/bin/") {
		t.Errorf("its documents are:\n%s", documents)
	}
	if needs := run(t, "rpm", "--query", "--package", "--requires", file); !strings.Contains(needs, "libpcsclite.so.1()(64bit)") {
		t.Errorf("it needs:\n%s", needs)
	}
}

// unzip lays down an archive, and returns its folder.
func unzip(t *testing.T, file string) string {
	t.Helper()
	archive, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	folder := t.TempDir()
	if err := os.CopyFS(folder, archive); err != nil {
		t.Fatal(err)
	}
	return one(t, folder, "*")
}
