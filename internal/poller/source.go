package poller

import (
	"context"
	"time"

	"reconciler/internal/order"
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

// source hands out an account's orders of a run, a page at a time.
type source struct {
	poller *Poller
	run    Run
	app    *appState
	claim  store.Claim
	paged  bool      // the cursor has left the beginning
	ended  bool      // nothing can come any more
	whole  time.Time // of the last claim that began at the beginning

	verdict verdict   // of the last claim
	again   time.Time // when another is worth it without news
	drained int       // such verdicts in a row
}

// sources are those of all accounts.
func (p *Poller) sources(ctx context.Context, run Run, accounts []*appState) ([]*source, error) {
	var asked *time.Time
	if run.Once || run.Selection != nil {
		now, err := p.Store.Now(ctx)
		if err != nil {
			return nil, err
		}
		asked = &now
	}
	var list []*source
	for _, a := range accounts {
		s := &source{poller: p, run: run, app: a, claim: store.Claim{
			App: a.AppID, MIDs: a.MIDs, ExceptMIDs: a.except, Worker: p.Worker, Lease: p.Lease,
			Selection: run.Selection, AskedBefore: asked, Suspects: true, Lanes: !run.Once && run.Limit == 0,
		}}
		if a.Gateway != nil {
			s.claim.Rate = p.Rate
		}
		if s.claim.Rate > 0 && !run.DryRun {
			if err := p.Store.OpenBudget(ctx, a.AppID, p.Rate); err != nil {
				return nil, err
			}
		}
		list = append(list, s)
	}
	return list, nil
}

// page takes at most want orders; none means that nothing is there now.
func (s *source) page(ctx context.Context, allowed allotment, want int) ([]order.Order, error) {
	if s.ended || want <= 0 {
		return nil, nil
	}
	s.claim.Limit = want
	s.claim.PausedMIDs = append(s.app.gates.paused(), allowed.shut...)
	s.claim.Merchants, s.claim.MaxPerMerchant, s.claim.InHand = allowed.merchants, allowed.most, allowed.held
	take := func(ctx context.Context, c store.Claim) ([]order.Order, error) {
		page, err := s.poller.Store.Claim(ctx, c)
		return page.Orders, err
	}
	if s.run.DryRun {
		take = s.peek
	}
	if time.Since(s.whole) > lookAgain {
		s.rewind()
	}
	orders, err := take(ctx, s.claim)
	if err != nil {
		return nil, err
	}
	s.advance(orders)
	return orders, nil
}

// peek reads what a claim would take, but for its traces.
func (s *source) peek(ctx context.Context, c store.Claim) ([]order.Order, error) {
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
// longer due; only a selection and a dry run would come upon it again. A claim need
// not pass what is left in the index of those before it: it begins where the last
// began, and once in a while at the beginning, for what was given back.
func (s *source) advance(orders []order.Order) {
	switch {
	case len(orders) == 0:
	case s.run.Selection == nil && !s.run.DryRun:
		s.claim.From = store.At(orders[0])
	default:
		s.claim.After, s.paged = store.Next(orders), true
	}
}

// rewind lets the next claim begin at the beginning. It reports whether the last did not.
func (s *source) rewind() bool {
	behind := s.claim.From != (store.Cursor{})
	s.claim.From, s.whole = store.Cursor{}, time.Now()
	return behind
}

// anew lets a selection begin anew, once its pages are through: orders that were
// given back, or passed over behind a merchant's probe, are still to be asked
// about, those asked about are left out. It reports whether there is any point.
func (s *source) anew() bool {
	if !s.paged || s.run.DryRun {
		return false
	}
	s.claim.After, s.paged = store.Cursor{}, false
	return true
}
