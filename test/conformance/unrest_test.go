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

// unrest is what happens to the backends while a suite runs.
type unrest string

const (
	calm    unrest = ""        // nothing: there is one
	changes unrest = "changes" // the list of them changes all the time
	death   unrest = "death"   // it changes, and one of them is killed in the middle
)

// backends is how many there are.
func (u unrest) backends() int {
	if u == calm {
		return 1
	}
	return 3
}

// unsettle makes the unrest until stop says that it is over.
func (u unrest) unsettle(stop <-chan os.Signal, list *published, backends []*exec.Cmd) {
	if u == calm {
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
		if u == death && i == 10 {
			_ = backends[1].Process.Kill()
		}
		list.leaveOut(i)
	}
}

// pace is how long each list lasts.
const pace = 20 * time.Millisecond

// published is a list of backends in a metadata attribute.
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

// environment makes a program follow the list.
func (p *published) environment() string { return "GCE_METADATA_HOST=" + p.host }

func (p *published) set(targets []string) {
	p.metadata.Set("instance/attributes/lb-backends", strings.Join(targets, ";"))
}

// leaveOut publishes all backends but one, in turn; now and then all of them.
func (p *published) leaveOut(turn int) {
	out := turn % (len(p.targets) + 1)
	if out == len(p.targets) {
		p.set(p.targets)
		return
	}
	p.set(slices.Delete(slices.Clone(p.targets), out, out+1))
}
