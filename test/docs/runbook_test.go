package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// message is a log message of the program. In its text, "…" stands for a part
// that is not a literal in the code.
type message struct {
	Text     string
	Severity string
	At       string // file:line
}

// severities maps the methods of log/slog to the severities of Cloud Logging.
var severities = map[string]string{"Debug": "DEBUG", "Info": "INFO", "Warn": "WARNING", "Error": "ERROR"}

// The runbook has every message of the code, with its severity, and no other.
func TestRunbook_IsComplete(t *testing.T) {
	t.Parallel()
	explained := runbook(t)

	logged := messages(t)
	for _, text := range slices.Sorted(maps.Keys(logged)) {
		m := logged[text]
		severity, ok := explained[text]
		switch {
		case !ok:
			t.Errorf("%s logs a message that deploy/runbook.md does not explain. Add to its table:\n| `%s` | %s | what leads "+
				"to it | what to do |", m.At, m.Text, m.Severity)
		case severity != m.Severity:
			t.Errorf("%s logs %q with %s; deploy/runbook.md has %s", m.At, m.Text, m.Severity, severity)
		}
	}

	for text := range explained {
		if _, ok := logged[text]; !ok {
			t.Errorf("deploy/runbook.md explains a message that is not logged any more; remove this row: %q", text)
		}
	}

	if len(logged) < 20 {
		t.Errorf("found %d log messages in the code, want 20 at least", len(logged))
	}
}

// runbook returns the severities of the messages in the runbook's tables.
func runbook(t *testing.T) map[string]string {
	all := map[string]string{}
	line := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (DEBUG|INFO|WARNING|ERROR) \\| [^|]+ \\| [^|]+ \\|$")
	for _, m := range line.FindAllStringSubmatch(read(t, "deploy/runbook.md").Text, -1) {
		all[m[1]] = m[2]
	}

	return all
}

// messages returns the messages in the code of the program, without tests and
// tools.
func messages(t *testing.T) map[string]message {
	t.Helper()
	all := map[string]message{}
	files := token.NewFileSet()

	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}

		name := entry.Name()
		if entry.IsDir() && (name == "test" || name == "testdata" || strings.HasPrefix(name, ".") && path != root) {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}

		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}

		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if m, ok := logCall(call); ok {
					at := files.Position(call.Pos())
					m.At = fmt.Sprintf("%s:%d", strings.TrimPrefix(filepath.ToSlash(at.Filename), root+"/"), at.Line)
					all[m.Text] = m
				}
			}

			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	return all
}

// logCall recognizes calls such as logger.Info("text", …), with or without a
// context, and calls of slog.NewRecord.
func logCall(call *ast.CallExpr) (message, bool) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return message{}, false
	}

	name, withContext := strings.CutSuffix(method.Sel.Name, "Context")
	severity, text := severities[name], 0
	switch {
	case name == "NewRecord", name == "Log" && len(call.Args) > 2, name == "LogAttrs" && len(call.Args) > 2:
		severity, text = levelOf(call), 2
	case withContext:
		text = 1
	}

	if severity == "" || len(call.Args) <= text {
		return message{}, false
	}

	said, literal := literal(call.Args[text])
	return message{Text: said, Severity: severity}, literal
}

// levelOf returns the severity of a call whose second argument is a level.
func levelOf(call *ast.CallExpr) string {
	if level, ok := call.Args[1].(*ast.SelectorExpr); ok {
		return severities[strings.TrimPrefix(level.Sel.Name, "Level")]
	}
	return ""
}

// literal returns the text of an expression of string literals and +. It
// reports false if there is no literal.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if said, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return said, true
		}
	case *ast.BinaryExpr:
		left, isLeft := literal(e.X)
		right, isRight := literal(e.Y)
		return left + right, isLeft || isRight
	}

	return "…", false
}
