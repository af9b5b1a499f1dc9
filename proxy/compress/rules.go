package compress

import (
	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// Rules are the compression rules of a route. They are immutable.
type Rules struct {
	codings []wire.Coding // the preferred one first
	types   mediaTypes
	min     int64
}

// NewRules makes the rules of a configuration. It returns nil if nothing is
// compressed.
func NewRules(c *config.Compress) *Rules {
	if !c.On() {
		return nil
	}

	r := &Rules{types: newMediaTypes(c.Types), min: max(1, c.Min)}
	for _, name := range c.Codings {
		switch name {
		case config.CodingZstd:
			r.codings = append(r.codings, wire.Zstd)
		case config.CodingGzip:
			r.codings = append(r.codings, wire.Gzip)
		}
	}

	return r
}
