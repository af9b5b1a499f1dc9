package xds

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	server "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// asPlane is the variable that makes a control plane of this test's program.
const asPlane = "PILLION_TEST_XDS_PLANE"

// servePlane is a control plane in a process of its own. It prints its address.
// Each line that it reads are the endpoints of the cluster app.
func servePlane(in io.Reader, out io.Writer) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 1
	}
	snapshots := cache.NewSnapshotCache(true, cache.IDHash{}, nil)
	s := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(s,
		server.NewServer(context.Background(), snapshots, server.CallbackFuncs{}))
	go func() { _ = s.Serve(l) }()
	_, _ = fmt.Fprintln(out, l.Addr())

	lines := bufio.NewScanner(in)
	for version := 1; lines.Scan(); version++ {
		var all []*endpoint.LbEndpoint
		for address := range strings.FieldsSeq(lines.Text()) {
			e, err := endpointAt(address)
			if err != nil {
				return 1
			}
			all = append(all, e)
		}
		snapshot, err := cache.NewSnapshot(strconv.Itoa(version), map[resource.Type][]types.Resource{
			resource.ClusterType: {eds("app")}, resource.EndpointType: {assignment("app", locality(all...))}})
		if err != nil || snapshots.SetSnapshot(context.Background(), node, snapshot) != nil {
			return 1
		}
	}

	return 0
}

// planeProcess is a control plane that can be stopped as a process.
type planeProcess struct {
	address string
	process *os.Process
	in      io.Writer
}

func startPlaneProcess(t *testing.T) *planeProcess {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asPlane+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}

	return &planeProcess{strings.TrimSpace(line), cmd.Process, in}
}

func (p *planeProcess) show(t *testing.T, all ...*backend.Server) {
	t.Helper()
	var line []string
	for _, s := range all {
		line = append(line, s.Address)
	}
	if _, err := fmt.Fprintln(p.in, strings.Join(line, " ")); err != nil {
		t.Fatal(err)
	}
}

func (p *planeProcess) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// A control plane whose process stands still keeps its stream open and says
// nothing. What it named last is used meanwhile. What it was told meanwhile
// comes when it goes on.
func TestXDS_AServerThatIsFrozenKeepsTheSetAndIsHeardAgain(t *testing.T) {
	t.Parallel()
	plane, s := startPlaneProcess(t), backend.StartMany(t, 2)
	plane.show(t, s[0])
	p := start(t, "xds://app?server="+plane.address+"&node="+node)
	l := startLoad(t, p)
	l.more(t, 20)

	plane.signal(t, syscall.SIGSTOP)
	plane.show(t, s[1])
	await.Until(t, "the page tells the age", func() bool {
		state := sourceOf(t, p)
		return state.Age != nil && *state.Age > 0 && state.Backends == 1
	})
	l.more(t, 200)
	if s[1].Hits() > 0 {
		t.Error("an update came from a process that stands still")
	}

	// A program that starts now has nobody to ask, and says so.
	late := start(t, "xds://app?server="+plane.address+"&node="+node)
	await.Until(t, "a program that starts says what it waits for", func() bool {
		return strings.Contains(sourceOf(t, late).Error, "opening a stream to "+plane.address)
	})

	plane.signal(t, syscall.SIGCONT)
	hit(t, s[1])
	l.idle(t, s[0])
	await.Until(t, "the later one has the set as well", func() bool { return sourceOf(t, late).Backends == 1 })
	if state := sourceOf(t, p); state.Error != "" || state.Backends != 1 {
		t.Errorf("the source is %+v", state)
	}
	l.end(t)
}
