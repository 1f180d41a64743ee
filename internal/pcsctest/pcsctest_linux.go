package pcsctest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	pcscd   = "/usr/sbin/pcscd"
	driver  = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so"
	startup = 10 * time.Second
)

// A Reader is a virtual one.
type Reader struct {
	Name string // as PC/SC lists it
	Port int    // on 127.0.0.1, where a card dials in
}

// A Daemon is a pcscd on a socket of its own. Programs find it by the environment
// variable PCSCLITE_CSOCK_NAME, which libpcsclite reads once in the life of a
// process: a test binary that is itself a client sets it before its first call.
type Daemon struct {
	Socket  string
	Readers []Reader

	dir string
	cmd *exec.Cmd
	mu  sync.Mutex
	log bytes.Buffer
}

// Missing says what is not installed; it is empty if nothing is.
func Missing() string {
	for path, name := range map[string]string{pcscd: "pcscd", driver: "vsmartcard-vpcd"} {
		if _, err := os.Stat(path); err != nil {
			return name + " is not installed (run make deps)"
		}
	}
	return ""
}

// Start runs pcscd with a reader of each name, at most seven: to "NAME" PC/SC adds
// " 00 00". Where namespaces can be made, it takes no real reader away from the
// system's own pcscd.
func Start(names ...string) (*Daemon, error) {
	dir, err := os.MkdirTemp("", "pcsc") // the path of a Unix socket has 107 bytes at most
	if err != nil {
		return nil, err
	}
	d := &Daemon{Socket: filepath.Join(dir, "s"), dir: dir}
	for i, name := range names {
		if err := d.addReader(i, name); err != nil {
			os.RemoveAll(dir)
			return nil, err
		}
	}
	if err := d.Restart(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return d, nil
}

// addReader writes the configuration of one reader. Each has a copy of the driver,
// for the driver keeps its sockets in globals.
func (d *Daemon) addReader(i int, name string) error {
	port, err := freePortPair()
	if err != nil {
		return err
	}
	library, err := os.ReadFile(driver)
	if err != nil {
		return err
	}
	own := filepath.Join(d.dir, fmt.Sprintf("vpcd%d.so", i))
	if err := os.WriteFile(own, library, 0o755); err != nil {
		return err
	}
	conf := filepath.Join(d.dir, "conf")
	if err := os.MkdirAll(conf, 0o755); err != nil {
		return err
	}
	text := fmt.Sprintf("FRIENDLYNAME %q\nDEVICENAME /dev/null:%d\nLIBPATH %s\nCHANNELID %d\n", name, port, own, port)
	d.Readers = append(d.Readers, Reader{Name: name + " 00 00", Port: port})
	return os.WriteFile(filepath.Join(conf, fmt.Sprintf("%02d", i)), []byte(text), 0o644)
}

// Restart runs pcscd again, after Stop or Kill, on the same socket with the same
// readers.
func (d *Daemon) Restart() error {
	os.Remove(d.Socket)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.Socket, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	l.Close()
	if err != nil {
		return err
	}
	defer f.Close() // left open, clients of a dead pcscd would wait for ever
	d.mu.Lock()
	d.log.Reset()
	d.mu.Unlock()
	// Descriptor 3 with LISTEN_FDS and LISTEN_PID is systemd's socket activation:
	// pcscd then does not make its usual socket, nor refuse to start beside another.
	inner := `LISTEN_PID=$$ exec ` + pcscd + ` --foreground --info --config "$0"`
	argv := []string{"/bin/sh", "-c", inner, filepath.Join(d.dir, "conf")}
	if isolation := isolate(); isolation != nil {
		argv[2] = "mount -t tmpfs none /run && mount -t tmpfs none /usr/lib/pcsc/drivers && " + inner
		argv = append(isolation, argv...)
	}
	d.cmd = exec.Command(argv[0], argv[1:]...)
	d.cmd.ExtraFiles = []*os.File{f}
	d.cmd.Env = append(os.Environ(), "LISTEN_FDS=1")
	d.cmd.Stdout, d.cmd.Stderr = d, d
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := d.cmd.Start(); err != nil {
		return err
	}
	for end := time.Now().Add(startup); time.Now().Before(end); time.Sleep(time.Millisecond) {
		switch log := []byte(d.Log()); {
		case bytes.Contains(log, []byte("Could not initialize connection")):
			d.Stop()
			return errors.New("pcscd: a reader's port is taken:\n" + d.Log())
		case bytes.Contains(log, []byte("daemon ready")):
			return nil
		}
	}
	d.Stop()
	return errors.New("pcscd did not come up:\n" + d.Log())
}

// isolate is the command that gives pcscd a /run of its own and no drivers for
// real readers; nil where that is not possible.
var isolate = sync.OnceValue(func() []string {
	for _, flags := range []string{"-m", "-Urm"} {
		argv := []string{"unshare", flags}
		if exec.Command(argv[0], append(argv[1:], "mount", "-t", "tmpfs", "none", "/run")...).Run() == nil {
			return argv
		}
	}
	return nil
})

// Write collects pcscd's log.
func (d *Daemon) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(b)
}

// Log returns pcscd's log since it was started.
func (d *Daemon) Log() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

// Stop ends pcscd as a system does. Restart runs it again.
func (d *Daemon) Stop() { d.signal(syscall.SIGTERM) }

// Kill ends pcscd as a crash does.
func (d *Daemon) Kill() { d.signal(syscall.SIGKILL) }

func (d *Daemon) signal(s os.Signal) {
	_ = d.cmd.Process.Signal(s)
	_ = d.cmd.Wait()
}

// Close ends pcscd and removes its files.
func (d *Daemon) Close() error {
	d.Stop()
	return os.RemoveAll(d.dir)
}

// freePortPair finds a port that is free together with the next one: the driver
// has two slots for each reader, on every interface.
func freePortPair() (int, error) {
	for range 100 {
		a, err := net.Listen("tcp4", "0.0.0.0:0")
		if err != nil {
			return 0, err
		}
		port := a.Addr().(*net.TCPAddr).Port
		b, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port+1))
		a.Close()
		if err == nil {
			b.Close()
			return port, nil
		}
	}
	return 0, errors.New("no pair of free ports")
}
