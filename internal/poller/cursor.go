package poller

import (
	"context"
	"slices"
	"time"

	"reconciler/internal/store"
)

const (
	// fromStartEvery is how often a claim of due orders begins at the start of the index.
	fromStartEvery = time.Second
	// A slow look from the start is repeated less often, so that it takes a hundredth of the time.
	// But no order waits for it longer than maxFromStart.
	slowLook     = 5 * time.Millisecond
	lookShare    = 100
	maxFromStart = 30 * time.Second
	// namedPerClaim is how many named orders a claim looks at, so that a long list makes no claim
	// slow: 20,000 names took a second each time.
	namedPerClaim = 500
	// commitsWithin is how long an order's transaction takes, as a rule, from the insert to the
	// commit.
	commitsWithin = 10 * time.Second
)

// place is where an app's claims of due orders go on.
type place struct {
	from      store.Cursor
	startedAt time.Time     // of the last claim from the beginning
	took      time.Duration // by the server for that claim

	// Merchants that claims have left out since then. Once one of them may be claimed again, its
	// orders can lie before from.
	leftOut map[string]bool
	isFreed bool
}

// noteLeftOut notes the merchants that a claim left out.
func (p *place) noteLeftOut(mids []string) {
	left := make(map[string]bool, len(mids))
	for _, mid := range mids {
		left[mid] = true
	}
	for mid := range p.leftOut {
		p.isFreed = p.isFreed || !left[mid]
		left[mid] = true
	}
	p.leftOut = left
}

// skipToRecent goes to the orders that became due lately.
func (p *place) skipToRecent(now time.Time) {
	p.from = store.Cursor{NextQueryAt: now.Add(-commitsWithin), ID: 1}
}

// isStale reports whether the next claim of one of some apps should begin at the beginning.
func (p *place) isStale(apps int) bool {
	return time.Since(p.startedAt) > min(max(fromStartEvery, lookShare*time.Duration(apps)*p.took), maxFromStart)
}

// cursor is an app's place in the orders of a run.
//
// Due orders: a claimed order is no longer due, so that a claim needs no place. But what earlier
// claims leave in the index is slow to skip: a claim starts where the last one started, and once a
// second from the beginning, to find orders that were given back.
//
// While another session holds an old snapshot, vacuum cannot remove what settled orders leave. Then
// a look from the beginning walks over all of them (100 ms for 200,000). So after a slow look that
// found nothing, each pass looks at what became due lately, and less often from the beginning.
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

	place *place  // of due orders
	paged bool    // a selection has left its beginning
	named []int64 // the orders that a selection names, by id; nil: it names none
	ended bool    // a dry run has read all

	// The round of the merchants, if one claim does not look at all of them.
	inRound bool // the last claim did not begin the round
	found   bool // an order, in this round
	again   bool // other merchants may have due orders
}

func newCursor(p *Poller, a *app, run Run, askedBefore *time.Time) *cursor {
	c := &cursor{poller: p, run: run, app: a, place: new(place), claim: store.Claim{
		App: a.AppID, MIDs: a.MIDs, ExceptMIDs: a.exceptMIDs, Worker: p.Worker, Lease: p.Lease,
		Selection: run.Selection, AskedBefore: askedBefore, Lanes: !run.Once && run.Limit == 0,
		DespitePause: run.DespitePause,
	}}
	if a.Gateway != nil {
		c.claim.Rate = p.Rate
	}
	if run.Selection != nil {
		c.named = slices.Clone(run.Selection.IDs)
		slices.Sort(c.named)
	}
	if run.schedule != nil {
		c.place = &a.place
	}
	return c
}

// nextPage claims a page, or reads it in a dry run.
func (c *cursor) nextPage(ctx context.Context, claim store.Claim) (store.Page, error) {
	if c.ended {
		return store.Page{}, nil
	}
	claim.From, claim.After, claim.Round = c.place.from, c.claim.After, c.claim.Round
	if c.claim.Round != (store.Round{}) {
		claim.From = store.Cursor{} // of other merchants
	}
	if c.named != nil {
		next := *claim.Selection
		next.IDs = c.nextNamed()
		claim.Selection = &next
	}
	if c.run.DryRun {
		page, err := c.poller.Store.Peek(ctx, claim)
		for i := range page.Orders {
			page.Orders[i].UnrecordedClaims++ // as the claim would have done
		}
		c.ended = err == nil && !page.Paused && len(page.Orders) == 0 && !c.hasMoreNamed()
		c.moveBehind(page)
		return page, err
	}
	page, err := c.poller.Store.Claim(ctx, claim)
	if err == nil {
		if claim.From == (store.Cursor{}) {
			c.place.took = page.Took
		}
		if c.place.took > slowLook {
			c.place.noteLeftOut(slices.Concat(claim.PausedMIDs, claim.LimitedMIDs))
		}
		c.moveRound(page)
	}
	c.moveBehind(page)
	return page, err
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

// moveBehind goes on behind the orders of a page, or at the first of those that were due.
func (c *cursor) moveBehind(page store.Page) {
	switch isRead := c.run.Selection != nil || c.run.DryRun; {
	case len(page.Orders) == 0:
	case isRead:
		c.claim.After, c.paged = store.Next(page.Orders), true
	case !c.inRound && page.Round == (store.Round{}):
		c.place.from = store.At(page.Orders[0])
	}
}

// nextNamed are the named orders that the next claim looks at. At the beginning these are all: a
// suspect may be anywhere.
func (c *cursor) nextNamed() []int64 {
	if c.claim.After == (store.Cursor{}) {
		return c.named
	}
	from, _ := slices.BinarySearch(c.named, c.claim.After.ID+1)
	return c.named[from:min(from+namedPerClaim, len(c.named))]
}

// hasMoreNamed reports whether there are named orders behind those that the last claim looked at.
func (c *cursor) hasMoreNamed() bool {
	next := c.nextNamed()
	return len(next) > 0 && next[len(next)-1] < c.named[len(c.named)-1]
}

// skipNamed goes on behind the named orders that a claim looked at in vain. It reports whether
// there are more.
func (c *cursor) skipNamed() bool {
	if !c.hasMoreNamed() {
		return false
	}
	next := c.nextNamed()
	c.claim.After = store.Cursor{ID: next[len(next)-1]}
	return true
}

// passOver goes on behind a claim that found nothing due, if a look from the beginning is slow.
func (c *cursor) passOver(page store.Page) {
	foundNothing := len(page.Orders) == 0 && len(page.Refused) == 0 && !page.Paused && page.NextToken == 0
	leftNothing := !page.MoreDue && !c.inRound && !c.again && !c.place.isFreed
	if foundNothing && leftNothing && c.place.took > slowLook && !page.At.IsZero() && c.run.isFollowed() {
		c.place.skipToRecent(page.At)
	}
}

// isStale reports whether the next claim should begin at the beginning.
func (c *cursor) isStale() bool { return c.place.isStale(len(*c.poller.apps.Load())) }

// backToStart lets the next claim of due orders begin at the beginning.
func (c *cursor) backToStart() {
	*c.place = place{startedAt: time.Now(), took: c.place.took}
}

// looksAgain reports whether a claim that found nothing is repeated from the beginning. After slow
// looks that is left to the next pass, unless a merchant that was left out may be claimed again.
func (c *cursor) looksAgain() bool {
	behind := c.place.from != (store.Cursor{})
	if behind && c.place.took > slowLook && !c.place.isFreed && !c.isStale() && c.run.isFollowed() {
		return false
	}
	c.backToStart()
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
