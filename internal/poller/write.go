package poller

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v4"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

const (
	// groupMost and groupBytes bound the outcomes of one transaction, and their answers.
	groupMost  = 500
	groupBytes = 4 << 20
	// largeAnswer is far above what real answers have. A worker with a larger one, which can
	// have some megabytes, waits until it is written: memory is bounded by the questions in
	// flight, and the answers that wait for the writer are several times as many.
	largeAnswer = 64 << 10
	// writeTimeout bounds one try of a statement.
	writeTimeout = 10 * time.Second
	// parkedMost bounds the outcomes that wait aside, as a multiple of the workers.
	parkedMost = 8
	// gatherFor is how long a few answers wait for others to share their commit with.
	gatherFor = 20 * time.Millisecond
	// lockedAgain is how soon outcomes are tried again whose rows were locked.
	lockedAgain = 200 * time.Millisecond
)

// parked is an outcome whose row somebody else holds locked.
type parked struct {
	order.Outcome

	until time.Time // when its lease is over: others will ask
}

// write records whatever has arrived while the last group was written. What could
// not be written because its row was locked waits aside and holds up nobody.
func (x *pass) write(ctx context.Context) {
	told := time.Now()
	var came batch // used again and again
	for open := true; open || len(x.parked) > 0; {
		came, open = x.arrived(open, came.emptied())
		x.giveBack(ctx, came.returned)
		x.settle(ctx, append(came.outcomes, x.unpark(ctx)...))
		x.waiting.Store(int64(len(x.parked)))
		x.done(len(came.outcomes))
		x.letGo(came.held)
		x.tell(&told)
	}
}

// batch is what has arrived from the workers.
type batch struct {
	outcomes []order.Outcome
	returned []claimed       // not asked about
	held     []chan struct{} // of the workers that wait
	bytes    int             // of all answers
}

func (b *batch) add(r result) {
	if r.givenBack {
		b.returned = append(b.returned, r.claimed)
		return
	}
	b.outcomes = append(b.outcomes, r.outcome)
	b.bytes += len(r.outcome.Question.Response)
	if r.through != nil {
		b.held = append(b.held, r.through)
	}
}

// emptied keeps the room of a batch, and none of its answers.
func (b *batch) emptied() batch {
	clear(b.outcomes[:cap(b.outcomes)])
	return batch{outcomes: b.outcomes[:0]}
}

func (b *batch) len() int { return len(b.outcomes) + len(b.returned) }

func (b *batch) full() bool { return b.len() >= groupMost || b.bytes >= groupBytes }

// arrived waits for a result, while there are any to come, and returns it with all
// that can be had without waiting, or within [gatherFor] while they are few. It does
// not wait long for the sake of parked outcomes, and not for new results while there
// are too many of those.
func (x *pass) arrived(open bool, came batch) (filled batch, stillOpen bool) {
	results, retry := x.results, (<-chan time.Time)(nil)
	if len(x.parked) > 0 {
		retry = time.After(lockedAgain)
	}
	if !open || len(x.parked) >= parkedMost*x.Concurrency {
		results = nil
	}
	var next result
	select {
	case next, open = <-results:
	case <-retry:
		return came, open
	}
	for more := (<-chan time.Time)(nil); open; {
		if came.add(next); came.full() {
			break
		}
		select {
		case next, open = <-results:
			continue
		default:
		}
		if x.enough(came) {
			break
		}
		if more == nil {
			more = time.After(gatherFor)
		}
		select {
		case next, open = <-results:
		case <-more:
			return came, open
		}
	}
	return came, open
}

// enough reports whether a batch is worth its commit: it is as many as can be in
// flight, or all that is.
func (x *pass) enough(came batch) bool {
	_, under := x.queue.counts()
	return came.len() >= under || came.len() >= x.Concurrency
}

// letGo ends the waiting of workers with large answers, which are written, or parked; but
// not while more of those are parked than there are workers.
func (x *pass) letGo(held []chan struct{}) {
	x.held = append(x.held, held...)
	parked := 0
	for _, p := range x.parked {
		if isLarge(p.Outcome) {
			parked++
		}
	}
	if parked > x.Concurrency {
		return
	}
	for _, through := range x.held {
		close(through)
	}
	x.held = nil
}

func isLarge(o order.Outcome) bool { return len(o.Question.Response) > largeAnswer }

// unpark returns the parked outcomes that may still be written.
func (x *pass) unpark(ctx context.Context) []order.Outcome {
	var outcomes []order.Outcome
	for _, p := range x.parked {
		if time.Now().Before(p.until) && ctx.Err() == nil {
			outcomes = append(outcomes, p.Outcome)
			continue
		}
		x.unwritten(ctx, []order.Outcome{p.Outcome}, errors.New("its row stayed locked by another session, or there was no room for it"))
	}
	if len(outcomes) == 0 {
		x.parked = nil
	}
	return outcomes
}

// settle records outcomes and tells of those that were written.
func (x *pass) settle(ctx context.Context, outcomes []order.Outcome) {
	written := x.record(ctx, outcomes)
	until := make(map[int64]time.Time, len(x.parked))
	for _, p := range x.parked {
		until[p.Order.ID] = p.until
	}
	x.parked = nil
	for _, out := range written {
		if out.Locked {
			end, known := until[out.Order.ID]
			if !known {
				end = time.Now().Add(x.Lease)
			}
			x.parked = append(x.parked, parked{out, end})
			continue
		}
		x.summary.add(out)
		x.log(ctx, out)
		x.Observe(out)
	}
}

// done lets the claimer know that orders are through.
func (x *pass) done(orders int) {
	if orders > 0 {
		x.queue.through(orders)
		x.news()
	}
}

func (x *pass) giveBack(ctx context.Context, returned []claimed) {
	if len(returned) == 0 {
		return
	}
	defer x.done(len(returned))
	x.taken.Add(int64(-len(returned)))
	if x.dryRun {
		x.summary.Unasked += len(returned)
		return
	}
	orders := make([]order.Order, len(returned))
	for i, c := range returned {
		orders[i] = c.Order
	}
	err := persist(ctx, writeTimeout, func(ctx context.Context) error {
		return errors.Join(x.Store.Release(ctx, orders), x.endProbes(ctx, returned))
	})
	if err != nil {
		x.Logger.LogAttrs(ctx, slog.LevelWarn, "claims could not be given back; their leases will end",
			slog.Int("orders", len(orders)), slog.Any("error", err))
	}
}

// record writes a group, for the length of a lease while the database cannot be reached, and
// returns what was written, and what was locked.
func (x *pass) record(ctx context.Context, group []order.Outcome) (written []order.Outcome) {
	if x.dryRun || len(group) == 0 {
		return group
	}
	recorded, err := x.recordGroup(ctx, group)
	switch {
	case store.IsOutOfRoom(err):
		x.health.wrote(err)
		for i := range group {
			group[i].Locked = true // tried again beside the others
		}
		return group
	case err != nil:
		x.unwritten(ctx, group, err)
		return nil
	}
	x.health.wrote(nil)
	for _, r := range recorded {
		if r.State == store.Refused || r.State == store.Dropped {
			x.unwritten(ctx, []order.Outcome{r.Outcome}, r.Err)
			continue
		}
		r.Outcome.Locked = r.State == store.Locked
		written = append(written, r.Outcome)
	}
	return written
}

func (x *pass) recordGroup(ctx context.Context, group []order.Outcome) (recorded []store.Recorded, err error) {
	defer recovered(&err)
	err = persist(ctx, x.Lease, func(ctx context.Context) (err error) {
		recorded, err = x.Store.Record(ctx, group)
		if store.IsOutOfRoom(err) {
			return backoff.Permanent(err)
		}
		return err
	})
	return recorded, err
}

// unwritten tells, once, of answers that are lost.
func (x *pass) unwritten(ctx context.Context, group []order.Outcome, err error) {
	x.summary.Unwritten += len(group)
	x.health.wrote(err)
	if errors.Is(err, store.ErrUnwritable) || store.IsTransient(err) {
		orders := make([]order.Order, len(group))
		for i, out := range group {
			orders[i] = out.Order
		}
		ctx, cancel := context.WithTimeout(ctx, writeTimeout)
		defer cancel()
		_ = x.Store.Forgive(ctx, orders) // without the database it counts as a crash would
	}
	x.Logger.LogAttrs(ctx, slog.LevelError, "answers could not be written; the orders will be asked about again after their lease",
		slog.Int("orders", len(group)), slog.Int64("order_id", group[0].Order.ID), slog.Any("error", err))
}
