package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

// BenchmarkUDP is one client process before the UDP door of a simulator in a
// process of its own, which is touched at once.
func BenchmarkUDP(b *testing.B) {
	cmd := exec.Command("fidokey", "simulator", "run", "--json", "--udp=0", "--state", inMemory, "--touch", "0")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Signal(os.Interrupt)
	var ready readyLine
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil || json.Unmarshal(line, &ready) != nil || ready.Result.Address == "" {
		b.Fatalf("the simulator says %q, %v", line, err)
	}
	port, err := hid.DialUDP(ready.Result.Address, 0)
	if err != nil {
		b.Fatal(err)
	}
	dev, err := hid.Open(b.Context(), port)
	if err != nil {
		b.Fatal(err)
	}
	defer dev.Close()

	hash := sha256.Sum256(nil)
	create := ctap2.MakeCredential{
		ClientDataHash:   hash[:],
		RP:               ctap2.RP{ID: "example.com"},
		User:             ctap2.User{ID: []byte{1}, Name: "alice"},
		PubKeyCredParams: []ctap2.CredentialParameters{{Algorithm: cose.ES256, Type: ctap2.PublicKeyType}},
	}
	made, err := ctap2.Do(b.Context(), dev, create)
	if err != nil {
		b.Fatal(err)
	}
	data, err := ctap2.ParseAuthenticatorData(made.AuthData)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("ping 57 bytes", func(b *testing.B) {
		for b.Loop() {
			if _, err := dev.Ping(b.Context(), make([]byte, 57)); err != nil {
				b.Fatal(err)
			}
		}
		perSecond(b)
	})
	benchmarkCommand(b, dev, "getInfo", ctap2.GetInfo{})
	benchmarkCommand(b, dev, "makeCredential", create)
	benchmarkCommand(b, dev, "getAssertion", ctap2.GetAssertion{
		RPID: "example.com", ClientDataHash: hash[:],
		AllowList: []ctap2.Descriptor{{ID: data.Credential.ID, Type: ctap2.PublicKeyType}},
	})
}

func benchmarkCommand[R any](b *testing.B, dev transport.Device, name string, req ctap2.Request[R]) {
	b.Run(name, func(b *testing.B) {
		for b.Loop() {
			if _, err := ctap2.Do(b.Context(), dev, req); err != nil {
				b.Fatal(err)
			}
		}
		perSecond(b)
	})
}

func perSecond(b *testing.B) { b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s") }

// BenchmarkStart is what the program itself costs: CPU time of its process, user
// and system, from start to end. "nothing" is a Go program that does nothing.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	build := func(name, pkg string) string {
		b.Helper()
		program := filepath.Join(dir, name)
		if out, err := exec.Command("go", "build", "-o", program, pkg).CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		return program
	}
	source := filepath.Join(dir, "nothing.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	nothing, fidokey := build("nothing", source), build("fidokey", ".")
	state := filepath.Join(dir, "key.db")
	for _, start := range []struct {
		name string
		args []string
	}{
		{"nothing", []string{nothing}},
		{"help", []string{fidokey, "--help"}},
		{"info", []string{fidokey, "info", "--device", simulatorName, "--simulator-state", inMemory}},
		{"info of a file", []string{fidokey, "info", "--device", simulatorName, "--simulator-state", state}},
	} {
		b.Run(start.name, func(b *testing.B) {
			var cpu time.Duration
			for b.Loop() {
				cmd := exec.Command(start.args[0], start.args[1:]...)
				if err := cmd.Run(); err != nil {
					b.Fatal(err)
				}
				cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			}
			b.ReportMetric(float64(cpu.Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}
