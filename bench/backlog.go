package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// runLongDrain drains a long backlog: the end must not be slower than the beginning, and memory
// must not grow with it.
func (l *lab) runLongDrain(ctx context.Context, r *report) error {
	const name = "long"
	short, err := l.tryOnce(ctx, trial{who: productEntrant(), orders: l.sizes.ShortBacklog, concurrency: usualConcurrency}, nil)
	if err != nil {
		return err
	}
	r.addNote(name, short)
	var tenths []float64
	inspect := func(ctx context.Context, db *database) (err error) {
		tenths, err = db.readTenths(ctx)
		return err
	}
	one, err := l.tryOnce(ctx, trial{who: productEntrant(), orders: l.sizes.Long, concurrency: usualConcurrency}, inspect)
	if err != nil {
		return err
	}
	r.addNote(name, one)
	r.addLine(name, "last tenth's time to the first's", tenths[len(tenths)-1]/tenths[0], "×", atMost(1.2))
	r.addLine(name, "peak memory", one.PeakMB, "MB", atMost(64))
	r.addLine(name, fmt.Sprintf("peak memory to that of %d orders", short.Orders), one.PeakMB/short.PeakMB, "×", atMost(1.2))
	return nil
}

// readTenths are the seconds that each tenth of the questions took.
func (db *database) readTenths(ctx context.Context) ([]float64, error) {
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

// runFourProcesses lets four processes work on one backlog. That no order is asked about twice, the
// gateway itself says: it calls an order paid but once, and the check of each trial wants every
// order paid, by one question.
func (l *lab) runFourProcesses(ctx context.Context, r *report) error {
	const name = "four"
	atOnce, deadlocks, err := l.fourToOne(ctx, r, 0)
	if err != nil {
		return err
	}
	later, more, err := l.fourToOne(ctx, r, fourLatency)
	if err != nil {
		return err
	}
	r.addLine(name, "throughput of four to that of one", atOnce, "×", atLeast(1))
	r.addLine(name, fmt.Sprintf("the same at %v", fourLatency), later, "×", atLeast(1))
	r.addLine(name, "orders asked about twice", 0, "", atMost(0)) // or else there had been an error
	r.addLine(name, "deadlocks", float64(deadlocks+more), "", atMost(0))
	return nil
}

// fourToOne is the throughput of four processes to that of one, with a gateway's latency.
func (l *lab) fourToOne(ctx context.Context, r *report, latency time.Duration) (to float64, deadlocks int64, err error) {
	var alone, together []float64
	for round := range l.sizes.Rounds {
		for _, n := range inTurn(round, []int{1, 4}) {
			t := trial{who: productEntrant(), round: round, orders: l.sizes.Four, latency: latency, concurrency: usualConcurrency, processes: n, simulator: true}
			one, err := l.tryOnce(ctx, t, nil)
			if err != nil {
				return 0, 0, err
			}
			r.addNote("four", one)
			deadlocks += one.Deadlocks
			if n == 1 {
				alone = append(alone, one.Wall)
			} else {
				together = append(together, one.Wall)
			}
		}
	}
	return ratioOf(alone, together), deadlocks, nil
}
