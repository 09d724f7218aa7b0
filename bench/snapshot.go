package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// snapshotLooks is how long a daemon looks for due orders where there are none.
const snapshotLooks = 10 * time.Second

// runSnapshot measures looks that find nothing, after many orders were settled while another
// session holds an old snapshot: a report, a dump, a forgotten psql. Until that session ends,
// vacuum can remove nothing of what the orders left in the indexes.
func (l *lab) runSnapshot(ctx context.Context, r *report) (err error) {
	const name = "snapshot"
	if err := l.logStatements(ctx, true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.logStatements(context.WithoutCancel(ctx), false)) }()
	times, err := l.emptyLooks(ctx)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("empty look after %d orders were settled beside an old snapshot", l.sizes.SnapshotSettled)
	r.addLine(name, what+", median", medianOf(times), "ms", atMost(5))
	r.addLine(name, fmt.Sprintf("longest of %d", len(times)), slices.Max(times), "ms", goal{})
	return nil
}

// emptyLooks are the times of the claims of a daemon that finds nothing, in milliseconds.
func (l *lab) emptyLooks(ctx context.Context) (times []float64, err error) {
	l.logProgress("snapshot: %d orders are settled beside an old snapshot", l.sizes.SnapshotSettled)
	db, err := l.newDatabase(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.dropDatabase(ctx)) }()
	if err := db.execSQL(ctx, dueOrders(1, l.sizes.SnapshotSettled), "VACUUM (ANALYZE) orders"); err != nil {
		return nil, err
	}
	holder, err := pgx.Connect(ctx, db.url)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer holder.Close(context.WithoutCancel(ctx))
	if _, err := holder.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM gateway_controls"); err != nil {
		return nil, fmt.Errorf("hold a snapshot: %w", err)
	}
	settle := "UPDATE orders SET status = 'TRADE_SUCCESS', next_query_at = NULL, settled_at = now(), settled_by = 'query'"
	if err := db.execSQL(ctx, settle, "VACUUM (ANALYZE) orders", "CHECKPOINT"); err != nil {
		return nil, err
	}
	gateway, err := l.startReplay(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _, stopErr := gateway.stopChild(); err = errors.Join(err, stopErr) }()
	list, err := l.logOfClaims(func() error {
		ch, err := startChild(ctx, command{
			path: l.product, args: []string{"run", "--listen", "off", "--schedule", "@every 1s"},
			env: productEnv(usualConcurrency, db.url, gateway.url),
		})
		if err != nil {
			return err
		}
		err = sleepFor(ctx, snapshotLooks)
		_, stopErr := ch.stopChild()
		return errors.Join(err, stopErr)
	})
	if err != nil {
		return nil, err
	}
	// The plan is made with bind, which is logged before each execute.
	for i, took := range list["execute"] {
		if i < len(list["bind"]) {
			took += list["bind"][i]
		}
		times = append(times, took)
	}
	return times, nil
}
