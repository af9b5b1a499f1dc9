package discovery

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"strings"

	"github.com/pillion-lb/pillion/config"
)

// fileKind is the kind of a file that holds a list of targets.
func fileKind() kind {
	return kind{
		name:    File,
		schemes: []string{"file"},
		written: true,
		parse:   parseFile,
		finish:  finishFile,
		source:  newFile,
	}
}

func parseFile(p *parser, _, authority string, t *Target) {
	const form = "file:///path/to/list"
	switch {
	case strings.ContainsAny(authority, `#\`):
		p.failf(form, "the path has a character of %q", `#\`)
	case !strings.HasPrefix(authority, "/"):
		p.failf(form, "the path does not begin with a slash, so it has three of them after file:")
	case authority == "/" || path.Clean(authority) != authority:
		p.failf(form, "the path ends with a slash, or has empty or dot segments")
	}

	t.Path = authority
}

// finishFile refuses a file without a valid list, as all variables with a file
// do. A failed start is noticed, but a start that waits for a missing file is
// not.
func finishFile(p *parser, t *Target) {
	content, err := config.ReadFile(t.Path)
	if err != nil {
		p.failf("the path of a file that can be read", "%v", err)
		return
	}

	targets, problems := grammar{variable: p.variable, nested: true}.parse(Items(content))
	for _, inside := range problems {
		p.failf(inside.Accepted, "the file's %s", inside.Reason)
	}

	if len(targets) == 0 && len(problems) == 0 {
		p.failf("a file with a list like that of LB_BACKENDS", "the file lists nothing")
	}
}

// newFile follows the path and not an open file, because Kubernetes replaces a
// symbolic link in the path.
func newFile(k *kinds, t Target) source {
	n := &nested{target: t, log: k.log.With("file", t.Item), sourceOf: k.source}
	n.place.what = "the file's content"
	n.place.followed = func(log *slog.Logger, backends int) {
		log.Info("discovery follows a new content of the file", "backends", backends)
	}
	n.place.readers = append(n.place.readers, fileReader{t.Path}.run)

	return n
}

// fileReader reads one file periodically.
type fileReader struct{ path string }

func (f fileReader) run(ctx context.Context, readings chan<- reading) {
	config.WatchText(ctx, f.path, func(content string, err error) {
		if err != nil {
			err = &failure{err.Error(), fmt.Errorf("the item %w", err)}
		}

		select {
		case readings <- reading{made: true, value: content, err: err}:
		case <-ctx.Done():
		}
	})
}
