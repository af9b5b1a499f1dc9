package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// The longest lines, in characters. A tab counts as one.
const (
	longestCode     = 100
	longestTestCode = 120
	longestProse    = 80
)

// The end of a long line is easily missed.
func TestHouse_LinesAreShort(t *testing.T) {
	t.Parallel()

	for _, file := range trackedGoFiles(t) {
		limit := longestCode
		if strings.HasPrefix(file, "test/") || strings.HasSuffix(file, "_test.go") {
			limit = longestTestCode
		}

		for i, line := range strings.Split(readFile(t, "../"+file), "\n") {
			most := limit
			if isProse(line) {
				most = longestProse
			}

			if n := utf8.RuneCountInString(line); n > most {
				t.Errorf("%s:%d has %d characters, and may have %d", file, i+1, n, most)
			}
		}
	}
}

// isProse reports whether a line is a sentence of a comment. A line with an
// address can't be broken, and one that is indented by a tab is a table.
func isProse(line string) bool {
	comment, ok := strings.CutPrefix(strings.TrimLeft(line, "\t"), "//")

	return ok && !strings.HasPrefix(comment, "\t") && !strings.Contains(comment, "://")
}

// trackedGoFiles returns the Go files of the repository, by their paths from
// its root. Without a repository it returns those of the folders with code.
func trackedGoFiles(t *testing.T) []string {
	t.Helper()

	list := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.go")
	list.Dir = ".."
	if out, err := list.Output(); err == nil {
		return strings.Fields(string(out))
	}

	var files []string
	for _, file := range goFiles(t, "../*.go", "../*/*.go", "../*/*/*.go", "../*/*/*/*.go") {
		files = append(files, strings.TrimPrefix(filepath.ToSlash(file), "../"))
	}

	return files
}

// mostStatements is how many statements a function may have, those of the
// functions inside it included. Blank lines and comments are free.
const mostStatements = 30

func TestHouse_FunctionsAreShort(t *testing.T) {
	t.Parallel()

	for _, file := range trackedGoFiles(t) {
		if strings.HasPrefix(file, "test/") || strings.HasSuffix(file, "_test.go") {
			continue
		}

		parsed, err := parser.ParseFile(token.NewFileSet(), "../"+file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}

		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			if n := statements(f.Body); n > mostStatements {
				t.Errorf("%s: %s has %d statements, and may have %d", file, f.Name.Name, n, mostStatements)
			}
		}
	}
}

// statements counts the statements below a node. A block, a case and a label
// are no statements of their own.
func statements(n ast.Node) (count int) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.BlockStmt, *ast.CaseClause, *ast.CommClause, *ast.LabeledStmt:
		case ast.Stmt:
			count++
		}

		return true
	})

	return count
}
