package poller

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
	"golang.org/x/time/rate"

	"reconciler/internal/store"
)

// Run says which orders a pass is about. The zero value is what the daemon does: all that are due,
// until none is.
type Run struct {
	Once         bool             // ask no order twice
	Selection    *store.Selection // instead of what is due: these, now, once each
	Limit        int              // at most so many; 0 = all
	DryRun       bool             // ask and decide, but claim and write nothing
	DespitePause bool             // ask also what is paused

	schedule cron.Schedule // of the daemon's passes; nil: no other pass follows
}

// isFollowed reports whether the daemon's next pass begins soon: it may be left to that pass to look
// from the beginning.
func (r Run) isFollowed() bool {
	return r.schedule != nil && time.Until(r.schedule.Next(time.Now())) <= maxFromStart
}

// RunOnce does one pass. The summary is filled as far as the pass came, also with an error. An
// error means that the orders could not be read; an answer that could not be written is in the
// summary.
func (p *Poller) RunOnce(ctx context.Context, run Run) (Summary, error) {
	started := time.Now()
	summary, err := p.runPass(ctx, run)
	summary.Duration = time.Since(started)
	return summary, err
}

// runPass joins the stages: claimers → queue → workers → results → recorder. It ends when every
// claimer has ended and all that was claimed is written or given back.
func (p *Poller) runPass(ctx context.Context, run Run) (Summary, error) {
	stop := newShutdown(ctx, p.RequestTimeout)
	defer stop.release()
	ahead := p.claimAhead(run)
	queue := newQueue(p.fairness, p.Concurrency+ahead, run.Limit)
	results := make(chan result, 3*p.Concurrency)
	breaker := p.breaker
	if run.DryRun {
		breaker = p.breaker.withoutSharing()
	}
	recorder := &recorder{
		Options: &p.Options, queue: queue, breaker: breaker, writing: p.writing, aside: p.aside, retryFor: p.retryFor,
		dryRun: run.DryRun, started: time.Now(), summary: newSummary(),
	}
	apps, since, err := p.beginPass(ctx, run)
	if err != nil {
		return recorder.summary, err
	}

	var claimers, workers, recording sync.WaitGroup
	turn := make(chan struct{}, 1)
	ends := make([]claimsEnd, len(apps))
	for i, a := range apps {
		c := &claimer{
			cursor: newCursor(p, a, run, since), poller: p, app: a, run: run,
			queue: queue, breaker: breaker, minClaim: max(1, 3*ahead/4), turn: turn,
		}
		claimers.Go(func() { ends[i] = c.claimUntilDone(stop.claiming) })
	}
	limiter := newLimiter(p.Rate)
	for range p.Concurrency {
		w := &worker{
			Options: &p.Options, apps: &p.apps, fairness: p.fairness, breaker: breaker, dryRun: run.DryRun, limiter: limiter,
			queue: queue, results: results, stopping: stop.claiming,
		}
		workers.Go(func() { w.run(stop.asking) })
	}
	recording.Go(func() { recorder.run(stop.writing, results) })

	claimers.Wait() // nothing is due, or what is due is paused, or the pass is stopped
	queue.close()
	workers.Wait()
	close(results)
	recording.Wait()
	return recorder.summary.endedWith(apps, ends)
}

// claimAhead is how many orders are claimed beyond the number of workers. Orders of a selection are
// met once: their leases must not run down in the queue. Under a rate limit, orders that are paid
// for must not go out in a burst later.
func (p *Poller) claimAhead(run Run) int {
	if run.Selection != nil || run.DryRun || p.Rate > 0 {
		return 0
	}
	return 4 * p.Concurrency
}

// beginPass makes what the claims rely on: a budget for each app, and the moment from which an
// order counts as asked by this run.
func (p *Poller) beginPass(ctx context.Context, run Run) (apps []*app, since *time.Time, err error) {
	apps = *p.apps.Load()
	return apps, since, retryWhileDown(ctx, p.databasePatience(run), func(ctx context.Context) error {
		if run.Once || run.Selection != nil {
			now, err := p.Store.Now(ctx)
			if err != nil {
				return err
			}
			since = &now
		}
		for _, a := range apps {
			if a.Gateway == nil || p.Rate == 0 || run.DryRun {
				continue
			}
			if err := p.Store.OpenBudget(ctx, a.AppID, p.Rate); err != nil {
				return err
			}
		}
		return nil
	})
}

// databasePatience is how long a run waits for a database that cannot be reached. The daemon does
// not wait: it has its next pass.
func (p *Poller) databasePatience(run Run) time.Duration {
	if run.Once {
		return p.retryFor
	}
	return 0
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
	_, since, err := p.beginPass(ctx, Run{Once: run.Once, Selection: run.Selection, DryRun: true})
	if err != nil {
		return 0, err
	}
	claim := newCursor(p, &app{}, run, since).claim
	claim.Limit = 1 << 30
	if run.Limit > 0 {
		claim.Limit = run.Limit
	}
	return p.Store.Count(ctx, claim)
}

// recoverAs turns a panic of a stage into its error.
func recoverAs(err *error) {
	if r := recover(); r != nil {
		*err = errors.Join(*err, fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
	}
}
