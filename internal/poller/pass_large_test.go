package poller

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/order"
	"reconciler/internal/store"
)

// countingStore is the real one; it counts answers from the gateway until they are written.
type countingStore struct {
	*store.Store

	mu               sync.Mutex
	unwritten, most  int
	largest, largeOf int // group, in bytes and in outcomes
}

func (s *countingStore) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unwritten++
	s.most = max(s.most, s.unwritten)
}

func (s *countingStore) Record(ctx context.Context, group []order.Outcome) ([]store.Recorded, error) {
	written, err := s.Store.Record(ctx, group)
	s.mu.Lock()
	defer s.mu.Unlock()
	bytes := 0
	for i, out := range group {
		bytes += len(out.Question.Response)
		if err == nil && written[i].State == store.Written {
			s.unwritten--
		}
	}
	if bytes > s.largest {
		s.largest, s.largeOf = bytes, len(group)
	}
	return written, err
}

// A gateway that answers at length must not fill the memory: answers are bounded one by one, and
// here in number.
func TestLargeAnswersAreBounded(t *testing.T) {
	t.Parallel()
	const answer, orders = 300 << 10, 60
	for _, concurrency := range []int{2, 24} {
		w := newWorld(t)
		for n := range orders {
			w.add(t, n, isPaidStep)
		}
		other := w.beginTx(t)
		s := &countingStore{Store: w.Store}
		g := gatewayFunc(func(ctx context.Context, r chinaums.Request) (chinaums.Answer, error) {
			a, err := w.client.Query(ctx, r)
			a.Redacted = []byte(`{"padding":"` + strings.Repeat("x", answer) + `"}`)
			s.answered()
			if r.MerOrderID == mer(0) { // whose answer has to wait aside
				_, lockErr := other.Exec(ctx, `SELECT FROM orders WHERE mer_order_id = $1 FOR UPDATE`, mer(0))
				err = errors.Join(err, lockErr)
			}
			return a, err
		})
		p := start(t, w.poller(t, workers(concurrency), asking(g), into(s)), Run{})
		eventually(t, "all but the locked order", func() bool {
			return one[int](t, w, `SELECT count(*)::int FROM orders WHERE status = 'TRADE_SUCCESS'`) == orders-1
		})
		if err := other.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantDecisions(t, p.wait(t), map[order.Decision]int{order.Settled: orders})
		// A machine may be so slow that a group is not written in time. Then as many wait aside.
		if s.most > 2*concurrency+1 {
			t.Errorf("%d answers were in memory at once, with %d workers", s.most, concurrency)
		}
		if s.largest >= maxBatchBytes+2*answer {
			t.Errorf("%d bytes in a group of %d", s.largest, s.largeOf)
		}
	}
}

// A worker that waits for the writer is not free: its merchant has it still, and may not have all
// of them.
func TestLargeAnswersOfOneMerchantLeaveAWorkerToOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := range 6 {
		w.add(t, n, isPaidStep)
	}
	w.addOf(t, otherMID, 6, isPaidStep)
	asked, write := make(chan struct{}), make(chan struct{})
	g := gatewayFunc(func(ctx context.Context, r chinaums.Request) (chinaums.Answer, error) {
		a, err := w.client.Query(ctx, r)
		if r.MID == otherMID {
			close(asked)
			return a, err
		}
		a.Redacted = []byte(`"` + strings.Repeat("x", minLarge) + `"`)
		return a, err
	})
	s := &brokenStore{Store: w.Store, record: func(int) error { <-write; return nil }}
	p := start(t, w.poller(t, workers(4), asking(g), into(s)), Run{})
	select {
	case <-asked:
	case <-time.After(3 * time.Minute):
		t.Error("the other merchant's order waits for the answers of this one to be written")
	}
	close(write)
	wantDecisions(t, p.wait(t), map[order.Decision]int{order.Settled: 7})
}
