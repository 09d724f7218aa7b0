package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Of some merchants a few hang.
const (
	hangingOf       = 1000
	hangingOnes     = 10
	hangingLatency  = 20 * time.Millisecond
	hangingPatience = 5 * time.Minute
)

// runHanging lets some merchants hang, and measures how fast the orders of the others are settled.
func (l *lab) runHanging(ctx context.Context, r *report) error {
	const name = "hang"
	alone, err := l.othersRate(ctx, 0, time.Second)
	if err != nil {
		return err
	}
	limit := usualConcurrency / hangingLatency.Seconds()
	r.addLine(name, fmt.Sprintf("orders/s of %d merchants at %v, share of the limit", hangingOf-hangingOnes, hangingLatency), alone/limit, "", goal{})
	for _, timeout := range []time.Duration{time.Second, 10 * time.Second} {
		rate, err := l.othersRate(ctx, hangingOnes, timeout)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%d more hang until the timeout of %v: orders/s of the others to that without", hangingOnes, timeout)
		r.addLine(name, what, rate/alone, "×", atLeast(0.9))
	}
	return nil
}

// othersRate is how many orders a second are settled of the merchants that do not hang. Those that
// hang have as many each, among the others'.
func (l *lab) othersRate(ctx context.Context, hanging int, timeout time.Duration) (rate float64, err error) {
	l.logProgress("hang: %d of %d merchants, timeout %v", hanging, hangingOf, timeout)
	each := l.sizes.HangingOthers / hangingOf
	of, others := hangingOf-hangingOnes+hanging, each*(hangingOf-hangingOnes)
	db, err := l.loadDatabase(ctx, dueOrdersOf(of, hangingOnes-hanging, 1, each*of))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.dropDatabase(ctx)) }()
	gateway, err := l.startHanging(ctx, hangingLatency, hangingOnes)
	if err != nil {
		return 0, err
	}
	defer func() { _, stopErr := gateway.stopChild(); err = errors.Join(err, stopErr) }()
	ch, err := startChild(ctx, command{
		path: l.product, args: []string{"run", "--listen", "", "--schedule", "@every 1s"},
		env: append(productEnv(usualConcurrency, db.url, gateway.url), "RECONCILER_REQUEST_TIMEOUT="+timeout.String()),
	})
	if err != nil {
		return 0, err
	}
	defer func() { _, stopErr := ch.stopChild(); err = errors.Join(err, stopErr) }()
	var settled int
	var seconds float64
	for end := time.Now().Add(hangingPatience); settled < others; {
		if time.Now().After(end) {
			return 0, fmt.Errorf("settled %d of %d orders in %v", settled, others, hangingPatience)
		}
		if err := sleepFor(ctx, 500*time.Millisecond); err != nil {
			return 0, err
		}
		err := db.queryValue(ctx, `SELECT count(*), coalesce(extract(epoch FROM max(queried_at) - min(queried_at)), 0)::float8
			FROM order_queries WHERE decision = 'settled'`, &settled, &seconds)
		if err != nil {
			return 0, err
		}
	}
	return float64(others) / seconds, nil
}
