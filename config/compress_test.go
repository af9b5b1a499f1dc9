package config

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestCompress_FormsAreChecked(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"gzip": "gzip", "ZSTD; gzip": "zstd,gzip", "gzip,gzip": "gzip", "off": "", "none": "",
		"br": "not supported in this version", "gzip;brotli": "not supported in this version",
		"deflate": "none of the accepted words", ";": "names no coding",
	} {
		got, err := orNone(compressCodings(), "").parse(given)
		if err != nil {
			got = err.Error()
		}
		if got != want && (err == nil || !strings.Contains(got, want)) {
			t.Errorf("%q: %s", given, got)
		}
	}
	for given, good := range map[string]bool{
		"text/*": true, "*/*+xml": true, "Text/HTML": true, "*/*": true, "text": false, "text/x*": false, "text/*x": false,
		"": false, "t*/html": false, "text/*+": false, "text/html;q=1": false, "text/": false, "/x": false,
		"application/*+json;font/ttf": true,
	} {
		if _, err := mediaPatterns().parse(given); (err == nil) != good {
			t.Errorf("%q: %v", given, err)
		}
	}
}

// TestCompress_EncodersFollowFromTheMemory counts only where a route
// compresses, and takes their memory from what others may use.
func TestCompress_EncodersFollowFromTheMemory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		environ  string
		limit    string
		encoders int
	}{
		{"LB_COMPRESS=off", "67108864", 0},
		{"LB_COMPRESS=gzip", "67108864", 4},
		{"LB_COMPRESS=gzip", "1073741824", 46},
		{"LB_COMPRESS=gzip", "max", 204},
	} {
		sys := fstest.MapFS{limitFiles[0]: {Data: []byte(c.limit)}}
		cfg, problems := load([]string{"LB_BACKENDS=:9", c.environ}, sys, 0)
		plain, _ := load([]string{"LB_BACKENDS=:9"}, sys, 0)
		if len(problems) > 0 || cfg.Platform.Encoders != c.encoders {
			t.Errorf("%s of %s: %d, %v", c.environ, c.limit, cfg.Platform.Encoders, problems)
		}
		less := plain.Platform.MemoryBudget - cfg.Platform.MemoryBudget
		if want := int64(c.encoders) * EncoderMemory / 2; c.limit != "max" && less != want {
			t.Errorf("%s of %s: the budget is %d less, want %d", c.environ, c.limit, less, want)
		}
	}
	cfg, _ := load([]string{"LB_BACKENDS=:9", "LB_ROUTE__A=/a", "LB_COMPRESS__A=zstd"}, fstest.MapFS{}, 0)
	if !cfg.Compresses() || cfg.Route.Compress.On() || !slices.Equal(cfg.Routes[1].Compress.Codings, []string{"zstd"}) {
		t.Error("a name's compression counts for others, or not for itself")
	}
}
