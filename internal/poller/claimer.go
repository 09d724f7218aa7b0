package poller

import (
	"context"
	"math"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// lookAgainAfter is how long a claimer that found nothing waits for its last questions before it
// looks again: one slow answer must not keep new orders waiting.
const lookAgainAfter = time.Second

// claimer takes the orders of one app id. It owns its place in them.
type claimer struct {
	cursor *cursor
	poller *Poller
	app    *app
	run    Run

	queue    *queue
	breaker  *breaker
	minClaim int           // there has to be room for so many
	turn     chan struct{} // of all claimers: one claims at a time
	refused  int           // rows whose own claim the database refused
	hasTaken bool          // an order, in this run
}

// claimsEnd is why a claimer ended. Without either, nothing was due.
type claimsEnd struct {
	paused bool // the app is not to be asked now
	byHand bool // because a person paused it
	err    error

	refused int // orders that the database did not let be claimed
}

// taking is the result of one try to claim.
type taking struct {
	store.Page

	limited bool          // orders were left out that may be claimed once others are finished
	full    bool          // the run has taken all that it may take
	wait    time.Duration // answers cannot be written: the time until the next probe
}

// claimUntilDone claims until nothing is due and nothing of the app is under way.
func (c *claimer) claimUntilDone(ctx context.Context) (end claimsEnd) {
	defer func() { end.refused = c.refused }()
	defer recoverAs(&end.err)
	if err := c.reviveOrders(ctx); err != nil {
		return claimsEnd{err: err}
	}
	for ctx.Err() == nil {
		if c.breaker.isPaused(c.app.AppID, c.run.DespitePause) {
			return c.endPaused(ctx, false)
		}
		idle := c.queue.unfinishedOf(c.app) == 0 // before the claim: what ends meanwhile is seen next time
		t, err := c.takePage(ctx)
		switch {
		case err != nil:
			return claimsEnd{err: err}
		case t.full:
			return claimsEnd{}
		case len(t.Orders) > 0 || len(t.Refused) > 0:
		case t.wait > 0 && c.run.Once:
			return claimsEnd{err: c.poller.writing.currentTrouble()}
		case t.wait > 0:
			sleepFor(ctx, t.wait)
		case t.Paused && idle:
			return c.endPaused(ctx, t.ByHand)
		case t.NextToken > 0:
			sleepFor(ctx, min(t.NextToken, lookAgainAfter))
		case !t.Paused && c.cursor.skipNamed():
		case c.cursor.hasMoreMerchants(), idle && c.cursor.readAgain(), c.cursor.looksAgain():
		case idle && !t.limited && !t.Paused:
			return claimsEnd{}
		default:
			c.awaitChange(ctx, t.limited, idle)
		}
	}
	return claimsEnd{}
}

// endPaused ends the claimer because of its app's pause. A run by hand that is about no order of the
// app does not meet the pause: it leaves nothing because of it.
func (c *claimer) endPaused(ctx context.Context, byHand bool) claimsEnd {
	if !c.run.Once || c.hasTaken {
		return claimsEnd{paused: true, byHand: byHand}
	}
	ctx, cancel := outliving(ctx, writeTimeout)
	defer cancel()
	claim := c.cursor.claim
	claim.After, claim.Limit = store.Cursor{}, 1
	left := 0
	err := retryWhileDown(ctx, c.poller.databasePatience(c.run), func(ctx context.Context) (err error) {
		left, err = c.poller.Store.Count(ctx, claim)
		return err
	})
	met := left > 0
	return claimsEnd{paused: met, byHand: met && byHand, err: err}
}

// takePage claims once, when it is this claimer's turn and there is room.
func (c *claimer) takePage(ctx context.Context) (taking, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return taking{}, nil
	}
	free, full := c.queue.waitForRoom(ctx, c.minClaim)
	if free == 0 {
		return taking{full: full}, nil
	}
	if wait := c.poller.writing.probeIn(); wait > 0 {
		return taking{wait: wait}, nil
	}
	// A claim that a stop cut off would be lost until its lease ends.
	ctx, cancel := outliving(ctx, writeTimeout)
	defer cancel()
	var t taking
	err := retryWhileDown(ctx, c.poller.databasePatience(c.run), func(ctx context.Context) (err error) {
		t, err = c.claimPage(ctx, free)
		return err
	})
	return t, err
}

// claimPage takes a page and hands it to the workers.
func (c *claimer) claimPage(ctx context.Context, free int) (taking, error) {
	p := c.poller
	if refreshed, err := p.fairness.refreshStats(ctx, p.Store); err != nil {
		return taking{}, err
	} else if refreshed {
		c.queue.wakeWorkers()
	}
	if err := c.releaseStray(ctx); store.IsTransient(err) {
		return taking{}, err // a row that refuses to be given back stops nobody
	}
	if c.cursor.isStale() {
		c.cursor.backToStart()
	}
	claim, limited := c.newClaim(free)
	sentAt := time.Now()
	if c.breaker.isPaused(c.app.AppID, c.run.DespitePause) { // opened while this claim waited
		return taking{Page: store.Page{Paused: true}}, nil
	}
	page, err := c.cursor.nextPage(ctx, claim)
	if err != nil {
		p.writing.leaveStray() // it may have been committed all the same
		return taking{}, err
	}
	if !limited {
		c.cursor.passOver(page)
	}
	p.health.noteProgress()
	if page.Unsure {
		p.writing.leaveStray()
	}
	for _, refusal := range page.Refused {
		if store.FailureReason(refusal.Err) == "locked" {
			p.aside.awaitLock(ctx, refusal.ID, refusal.Err)
			continue
		}
		p.aside.leaveOut(ctx, refusal.ID, refusal.Err)
	}
	c.refused += len(page.Refused)
	c.pushOrders(page.Orders, sentAt)
	return taking{Page: page, limited: limited}, nil
}

// pushOrders hands claimed orders to the workers, with the local times of their claim.
func (c *claimer) pushOrders(orders []order.Order, sentAt time.Time) {
	c.hasTaken = c.hasTaken || len(orders) > 0
	list := make([]claimed, len(orders))
	for i, o := range orders {
		list[i] = claimed{Order: o, app: c.app, sentAt: sentAt, takenAt: time.Now()}
	}
	c.queue.pushClaimed(list)
}

// newClaim is the claim for some free places, with all that it has to heed.
func (c *claimer) newClaim(free int) (claim store.Claim, limited bool) {
	p := c.poller
	claim = c.cursor.claim
	claim.Limit = min(free, maxClaim(claim.Rate))
	claim.ExceptIDs = p.aside.currentIDs()
	asksSuspect := c.queue.hasSuspect()
	claim.Suspects = !asksSuspect && (c.run.Once || time.Since(p.startedAt) >= p.suspectsAfter)
	if p.writing.isFailing() {
		claim.Limit, claim.Uncounted = 1, true // a probe
	}
	claim.PausedMIDs = c.breaker.pausedMerchants(c.run.DespitePause)
	limited = asksSuspect
	if c.run.Selection != nil || c.run.DryRun {
		return claim, limited // paged through as it comes: only the workers are kept free
	}
	fair := p.fairness.claimLimits(c.queue, c.minClaim)
	if !c.run.DespitePause {
		claim.PausedMIDs = append(claim.PausedMIDs, fair.paused...)
	}
	claim.LimitedMIDs = fair.limited
	claim.MaxPerMerchant, claim.InHand, claim.MerchantCaps = fair.maxPerMerchant, fair.inHand, fair.caps
	return claim, limited || len(fair.limited) > 0
}

// maxClaim is more than the budget ever allows, so that a claim does not lock many orders that it
// cannot have.
func maxClaim(perSecond float64) int {
	if perSecond == 0 {
		return math.MaxInt32
	}
	return max(4, int(math.Ceil(perSecond)))
}

// releaseStray gives back the claims in our name that nobody has in hand: the reply of the database
// was lost, or it could not be reached when they were given back.
func (c *claimer) releaseStray(ctx context.Context) error {
	if c.run.DryRun || !c.poller.writing.takeStray() {
		return nil
	}
	inHand := append(c.queue.unfinishedIDs(), c.poller.aside.currentIDs()...) // to give those back would be refused
	_, err := c.poller.Store.ReleaseStray(ctx, c.poller.Worker, inHand)
	if err != nil {
		c.poller.writing.leaveStray()
	}
	return err
}

// reviveOrders makes the orders due that went to review because nobody's credentials covered their
// merchant, once this app covers it.
func (c *claimer) reviveOrders(ctx context.Context) error {
	if c.app.Gateway == nil || c.run.DryRun || c.run.Selection != nil || c.app.revived.Load() {
		return nil
	}
	left, err := c.poller.Store.ReviveNoCredentials(ctx, c.app.MIDs)
	if err == nil && left == 0 {
		c.app.revived.Store(true)
	}
	return err
}

// awaitChange waits until another claim can bring something: all questions of the app have ended,
// or, where merchants are at their limits, anything has. Those that ended while the claim looked
// for more count as well: then the app was not idle before it.
func (c *claimer) awaitChange(ctx context.Context, limited, wasIdle bool) {
	changed := false
	c.queue.waitUntil(ctx, func() bool {
		haveEnded := len(c.queue.unfinished[c.app]) == 0
		isEnough := changed && (limited || haveEnded) || haveEnded && !wasIdle
		changed = true // at the next call
		return isEnough
	}, lookAgainAfter)
}

func sleepFor(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
