package poller

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"reconciler/internal/store"
)

const (
	// lookAgain is how long a pass that found nothing due waits for its last
	// questions before it looks again: one slow answer must not keep new orders waiting.
	lookAgain = time.Second
	// tellEvery is how often a long pass says what it has done so far.
	tellEvery = time.Minute
	// lingerMost bounds how long a question may outlive the end of its pass.
	lingerMost = 18 * time.Second
	// poisonClaims is how many claims in a row may come to nothing.
	poisonClaims = 3
	// writeLinger is how much longer its answer may take to be written.
	writeLinger = 10 * time.Second
)

// pass is one run of the three stages.
type pass struct {
	*Poller

	source  *source
	dryRun  bool
	limiter *rate.Limiter // of a dry run, which may not write and so not draw on the shared budget
	ahead   int           // orders claimed beyond the number of workers
	orders  chan claimed  // never full: pending is kept below its capacity
	results chan result   // from workers to the writer
	changed chan struct{} // an order is through
	pending atomic.Int64  // orders claimed, and not yet written, parked or given back
	waiting atomic.Int64  // outcomes that are parked
	started time.Time
	parked  []parked // the writer's
	summary Summary  // the writer's
}

// result is what a worker made of an order.
type result struct {
	outcome   store.Outcome
	givenBack bool // not asked about; only outcome.Order is set
}

// RunOnce does one pass. The summary is filled as far as the pass came, also
// with an error, which means that the orders could not be read or counted; an
// answer that could not be written is in the summary.
func (p *Poller) RunOnce(ctx context.Context, run Run) (Summary, error) {
	var source *source
	err := persist(ctx, run.patience(), func(ctx context.Context) (err error) {
		source, err = p.newSource(ctx, run)
		return err
	})
	if err != nil {
		return newSummary(), err
	}
	ahead := p.Concurrency
	if run.Selection != nil || run.DryRun || p.Rate > 0 {
		// What is met only once must not wait until its lease is too short, and what
		// is paid for from the budget must not wait for a burst of its own.
		ahead = 0
	}
	x := &pass{
		Poller: p, started: time.Now(), source: source, dryRun: run.DryRun, limiter: newLimiter(p.Rate), ahead: ahead,
		orders:  make(chan claimed, p.Concurrency+ahead),
		results: make(chan result, 2*p.Concurrency),
		changed: make(chan struct{}, 1),
		summary: newSummary(),
	}
	err = x.stages(ctx)
	x.summary.Duration = time.Since(x.started)
	return x.summary, err
}

// newLimiter allows what one instance alone would have of the shared budget.
func newLimiter(perSecond float64) *rate.Limiter {
	if perSecond == 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/2)))
}

// Count is how many orders a run would be about now.
func (p *Poller) Count(ctx context.Context, run Run) (int, error) {
	source, err := p.newSource(ctx, run)
	if err != nil {
		return 0, err
	}
	return source.count(ctx)
}

// stages runs claimer, workers and writer until the claimer has ended and all
// that it claimed is written or given back.
func (x *pass) stages(ctx context.Context) error {
	asking, stopAsking := linger(ctx, min(x.RequestTimeout, lingerMost))
	defer stopAsking()
	writing, stopWriting := linger(ctx, min(x.RequestTimeout, lingerMost)+writeLinger)
	defer stopWriting()

	var workers, writer sync.WaitGroup
	for range x.Concurrency {
		workers.Go(func() { x.work(asking, ctx) })
	}
	writer.Go(func() { x.write(writing) })
	open, err := x.claimAll(ctx)
	close(x.orders)
	workers.Wait()
	close(x.results)
	writer.Wait()
	x.summary.BreakerOpen = open
	return err
}

// claimAll feeds the workers until nothing is due and nothing under way. It
// reports whether it ended because the gateway is not to be asked for now.
func (x *pass) claimAll(ctx context.Context) (blocked bool, err error) {
	defer recovered(&err)
	clear := false // nothing but a want of orders could make the next claim bring none
	for ctx.Err() == nil {
		if x.gates.open() {
			return true, nil
		}
		want := x.want()
		if want == 0 {
			x.sleep(ctx, lookAgain)
			continue
		}
		n, err := x.claim(ctx, want)
		switch {
		case err != nil:
			return false, err
		case n > 0:
			clear = false
			continue
		}
		was := clear
		clear, blocked, err = x.nothing(ctx)
		if err != nil || blocked || (was && clear) {
			return blocked, err
		}
	}
	return false, nil
}

// nothing finds out why a claim brought nothing, and waits for that to change. It
// is clear when neither a pause nor the budget nor a question under way could
// have been the reason.
func (x *pass) nothing(ctx context.Context) (clear, blocked bool, err error) {
	idle := x.idle()
	if idle && x.source.again() {
		return false, false, nil
	}
	standing, err := x.Store.Standing(ctx, x.AppID, x.Rate)
	switch {
	case ctx.Err() != nil:
		return true, false, nil // stopped, not failed
	case err != nil:
		return false, false, err
	case standing.Blocked != nil && idle:
		return false, true, nil
	case standing.Blocked == nil && x.Rate > 0 && standing.Tokens < 1 && !x.dryRun && !x.source.ended:
		x.awaitBudget(ctx, refill(standing.Tokens, x.Rate))
		return false, false, nil
	case !idle:
		x.sleepUntilIdle(ctx, lookAgain)
		return false, false, nil
	}
	return true, false, nil
}

// awaitBudget waits for round trips to be allowed again; no worker's news changes
// that.
func (x *pass) awaitBudget(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
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

// want is how many orders to claim now: none while the workers have enough, for
// claims of a few at a time would only be more of them.
func (x *pass) want() int {
	pending := int(x.pending.Load())
	room := x.Concurrency + x.ahead - pending
	least := max(1, x.ahead/2)
	if room < least {
		return 0
	}
	return min(room, x.gates.room(pending), x.mostAtOnce())
}

// mostAtOnce is more than the budget ever allows, so that a claim does not lock
// many orders that it cannot have.
func (x *pass) mostAtOnce() int {
	if x.Rate == 0 {
		return math.MaxInt
	}
	return max(4, int(math.Ceil(x.Rate)))
}

// claim takes a page and hands it to the workers.
func (x *pass) claim(ctx context.Context, limit int) (int, error) {
	asked := time.Now()
	// A claim that a stop cut off would be lost until its lease ends.
	whole, cancel := linger(ctx, writeTimeout)
	defer cancel()
	var page []store.Order
	err := persist(whole, x.source.run.patience(), func(ctx context.Context) (err error) {
		page, err = x.source.page(ctx, limit)
		return err
	})
	if err != nil {
		return 0, err
	}
	taken := time.Now()
	x.health.progress()
	x.pending.Add(int64(len(page)))
	for _, o := range page {
		x.orders <- claimed{Order: o, asked: asked, taken: taken}
	}
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

// idle reports whether all that was claimed is through.
func (x *pass) idle() bool { return x.pending.Load() == 0 && x.waiting.Load() == 0 }

// sleepUntilIdle waits for all workers to finish, at most d.
func (x *pass) sleepUntilIdle(ctx context.Context, d time.Duration) {
	for end := time.Now().Add(d); ctx.Err() == nil && !x.idle() && time.Now().Before(end); {
		x.sleep(ctx, time.Until(end))
	}
}

// work asks about one order after the other.
func (x *pass) work(asking, stopping context.Context) {
	for c := range x.orders {
		x.results <- x.handle(asking, stopping, c)
	}
}

// handle asks about an order, unless there is no time or no leave for it.
func (x *pass) handle(asking, stopping context.Context, c claimed) result {
	giveBack := result{outcome: store.Outcome{Order: c.Order}, givenBack: true}
	if x.dryRun && x.limiter.Wait(stopping) != nil {
		return giveBack
	}
	deadline := time.Now().Add(x.Lease)
	if !x.dryRun {
		deadline = c.deadline(x.Lease)
	}
	if stopping.Err() != nil || time.Until(deadline) < x.RequestTimeout {
		return giveBack
	}
	if c.UnrecordedClaims > poisonClaims && c.ReviewReason == "" {
		return result{outcome: x.poison(c)}
	}
	leave, ok := x.gates.enter(c.MID)
	if !ok {
		return giveBack
	}
	asking, cancel := context.WithDeadlineCause(asking, deadline, errLeaseEnds)
	defer cancel()
	out := x.ask(asking, stopping, c)
	x.share(asking, c.Order, out, leave(out))
	return result{outcome: out}
}

// poison sets an order aside that was claimed time and again without a record: its
// worker may have died of it each time.
func (x *pass) poison(c claimed) store.Outcome {
	out := review(c.Order, reviewPoison, fmt.Sprintf("The order was claimed %d times in a row without a record: each time its process ended, or its answer could not be written. "+
		"Nothing was asked or booked now. Look into the logs of those times; then set review_reason to null and next_query_at to now(), or ask again with run-once --review.", c.UnrecordedClaims-1))
	out.Question = store.Question{At: c.now(), Worker: x.Worker}
	return out
}

// linger is a context that ends some time after ctx does.
func linger(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(d, cancel)
		context.AfterFunc(longer, func() { timer.Stop() })
	})
	return longer, func() { stop(); cancel() }
}

// recovered turns a panic of a stage into its error.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
	}
}
