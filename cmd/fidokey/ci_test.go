package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/fidokey/fidokey/bench"
)

// fenced are the blocks of a language in a page.
func fenced(t *testing.T, page, language string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no block of %s", page, language)
	}
	return blocks
}

// TestPagesOfCI holds what docs/ci.md and docs/hil.md show to parsers and schemas;
// TestCallsInPages has their commands.
func TestPagesOfCI(t *testing.T) {
	s := loadSchemas(t)
	valid := func(schema, text string) {
		t.Helper()
		var document any
		if err := yaml.Load([]byte(text), &document); err != nil {
			t.Fatal(err)
		}
		if err := s.validate(schema, document); err != nil {
			t.Error(err)
		}
	}
	expected := fenced(t, "../../docs/ci.md", "yaml")[0]
	valid("expectations.json", expected)
	if _, err := parseExpectations("ci.md", []byte(expected)); err != nil {
		t.Error(err)
	}
	file := fenced(t, "../../docs/hil.md", "yaml")[0]
	valid("bench.json", file)
	if _, err := bench.Parse("hil.md", []byte(file)); err != nil {
		t.Error(err)
	}
}

// TestAction: what action.yml takes is what it uses, and its steps are shell.
func TestAction(t *testing.T) {
	text, err := os.ReadFile("../../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var action struct {
		Inputs map[string]struct{ Description, Default string }
		Runs   struct {
			Using string
			Steps []struct {
				Name, Shell, Run string
				Env              map[string]string
			}
		}
	}
	if err := yaml.Load(text, &action); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`\$\{\{ inputs\.([a-z-]+) \}\}`).FindAllStringSubmatch(string(text), -1) {
		used[m[1]] = true
		if action.Inputs[m[1]].Description == "" {
			t.Errorf("there is no input %s", m[1])
		}
	}
	for name := range action.Inputs {
		if !used[name] {
			t.Errorf("the input %s is not used", name)
		}
	}
	if action.Runs.Using != "composite" || len(action.Runs.Steps) == 0 {
		t.Fatalf("%+v", action.Runs)
	}
	for _, step := range action.Runs.Steps {
		if step.Shell != "bash" || strings.Contains(step.Run, "${{") {
			t.Errorf("%s: what somebody else has written must not become shell", step.Name)
		}
	}
}

// TestActionRuns runs the step of action.yml that checks the key.
func TestActionRuns(t *testing.T) {
	text, err := os.ReadFile("../../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var action struct {
		Runs struct {
			Steps []struct {
				Run string
				Env map[string]string
			}
		}
	}
	if err := yaml.Load(text, &action); err != nil {
		t.Fatal(err)
	}
	step := action.Runs.Steps[1]
	folder := t.TempDir()
	if err := os.WriteFile(folder+"/expected.yaml", []byte("register: [{rp: example.com}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{
		"EXPECTATIONS": "expected.yaml", "DEVICE": "simulator", "PROFILE": "ctap-2.3", "JUNIT": "out.xml", "FIDOKEY_PIN": "",
		"FIDOKEY_SIMULATOR_STATE": ":memory:",
	}
	for name := range step.Env {
		if _, ok := values[name]; !ok {
			t.Errorf("the step has %s too", name)
		}
	}
	cmd := shell(t, step.Run)
	cmd.Dir = folder
	for name, value := range values {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, file := range []string{"out.xml", "fidokey-ci.txt"} {
		if said, err := os.ReadFile(folder + "/" + file); err != nil || !strings.Contains(string(said), "register example.com") {
			t.Errorf("%s: %v\n%s", file, err, said)
		}
	}
}

// shell is a call of bash, where there is one.
func shell(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(bash, "-e", "-c", script)
	cmd.Env = os.Environ()
	return cmd
}
