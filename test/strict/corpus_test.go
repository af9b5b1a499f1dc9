package strict

// requests are all cases of HTTP/1.1, by theme.
var requests = map[string][]request{
	"framing":  framing,
	"lengths":  lengths,
	"chunks":   chunks,
	"heads":    heads,
	"fields":   fields,
	"targets":  targets,
	"hosts":    hosts,
	"methods":  methods,
	"trailers": trailers,
	"upgrades": upgrades,
	"expect":   expectations,
}
