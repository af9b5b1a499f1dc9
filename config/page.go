package config

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// Page is a small file that is the body of an answer. It is read again when it
// changes. Safe for concurrent use.
type Page struct {
	Path string
	text *Followed[string]
}

// followPage reads a page for the first time.
func followPage(variable, path string) (*Page, error) {
	text, err := Follow(variable, func(contents []string) (*string, error) {
		return &contents[0], nil
	}, path)
	if err != nil {
		return nil, err
	}

	return &Page{Path: path, text: text}, nil
}

// Text returns the current content.
func (p *Page) Text() string {
	if text := p.text.Load(); text != nil {
		return *text
	}
	return ""
}

// followPages reads the pages of errors for the first time.
func followPages(variable string, paths ErrorFiles) (map[int]*Page, error) {
	pages := map[int]*Page{}
	for _, status := range slices.Sorted(maps.Keys(paths)) {
		page, err := followPage(variable, paths[status])
		if err != nil {
			return nil, fmt.Errorf("for %d %w", status, err)
		}

		pages[status] = page
	}

	return pages, nil
}

// followPages reads the pages of a route. Error pages that all routes inherit
// are read once, for the unnamed route.
func (e *environment) followPages(r, unnamed *Route) {
	var err error
	if r.RespondFile != "" {
		if r.RespondPage, err = followPage(e.full("LB_RESPOND_FILE"), r.RespondFile); err == nil {
			e.files = append(e.files, r.RespondPage.text)
		}
	}

	if _, own := e.given[e.full("LB_ERROR_FILE")]; unnamed != nil && !own {
		r.ErrorPages = unnamed.ErrorPages
		return
	}
	if r.ErrorPages, err = followPages(e.full("LB_ERROR_FILE"), r.ErrorFiles); err != nil {
		e.fault("LB_ERROR_FILE", err.Error())
		return
	}
	for _, status := range slices.Sorted(maps.Keys(r.ErrorPages)) {
		e.files = append(e.files, r.ErrorPages[status].text)
	}
}

// validateFiles checks that the configured files exist.
func (e *environment) validateFiles() {
	directory, given := e.good[e.full("LB_FILES")]
	if !given {
		for _, base := range []string{"LB_FILES_INDEX", "LB_FILES_FALLBACK"} {
			_, alone := e.given[e.full(base)]
			if _, bad := e.given[e.full("LB_FILES")]; alone && !bad && e.name != "" {
				e.fault(base, "is set but "+e.full("LB_FILES")+" is not")
			}
		}
		return
	}

	// An inherited one may be for other directories.
	if _, own := e.given[e.full("LB_FILES_FALLBACK")]; !own {
		return
	}
	fallback := strings.TrimPrefix(e.text("LB_FILES_FALLBACK"), "/")
	root, err := os.OpenRoot(directory)
	if fallback == "" || err != nil {
		return
	}
	defer root.Close()
	if info, err := root.Stat(fallback); err != nil || info.IsDir() {
		e.fault("LB_FILES_FALLBACK", fmt.Sprintf("%q names a file that does not exist in %s",
			clip("/"+fallback), e.full("LB_FILES")))
	}
}
