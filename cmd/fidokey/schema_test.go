package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/fidokey/fidokey/ctap2"
)

// schemaFolder has the JSON Schemas of what --json prints.
const schemaFolder = "../../docs/schema"

// schemas compiles them once, and notes which were of use.
type schemas struct {
	mu       sync.Mutex
	compiler *jsonschema.Compiler
	used     map[string]bool
}

func loadSchemas(t *testing.T) *schemas {
	t.Helper()
	s := &schemas{compiler: jsonschema.NewCompiler(), used: map[string]bool{}}
	files, err := filepath.Glob(filepath.Join(schemaFolder, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		if err := s.compiler.AddResource(schemaURL(filepath.Base(f)), schema); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		s.used[filepath.Base(f)] = false
	}
	return s
}

func schemaURL(file string) string { return "https://fidokey.dev/schema/1/" + file }

func (s *schemas) validate(file string, v any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	schema, err := s.compiler.Compile(schemaURL(file))
	if err != nil {
		return err
	}
	s.used[file] = true
	return schema.Validate(v)
}

// answers compares answers with their schemas: one, or one for each door of
// "simulator run".
func (s *schemas) answers(text string) error {
	for decoder := json.NewDecoder(strings.NewReader(text)); ; {
		var one json.RawMessage
		if err := decoder.Decode(&one); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.answer(string(one)); err != nil {
			return err
		}
	}
}

// answer compares an answer with its schema, and its result with that of the
// command.
func (s *schemas) answer(text string) error {
	decoded, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	if err := s.validate("answer.json", decoded); err != nil {
		return err
	}
	var a struct {
		Command string
		Result  json.RawMessage
		Results []struct{ Result json.RawMessage }
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return err
	}
	for _, r := range append(a.Results, struct{ Result json.RawMessage }{a.Result}) {
		if r.Result == nil {
			continue
		}
		result, err := jsonschema.UnmarshalJSON(bytes.NewReader(r.Result))
		if err != nil {
			return err
		}
		if err := s.validate(strings.ReplaceAll(a.Command, " ", "-")+".json", result); err != nil {
			return fmt.Errorf("%s: %w", a.Command, err)
		}
	}
	return nil
}

// cmd is the command "schema" of the scripts: it takes what the last program
// wrote to stdout, or the file that is named.
func (s *schemas) cmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: schema [FILE]")
	}
	file := "stdout"
	if len(args) == 1 {
		file = args[0]
	}
	text := ts.ReadFile(file)
	if strings.TrimSpace(text) == "" {
		ts.Fatalf("%s is empty", file)
	}
	ts.Check(s.answers(text))
}

// ledger is the command "ledger" of the scripts: each line of a file is one of a ledger.
func (s *schemas) ledger(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ledger FILE")
	}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		entry, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		ts.Check(err)
		if err := s.validate("enrolment-ledger.json", entry); err != nil {
			ts.Fatalf("%s: %v", line, err)
		}
	}
}

// yamlFile is the command "yamlfile" of the scripts: a file is as a schema says, or is
// not.
func (s *schemas) yamlFile(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] yamlfile SCHEMA FILE")
	}
	var document any
	ts.Check(yaml.Load([]byte(ts.ReadFile(args[1])), &document))
	if err := s.validate(args[0], document); (err != nil) != neg {
		ts.Fatalf("%s: %v", args[1], err)
	}
}

// events is the command "events" of the scripts: what the last program wrote to
// stderr are lines of --events jsonl, and the last says that it is done.
func (s *schemas) events(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: events")
	}
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile("stderr"), "\n"), "\n")
	for i, line := range lines {
		event, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil {
			ts.Fatalf("%q: %v", line, err)
		}
		if err := s.validate("event.json", event); err != nil {
			ts.Fatalf("%s: %v", line, err)
		}
		if last := i == len(lines)-1; last != (event.(map[string]any)["event"] == eventDone) {
			ts.Fatalf("%s is line %d of %d", line, i+1, len(lines))
		}
	}
}

// TestProcessingEvent: a key that works for long is told of as an event, and
// otherwise not at all.
func TestProcessingEvent(t *testing.T) {
	var stderr bytes.Buffer
	e := &env{stderr: &stderr}
	e.prompt(nil, nil).Processing(ctap2.CommandMakeCredential)
	if stderr.Len() > 0 {
		t.Errorf("without --events: %s", &stderr)
	}
	e.global.events = "jsonl"
	e.prompt(nil, nil).Processing(ctap2.CommandMakeCredential)
	event, err := jsonschema.UnmarshalJSON(&stderr)
	if err != nil {
		t.Fatal(err)
	}
	if err := loadSchemas(t).validate("event.json", event); err != nil || event.(map[string]any)["event"] != eventProcessing {
		t.Errorf("%v: %v", event, err)
	}
}
