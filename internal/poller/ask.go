package poller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/cenkalti/backoff/v4"

	"reconciler/internal/order"
	"reconciler/internal/policy"
)

// claimed is an order with the local times of its claim, by which the database's
// clock is followed without asking for it again. Of a slow claim both times are
// on the safe side: no lease is thought longer, no answer dated later than it is.
type claimed struct {
	order.Order

	app   *appState
	asked time.Time // before the claim was sent
	taken time.Time // when it had come back
}

// now is the database's clock.
func (c claimed) now() time.Time { return c.ClaimedAt.Add(time.Since(c.taken)) }

// deadline is when a question about c must have ended, so that its answer can be
// written within the lease.
func (c claimed) deadline(lease time.Duration) time.Time {
	if c.LeaseUntil != nil {
		lease = c.LeaseUntil.Sub(c.ClaimedAt)
	}
	return c.asked.Add(lease - writeMargin)
}

var (
	errLeaseEnds = errors.New("the order's lease is about to end")
	// errRetry asks for another round trip; the reply that led to it is kept apart.
	errRetry = errors.New("ask again")
)

// ask puts one question: up to [roundTrips] requests while the gateway gives no
// usable answer. stopping ends the retries, ctx also a round trip under way. A
// panic becomes an outcome like any other: the order keeps its place.
func (x *pass) ask(ctx, stopping context.Context, c claimed) (out order.Outcome) {
	question := order.Question{At: c.now(), Worker: x.Worker}
	started := time.Now()
	defer func() {
		if r := recover(); r != nil {
			x.Logger.LogAttrs(ctx, slog.LevelError, "panic while asking about an order",
				slog.Int64("order_id", c.ID), slog.Any("panic", r), slog.String("stack", string(debug.Stack())))
			out = x.Rules.NotAnswered(c.Order, order.ReasonPanic, fmt.Sprintf("internal error: %v", r), c.now())
		}
		question.Duration = time.Since(started)
		out.Question = question
	}()
	return x.askUntilAnswered(ctx, stopping, c, &question)
}

func (x *pass) askUntilAnswered(ctx, stopping context.Context, c claimed, question *order.Question) order.Outcome {
	var out order.Outcome
	roundTrip := func() error {
		if question.RoundTrips > 0 && x.pace(ctx, stopping, c.app.AppID) != nil {
			return backoff.Permanent(errRetry) // the lease ends before the rate allows another
		}
		question.RoundTrips++
		out = x.roundTrip(ctx, c, question)
		if out.Decision == order.NoAnswer {
			return errRetry
		}
		return nil
	}
	waits := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(retryInitial), backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(retryJitter), backoff.WithMaxElapsedTime(0))
	// The error only says that the retries are over: out holds the last reply.
	_ = backoff.Retry(roundTrip, backoff.WithContext(backoff.WithMaxRetries(waits, roundTrips-1), stopping))
	return out
}

// pace waits until the budget allows one more round trip of a question, whose
// first was paid for with the claim.
func (x *pass) pace(ctx, stopping context.Context, app string) error {
	switch {
	case x.dryRun:
		return x.limiter.Wait(stopping)
	case x.Rate == 0:
		return nil
	}
	wait, err := x.Store.Reserve(ctx, app, x.Rate)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-stopping.Done():
		return stopping.Err()
	case <-time.After(wait):
		return nil
	}
}

// roundTrip sends one request and decides what its reply means.
func (p *Poller) roundTrip(ctx context.Context, c claimed, question *order.Question) order.Outcome {
	answer, trouble := c.app.Gateway.Query(ctx, policy.Request(c.Order))
	question.HTTPStatus = answer.HTTPStatus
	question.ErrCode = answer.Code
	question.ErrMsg = answer.Message
	question.TradeStatus = string(answer.Trade.Status.Value)
	question.Response = answer.Redacted
	if trouble != nil && question.ErrMsg == "" {
		question.ErrMsg = trouble.Error()
	}
	r := policy.Reply{Answer: answer, Trouble: trouble}
	if p.Rules.NeedsEvidence(c.Order, trouble, c.now()) {
		r.Evidence = p.evidence(ctx, c)
	}
	return p.Rules.Decide(c.Order, r, c.now())
}

// evidence is nil when the ledger cannot be read: the order then waits.
func (p *Poller) evidence(ctx context.Context, c claimed) *order.Evidence {
	e, err := p.Store.NotFoundEvidence(ctx, c.Order, policy.EvidenceSince(c.now()))
	if err != nil {
		p.Logger.LogAttrs(ctx, slog.LevelError, "the ledger cannot be read", slog.Int64("order_id", c.ID), slog.Any("error", err))
		return nil
	}
	return &e
}
