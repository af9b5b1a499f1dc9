package conformance

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/test/fakemetadata/server"
)

// churn is the kind of changes to the backends during a suite.
type churn string

const (
	calm    churn = ""        // nothing changes: one backend is enough
	changes churn = "changes" // the list changes all the time
	death   churn = "death"   // the list changes, and one backend is killed in the middle
)

// backends returns how many backends are started.
func (c churn) backends() int {
	if c == calm {
		return 1
	}
	return 3
}

// run makes these changes until a signal comes from stop, or stop is closed.
func (c churn) run(stop <-chan os.Signal, list *published, backends []*exec.Cmd) {
	if c == calm {
		<-stop
		return
	}

	tick := time.NewTicker(pace)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}

		if c == death && i == 10 {
			_ = backends[1].Process.Kill()
		}

		list.leaveOut(i)
	}
}

// pace is how long each published list is valid.
const pace = 20 * time.Millisecond

// published is the list of backends in a metadata attribute.
type published struct {
	host     string
	targets  []string
	metadata *server.Server
}

// publish serves the list until the process ends.
func publish(targets []string) (*published, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}

	p := &published{host: l.Addr().String(), targets: targets, metadata: server.New(server.Identity{})}
	p.set(targets)
	go func() { _ = http.Serve(l, p.metadata) }()

	return p, nil
}

// environment returns the variable that makes a program follow the list.
func (p *published) environment() string { return "GCE_METADATA_HOST=" + p.host }

func (p *published) set(targets []string) {
	p.metadata.Set("instance/attributes/lb-backends", strings.Join(targets, ";"))
}

// leaveOut publishes all backends except one, each turn another one. After a
// round it publishes all of them once.
func (p *published) leaveOut(turn int) {
	out := turn % (len(p.targets) + 1)
	if out == len(p.targets) {
		p.set(p.targets)
		return
	}
	p.set(slices.Delete(slices.Clone(p.targets), out, out+1))
}
