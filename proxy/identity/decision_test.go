package identity

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery/metadata"
	"github.com/pillion-lb/pillion/test/fakemetadata/server"
)

// inPod is a process whose platform says nothing about a metadata server.
func inPod() *config.Config {
	return &config.Config{Platform: config.Platform{Kubernetes: true}, Service: config.Service{Identity: "auto"}}
}

func TestDecision_WithoutMetadataServerRequestsGoWithoutToken(t *testing.T) {
	t.Parallel()
	for _, fault := range []server.Mode{server.Drop, server.Error, server.Gone, server.HTML, server.Reset} {
		synctest.Test(t, func(t *testing.T) {
			s, m, l := running(t, inPod())
			m.SetFault(server.Fault{Mode: fault})

			var waiting sync.WaitGroup
			begun := time.Now()
			for _, a := range []string{audience, "https://b", "https://c"} {
				waiting.Go(func() {
					if text, err := s.Token(t.Context(), a); text != "" || err != nil {
						t.Errorf("%s: got %q, %v", fault, text, err)
					}
				})
			}
			waiting.Wait()
			if took := time.Since(begun); took > metadata.Deadline {
				t.Errorf("%s: the first requests waited for %v", fault, took)
			}

			for range 1000 {
				called := time.Now()
				if text, err := get(t, s); text != "" || err != nil {
					t.Fatalf("%s: got %q, %v", fault, text, err)
				}
				if waited := time.Since(called); waited > 0 {
					t.Fatalf("%s: a later request waited for %v", fault, waited)
				}
				time.Sleep(time.Second)
			}
			if n := l.count("tokens are off"); n != 1 {
				t.Errorf("%s: told %d times\n%s", fault, n, l)
			}
		})
	}
}

func TestDecision_LateMetadataServerTurnsTokensOn(t *testing.T) {
	t.Parallel()
	for _, fault := range []server.Mode{server.Drop, server.Error, server.Gone, server.HTML, server.Reset} {
		for _, late := range []time.Duration{time.Second, 20 * time.Second, time.Hour} {
			synctest.Test(t, func(t *testing.T) {
				s, m, l := running(t, inPod())
				m.SetFault(server.Fault{Mode: fault})
				s.Expect(audience)
				time.Sleep(late)
				if text, err := get(t, s); text != "" || err != nil {
					t.Fatalf("%s, %v late: got %q, %v", fault, late, text, err)
				}

				m.SetFault(server.Fault{})
				time.Sleep(longestPause + 4*time.Second) // and a question in progress, and a tenth
				if text, err := get(t, s); text == "" || err != nil {
					t.Errorf("%s, %v late: got %q, %v", fault, late, text, err)
				}

				m.SetFault(server.Fault{Mode: fault})
				time.Sleep(2 * time.Hour)
				if text, err := get(t, s); text != "" || err == nil {
					t.Errorf("%s: after an account was found a request goes without: %q", fault, text)
				}
				if on, off := l.count("tokens are on"), l.count("tokens are off"); on != 1 || off > 1 {
					t.Errorf("%s: told on %d times and off %d times\n%s", fault, on, off, l)
				}
			})
		}
	}
}

func TestDecision_WithMetadataServerTokensAreOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _, l := running(t, inPod())
		if text, err := get(t, s); text == "" || err != nil || l.count("tokens are on") != 1 {
			t.Errorf("got %q, %v\n%s", text, err, l)
		}
	})
}

func TestDecision_LateMetadataServerOfAMachineIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, fault := range []server.Mode{server.Drop, server.Error, server.HTML, server.Reset} {
		synctest.Test(t, func(t *testing.T) {
			s, m, l := running(t, &config.Config{Platform: config.Platform{ComputeEngine: true}})
			m.SetFault(server.Fault{Mode: fault})
			for range 60 {
				if text, err := get(t, s); err == nil {
					t.Fatalf("%s: got %q", fault, text)
				}
				time.Sleep(time.Second)
			}
			if n := l.count("level=WARN"); n != 1 {
				t.Errorf("%s: %d warnings\n%s", fault, n, l)
			}

			m.SetFault(server.Fault{})
			time.Sleep(longestPause + 4*time.Second)
			if text, err := get(t, s); text == "" || err != nil {
				t.Errorf("%s: got %q, %v", fault, text, err)
			}
		})
	}
}

func TestDecision_MachineWithoutAnAccountGoesWithoutToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, m, _ := running(t, &config.Config{Platform: config.Platform{ComputeEngine: true}})
		m.SetFault(server.Fault{Mode: server.Gone})
		if text, err := get(t, s); text != "" || err != nil {
			t.Errorf("got %q, %v", text, err)
		}
	})
}

func TestDecision_OffNeedsNoMetadata(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := onCloudRun()
		cfg.Service.Identity = "off"
		s, m, _ := running(t, cfg)
		s.Expect(audience)
		if text, err := get(t, s); text != "" || err != nil || m.Requests(asked) != 0 {
			t.Errorf("got %q, %v", text, err)
		}
		if text, err := s.Token(t.Context(), ""); text != "" || err != nil {
			t.Errorf("no audience: got %q, %v", text, err)
		}
	})
}

func TestDecision_NothingIsAskedWhileNoTokenIsWanted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, m, _ := running(t, inPod())
		time.Sleep(time.Hour)
		if n := m.Requests("instance/service-accounts/default/email"); n != 0 {
			t.Errorf("asked %d times", n)
		}
	})
}
