package poller

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

const (
	// writeTimeout bounds one try of a statement.
	writeTimeout = 10 * time.Second
	// maxPending bounds the answers that wait aside, as a multiple of the workers.
	maxPending = 8
	// minRetryWait is how soon the answers that wait aside are tried again. A try that takes long,
	// behind locks, is followed by a longer wait: retryWaitShare times as long, up to maxRetryWait.
	minRetryWait   = 200 * time.Millisecond
	maxRetryWait   = 10 * time.Second
	retryWaitShare = 4
	// retryUnreachable is the wait while answers cannot be written at all.
	retryUnreachable = time.Second
	// maxRefusedLeases is how many leases in a row a row may refuse its own writes.
	maxRefusedLeases = 3
	// lastTry bounds the statement after the last answer: the process may end with it.
	lastTry = time.Second
	// progressEvery is how often a long pass says what it has done so far.
	progressEvery = time.Minute
)

// recorder writes whatever has arrived while its last group was written. It alone writes the
// summary. An answer that cannot be written yet is pending until its lease ends. It is tried again
// apart from the others, and seldom where that takes long, so that it holds up nobody.
type recorder struct {
	*Options

	queue    *queue
	breaker  *breaker
	writing  *writing
	aside    *aside
	retryFor time.Duration // while the database is away
	dryRun   bool
	started  time.Time

	pending []pendingAnswer
	lost    []order.Order   // of answers given up: their claims may still count
	retryAt time.Time       // when they are tried again
	blocked []chan struct{} // of workers with large answers
	saidAt  time.Time       // progress
	summary Summary
}

// pendingAnswer is an answer whose row another session holds locked, or that cannot be written at
// all for now.
type pendingAnswer struct {
	result

	until time.Time // the end of its lease: others will ask
}

// run records until results is closed and nothing is pending.
func (r *recorder) run(ctx context.Context, results <-chan result) {
	r.saidAt = time.Now()
	var b batch // used again and again
	for isOpen := true; isOpen || len(r.pending) > 0; {
		b, isOpen = r.nextBatch(results, isOpen, b.reset())
		r.giveOrdersBack(ctx, b.returned)
		r.recordAnswers(ctx, b.answers)
		if b.len() == 0 || !time.Now().Before(r.retryAt) {
			r.recordPending(ctx)
		}
		r.releaseWorkers(b.blocked)
		r.logProgress()
	}
	r.uncountLost(ctx)
}

// recordAnswers writes answers, and tells about those that are written.
func (r *recorder) recordAnswers(ctx context.Context, answers []result) {
	if len(answers) == 0 {
		return
	}
	if r.dryRun {
		r.finishWritten(ctx, answers)
		return
	}
	recorded, err := r.writeAnswers(ctx, answers)
	if err != nil {
		r.writing.noteFailure(ctx, err, len(answers))
		r.summary.WriteFailure = err
		r.keepPending(answers)
		return
	}
	written := answers[:0]
	for i, rec := range recorded {
		answers[i].outcome = rec.Outcome
		switch rec.State {
		case store.Locked:
			r.keepPending(answers[i : i+1])
		case store.Refused:
			r.handleRefusal(ctx, answers[i], rec.Err)
		case store.Dropped:
			r.leaveAside(ctx, answers[i], rec.Err)
		default:
			if rec.State == store.Unshown {
				r.Logger.LogAttrs(ctx, slog.LevelError, "an order could not be given the review of its conflict",
					slog.Int64("order_id", answers[i].ID), slog.Any("error", rec.Err))
			}
			r.aside.forgetOrder(answers[i].ID)
			r.writing.noteSuccess(ctx)
			written = append(written, answers[i])
		}
	}
	r.finishWritten(ctx, written)
}

// writeAnswers is one try. A panic is an error like any other.
func (r *recorder) writeAnswers(ctx context.Context, answers []result) (recorded []store.Recorded, err error) {
	defer recoverAs(&err)
	group := make([]order.Outcome, len(answers))
	for i, a := range answers {
		group[i] = a.outcome
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return r.Store.Record(ctx, group)
}

// finishWritten counts, logs and reports answers that are written.
func (r *recorder) finishWritten(ctx context.Context, written []result) {
	orders := make([]claimed, len(written))
	for i, a := range written {
		r.summary.addOutcome(a.outcome)
		r.logOutcome(ctx, a.outcome)
		r.Observer.Recorded(a.outcome)
		orders[i] = a.claimed
	}
	r.queue.finishOrders(orders...)
}

// handleRefusal handles a row whose own write was refused, by a trigger of the shop's for example.
// After three leases in a row it goes to a person, by a write that leaves out the refused values.
func (r *recorder) handleRefusal(ctx context.Context, a result, cause error) {
	r.Observer.WriteFailed("refused")
	if r.writing.noteRefusal(ctx, a.ID, cause) {
		r.summary.WriteFailure = cause
	}
	if r.aside.countRefusal(a.ID) < maxRefusedLeases {
		r.loseAnswer(ctx, a, cause)
		return
	}
	rec, err := r.Store.RecordUnwritable(ctx, a.outcome, cause)
	if err != nil || rec.State != store.Written {
		r.leaveAside(ctx, a, errors.Join(cause, err, rec.Err))
		return
	}
	a.outcome = rec.Outcome
	r.aside.forgetOrder(a.ID)
	r.finishWritten(ctx, []result{a})
}

// leaveAside keeps an order from being claimed for a while, each time twice as long.
func (r *recorder) leaveAside(ctx context.Context, a result, cause error) {
	r.aside.leaveOut(ctx, a.ID, cause)
	r.loseAnswer(ctx, a, cause)
}

// recordPending tries the answers again that wait aside.
func (r *recorder) recordPending(ctx context.Context) {
	began := time.Now()
	r.recordAnswers(ctx, r.takePending(ctx))
	r.retryAt = time.Now().Add(r.retryWait(time.Since(began)))
}

// retryWait is the wait after a try that took so long.
func (r *recorder) retryWait(took time.Duration) time.Duration {
	if r.writing.isFailing() {
		return retryUnreachable
	}
	return min(max(minRetryWait, retryWaitShare*took), maxRetryWait)
}

// keepPending lets answers wait aside until their leases end.
func (r *recorder) keepPending(answers []result) {
	if len(r.pending) == 0 || r.writing.isFailing() {
		r.retryAt = time.Now().Add(r.retryWait(0))
	}
	for _, a := range answers {
		r.pending = append(r.pending, pendingAnswer{a, a.sentAt.Add(r.Lease)})
	}
}

// takePending takes the answers that may still be written, and loses the others.
func (r *recorder) takePending(ctx context.Context) []result {
	var answers []result
	for _, p := range r.pending {
		if time.Now().Before(p.until) && ctx.Err() == nil {
			answers = append(answers, p.result)
			continue
		}
		r.loseAnswer(ctx, p.result, errors.Join(errNotWritten, r.writing.currentTrouble()))
	}
	r.pending = nil
	return answers
}

var errNotWritten = errors.New("it could not be written within its lease")

// loseAnswer gives up an answer: the order is asked again after its lease. Its claim does not
// count, since its question came to an end.
func (r *recorder) loseAnswer(ctx context.Context, a result, cause error) {
	r.summary.Unwritten++
	r.queue.finishOrders(a.claimed)
	tryFor, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	level := slog.LevelError
	if r.writing.isFailing() {
		level = slog.LevelDebug // the outage is logged as such
	}
	if r.writing.isFailing() || r.Store.UncountClaims(tryFor, []order.Order{a.Order}) != nil {
		// Claims that are in nobody's hands are uncounted by the next claim, or at the end of the pass.
		r.writing.leaveStray()
		r.lost = append(r.lost, a.Order)
	}
	r.Logger.LogAttrs(ctx, level, "an answer was not written; the order will be asked again after its lease",
		slog.Int64("order_id", a.ID), slog.Any("error", cause))
}

// uncountLost takes the claims of lost answers off the count toward poison: no later claim may do
// it, where the process ends in an outage. Claims that were given back meanwhile are left alone.
func (r *recorder) uncountLost(ctx context.Context) {
	if len(r.lost) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTry)
	defer cancel()
	if err := r.Store.UncountClaims(ctx, r.lost); err != nil {
		r.Logger.LogAttrs(ctx, slog.LevelWarn, "claims of lost answers still count", slog.Int("orders", len(r.lost)), slog.Any("error", err))
	}
}

// giveOrdersBack makes orders that were not asked as due as before.
func (r *recorder) giveOrdersBack(ctx context.Context, returned []claimed) {
	if len(returned) == 0 {
		return
	}
	defer func() { r.queue.returnOrders(returned...) }()
	if r.dryRun {
		r.summary.NotAsked += len(returned)
		return
	}
	orders := make([]order.Order, len(returned))
	for i, c := range returned {
		orders[i] = c.Order
	}
	err := retryWhileDown(ctx, r.retryFor, func(ctx context.Context) error { return r.Store.Release(ctx, orders) })
	if err != nil {
		r.writing.leaveStray()
		r.Logger.LogAttrs(ctx, slog.LevelWarn, "claims could not be given back; their leases will end",
			slog.Int("orders", len(orders)), slog.Any("error", err))
	}
	r.breaker.releaseProbes(ctx, returned)
}

// releaseWorkers ends the waiting of workers whose large answers are written or pending, but not
// while more of those are pending than there are workers.
func (r *recorder) releaseWorkers(blocked []chan struct{}) {
	r.blocked = append(r.blocked, blocked...)
	large := 0
	for _, p := range r.pending {
		if isLarge(p.outcome) {
			large++
		}
	}
	if large > r.Concurrency {
		return
	}
	for _, release := range r.blocked {
		close(release)
	}
	r.blocked = nil
}

// logProgress says what a long pass has done so far.
func (r *recorder) logProgress() {
	if time.Since(r.saidAt) < progressEvery {
		return
	}
	r.saidAt = time.Now()
	r.summary.Duration = time.Since(r.started)
	r.Logger.LogAttrs(context.Background(), slog.LevelInfo, "pass in progress", r.summary.logAttrs()...)
}

// logOutcome says what became of an order: ordinary decisions at debug, above it what a person may
// have to look into. Trouble of the gateway is logged by the breaker, once.
func (r *recorder) logOutcome(ctx context.Context, out order.Outcome) {
	level, message := slog.LevelDebug, "order decided"
	switch {
	case out.Decision == order.Review:
		level, message = slog.LevelWarn, "order needs a review"
	case out.Decision == order.Settled && out.LastError != "":
		level, message = slog.LevelWarn, "order settled, but part of the answer cannot be right"
	case slices.Contains(order.UnexpectedReasons(), out.Reason):
		level, message = slog.LevelWarn, "the gateway's answer is not understood"
	}
	if !r.Logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.Int64("order_id", out.Order.ID),
		slog.String("mid", out.Order.MID),
		slog.String("mer_order_id", out.Order.MerOrderID),
		slog.String("decision", string(out.Decision)),
		slog.String("reason", out.Reason),
		slog.String("status", string(out.Status)),
		slog.Int("round_trips", out.Question.RoundTrips),
		slog.Float64("duration_seconds", out.Question.Duration.Seconds()),
	}
	if out.LastError != "" {
		attrs = append(attrs, slog.String("trouble", out.LastError))
	}
	if out.NextQueryAt != nil {
		attrs = append(attrs, slog.Time("next_query_at", *out.NextQueryAt))
	}
	r.Logger.LogAttrs(ctx, level, message, attrs...)
}
