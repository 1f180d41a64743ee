package main

import (
	"cmp"
	"compress/gzip"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

// packageAs writes a package of nfpm.yaml.
func (r *release) packageAs(t target, format string) error {
	if err := r.forPackages(); err != nil {
		return err
	}
	config, err := nfpm.ParseFileWithEnvMapping(filepath.Join(r.root, "scripts/release/nfpm.yaml"), func(name string) string {
		return map[string]string{
			"ARCH":     strings.TrimSuffix(t.goarch+strings.TrimPrefix(t.variant, "v"), "pcsc"), // arm7, as nfpm calls it
			"VERSION":  r.version,
			"PROGRAM":  r.binary(t),
			"SCRATCH":  r.scratch,
			"ROOT":     r.root,
			"LICENSES": filepath.Join(r.scratch, "licenses", t.name()),
		}[name]
	})
	if err != nil {
		return err
	}
	info, err := config.Get(format)
	if err != nil {
		return err
	}
	if t.tags == "pcsc" {
		if err := withPCSC(info, format, r.binary(t)); err != nil {
			return err
		}
	}
	info = nfpm.WithDefaults(info)
	if err := r.changelog(info); err != nil {
		return err
	}
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return err
	}
	if format == "rpm" {
		documents(info)
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(r.out, packager.ConventionalFileName(info)))
	if err != nil {
		return err
	}
	defer file.Close()
	if err := packager.Package(info, file); err != nil {
		return err
	}
	return file.Close()
}

// withPCSC names the C libraries. Distributions of RPM call their packages differently, but
// all of them know which has a library.
func withPCSC(info *nfpm.Info, format, program string) error {
	glibc, err := newestSymbol(program)
	if err != nil {
		return err
	}
	info.Depends, info.Recommends = []string{"libc6 (>= " + glibc + ")", "libpcsclite1"}, []string{"pcscd"}
	if format == "rpm" {
		info.Depends = []string{"libc.so.6(GLIBC_" + glibc + ")(64bit)", "libpcsclite.so.1()(64bit)"}
		info.Recommends = []string{"pcsc-lite"}
	}
	return nil
}

// newestSymbol is the version of the C library that a program needs.
func newestSymbol(program string) (version string, err error) {
	file, err := elf.Open(program)
	if err != nil {
		return "", err
	}
	defer file.Close()
	symbols, err := file.ImportedSymbols()
	for _, s := range symbols {
		// As 2.4 is less than 2.34, so is a shorter one than a longer one.
		v, ok := strings.CutPrefix(s.Version, "GLIBC_")
		if ok && strings.Count(v, ".") == 1 && cmp.Or(cmp.Compare(len(v), len(version)), cmp.Compare(v, version)) > 0 {
			version = v
		}
	}
	return version, err
}

// documents marks what who wants no documents leaves out (rpm --excludedocs).
func documents(info *nfpm.Info) {
	for _, content := range info.Contents {
		in := func(folder string) bool { return strings.HasPrefix(content.Destination, folder) }
		if content.Type == files.TypeFile && (in("/usr/share/doc/") || in("/usr/share/man/")) {
			content.Type = files.TypeRPMDoc
		}
	}
}

// changelog writes the distribution's own, of which each package has one entry: what
// changed in fidokey is in CHANGELOG.md.
func (r *release) changelog(info *nfpm.Info) error {
	version := strings.TrimSuffix(info.Version+"~"+info.Prerelease, "~")
	info.Changelog = filepath.Join(r.scratch, "changelog.yaml")
	return write(info.Changelog, fmt.Sprintf("- {semver: %q, date: %s, packager: %q, deb: {urgency: medium, distributions: [unstable]}, changes: [{note: %q}]}\n",
		version+"-"+info.Release, r.date.Format(time.RFC3339), info.Maintainer, "Version "+version+"; what changed is in changelog.gz."))
}

// forPackages compresses what distributions want compressed.
func (r *release) forPackages() error {
	pages, err := filepath.Glob(filepath.Join(r.scratch, "man", "*.1"))
	if err != nil {
		return err
	}
	for _, page := range append(pages, filepath.Join(r.root, "CHANGELOG.md")) {
		if err := compress(page, filepath.Join(r.scratch, "compressed", filepath.Base(page)+".gz")); err != nil {
			return err
		}
	}
	return nil
}

func compress(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var out strings.Builder
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return write(to, out.String())
}
