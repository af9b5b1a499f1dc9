package backend

import (
	"testing"
	"testing/synctest"
	"time"
)

// takeAll spends what the budget allows now and returns how much that is.
func takeAll(b *budget) (n int) {
	for b.take(time.Now()) && n < 1e6 {
		n++
	}
	return n
}

func TestBudget_ShareOfRequestsPlusTenASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := budget{share: 0.2}
		if n := takeAll(&b); n != 100 {
			t.Errorf("without requests %d in ten seconds", n)
		}

		for range 1000 {
			b.count(false, time.Now())
			b.count(true, time.Now()) // a repeat earns nothing
		}

		if n := takeAll(&b); n != 200 {
			t.Errorf("for 1000 requests %d more", n)
		}

		time.Sleep(9 * time.Second)
		if n := takeAll(&b); n != 0 {
			t.Errorf("nine seconds later %d", n)
		}

		time.Sleep(time.Second)
		if n := takeAll(&b); n != 100 {
			t.Errorf("when all is ten seconds old %d", n)
		}
	})
}
