package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The runbook explains the words that spans, metrics and the access log use for
// decisions: the constants of these types, and the reasons of the gates.
func TestRunbook_ExplainsTheWordsForDecisions(t *testing.T) {
	t.Parallel()
	words := map[string]string{}
	for folder, typed := range map[string]string{
		"proxy/affinity": "State", "proxy/backend": "Reason", "proxy/auth": "Reason", "proxy": "", "config": "Policy",
	} {
		files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if !strings.HasSuffix(path, "_test.go") {
				wordsOf(t, path, typed, words)
			}
		}
	}

	if len(words) < 25 {
		t.Errorf("found %d words in the code, want 25 at least: %v", len(words), words)
	}
	text := read(t, "deploy/runbook.md").Text
	_, text, _ = strings.Cut(text, "### The words of")
	for word, at := range words {
		if !strings.Contains(text, "`"+word+"`") {
			t.Errorf("%s: deploy/runbook.md does not explain %q", at, word)
		}
	}
}

// wordsOf adds the constants of a type to words, and the texts that are set to
// a field "reason".
func wordsOf(t *testing.T, path, typed string, words map[string]string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}

	note := func(e ast.Expr) {
		if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if word, err := strconv.Unquote(l.Value); err == nil && word != "" && !strings.HasSuffix(word, ":") {
				words[word] = path
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			if name, ok := n.Type.(*ast.Ident); ok && typed != "" && name.Name == typed {
				for _, v := range n.Values {
					note(v)
				}
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "reason" {
				note(n.Value)
			}
		}
		return true
	})
}
