package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// keyless goes into an archive whose program reaches no key.
const keyless = `This build was made without C, and this system shows keys to C libraries only: it
finds no key on USB or in a reader. The simulator, keys at unix:, tcp: and udp:, and all
that needs no key work. For a build that reaches keys, on such a system and with a C
compiler:

    go install github.com/fidokey/fidokey/cmd/fidokey@latest
`

// archive writes name.tar.gz, or name.zip for Windows.
func (r *release) archive(t target, name string) error {
	folder := filepath.Join(r.scratch, name)
	copies := [][2]string{ // from, to
		{r.binary(t), t.program()},
		{filepath.Join(r.scratch, "licenses", t.name()), "licenses"},
		{filepath.Join(r.scratch, "completions"), "completions"},
	}
	for _, page := range []string{"README.md", "CHANGELOG.md", "LICENSE", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "docs", "metadata/README.md"} {
		copies = append(copies, [2]string{filepath.Join(r.root, page), page}) // README leads to all of them
	}
	if t.goos != "windows" {
		copies = append(copies, [2]string{filepath.Join(r.scratch, "man"), "man/man1"})
	}
	if t.goos == "linux" {
		copies = append(copies, [2]string{filepath.Join(r.root, "scripts/release/70-fidokey.rules"), "70-fidokey.rules"})
	}
	for _, c := range copies {
		if err := place(c[0], filepath.Join(folder, c[1])); err != nil {
			return err
		}
	}
	if t.keyless() {
		if err := write(filepath.Join(folder, "NO-KEYS.txt"), keyless); err != nil {
			return err
		}
	}
	suffix, pack := ".tar.gz", writeTar
	if t.goos == "windows" {
		suffix, pack = ".zip", writeZip
	}
	file, err := os.Create(filepath.Join(r.out, name+suffix))
	if err != nil {
		return err
	}
	defer file.Close()
	if err := pack(file, dated{os.DirFS(folder), r.date}, name); err != nil {
		return err
	}
	return file.Close()
}

// place copies a file, or a folder with all that is in it.
func place(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.CopyFS(to, os.DirFS(from))
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := write(to, string(content)); err != nil {
		return err
	}
	return os.Chmod(to, info.Mode().Perm())
}

// eachFile calls do with the files of a folder, in order. Of rights only that to execute is
// kept: the rest is the umask of whoever builds.
func eachFile(files dated, do func(name string, mode fs.FileMode, content io.Reader) error) error {
	return fs.WalkDir(files.FS, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		file, err := files.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		mode := fs.FileMode(0o644)
		if info.Mode()&0o100 != 0 {
			mode = 0o755
		}
		return do(name, mode, file)
	})
}

// dated is a folder all of whose files are of one time.
type dated struct {
	fs.FS
	time time.Time
}

func writeTar(w io.Writer, files dated, top string) error {
	compressed, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	out := tar.NewWriter(compressed)
	err = eachFile(files, func(name string, mode fs.FileMode, content io.Reader) error {
		all, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		if err := out.WriteHeader(&tar.Header{Name: path.Join(top, name), Mode: int64(mode), Size: int64(len(all)), ModTime: files.time,
			Uname: "root", Gname: "root"}); err != nil {
			return err
		}
		_, err = out.Write(all)
		return err
	})
	if err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return compressed.Close()
}

func writeZip(w io.Writer, files dated, top string) error {
	out := zip.NewWriter(w)
	err := eachFile(files, func(name string, mode fs.FileMode, content io.Reader) error {
		header := &zip.FileHeader{Name: path.Join(top, name), Method: zip.Deflate, Modified: files.time}
		header.SetMode(mode)
		entry, err := out.CreateHeader(header)
		if err != nil {
			return err
		}
		_, err = io.Copy(entry, content)
		return err
	})
	if err != nil {
		return err
	}
	return out.Close()
}
