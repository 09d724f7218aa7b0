package poller

import (
	"context"
	"sync/atomic"
	"time"

	"reconciler/internal/store"
)

// Run says which orders a pass is about. The zero value is what the daemon does:
// all that are due, until none is.
type Run struct {
	Once      bool             // ask no order twice
	Selection *store.Selection // instead of what is due: these, now, once each
	Limit     int              // at most so many; 0 = all
	DryRun    bool             // ask and decide, but claim and write nothing
}

// patience is how long a run waits for a database that cannot be reached: one by
// hand a little while, the daemon not at all, for it has its next pass.
func (r Run) patience() time.Duration {
	if r.Once {
		return writeTimeout
	}
	return 0
}

// source hands out the orders of a run, a page at a time.
type source struct {
	poller *Poller
	run    Run
	claim  store.Claim
	taken  atomic.Int64 // orders handed out and not given back
	paged  bool         // the cursor has left the beginning
	ended  bool         // nothing can come any more
}

func (p *Poller) newSource(ctx context.Context, run Run) (*source, error) {
	s := &source{poller: p, run: run, claim: store.Claim{
		App: p.AppID, Rate: p.Rate, Worker: p.Worker, Lease: p.Lease, Selection: run.Selection, Lanes: !run.Once && run.Limit == 0,
	}}
	if p.Rate > 0 && !run.DryRun {
		if err := p.Store.OpenBudget(ctx, p.AppID, p.Rate); err != nil {
			return nil, err
		}
	}
	if run.Once || run.Selection != nil {
		now, err := p.Store.Now(ctx)
		if err != nil {
			return nil, err
		}
		s.claim.AskedBefore = &now
	}
	return s, nil
}

// count is how many orders the run is about as it begins.
func (s *source) count(ctx context.Context) (int, error) {
	c := s.claim
	c.Limit = 1 << 30
	if s.run.Limit > 0 {
		c.Limit = s.run.Limit
	}
	return s.poller.Store.Count(ctx, c)
}

// page takes at most want orders; none means that nothing is there now.
func (s *source) page(ctx context.Context, want int) ([]store.Order, error) {
	if s.run.Limit > 0 {
		want = min(want, s.run.Limit-int(s.taken.Load()))
	}
	if s.ended || want <= 0 {
		return nil, nil
	}
	s.claim.Limit = want
	s.claim.PausedMIDs = s.poller.gates.paused()
	take := s.poller.Store.Claim
	if s.run.DryRun {
		take = s.peek
	}
	orders, err := take(ctx, s.claim)
	if err != nil {
		return nil, err
	}
	s.taken.Add(int64(len(orders)))
	s.advance(orders)
	return orders, nil
}

// peek reads what a claim would take, but for its traces.
func (s *source) peek(ctx context.Context, c store.Claim) ([]store.Order, error) {
	standing, err := s.poller.Store.Standing(ctx, c.App, c.Rate)
	if err != nil || standing.Blocked != nil {
		return nil, err
	}
	orders, err := s.poller.Store.Peek(ctx, c)
	for i := range orders {
		orders[i].UnrecordedClaims++ // as the claim would have done
	}
	s.ended = err == nil && len(orders) == 0
	return orders, err
}

// advance moves on to the next page. What was claimed because it was due is no
// longer due; only a selection and a dry run would come upon it again.
func (s *source) advance(orders []store.Order) {
	switch {
	case s.run.Selection == nil && !s.run.DryRun:
	case len(orders) > 0:
		s.claim.After, s.paged = store.Next(orders), true
	}
}

// again lets a selection begin anew, once its pages are through: orders that were
// given back, or passed over behind a merchant's probe, are still to be asked
// about, those asked about are left out. It reports whether there is any point.
func (s *source) again() bool {
	if !s.paged || s.run.DryRun {
		return false
	}
	s.claim.After, s.paged = store.Cursor{}, false
	return true
}
