package poller

import (
	"context"
	"math"
	"slices"
	"time"

	"reconciler/internal/order"
)

// verdict is what an account's last claim says of the next one.
type verdict int

const (
	hungry  verdict = iota // there may be more
	unpaid                 // the budget allows none until a certain time
	busy                   // a question under way has to end first
	crowded                // merchants have as many orders in hand as they may have
	empty                  // nothing is due, while questions are under way
	drained                // nothing is due: nothing but a want of orders can be why
	blocked                // the app is not to be asked for now
)

// claimAll feeds the workers until nothing is due and nothing under way. It
// reports whether it ended because a gateway is not to be asked for now.
func (x *pass) claimAll(ctx context.Context) (shut bool, err error) {
	defer recovered(&err)
	for ctx.Err() == nil {
		if err := x.persistAs(ctx, x.look); err != nil {
			return false, err
		}
		if x.room() == 0 {
			x.sleep(ctx, lookAgain)
			continue
		}
		switch n, err := x.round(ctx); {
		case err != nil:
			return false, err
		case n > 0:
		case x.over():
			return x.any(blocked), nil
		default:
			x.rest(ctx)
		}
	}
	return false, nil
}

// persistAs tries for as long as the run has patience with the database.
func (x *pass) persistAs(ctx context.Context, do func(context.Context) error) error {
	return persist(ctx, x.run.patience(), do)
}

// look brings the sources up to date with the accounts in use, and what is known of
// the merchants.
func (x *pass) look(ctx context.Context) error {
	if using := x.apps.Load(); using != x.using {
		sources, err := x.Poller.sources(ctx, x.run, *using)
		if err != nil {
			return err
		}
		x.using, x.sources = using, sources
	}
	return x.crowd.look(ctx, x)
}

// round lets each account claim for which it is worth it, in turns, and returns how
// many orders came.
func (x *pass) round(ctx context.Context) (int, error) {
	total := 0
	x.turn++ // another is the first each time
	for i := range x.sources {
		s := x.sources[(x.turn+i)%len(x.sources)]
		if !x.worthwhile(s) {
			continue
		}
		n, err := x.feed(ctx, s)
		total += n
		if err != nil || ctx.Err() != nil {
			return total, err
		}
	}
	return total, nil
}

func (x *pass) worthwhile(s *source) bool {
	switch late := !time.Now().Before(s.again); s.verdict {
	case hungry, busy:
		return true
	case crowded:
		return late || !x.crowded()
	case empty, drained:
		return late || x.idle()
	default:
		return late
	}
}

// feed claims for one account.
func (x *pass) feed(ctx context.Context, s *source) (n int, err error) {
	v, wait := hungry, lookAgain
	switch want := x.want(s); {
	case s.app.gates.open():
		v = blocked
	case want == 0 && x.room() > 0:
		v = busy // with the probe
	case want > 0:
		n, err = x.claim(ctx, s, want)
		if err == nil && n == 0 {
			v, wait, err = x.nothing(ctx, s)
		}
	}
	s.verdict, s.again = v, time.Now().Add(wait)
	if s.drained++; v != drained {
		s.drained = 0
	}
	return n, err
}

// nothing finds out why a claim brought nothing, and how long it may stay so.
func (x *pass) nothing(ctx context.Context, s *source) (verdict, time.Duration, error) {
	idle := x.idle()
	if idle && s.anew() {
		return hungry, 0, nil
	}
	standing, err := x.Store.Standing(ctx, s.claim.App, s.claim.Rate)
	switch {
	case ctx.Err() != nil:
		return drained, 0, nil // stopped, not failed
	case err != nil:
		return drained, 0, err
	case standing.Blocked != nil && idle:
		return blocked, lookAgain, nil
	case standing.Blocked == nil && s.claim.Rate > 0 && standing.Tokens < 1 && !x.dryRun && !s.ended:
		return unpaid, refill(standing.Tokens, x.Rate), nil
	case s.rewind():
		return hungry, 0, nil
	case x.crowded():
		return crowded, lookAgain, nil
	case !idle:
		return empty, lookAgain, nil
	}
	return drained, lookAgain, nil
}

// over reports whether nothing can come of any account. Of what is due it takes two
// looks to be sure: the last question may have ended between look and reason.
func (x *pass) over() bool {
	return !slices.ContainsFunc(x.sources, func(s *source) bool {
		return s.verdict != blocked && s.drained < 2
	})
}

func (x *pass) any(v verdict) bool {
	return slices.ContainsFunc(x.sources, func(s *source) bool { return s.verdict == v })
}

// rest waits for what the verdicts wait for.
func (x *pass) rest(ctx context.Context) {
	switch {
	case x.any(hungry):
	case x.any(unpaid):
		x.awaitBudget(ctx)
	case x.any(busy):
		x.sleep(ctx, lookAgain)
	case x.any(crowded):
		x.sleepWhile(ctx, x.crowded)
	case x.any(empty):
		x.sleepWhile(ctx, func() bool { return !x.idle() })
	}
}

// awaitBudget waits for round trips to be allowed again; no worker's news changes
// that.
func (x *pass) awaitBudget(ctx context.Context) {
	next := time.Now().Add(lookAgain)
	for _, s := range x.sources {
		if s.verdict == unpaid && s.again.Before(next) {
			next = s.again
		}
	}
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// refill is how long the budget takes to be worth a claim: about a tenth of a
// second's round trips.
func refill(tokens, perSecond float64) time.Duration {
	missing := max(1, math.Floor(perSecond/10)) - tokens
	return time.Duration(missing / perSecond * float64(time.Second))
}

// room is how many orders there is room for: none while the workers have enough, for
// claims of a few at a time would only be more of them.
func (x *pass) room() int {
	inHand, _ := x.queue.counts()
	room := x.Concurrency + x.ahead - inHand
	if room < x.least() {
		return 0
	}
	return room
}

// least is for how many orders there has to be room.
func (x *pass) least() int { return max(1, 3*x.ahead/4) }

// want is how many orders to claim for an account now.
func (x *pass) want(s *source) int {
	return min(x.room(), s.app.gates.room(x.queue.of(s.app)), mostAtOnce(s.claim.Rate))
}

// mostAtOnce is more than the budget ever allows, so that a claim does not lock
// many orders that it cannot have.
func mostAtOnce(perSecond float64) int {
	if perSecond == 0 {
		return math.MaxInt
	}
	return max(4, int(math.Ceil(perSecond)))
}

// claim takes a page and hands it to the workers.
func (x *pass) claim(ctx context.Context, s *source, limit int) (int, error) {
	if x.run.Limit > 0 {
		limit = min(limit, x.run.Limit-int(x.taken.Load()))
	}
	asked := time.Now()
	// A claim that a stop cut off would be lost until its lease ends.
	whole, cancel := linger(ctx, writeTimeout)
	defer cancel()
	var page []order.Order
	err := x.persistAs(whole, func(ctx context.Context) (err error) {
		page, err = s.page(ctx, x.allotment(), limit)
		return err
	})
	if err != nil {
		return 0, err
	}
	x.health.progress()
	x.taken.Add(int64(len(page)))
	list := make([]claimed, len(page))
	for i, o := range page {
		list[i] = claimed{Order: o, app: s.app, asked: asked, taken: time.Now()}
	}
	x.queue.push(list)
	return len(page), nil
}

// sleep waits for a worker to finish with an order, at most d.
func (x *pass) sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-x.changed:
	case <-timer.C:
	}
}

// sleepWhile waits while something holds, which only workers' news can change, at most
// [lookAgain].
func (x *pass) sleepWhile(ctx context.Context, holds func() bool) {
	for end := time.Now().Add(lookAgain); ctx.Err() == nil && holds() && time.Now().Before(end); {
		x.sleep(ctx, time.Until(end))
	}
}

// idle reports whether all that was claimed is through.
func (x *pass) idle() bool {
	_, under := x.queue.counts()
	return under == 0 && x.waiting.Load() == 0
}

// news wakes the claimer.
func (x *pass) news() {
	select {
	case x.changed <- struct{}{}:
	default:
	}
}
