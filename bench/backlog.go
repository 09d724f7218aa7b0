package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// long drains a long backlog: the end must not be slower than the beginning, and memory must not grow with it.
func (l *lab) long(ctx context.Context, r *report) error {
	const name = "long"
	short, err := l.try(ctx, trial{who: product(), orders: l.sizes.ShortBacklog, concurrency: usualConcurrency}, nil)
	if err != nil {
		return err
	}
	r.note(name, short)
	var tenths []float64
	inspect := func(ctx context.Context, db *database) (err error) {
		tenths, err = db.tenths(ctx)
		return err
	}
	one, err := l.try(ctx, trial{who: product(), orders: l.sizes.Long, concurrency: usualConcurrency}, inspect)
	if err != nil {
		return err
	}
	r.note(name, one)
	r.add(name, "last tenth's time to the first's", tenths[len(tenths)-1]/tenths[0], "×", atMost(1.2))
	r.add(name, "peak memory", one.PeakMB, "MB", atMost(64))
	r.add(name, fmt.Sprintf("peak memory to that of %d orders", short.Orders), one.PeakMB/short.PeakMB, "×", atMost(1.2))
	return nil
}

// tenths are the seconds that each tenth of the questions took.
func (db *database) tenths(ctx context.Context) ([]float64, error) {
	conn, err := pgx.Connect(ctx, db.url)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `
		SELECT extract(epoch FROM max(queried_at) - min(queried_at))::float8
		FROM (SELECT queried_at, ntile(10) OVER (ORDER BY queried_at) AS tenth FROM order_queries) AS q
		GROUP BY tenth ORDER BY tenth`)
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	tenths, err := pgx.CollectRows(rows, pgx.RowTo[float64])
	if err != nil || len(tenths) != 10 {
		return nil, fmt.Errorf("read the ledger: %d tenths: %w", len(tenths), err)
	}
	return tenths, nil
}

// fourLatency is one at which a process waits for its answers more than it works.
const fourLatency = 20 * time.Millisecond

// four lets four processes work on one backlog. That no order is asked about twice, the gateway itself says: it calls an
// order paid but once, and the check of each trial wants every order paid, by one question.
func (l *lab) four(ctx context.Context, r *report) error {
	const name = "four"
	atOnce, deadlocks, err := l.fourToOne(ctx, r, 0)
	if err != nil {
		return err
	}
	later, more, err := l.fourToOne(ctx, r, fourLatency)
	if err != nil {
		return err
	}
	r.add(name, "throughput of four to that of one", atOnce, "×", atLeast(1))
	r.add(name, fmt.Sprintf("the same at %v", fourLatency), later, "×", atLeast(1))
	r.add(name, "orders asked about twice", 0, "", atMost(0)) // or else there had been an error
	r.add(name, "deadlocks", float64(deadlocks+more), "", atMost(0))
	return nil
}

// fourToOne is the throughput of four processes to that of one, with a gateway's latency.
func (l *lab) fourToOne(ctx context.Context, r *report, latency time.Duration) (to float64, deadlocks int64, err error) {
	var alone, together []float64
	for round := range l.sizes.Rounds {
		for _, n := range inTurn(round, []int{1, 4}) {
			t := trial{who: product(), round: round, orders: l.sizes.Four, latency: latency, concurrency: usualConcurrency, processes: n, simulator: true}
			one, err := l.try(ctx, t, nil)
			if err != nil {
				return 0, 0, err
			}
			r.note("four", one)
			deadlocks += one.Deadlocks
			if n == 1 {
				alone = append(alone, one.Wall)
			} else {
				together = append(together, one.Wall)
			}
		}
	}
	return ratio(alone, together), deadlocks, nil
}
