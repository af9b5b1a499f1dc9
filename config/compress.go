package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Compress holds the settings of compression for a route.
type Compress struct {
	// Codings are the codings to use, the preferred one first; empty for none.
	Codings []string `env:"LB_COMPRESS"`
	Types   []string `env:"LB_COMPRESS_TYPES"` // patterns in lower case
	Min     int64    `env:"LB_COMPRESS_MIN"`   // bytes; shorter answers are not compressed
}

// On reports whether answers are compressed.
func (c *Compress) On() bool { return len(c.Codings) > 0 }

// The codings of LB_COMPRESS.
const (
	CodingZstd = "zstd"
	CodingGzip = "gzip"
)

// EncoderMemory is the most memory that an encoder in use takes.
const EncoderMemory = 5 * mib / 4

const (
	// fewestEncoders is the number of encoders under any memory limit.
	fewestEncoders = 4
	// unboundedMemory is assumed if there is no memory limit.
	unboundedMemory = 4 << 30
)

// Compresses reports whether any route compresses.
func (c *Config) Compresses() bool {
	return slices.ContainsFunc(c.Routes, func(r Route) bool { return r.Compress.On() })
}

// encoders returns how many answers may be compressed at a time: as many as fit
// into a sixteenth of the memory limit. A limit of 0 is none.
func (c *Config) encoders(limit int64) int {
	if !c.Compresses() {
		return 0
	}
	if limit == 0 {
		limit = unboundedMemory
	}

	return max(fewestEncoders, int(limit/16/EncoderMemory))
}

// compressVariables returns the rows about compression.
func compressVariables() []Variable {
	rows := []Variable{
		{
			Name: "LB_COMPRESS", Default: "off", Example: "zstd;gzip", form: orNone(compressCodings(), ""),
			Sentence: "The codings in which answers are compressed, the preferred one first where a " +
				"client likes several equally well. Nothing waits for it: the head is sent at once, and what " +
				"a backend has sent is sent on when it pauses. Never compressed: what is compressed already " +
				"or says no-transform, parts, event streams, gRPC, and answers to requests with cookies or " +
				"Authorization that another site's page makes. At most a sixteenth of the memory limit, or 5 " +
				"MiB if that is more, is used; beyond that answers go out as they are. With LB_CACHE answers " +
				"are stored compressed.",
		},
		{
			Name: "LB_COMPRESS_TYPES",
			Default: "text/*;application/json;application/*+json;application/javascript;application/xml;" +
				"*/*+xml;application/wasm;application/x-protobuf;font/ttf;font/otf",
			Example: "text/*;application/json", form: mediaPatterns(),
			Sentence: "Media types that are compressed. No pattern takes text/event-stream, only its name " +
				"does.",
		},
		{
			Name: "LB_COMPRESS_MIN", Default: "1KiB", Example: "256", form: size(0, 64*mib),
			Sentence: "Answers that are known to be shorter are not compressed.",
		},
	}
	for i := range rows {
		rows[i].Route = true
	}

	return inSection(compressSection, false, rows)
}

// compressCodings is the form of a list of codings. Known codings that Pillion
// does not have get their own error.
func compressCodings() form {
	f := words(CodingZstd, CodingGzip)
	list := f.parse
	f.parse = func(given string) (string, error) {
		for _, item := range split(given) {
			if strings.EqualFold(item, "br") || strings.EqualFold(item, "brotli") {
				return "", fmt.Errorf("has the item %q, which is not supported in this version", clip(item))
			}
		}
		if len(split(given)) == 0 {
			return "", errors.New("names no coding")
		}

		return list(given)
	}

	return f
}

// mediaPatterns returns the form of a list of media types. A star in one stands
// for a type, for a subtype, or for the part of a subtype before its suffix.
func mediaPatterns() form {
	return form{"a list of media types such as text/*, */*+xml or font/ttf, separated by ';'",
		func(given string) (string, error) {
			items := split(given)
			if len(items) == 0 {
				return "", errors.New("names no media type")
			}
			for i, item := range items {
				kind, subtype, found := strings.Cut(item, "/")
				if !found || !isPatternPart(kind) || !isPatternPart(subtype) {
					return "", fmt.Errorf("has the item %q, which is no media type", clip(item))
				}
				items[i] = strings.ToLower(item)
			}

			return strings.Join(items, ","), nil
		}}
}

// isPatternPart reports whether a part of a media type is a token, a star, or a
// star before a suffix.
func isPatternPart(s string) bool {
	if rest, star := strings.CutPrefix(s, "*"); star {
		return rest == "" || rest[0] == '+' && isToken(rest[1:]) && !strings.Contains(rest, "*")
	}

	return isToken(s) && !strings.Contains(s, "*")
}
