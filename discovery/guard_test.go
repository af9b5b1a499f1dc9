package discovery

import (
	"net"
	"testing"
	"time"
)

func TestBackend_ControlRefusesWhatNoBackendHas(t *testing.T) {
	t.Parallel()
	targets, problems := grammar{nested: true}.parse([]string{"http://app.test:80"})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	guarded := targets[0].Template.Control()
	for address, wanted := range map[string]bool{
		"10.0.0.1:80": true, "127.0.0.1:80": true, "[::1]:80": true, "[fd00::1]:80": true, "[::ffff:10.0.0.1]:80": true,
		"0.0.0.0:80": false, "[::]:80": false, "169.254.169.254:80": false, "[::ffff:169.254.169.254]:80": false,
		"[fe80::1%eth0]:80": false, "224.0.0.1:80": false, "[ff02::1]:80": false, "255.255.255.255:80": false,
		"[fd20:ce::254]:80": false, "name:80": false,
	} {
		if err := guarded("tcp", address, nil); (err == nil) != wanted {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// A dialer asks about the address and not about the name.
func TestBackend_ControlIsAskedAfterTheNameIsResolved(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	d := net.Dialer{Timeout: 5 * time.Second, Control: Backend{Guarded: true}.Control()}
	if c, err := d.DialContext(t.Context(), "tcp4", net.JoinHostPort("0.0.0.0", port)); err == nil {
		c.Close()
		t.Error("the unspecified address was dialled")
	}
	c, err := d.DialContext(t.Context(), "tcp4", net.JoinHostPort("localhost", port))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestParse_OnlyWhatAnAttributeNamesIsGuarded(t *testing.T) {
	t.Parallel()
	targets, problems := Parse([]string{"http://app.test:80"})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if targets[0].Template.Control() != nil {
		t.Error("what the operator wrote is guarded")
	}
}
