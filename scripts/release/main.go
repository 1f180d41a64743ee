// Command release builds what people install: archives, Debian and RPM packages,
// lists of what is in them (SBOM) and checksums. The same commit and the same tools give
// the same bytes. See README.md.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

const (
	module = "github.com/fidokey/fidokey"
	// largest is what a program may have, in bytes.
	largest = 25 << 20
)

// A target is one build of the program.
type target struct {
	goos, goarch string
	variant      string // what sets it apart from another one for the system
	tags         string
	cgo          bool
	packaged     bool // as .deb and .rpm, too
}

// Debian and RPM packages have PC/SC where it can be built without a cross compiler:
// what they depend on is installed with them. An archive depends on nothing.
var targets = []target{
	{goos: "linux", goarch: "amd64"},
	{goos: "linux", goarch: "amd64", variant: "pcsc", tags: "pcsc", cgo: true, packaged: true},
	{goos: "linux", goarch: "arm64", packaged: true},
	{goos: "linux", goarch: "arm", variant: "v7", packaged: true},
	{goos: "windows", goarch: "amd64"},
	{goos: "windows", goarch: "arm64"},
	{goos: "darwin", goarch: "amd64", cgo: runtime.GOOS == "darwin"},
	{goos: "darwin", goarch: "arm64", cgo: runtime.GOOS == "darwin"},
	{goos: "freebsd", goarch: "amd64", cgo: runtime.GOOS == "freebsd"},
}

// name is how the target is called in file names and by -only.
func (t target) name() string {
	return strings.TrimSuffix(t.goos+"_"+t.goarch+"_"+t.variant, "_")
}

// keyless says that no key that is plugged in can be reached by this build.
func (t target) keyless() bool { return !t.cgo && (t.goos == "darwin" || t.goos == "freebsd") }

func (t target) program() string {
	if t.goos == "windows" {
		return "fidokey.exe"
	}
	return "fidokey"
}

// environ is for the go command: what the user has set of it must not change the bytes.
func (t target) environ() []string {
	cgo := "0"
	if t.cgo {
		cgo = "1"
	}
	return append(os.Environ(), "GOOS="+t.goos, "GOARCH="+t.goarch, "CGO_ENABLED="+cgo,
		"GOAMD64=v1", "GOARM64=v8.0", "GOARM=7", "GOEXPERIMENT=", "CGO_CFLAGS=", "CGO_LDFLAGS=",
		"GOFLAGS=-trimpath -buildvcs=auto -tags="+t.tags, "GOWORK=off")
}

// A release is what all targets have in common.
type release struct {
	root    string // of the project
	scratch string
	out     string

	version string // without the v
	date    time.Time
}

func main() {
	out := flag.String("o", "dist", "the folder for what is made; it is emptied first")
	only := flag.String("only", "", "a regular expression: only targets with such a name, as linux_amd64_pcsc")
	flag.Parse()
	if err := run(*out, *only); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(out, only string) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(slices.Clone(targets), func(t target) bool { return !pattern.MatchString(t.name()) })
	if len(chosen) == 0 {
		return fmt.Errorf("no target is called %s", only)
	}
	scratch, err := os.MkdirTemp("", "fidokey-release")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	root, err := output("", nil, "go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return err
	}
	r := &release{root: filepath.Dir(filepath.Dir(root)), scratch: scratch}
	if r.out, err = filepath.Abs(out); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(r.out), os.MkdirAll(r.out, 0o755)); err != nil {
		return err
	}
	if err := errors.Join(r.build(chosen), r.tools()); err != nil {
		return err
	}
	if err := r.shared(chosen); err != nil {
		return err
	}
	for _, t := range chosen {
		if err := r.pack(t); err != nil {
			return err
		}
	}
	return r.checksums()
}

// build makes all programs, and reads from the first what it is a release of.
func (r *release) build(chosen []target) error {
	for _, t := range chosen {
		if err := r.compile(t); err != nil {
			return err
		}
	}
	info, err := buildinfo.ReadFile(r.binary(chosen[0]))
	if err != nil {
		return err
	}
	// The go command takes the version from the tag, or makes one of the commit.
	if r.version = strings.TrimPrefix(info.Main.Version, "v"); info.Main.Version == "(devel)" {
		r.version = "0.0.0-devel"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			if r.date, err = time.Parse(time.RFC3339, s.Value); err != nil {
				return err
			}
		}
	}
	if r.date.IsZero() { // not a clone: the first day that a ZIP file can tell
		r.date = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	// The manual pages, nfpm and whoever else asks take it from there.
	return os.Setenv("SOURCE_DATE_EPOCH", fmt.Sprint(r.date.Unix()))
}

func (r *release) binary(t target) string { return filepath.Join(r.scratch, t.name(), t.program()) }

func (r *release) compile(t target) error {
	fmt.Println("build", t.name())
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", r.binary(t), "./cmd/fidokey")
	cmd.Dir, cmd.Env, cmd.Stderr = r.root, t.environ(), os.Stderr
	if err := cmd.Run(); err != nil {
		if t.tags == "pcsc" {
			return fmt.Errorf("%s: %w; it takes Linux on amd64 with libpcsclite-dev, which 'make deps' installs", t.name(), err)
		}
		return fmt.Errorf("%s: %w", t.name(), err)
	}
	file, err := os.Stat(r.binary(t))
	if err == nil && file.Size() > largest {
		err = fmt.Errorf("%s has %d bytes, more than %d", t.name(), file.Size(), largest)
	}
	return err
}

// shared makes what is the same for all: manual pages and completions. A program that runs
// here writes them.
func (r *release) shared(chosen []target) error {
	host := target{goos: runtime.GOOS, goarch: runtime.GOARCH, variant: "host"}
	if i := slices.IndexFunc(chosen, func(t target) bool { return t.goos == host.goos && t.goarch == host.goarch }); i >= 0 {
		host = chosen[i]
	} else if err := r.compile(host); err != nil {
		return err
	}
	if _, err := output("", nil, r.binary(host), "man", filepath.Join(r.scratch, "man")); err != nil {
		return err
	}
	for shell, name := range map[string]string{"bash": "fidokey.bash", "zsh": "_fidokey", "fish": "fidokey.fish", "powershell": "fidokey.ps1"} {
		script, err := output("", nil, r.binary(host), "completion", shell)
		if err != nil {
			return err
		}
		if err := write(filepath.Join(r.scratch, "completions", name), script+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// licenses collects the texts of all that is in a program, and the source of what asks
// for that. A license under which it must not be passed on is an error.
func (r *release) licenses(t target) error {
	goroot, err := output("", nil, "go", "env", "GOROOT")
	if err != nil {
		return err
	}
	// Without it the tool, which has no path of this machine in it, takes all packages for
	// those of the standard library, and has nothing to say.
	environ := append(t.environ(), "GOROOT="+goroot)
	if _, err := output(r.root, environ, r.tool(goLicenses), "check", "./cmd/fidokey", "--disallowed_types=forbidden,restricted,unknown", "--ignore", hidAPI); err != nil {
		return err
	}
	folder := filepath.Join(r.scratch, "licenses", t.name())
	if _, err := output(r.root, environ, r.tool(goLicenses), "save", "./cmd/fidokey", "--ignore", module, "--ignore", hidAPI, "--save_path", folder); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(goroot, "LICENSE"))
	if err != nil {
		return err
	}
	if err := write(filepath.Join(folder, "go", "LICENSE"), string(text)); err != nil {
		return err
	}
	if t.cgo && t.goos != "linux" {
		source, err := output(r.root, t.environ(), "go", "list", "-m", "-f", "{{.Dir}}", hidAPI)
		if err != nil {
			return err
		}
		for _, name := range []string{"LICENSE.md", "hidapi/LICENSE-bsd.txt"} {
			if err := place(filepath.Join(source, name), filepath.Join(folder, hidAPI, name)); err != nil {
				return err
			}
		}
	}
	return errors.Join(tidy(folder), r.licensed(t, folder))
}

// tidy gives files and folders the rights of such, for they are read-only where they come
// from, and removes what only their developers' tools look at.
func tidy(folder string) error {
	return filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		hidden := strings.HasPrefix(entry.Name(), ".")
		switch {
		case err != nil:
			return err
		case hidden && entry.IsDir():
			if err := os.RemoveAll(name); err != nil {
				return err
			}
			return fs.SkipDir
		case hidden:
			return os.Remove(name)
		case entry.IsDir():
			return os.Chmod(name, 0o755)
		}
		return os.Chmod(name, 0o644)
	})
}

// licensed: every module in the program has a folder with its license.
func (r *release) licensed(t target, folder string) error {
	info, err := buildinfo.ReadFile(r.binary(t))
	if err != nil {
		return err
	}
	for _, dependency := range info.Deps {
		if _, err := os.Stat(filepath.Join(folder, dependency.Path)); err != nil {
			return fmt.Errorf("%s: no license of %s is found: %w", t.name(), dependency.Path, err)
		}
	}
	return nil
}

// sbom lists the modules in a program, as CycloneDX.
func (r *release) sbom(t target, file string) error {
	// The package URL of the program has the system, which the tool takes from its environment.
	_, err := output("", t.environ(), r.tool(goMod), "bin", "-json", "-noserial", "-notimestamp", "-version", "v"+r.version, "-output", file, r.binary(t))
	return err
}

const (
	// hidAPI is BSD but on Linux, where it is in no release, and says so in prose that no
	// tool reads.
	hidAPI     = "github.com/karalabe/hid"
	goLicenses = "github.com/google/go-licenses/v2"
	goMod      = "github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod"
)

// tools builds the tools of this module without the paths of this machine, for an SBOM
// has the checksum of its maker.
func (r *release) tools() error {
	for _, name := range []string{goLicenses, goMod} {
		if _, err := output("", append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false", "GOWORK=off"),
			"go", "build", "-ldflags=-s -w", "-o", r.tool(name), name); err != nil {
			return err
		}
	}
	return nil
}

func (r *release) tool(name string) string {
	return filepath.Join(r.scratch, "tools", path.Base(strings.TrimSuffix(name, "/v2")))
}

func (r *release) pack(t target) error {
	fmt.Println("pack", t.name())
	if err := r.licenses(t); err != nil {
		return err
	}
	name := fmt.Sprintf("fidokey_%s_%s", r.version, t.name())
	if err := r.archive(t, name); err != nil {
		return err
	}
	if t.packaged {
		for _, format := range []string{"deb", "rpm"} {
			if err := r.packageAs(t, format); err != nil {
				return err
			}
		}
	}
	return r.sbom(t, filepath.Join(r.out, name+".cdx.json"))
}

func (r *release) checksums() error {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, entry := range entries {
		file, err := os.Open(filepath.Join(r.out, entry.Name()))
		if err != nil {
			return err
		}
		sum := sha256.New()
		_, err = io.Copy(sum, file)
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sum.Sum(nil), entry.Name())
	}
	return write(filepath.Join(r.out, "SHA256SUMS"), sums.String())
}

// output runs a program and returns what it says. Why it failed is in the error.
func output(dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, env
	var words strings.Builder
	cmd.Stderr = &words
	said, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, words.String())
	}
	return strings.TrimRight(string(said), "\n"), nil
}

func write(name, text string) error {
	return errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644))
}
