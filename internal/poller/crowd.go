package poller

import (
	"context"
	"slices"
	"time"

	"reconciler/internal/store"
)

// crowdMemory is how long room is kept for other merchants once there were any.
const crowdMemory = 10 * time.Minute

// crowd is what the claimer knows of the merchants whose orders are queued. While
// there are several, none may take all workers: a quarter is left to the others,
// though none of their orders be due, so that one of a merchant who answers at once
// does not wait behind a hundred of one who hangs.
type crowd struct {
	store.Crowd

	at   time.Time // of the last look
	most int       // orders that a merchant may have in hand; 0 = no bound
}

// allotment is what a claim has to heed of it.
type allotment struct {
	merchants int            // how many are queued
	shut      []string       // those that get no orders for now
	most      int            // orders that a merchant may have in hand; 0 = no bound
	held      map[string]int // orders that they have
}

// look looks again, once in a while.
func (c *crowd) look(ctx context.Context, x *pass) error {
	if time.Since(c.at) < lookAgain {
		return nil
	}
	seen, err := x.Store.Crowd(ctx)
	if err != nil {
		return err
	}
	if seen.Merchants > 1 {
		x.severalUntil = time.Now().Add(crowdMemory)
	}
	workers := x.Concurrency
	c.Crowd, c.at, c.most = seen, time.Now(), 0
	if time.Now().Before(x.severalUntil) && workers > 1 {
		workers -= max(1, workers/4)
		whole := x.Concurrency + x.ahead
		c.most = min(workers*whole/x.Concurrency, whole-x.least()) // the rest is room for a claim of others
	}
	x.queue.limit(workers)
	return nil
}

// allotment is what the next claim of due orders has to heed. A merchant gets orders
// again once a quarter of its own is through, so that claims are of a few at a time.
// A selection is paged through as it comes: there only the workers are kept free.
func (x *pass) allotment() allotment {
	if x.run.Selection != nil || x.dryRun {
		return allotment{}
	}
	a := allotment{merchants: x.crowd.Merchants, shut: x.crowd.Paused, most: x.crowd.most}
	if a.most > 0 {
		a.held = x.queue.merchants()
		a.shut = append(slices.Clip(a.shut), x.crowd.full(a.held)...)
	}
	return a
}

// crowded reports whether there are merchants that get no orders for now.
func (x *pass) crowded() bool {
	return len(x.crowd.full(x.allotment().held)) > 0
}

// full are the merchants that have more than three quarters of what they may have.
func (c *crowd) full(held map[string]int) []string {
	var mids []string
	for mid, n := range held {
		if 4*n > 3*c.most {
			mids = append(mids, mid)
		}
	}
	return mids
}
