package files

import "github.com/pillion-lb/pillion/config"

// Page is a file that is the body of a fixed answer or of an error. Safe for
// concurrent use.
type Page struct {
	page *config.Page
	kind mediaType
}

// NewPage makes a page. The file's ending decides about its media type.
func NewPage(page *config.Page) *Page {
	kind := typeOf(page.Path)
	if kind == unknownType {
		kind = typeOfEnding("txt")
	}
	return &Page{page, kind}
}

// Content returns the current content and its media type.
func (p *Page) Content() (text, mediaType string) { return p.page.Text(), p.kind.mediaType }

// ErrorPages are the bodies of Pillion's own errors, by status.
type ErrorPages map[int]*Page

// NewErrorPages makes the pages of LB_ERROR_FILE.
func NewErrorPages(pages map[int]*config.Page) ErrorPages {
	made := ErrorPages{}
	for status, page := range pages {
		made[status] = NewPage(page)
	}
	return made
}

// Content returns the page of a status, if there is one.
func (p ErrorPages) Content(status int) (text, mediaType string, ok bool) {
	page := p[status]
	if page == nil {
		return "", "", false
	}
	text, mediaType = page.Content()
	return text, mediaType, true
}
