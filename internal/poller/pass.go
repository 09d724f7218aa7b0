package poller

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"reconciler/internal/store"
)

const (
	// lookAgain is how long a pass that found nothing due waits for its last
	// questions before it looks again: one slow answer must not keep new orders waiting.
	lookAgain = time.Second
	// tellEvery is how often a long pass says what it has done so far.
	tellEvery = time.Minute
	// lingerMost bounds how long a question may outlive the end of its pass.
	lingerMost = 15 * time.Second
	// writeLinger is how much longer its answer may take to be written.
	writeLinger = 10 * time.Second
)

// pass is one run of the three stages.
type pass struct {
	*Poller

	source  *source
	dryRun  bool
	ahead   int           // orders claimed beyond the number of workers
	orders  chan claimed  // never full: pending is kept below its capacity
	results chan result   // from workers to the writer
	changed chan struct{} // a worker has finished with an order
	pending atomic.Int64  // orders claimed, not yet asked about or given back
	summary Summary       // the writer's
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
	started := time.Now()
	source, err := p.newSource(ctx, run)
	if err != nil {
		return newSummary(), err
	}
	ahead := p.Concurrency
	if run.Selection != nil || run.DryRun {
		ahead = 0 // such an order is met only once: it must not wait until its lease is too short
	}
	x := &pass{
		Poller: p, source: source, dryRun: run.DryRun, ahead: ahead,
		orders:  make(chan claimed, p.Concurrency+ahead),
		results: make(chan result, 2*p.Concurrency),
		changed: make(chan struct{}, 1),
		summary: newSummary(),
	}
	err = x.stages(ctx)
	x.summary.Duration = time.Since(started)
	return x.summary, err
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
func (x *pass) claimAll(ctx context.Context) (breakerOpen bool, err error) {
	defer recovered(&err)
	for ctx.Err() == nil {
		if x.gates.open() {
			return true, nil
		}
		want := x.want()
		if want == 0 {
			x.sleep(ctx, lookAgain)
			continue
		}
		allowed, later := x.budget.room(want)
		if allowed == 0 {
			x.sleep(ctx, later)
			continue
		}
		n, err := x.claim(ctx, allowed)
		if err != nil {
			return false, err
		}
		if n == 0 && x.pending.Load() == 0 {
			return x.gates.open(), nil
		}
		if n == 0 {
			x.sleepUntilIdle(ctx, lookAgain)
		}
	}
	return false, nil
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
	return min(room, x.gates.room(pending))
}

// claim takes a page and hands it to the workers.
func (x *pass) claim(ctx context.Context, limit int) (int, error) {
	at := time.Now()
	page, err := x.source.page(ctx, limit)
	if err != nil {
		if ctx.Err() != nil {
			return 0, nil // stopped, not failed
		}
		return 0, err
	}
	x.health.progress()
	x.budget.spend(len(page))
	x.pending.Add(int64(len(page)))
	for _, o := range page {
		x.orders <- claimed{Order: o, at: at}
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

// sleepUntilIdle waits for all workers to finish, at most d.
func (x *pass) sleepUntilIdle(ctx context.Context, d time.Duration) {
	for end := time.Now().Add(d); ctx.Err() == nil && x.pending.Load() > 0 && time.Now().Before(end); {
		x.sleep(ctx, time.Until(end))
	}
}

// work asks about one order after the other.
func (x *pass) work(asking, stopping context.Context) {
	for c := range x.orders {
		r := x.handle(asking, stopping, c)
		x.pending.Add(-1)
		select {
		case x.changed <- struct{}{}:
		default:
		}
		x.results <- r
	}
}

// handle asks about an order, unless there is no time or no leave for it.
func (x *pass) handle(asking, stopping context.Context, c claimed) result {
	giveBack := result{outcome: store.Outcome{Order: c.Order}, givenBack: true}
	deadline := time.Now().Add(x.Lease)
	if !x.dryRun {
		deadline = c.deadline(x.Lease)
	}
	if stopping.Err() != nil || time.Until(deadline) < x.RequestTimeout {
		return giveBack
	}
	leave, ok := x.gates.enter(c.MID)
	if !ok {
		return giveBack
	}
	asking, cancel := context.WithDeadlineCause(asking, deadline, errLeaseEnds)
	defer cancel()
	out := x.ask(asking, stopping, c)
	leave(out)
	return result{outcome: out}
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

// tell logs a pass that is taking long.
func (x *pass) tell(last *time.Time) {
	if time.Since(*last) < tellEvery {
		return
	}
	*last = time.Now()
	x.Logger.LogAttrs(context.Background(), slog.LevelInfo, "pass goes on", x.summary.attrs()...)
}
