package proxy

import (
	"slices"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
)

// Load reads the environment, including the targets and the routes in it. It
// returns all problems, in the order of the variables.
func Load(environ []string) (*config.Config, discovery.Targets, []config.Problem) {
	cfg, problems := config.Load(environ)
	targets, ofTargets := discovery.ParseServices(cfg)
	_, ofRoutes := RouteTable(cfg)
	problems = slices.Concat(problems, ofTargets, ofRoutes)
	config.Sort(problems)

	return cfg, targets, problems
}
