package main

import (
	"context"
	"fmt"
	"time"
)

// runSelection measures from the start of a run-once with a selection to its first question, beside
// few settled orders and beside many.
func (l *lab) runSelection(ctx context.Context, r *report) error {
	const name = "select"
	times := make([]float64, len(l.sizes.SelectSettled))
	for i, settled := range l.sizes.SelectSettled {
		l.logProgress("select: run-once --created-since 36h beside %d settled orders", settled)
		var err error
		if times[i], err = l.firstQuestion(ctx, settled); err != nil {
			return err
		}
		r.addLine(name, fmt.Sprintf("first question of run-once --created-since beside %d settled", settled), times[i], "s", goal{})
	}
	last := len(times) - 1
	r.addLine(name, fmt.Sprintf("the same, beside %d to beside %d", l.sizes.SelectSettled[last], l.sizes.SelectSettled[0]),
		times[last]/times[0], "×", atMost(1.5))
	return nil
}

// firstQuestion is the median time, in seconds, from the start of a process to the first question
// of its run.
func (l *lab) firstQuestion(ctx context.Context, settled int) (median float64, err error) {
	const runs, each = 5, 20
	db, err := l.newDatabase(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { r := db.dropDatabase(ctx); err = firstOf(err, r) }()
	if err := db.execSQL(ctx, settledOrders(settled), dueOrders(settled+1, runs*each), "VACUUM (ANALYZE) orders", "CHECKPOINT"); err != nil {
		return 0, err
	}
	gateway, err := l.startReplay(ctx, 0)
	if err != nil {
		return 0, err
	}
	defer func() { _, stopErr := gateway.stopChild(); err = firstOf(err, stopErr) }()
	var times []float64
	for range runs {
		began := time.Now()
		_, _, err := executeChild(ctx, command{
			path: l.product, args: []string{"run-once", "--created-since", "36h", "--limit", fmt.Sprint(each), "--output", "json"},
			env: productEnv(usualConcurrency, db.url, gateway.url),
		})
		if err != nil {
			return 0, err
		}
		var asked time.Time
		if err := db.queryValue(ctx, fmt.Sprintf(
			`SELECT min(queried_at) FROM order_queries WHERE queried_at >= '%s'`, began.Format(time.RFC3339Nano)), &asked); err != nil {
			return 0, err
		}
		times = append(times, asked.Sub(began).Seconds())
	}
	return medianOf(times), nil
}

// firstOf is the first error of two.
func firstOf(err, later error) error {
	if err != nil {
		return err
	}
	return later
}
