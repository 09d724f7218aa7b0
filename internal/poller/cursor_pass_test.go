package poller

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/store"
)

// slowLooks is the real store where a look from the beginning takes long.
type slowLooks struct {
	*store.Store

	took time.Duration
}

func (s slowLooks) Claim(ctx context.Context, c store.Claim) (store.Page, error) {
	page, err := s.Store.Claim(ctx, c)
	if page.Took <= 0 {
		page.At = time.Time{} // it is measured with every claim
	}
	page.Took = 0
	if c.From == (store.Cursor{}) {
		page.Took = s.took
	}
	return page, err
}

// A merchant reaches its limit, and the claims go on behind its orders. Once it may have more, its
// older orders are found in the same pass, however slow a look from the beginning is.
func TestOrdersBehindALimitAreFoundAfterSlowLooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const backlog, others = 60, 20
	for i := range backlog {
		w.add(t, i, isPaidStep)
	}
	for i := range others {
		w.addOf(t, otherMID, 100+i, isPaidStep)
	}
	var asked atomic.Int32
	othersAsked := make(chan struct{})
	g := gatewayFunc(func(ctx context.Context, r chinaums.Request) (chinaums.Answer, error) {
		if r.MID == testMID {
			<-othersAsked
		} else if asked.Add(1) == others {
			defer close(othersAsked)
		}
		return w.client.Query(ctx, r)
	})
	p := w.poller(t, into(slowLooks{w.Store, time.Minute}), asking(g))
	s := sweep(t, p, Run{schedule: every(t, "@every 5s")})
	if s.Asked != backlog+others {
		t.Errorf("a pass asked about %d orders, want all %d", s.Asked, backlog+others)
	}
	if a := (*p.apps.Load())[0]; a.place.from.ID != 1 || time.Since(a.place.from.NextQueryAt) > time.Minute {
		t.Error("the next pass does not begin behind what was slow to pass")
	}
}
