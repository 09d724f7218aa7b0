package poller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/time/rate"

	"reconciler/internal/chinaums"
	"reconciler/internal/order"
	"reconciler/internal/policy"
)

const (
	// suspectClaims is how many claims that ended with their process make an order a suspect.
	suspectClaims = 2
	// poisonClaims is how many of them give it to a person.
	poisonClaims = 3
)

var (
	errLeaseEnds = errors.New("the order's lease is about to end")
	// errAskAgain asks for another round trip. The reply that led to it is kept apart.
	errAskAgain = errors.New("ask again")
)

// worker asks about one order at a time. It owns nothing but the order in its hands.
type worker struct {
	*Options

	apps     *atomic.Pointer[[]*app] // in use now
	fairness *fairness
	breaker  *breaker // the poller's, or that of a dry run
	dryRun   bool
	limiter  *rate.Limiter // of a dry run, which may not draw on the shared budget
	queue    *queue
	results  chan<- result
	stopping context.Context
}

// result is what a worker made of an order.
type result struct {
	claimed

	outcome   order.Outcome
	givenBack bool          // not asked: there is no outcome
	release   chan struct{} // of a large answer: closed when the worker may go on
}

// run asks until the queue is closed and empty.
func (w *worker) run(asking context.Context) {
	for {
		c, more := w.queue.nextOrder()
		if !more {
			return
		}
		r := w.handleOrder(asking, c)
		if isLarge(r.outcome) {
			r.release = make(chan struct{})
		}
		if w.results <- r; r.release != nil {
			<-r.release
		}
		w.queue.workerDone(c)
	}
}

// handleOrder decides whether an order is asked, asks, and decides what the answer means.
func (w *worker) handleOrder(ctx context.Context, c claimed) result {
	givenBack := result{claimed: c, givenBack: true}
	if w.dryRun && w.limiter.Wait(w.stopping) != nil {
		return givenBack
	}
	deadline := time.Now().Add(w.Lease)
	if !w.dryRun {
		deadline = c.askDeadline(w.Lease)
	}
	switch {
	case w.stopping.Err() != nil || time.Until(deadline) < w.RequestTimeout:
		return givenBack
	case c.UnrecordedClaims > poisonClaims && c.ReviewReason == "":
		return w.setAside(c, w.Rules.Poison(c.Order))
	case c.app.Gateway == nil && slices.Contains(*w.apps.Load(), c.app):
		return w.setAside(c, w.Rules.NoCredentials(c.Order))
	case c.app.Gateway == nil: // the list that it is missing from is out of use
		return givenBack
	case !w.breaker.allowsOrder(c):
		return givenBack
	}
	ctx, cancel := context.WithDeadlineCause(ctx, deadline, errLeaseEnds)
	defer cancel()
	q := &question{worker: w, claimed: c}
	out := q.askGateway(ctx)
	trouble := policy.TroubleOf(out, q.trouble)
	last := q.finalReply()
	last.cause = out.LastError
	w.breaker.reportQuestion(ctx, c, trouble, last)
	if trouble == policy.NoTrouble && w.fairness.noteAnswer(c.MID, out.Question.Duration) {
		w.queue.wakeWorkers()
	}
	w.Observer.Decided(out)
	return result{claimed: c, outcome: out}
}

// setAside is the result of an order that goes to a person without a question.
func (w *worker) setAside(c claimed, out order.Outcome) result {
	out.Question = order.Question{At: c.databaseNow(), Worker: w.Worker}
	w.Observer.Decided(out)
	return result{claimed: c, outcome: out}
}

// question is one inquiry under way.
type question struct {
	*worker
	claimed

	record        order.Question
	trouble       error // of the last reply
	newConnection bool  // an answer about another order came: its connection was out of step
}

// askGateway takes up to [maxRoundTrips] round trips while the gateway gives no usable answer. A
// gateway that asks to be left alone gets no further one. A panic becomes an outcome like any
// other: the order keeps its place.
func (q *question) askGateway(ctx context.Context) (out order.Outcome) {
	q.record = order.Question{At: q.databaseNow(), Worker: q.Worker}
	started := time.Now()
	defer func() {
		if r := recover(); r != nil {
			q.Logger.LogAttrs(ctx, slog.LevelError, "panic while asking about an order",
				slog.Int64("order_id", q.ID), slog.Any("panic", r), slog.String("stack", string(debug.Stack())))
			q.trouble = nil
			out = q.Rules.NotAnswered(q.Order, order.ReasonPanic, fmt.Sprintf("internal error: %v", r), q.databaseNow())
		}
		q.record.Duration = time.Since(started)
		out.Question = q.record
	}()
	retries := q.maxRetries()
	roundTrip := func() error {
		if q.record.RoundTrips > 0 && q.awaitBudget(ctx) != nil {
			return backoff.Permanent(errAskAgain) // the lease ends before the rate allows another
		}
		sentAt := time.Now()
		out = q.roundTrip(ctx)
		if time.Since(sentAt) >= q.RequestTimeout && policy.TroubleOf(out, q.trouble) == policy.GatewayFails {
			q.fairness.noteTimeout(q.MID)
			if !q.queue.allowsRetry() {
				return backoff.Permanent(errAskAgain)
			}
		}
		if out.Decision == order.NoAnswer || out.Reason == order.ReasonUnusableAnswer {
			if q.finalReply().asksForPause() {
				return backoff.Permanent(errAskAgain) // the breaker opens at once
			}
			return errAskAgain
		}
		return nil
	}
	waits := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(retryInitial), backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(retryJitter), backoff.WithMaxElapsedTime(0))
	// The error only says that the retries are over: out holds the last reply.
	_ = backoff.Retry(roundTrip, backoff.WithContext(backoff.WithMaxRetries(waits, retries), q.stopping))
	return out
}

// maxRetries is 0 for a merchant whose last question timed out: each holds its worker for a
// timeout.
func (q *question) maxRetries() uint64 {
	if q.fairness.hasTimedOut(q.MID) {
		return 0
	}
	return maxRoundTrips - 1
}

// awaitBudget waits until the budget allows one more round trip of a question. The claim has paid
// for the first.
func (q *question) awaitBudget(ctx context.Context) error {
	switch {
	case q.dryRun:
		return q.limiter.Wait(q.stopping)
	case q.Rate == 0:
		return nil
	}
	wait, err := q.Store.Reserve(ctx, q.app.AppID, q.Rate)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-q.stopping.Done():
		return q.stopping.Err()
	case <-time.After(wait):
		return nil
	}
}

// roundTrip sends one request and decides what its reply means. An answer about another order is
// believed once it has come on a new connection.
func (q *question) roundTrip(ctx context.Context) order.Outcome {
	request := policy.Request(q.Order)
	request.NewConnection = q.newConnection
	q.record.RoundTrips++
	q.Observer.RoundTripSent(q.app.AppID)
	answer, trouble := q.app.Gateway.Query(ctx, request)
	q.trouble = trouble
	q.Observer.Answered(q.app.AppID, classOf(trouble))
	q.record.HTTPStatus = answer.HTTPStatus
	q.record.ErrCode = answer.Code
	q.record.ErrMsg = answer.Message
	q.record.TradeStatus = string(answer.Trade.Status.Value)
	q.record.Response = answer.Redacted
	if trouble != nil && q.record.ErrMsg == "" {
		q.record.ErrMsg = trouble.Error()
	}
	if policy.IsAboutAnother(q.Order, answer) && !q.newConnection {
		q.newConnection, q.trouble = true, nil
		return q.Rules.NotAnswered(q.Order, order.ReasonTransient, "the answer is about another order: its connection is out of step", q.databaseNow())
	}
	reply := policy.Reply{Answer: answer, Trouble: trouble}
	if at := q.breaker.othersAnsweredAt(q.claimed); !at.IsZero() && !q.finalReply().asksForPause() { // which is no order's own trouble
		reply.OthersAnsweredAt = q.databaseNow().Add(-time.Since(at))
	}
	if q.Rules.NeedsEvidence(q.Order, trouble, q.databaseNow()) {
		reply.Evidence = q.readEvidence(ctx)
	}
	return q.Rules.Decide(q.Order, reply, q.databaseNow())
}

// AnswerClasses lists the classes that an observer may be told of. "ok" is no trouble.
func AnswerClasses() []string {
	classes := []string{"ok", order.ReasonInternalError}
	for _, class := range chinaums.Classes() {
		classes = append(classes, class.String())
	}
	return classes
}

func classOf(trouble error) string {
	if trouble == nil {
		return "ok"
	}
	if e, found := errors.AsType[*chinaums.Error](trouble); found {
		return e.Class.String()
	}
	return order.ReasonInternalError
}

// readEvidence is nil when the ledger cannot be read: the order then waits.
func (q *question) readEvidence(ctx context.Context) *order.Evidence {
	e, err := q.Store.NotFoundEvidence(ctx, q.Order, policy.EvidenceSince(q.databaseNow()))
	if err != nil {
		q.Logger.LogAttrs(ctx, slog.LevelError, "the ledger cannot be read", slog.Int64("order_id", q.ID), slog.Any("error", err))
		return nil
	}
	return &e
}

func (q *question) finalReply() finalReply {
	var last finalReply
	if e, ok := errors.AsType[*chinaums.Error](q.trouble); ok {
		last.overloaded = e.HTTPStatus == http.StatusTooManyRequests
		if e.RetryAfter != nil {
			last.retryAfter = *e.RetryAfter
		}
	}
	return last
}
