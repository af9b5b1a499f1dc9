package h2

import (
	"bytes"
	"errors"
	"net"
	"testing"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// The beginning of a frame waits for the rest in no more memory than it needs,
// and from the budget. It is there again when more comes.
func TestRead_TheBeginningOfAFrameTakesItsOwnSize(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()

	for size, taken := range map[int]int64{9: 0, smallPart: 0, smallPart + 1: smallPart + 1, maxFrame: maxFrame} {
		s := &Server{Budget: socket.NewBudget(1 << 20)}
		c := newConn(server, 64<<10, serverWindow)
		c.server, c.account = s, socket.NewAccount(s.Budget)

		part := bytes.Repeat([]byte("z"), size)
		c.borrow()
		c.r, c.w = 100, 100+copy(c.buf[100:], part)
		if err := c.giveBack(); err != nil || c.buf != nil || cap(c.begun) != size || c.account.Used() != taken {
			t.Errorf("%d bytes: %v, %d are kept, %d taken", size, err, cap(c.begun), c.account.Used())
		}

		c.borrow()
		if !bytes.Equal(c.buf[c.r:c.w], part) || c.begun != nil || c.account.Used() != 0 {
			t.Errorf("%d bytes: %d are there again, %d taken", size, c.w-c.r, c.account.Used())
		}
	}
}

func TestRead_WithoutMemoryAFrameInPartsEndsItsConnection(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()

	s := &Server{Budget: socket.NewBudget(1 << 10)}
	c := newConn(server, 64<<10, serverWindow)
	c.server, c.account = s, socket.NewAccount(s.Budget)
	c.borrow()
	c.w = maxFrame
	var failed connError
	if err := c.giveBack(); !errors.As(err, &failed) || failed.code != enhanceYourCalm {
		t.Errorf("it ends with %v", err)
	}
	if counts := s.Budget.Shed(); counts[socket.RefusedRequest] != 1 {
		t.Errorf("%v are counted", counts)
	}
}
