package poller

import (
	"context"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// fromStartEvery is how often a claim of due orders begins at the start of the index.
const fromStartEvery = time.Second

// cursor is an app's place in the orders of a run.
//
// Due orders: a claimed order is no longer due, so that a claim needs no place. But what earlier
// claims leave in the index is slow to skip: a claim starts where the last one started, and once a
// second from the beginning, to find orders that were given back.
//
// If merchants are left out, a claim looks at some of the others. The next claim goes on behind
// them.
//
// A selection, and a dry run, would meet the same orders again: they are read page by page.
type cursor struct {
	poller *Poller
	run    Run
	app    *app
	claim  store.Claim

	startedAt time.Time // of the last claim from the beginning
	paged     bool      // a selection has left its beginning
	ended     bool      // a dry run has read all

	// The round of the merchants, if one claim does not look at all of them.
	inRound bool // the last claim did not begin the round
	found   bool // an order, in this round
	again   bool // other merchants may have due orders
}

func newCursor(p *Poller, a *app, run Run, askedBefore *time.Time) *cursor {
	c := &cursor{poller: p, run: run, app: a, claim: store.Claim{
		App: a.AppID, MIDs: a.MIDs, ExceptMIDs: a.exceptMIDs, Worker: p.Worker, Lease: p.Lease,
		Selection: run.Selection, AskedBefore: askedBefore, Lanes: !run.Once && run.Limit == 0,
		DespitePause: run.DespitePause,
	}}
	if a.Gateway != nil {
		c.claim.Rate = p.Rate
	}
	return c
}

// nextPage claims a page, or reads it in a dry run.
func (c *cursor) nextPage(ctx context.Context, claim store.Claim) (store.Page, error) {
	if c.ended {
		return store.Page{}, nil
	}
	claim.From, claim.After, claim.Round = c.claim.From, c.claim.After, c.claim.Round
	if c.claim.Round != (store.Round{}) {
		claim.From = store.Cursor{} // of other merchants
	}
	if c.run.DryRun {
		page, err := c.poller.Store.Peek(ctx, claim)
		for i := range page.Orders {
			page.Orders[i].UnrecordedClaims++ // as the claim would have done
		}
		c.ended = err == nil && !page.Paused && len(page.Orders) == 0
		return c.moveBehind(page), err
	}
	page, err := c.poller.Store.Claim(ctx, claim)
	if err == nil {
		c.moveRound(page)
	}
	return c.moveBehind(page), err
}

// moveRound goes on to the next merchants.
func (c *cursor) moveRound(page store.Page) {
	if page.Paused || page.NextToken > 0 {
		c.again = false
		return
	}
	c.found = c.found || len(page.Orders) > 0
	c.inRound = c.claim.Round != (store.Round{})
	c.claim.Round = page.Round
	c.again = page.Round != (store.Round{})
	if !c.again {
		c.again, c.found = c.inRound && c.found, false
	}
}

// hasMoreMerchants reports whether a claim that found nothing has left out merchants that may have
// due orders: others of this round, or any if something was found in it.
func (c *cursor) hasMoreMerchants() bool { return c.again }

func (c *cursor) moveBehind(page store.Page) store.Page {
	switch {
	case len(page.Orders) == 0:
	case c.run.Selection == nil && !c.run.DryRun && (c.inRound || page.Round != (store.Round{})):
	case c.run.Selection == nil && !c.run.DryRun:
		c.claim.From = store.At(page.Orders[0])
	default:
		c.claim.After, c.paged = store.Next(page.Orders), true
	}
	return page
}

// isStale reports whether the next claim should begin at the beginning.
func (c *cursor) isStale() bool { return time.Since(c.startedAt) > fromStartEvery }

// backToStart lets the next claim of due orders begin at the beginning, and reports whether the
// last one did not.
func (c *cursor) backToStart() bool {
	behind := c.claim.From != (store.Cursor{})
	c.claim.From, c.startedAt = store.Cursor{}, time.Now()
	return behind
}

// readAgain lets a selection begin once more, for orders that were given back or passed over behind
// a probe. It reports whether there is any point.
func (c *cursor) readAgain() bool {
	if !c.paged || c.run.DryRun {
		return false
	}
	c.claim.After, c.paged = store.Cursor{}, false
	return true
}

// claimedNow gives orders the local times of their claim.
func (c *cursor) claimedNow(orders []order.Order, sentAt time.Time) []claimed {
	list := make([]claimed, len(orders))
	for i, o := range orders {
		list[i] = claimed{Order: o, app: c.app, sentAt: sentAt, takenAt: time.Now()}
	}
	return list
}
