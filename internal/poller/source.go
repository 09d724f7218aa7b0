package poller

import (
	"context"

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

// source hands out the orders of a run, a page at a time.
type source struct {
	poller *Poller
	run    Run
	claim  store.Claim
	taken  int
	ended  bool // nothing can come any more
}

func (p *Poller) newSource(ctx context.Context, run Run) (*source, error) {
	s := &source{poller: p, run: run, claim: store.Claim{Worker: p.Worker, Lease: p.Lease, Selection: run.Selection}}
	if run.Once {
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
		want = min(want, s.run.Limit-s.taken)
	}
	if s.ended || want <= 0 {
		return nil, nil
	}
	s.claim.Limit = want
	s.claim.PausedMIDs = s.poller.gates.paused()
	take := s.poller.Store.Claim
	if s.run.DryRun {
		take = s.poller.Store.Peek
	}
	orders, err := take(ctx, s.claim)
	if err != nil {
		return nil, err
	}
	s.taken += len(orders)
	s.advance(orders)
	return orders, nil
}

// advance moves on to the next page. What was claimed because it was due is no
// longer due; only a selection and a dry run would come upon it again.
func (s *source) advance(orders []store.Order) {
	if s.run.Selection == nil && !s.run.DryRun {
		return
	}
	if len(orders) == 0 {
		s.ended = true
		return
	}
	s.claim.After = store.Next(orders)
}
