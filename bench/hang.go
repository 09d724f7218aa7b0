package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Of some merchants a few hang.
const (
	hangingOf      = 1000
	hangingOnes    = 10
	hangingLatency = 20 * time.Millisecond
	hangingSoon    = 10 * time.Second // the beginning, which the first timeouts are part of
)

// rates are orders settled a second, of the merchants that do not hang, and the share of the
// workers that the others held. That share does not depend on how busy the machine is.
type rates struct{ soon, whole, held float64 }

// runHanging lets some merchants hang, and measures how fast the orders of the others are settled
// meanwhile. Nobody can know of a merchant before its first timeout, so the beginning is measured
// as well.
func (l *lab) runHanging(ctx context.Context, r *report) error {
	const name = "hang"
	alone, err := l.othersRate(ctx, 0, time.Second)
	if err != nil {
		return err
	}
	limit := usualConcurrency / hangingLatency.Seconds()
	r.addLine(name, fmt.Sprintf("orders/s of %d merchants at %v, share of the limit", hangingOf-hangingOnes, hangingLatency), alone.whole/limit, "", goal{})
	for _, timeout := range []time.Duration{time.Second, 10 * time.Second} {
		beside, err := l.othersRate(ctx, hangingOnes, timeout)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%d more hang until the timeout of %v: orders/s of the others to that without, ", hangingOnes, timeout)
		soon := atLeast(0.9)
		if timeout >= hangingSoon {
			soon = goal{} // they have ten workers all the time, because none has timed out
		}
		r.addLine(name, what+fmt.Sprintf("first %v", hangingSoon), beside.soon/alone.soon, "×", soon)
		r.addLine(name, what+fmt.Sprint(l.sizes.HangingFor), beside.whole/alone.whole, "×", atLeast(0.9))
		r.addLine(name, fmt.Sprintf("share of the workers that those held, %v", l.sizes.HangingFor), beside.held, "", atMost(0.1))
	}
	return nil
}

// othersRate measures while all merchants have due orders. Those that hang have theirs among the
// others'.
func (l *lab) othersRate(ctx context.Context, hanging int, timeout time.Duration) (all rates, err error) {
	l.logProgress("hang: %d of %d merchants, timeout %v", hanging, hangingOf, timeout)
	orders := int(usualConcurrency / hangingLatency.Seconds() * l.sizes.HangingFor.Seconds())
	db, err := l.loadDatabase(ctx, dueOrdersOf(hangingOf-hangingOnes+hanging, hangingOnes-hanging, 1, orders))
	if err != nil {
		return all, err
	}
	defer func() { err = errors.Join(err, db.dropDatabase(ctx)) }()
	gateway, err := l.startHanging(ctx, hangingLatency, hangingOnes)
	if err != nil {
		return all, err
	}
	defer func() { _, stopErr := gateway.stopChild(); err = errors.Join(err, stopErr) }()
	ch, err := startChild(ctx, command{
		path: l.product, args: []string{"run", "--listen", "off", "--schedule", "@every 1s"},
		env: append(productEnv(usualConcurrency, db.url, gateway.url), "RECONCILER_REQUEST_TIMEOUT="+timeout.String()),
	})
	if err != nil {
		return all, err
	}
	waited := sleepFor(ctx, l.sizes.HangingFor+2*time.Second)
	_, err = ch.stopChild() // writes how the questions under way end
	if err := errors.Join(waited, err); err != nil {
		return all, err
	}
	if all.held, err = db.heldByHanging(ctx, l.sizes.HangingFor); err != nil {
		return all, err
	}
	if all.soon, err = db.settledRate(ctx, hangingSoon); err == nil {
		all.whole, err = db.settledRate(ctx, l.sizes.HangingFor)
	}
	return all, err
}

// settledRate is how many orders a second were settled from the first question on, for a time or
// until all were.
func (db *database) settledRate(ctx context.Context, within time.Duration) (rate float64, err error) {
	err = db.queryValue(ctx, fmt.Sprintf(`
		SELECT count(*) / greatest(0.001, extract(epoch FROM max(q.queried_at) - min(q.queried_at)))::float8
		FROM order_queries AS q
		WHERE q.decision = 'settled' AND q.queried_at < (SELECT min(queried_at) FROM order_queries) + interval '%f seconds'`, within.Seconds()), &rate)
	return rate, err
}

// heldByHanging is the share of the workers that questions without an answer had, for a time from
// the first question on.
func (db *database) heldByHanging(ctx context.Context, within time.Duration) (share float64, err error) {
	err = db.queryValue(ctx, fmt.Sprintf(`
		SELECT coalesce(sum(extract(epoch FROM least(q.queried_at + q.duration_ms * interval '1 ms', e.ends) - q.queried_at)), 0)::float8
		FROM order_queries AS q, (SELECT min(queried_at) + interval '%f seconds' AS ends FROM order_queries) AS e
		WHERE q.decision <> 'settled' AND q.queried_at < e.ends`, within.Seconds()), &share)
	return share / usualConcurrency / within.Seconds(), err
}
