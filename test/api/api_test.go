package api_test

import (
	"flag"
	"go/ast"
	"go/build"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write api.txt anew")

// TestAPI: the library exports what api.txt says.
func TestAPI(t *testing.T) {
	var all strings.Builder
	for _, p := range library(t) {
		all.WriteString(declarations(t, p))
	}
	now := all.String()
	if *update {
		if err := os.WriteFile("api.txt", []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	then, err := os.ReadFile("api.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, gone := range without(string(then), now) {
		t.Errorf("gone: %s", gone)
	}
	for _, fresh := range without(now, string(then)) {
		t.Errorf("new: %s", fresh)
	}
	if t.Failed() {
		t.Log("if that is meant: go test ./test/api -update")
	}
}

// TestDocumented: whatever is exported says what it is; that the words start with its name
// is for staticcheck. The values of a type are told by the type, a method that the standard
// library asks for by its name.
func TestDocumented(t *testing.T) {
	seen := 0
	check := func(path, name, comment string) {
		seen++
		if strings.TrimSpace(comment) == "" {
			t.Errorf("%s: %s has no comment", path, name)
		}
	}
	for _, p := range library(t) {
		check(p.path, "the package", p.Doc)
		for _, v := range slices.Concat(p.Consts, p.Vars) {
			for _, spec := range v.Decl.Specs {
				if value := spec.(*ast.ValueSpec); v.Doc == "" {
					check(p.path, value.Names[0].Name, value.Doc.Text()+value.Comment.Text())
				}
			}
		}
		funcs := p.Funcs
		for _, typ := range p.Types {
			check(p.path, typ.Name, typ.Doc)
			funcs = slices.Concat(funcs, typ.Funcs, typ.Methods)
		}
		for _, f := range funcs {
			if f.Recv == "" || !slices.Contains(wellKnown, f.Name) {
				check(p.path, f.Recv+" "+f.Name, f.Doc)
			}
		}
	}
	if seen < 800 {
		t.Errorf("%d names only", seen)
	}
}

// wellKnown are methods of interfaces of the standard library.
var wellKnown = []string{"String", "Error", "Unwrap", "Is", "Close", "MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText",
	"MarshalCBOR", "UnmarshalCBOR"}

// A pkg is a package of the library.
type pkg struct {
	*doc.Package
	path string // in the module
	fset *token.FileSet
}

// library parses the packages that others may import, as they are on Linux without C.
func library(t *testing.T) (all []pkg) {
	t.Helper()
	system := build.Default
	system.GOOS, system.GOARCH, system.CgoEnabled = "linux", "amd64", false
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{.Dir}} {{.Name}}", "github.com/fidokey/fidokey/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		found := strings.Fields(line)
		path := strings.TrimPrefix(found[0], "github.com/fidokey/fidokey/")
		if found[2] == "main" || strings.HasPrefix(path, "internal/") || strings.HasPrefix(path, "test/") {
			continue
		}
		p, err := system.ImportDir(found[1], 0)
		if err != nil {
			t.Fatal(err)
		}
		fset, files := token.NewFileSet(), []*ast.File(nil)
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(found[1], name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		documented, err := doc.NewFromFiles(fset, files, found[0])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, pkg{documented, path, fset})
	}
	return all
}

// declarations prints what a package exports, a line for each name, field and method.
func declarations(t *testing.T, p pkg) string {
	t.Helper()
	var lines []string
	say := func(node any) {
		var text strings.Builder
		if err := (&printer.Config{Mode: printer.RawFormat}).Fprint(&text, p.fset, node); err != nil {
			t.Fatal(err)
		}
		var within []string // the type or the block that a line is in
		for line := range strings.Lines(text.String()) {
			line = strings.Join(strings.Fields(line), " ")
			switch {
			case line == "" || line == "// contains filtered or unexported fields":
			case strings.HasSuffix(line, "{") || strings.HasSuffix(line, "("):
				within = append(within, strings.TrimRight(line, " {("))
				if strings.HasPrefix(line, "type ") {
					lines = append(lines, within[0])
				}
			case line == "}" || line == ")":
				within = within[:max(0, len(within)-1)]
			default:
				lines = append(lines, strings.Join(append(slices.Clone(within), line), ", "))
			}
		}
	}
	values := func(all []*doc.Value) {
		for _, v := range all {
			say(bare(v.Decl))
		}
	}
	funcs := func(all []*doc.Func) {
		for _, f := range all {
			say(&ast.FuncDecl{Recv: f.Decl.Recv, Name: f.Decl.Name, Type: f.Decl.Type})
		}
	}
	values(p.Consts)
	values(p.Vars)
	funcs(p.Funcs)
	for _, typ := range p.Types {
		say(bare(typ.Decl))
		values(typ.Consts)
		values(typ.Vars)
		funcs(typ.Funcs)
		funcs(typ.Methods)
	}
	for i, line := range lines {
		lines[i] = p.path + ": " + line + "\n"
	}
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "")
}

// bare takes the comments off a declaration, and the values off variables.
func bare(d *ast.GenDecl) *ast.GenDecl {
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GenDecl:
			n.Doc = nil
		case *ast.ValueSpec:
			n.Doc, n.Comment = nil, nil
			if d.Tok == token.VAR {
				n.Values = nil // the words of an error, which may change
			}
		case *ast.TypeSpec:
			n.Doc, n.Comment = nil, nil
		case *ast.Field:
			n.Doc, n.Comment = nil, nil
		}
		return true
	})
	return d
}

// without returns the lines that the other text has not.
func without(text, other string) (lines []string) {
	has := map[string]bool{}
	for line := range strings.Lines(other) {
		has[line] = true
	}
	for line := range strings.Lines(text) {
		if !has[line] {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}
