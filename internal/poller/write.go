package poller

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v4"

	"reconciler/internal/store"
)

const (
	// groupMost bounds the outcomes of one transaction.
	groupMost = 500
	// writeTimeout bounds one try to write a group.
	writeTimeout = 10 * time.Second
)

// write records whatever has arrived while the last group was written.
func (x *pass) write(ctx context.Context) {
	told := time.Now()
	for first := range x.results {
		outcomes, returned := x.arrived(first)
		x.giveBack(ctx, returned)
		for _, out := range x.record(ctx, outcomes) {
			x.summary.add(out)
			x.log(ctx, out)
			x.Observe(out)
		}
		x.tell(&told)
	}
}

// arrived is first and all that can be had without waiting.
func (x *pass) arrived(first result) (outcomes []store.Outcome, returned []store.Order) {
	next, more := first, true
	for more {
		if next.givenBack {
			returned = append(returned, next.outcome.Order)
		} else {
			outcomes = append(outcomes, next.outcome)
		}
		if len(outcomes)+len(returned) >= groupMost {
			return outcomes, returned
		}
		select {
		case next, more = <-x.results:
		default:
			more = false
		}
	}
	return outcomes, returned
}

func (x *pass) giveBack(ctx context.Context, orders []store.Order) {
	if len(orders) == 0 || x.dryRun {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := x.Store.Release(ctx, orders); err != nil {
		x.Logger.LogAttrs(ctx, slog.LevelWarn, "claims could not be given back; their leases will end",
			slog.Int("orders", len(orders)), slog.Any("error", err))
	}
}

// record writes a group and returns what was written. Where the group is refused
// because of one of its values, each outcome is written alone, so that only the
// culprit suffers.
func (x *pass) record(ctx context.Context, group []store.Outcome) (written []store.Outcome) {
	if x.dryRun || len(group) == 0 {
		return group
	}
	var err error
	defer func() {
		if err != nil {
			x.summary.Unwritten += len(group) - len(written)
			x.Logger.LogAttrs(ctx, slog.LevelError, "answers could not be written; the orders will be asked about again after their lease",
				slog.Int("orders", len(group)-len(written)), slog.Int64("order_id", group[0].Order.ID), slog.Any("error", err))
		}
	}()
	defer recovered(&err)
	written, err = x.recordPersistently(ctx, group)
	if err == nil || store.IsTransient(err) {
		return written
	}
	if len(group) > 1 {
		err = nil
		for _, out := range group {
			written = append(written, x.record(ctx, []store.Outcome{out})...)
		}
		return written
	}
	if errors.Is(err, store.ErrUnwritable) {
		var out store.Outcome
		if out, err = x.Store.RecordUnwritable(ctx, group[0], err); err == nil {
			return []store.Outcome{out}
		}
	}
	return nil
}

// recordPersistently tries again for the length of a lease while the database
// cannot be reached; after that, others will ask.
func (x *pass) recordPersistently(ctx context.Context, group []store.Outcome) ([]store.Outcome, error) {
	var written []store.Outcome
	var last error
	try := func() error {
		ctx, cancel := context.WithTimeout(ctx, writeTimeout)
		defer cancel()
		written, last = x.Store.Record(ctx, group)
		if last != nil && !store.IsTransient(last) {
			return backoff.Permanent(last)
		}
		return last
	}
	waits := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(2*time.Second),
		backoff.WithMaxElapsedTime(x.Lease))
	if err := backoff.Retry(try, backoff.WithContext(waits, ctx)); err != nil {
		return nil, last // Retry's own error may only say that the context has ended
	}
	return written, nil
}

// log says what became of an order: ordinary decisions at debug, what someone
// may have to look into above it.
func (x *pass) log(ctx context.Context, out store.Outcome) {
	level, message := slog.LevelDebug, "order decided"
	switch {
	case out.Decision == store.Refused && out.Reason == reasonCredentials:
		level, message = slog.LevelError, "the gateway refuses our credentials"
	case out.Decision == store.Refused:
		level, message = slog.LevelError, "the gateway refuses the merchant"
	case out.Decision == store.Review:
		level, message = slog.LevelWarn, "order needs a review"
	case out.Decision == store.Settled && out.LastError != "":
		level, message = slog.LevelWarn, "order settled, but part of the answer cannot be read"
	case Unexpected(out):
		level, message = slog.LevelWarn, "the gateway's answer is not understood"
	}
	attrs := []slog.Attr{
		slog.Int64("order_id", out.Order.ID),
		slog.String("mid", out.Order.MID),
		slog.String("mer_order_id", out.Order.MerOrderID),
		slog.String("decision", string(out.Decision)),
		slog.String("reason", out.Reason),
		slog.String("status", string(out.Status)),
		slog.Int("round_trips", out.Question.RoundTrips),
		slog.Duration("duration", out.Question.Duration),
	}
	if out.LastError != "" {
		attrs = append(attrs, slog.String("trouble", out.LastError))
	}
	if out.NextQueryAt != nil {
		attrs = append(attrs, slog.Time("next_query_at", *out.NextQueryAt))
	}
	x.Logger.LogAttrs(ctx, level, message, attrs...)
}

// Unexpected reports whether an answer was handled but said something that this
// program does not know: the gateway's vocabulary has grown, or it errs.
func Unexpected(out store.Outcome) bool {
	switch out.Reason {
	case reasonUnknownCode, reasonNoCode, reasonUnknownStatus, reasonNoStatus, reasonUnreadableStatus:
		return true
	}
	return false
}
