package poller

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"reconciler/internal/order"

	"golang.org/x/time/rate"
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

	run     Run
	dryRun  bool
	limiter *rate.Limiter // of a dry run, which may not write and so not draw on the shared budget
	ahead   int           // orders claimed beyond the number of workers
	queue   *queue        // from the claimer to the workers
	results chan result   // from workers to the writer
	changed chan struct{} // a worker is done with an order, or an order is through
	taken   atomic.Int64  // orders claimed and not given back
	waiting atomic.Int64  // outcomes that are parked
	started time.Time
	parked  []parked        // the writer's
	held    []chan struct{} // the writer's: of workers that wait to go on
	summary Summary         // the writer's

	// The claimer's.
	using   *[]*appState // of which the sources are
	sources []*source
	turn    int
	crowd   crowd
}

// result is what a worker made of an order.
type result struct {
	claimed

	outcome   order.Outcome
	givenBack bool          // not asked about: there is no outcome
	through   chan struct{} // of a large answer: closed when the worker may go on
}

// RunOnce does one pass. The summary is filled as far as the pass came, also
// with an error, which means that the orders could not be read or counted; an
// answer that could not be written is in the summary.
func (p *Poller) RunOnce(ctx context.Context, run Run) (Summary, error) {
	ahead := 4 * p.Concurrency
	if run.Selection != nil || run.DryRun || p.Rate > 0 {
		// What is met only once must not wait until its lease is too short, and what
		// is paid for from the budget must not wait for a burst of its own.
		ahead = 0
	}
	x := &pass{
		Poller: p, started: time.Now(), run: run, dryRun: run.DryRun, limiter: newLimiter(p.Rate), ahead: ahead,
		queue:   newQueue(p.Concurrency),
		results: make(chan result, 3*p.Concurrency),
		changed: make(chan struct{}, 1),
		summary: newSummary(),
	}
	err := x.stages(ctx)
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
	sources, err := p.sources(ctx, run, (*p.apps.Load())[:1])
	if err != nil {
		return 0, err
	}
	claim := sources[0].claim
	claim.MIDs, claim.Limit = nil, 1<<30 // of whatever account
	if run.Limit > 0 {
		claim.Limit = run.Limit
	}
	return p.Store.Count(ctx, claim)
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
	x.queue.close()
	workers.Wait()
	close(x.results)
	writer.Wait()
	x.summary.BreakerOpen = open
	return err
}

// work asks about one order after the other.
func (x *pass) work(asking, stopping context.Context) {
	for {
		c, more := x.queue.next()
		if !more {
			return
		}
		r := x.handle(asking, stopping, c)
		if isLarge(r.outcome) {
			r.through = make(chan struct{})
		}
		if x.results <- r; r.through != nil {
			<-r.through
		}
		x.queue.asked(c)
		x.news()
	}
}

// handle asks about an order, unless there is no time or no leave for it.
func (x *pass) handle(asking, stopping context.Context, c claimed) result {
	giveBack := result{claimed: c, givenBack: true}
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
		return x.setAside(c, x.Rules.Poison(c.Order))
	}
	switch {
	case c.app.Gateway != nil:
	case !slices.Contains(*x.apps.Load(), c.app): // the list that it is missing from is out of use
		return giveBack
	default:
		return x.setAside(c, x.Rules.NoCredentials(c.Order))
	}
	leave, ok := c.app.gates.enter(c.MID)
	if !ok {
		return giveBack
	}
	asking, cancel := context.WithDeadlineCause(asking, deadline, errLeaseEnds)
	defer cancel()
	out := x.ask(asking, stopping, c)
	x.share(asking, c, out, leave(out))
	return result{claimed: c, outcome: out}
}

// setAside is the outcome of an order that is not asked.
func (x *pass) setAside(c claimed, out order.Outcome) result {
	out.Question = order.Question{At: c.now(), Worker: x.Worker}
	return result{claimed: c, outcome: out}
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
