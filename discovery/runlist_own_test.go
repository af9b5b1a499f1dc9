package discovery

import (
	"testing"
	"testing/synctest"
	"time"
)

// A balancer is no backend of itself, however the target names its project.
func TestRunList_OurOwnServiceIsNoBackend(t *testing.T) {
	t.Parallel()
	for item, project := range map[string]string{
		"run+list://?label.team=shop": "77", "run+list://us-east1.77?label.team=shop": "77",
		"run+list://us-east1.fake-project?label.team=shop": "fake-project",
	} {
		synctest.Test(t, func(t *testing.T) {
			g, cfg, opts, _ := googleOf(t)
			cfg.Platform.Service = "balancer"
			g.Set(project, "us-east1", shop("api"), shop("balancer"))
			if set, _ := next(run(t, cfg, opts, item), time.Second); names(set.Backends) != "api.us-east1" {
				t.Errorf("%s: published %+v", item, set)
			}
		})
	}
}
