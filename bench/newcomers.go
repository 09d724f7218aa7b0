package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// New orders come while a backlog is worked off at the default settings.
const (
	newcomersEvery    = 200 * time.Millisecond
	newcomersInterval = 5 * time.Second // the default schedule
)

// runNewcomers measures how long new orders wait beside a backlog of merchants some of which hang.
func (l *lab) runNewcomers(ctx context.Context, r *report) error {
	const name = "newcomers"
	waits, err := l.newcomersWaits(ctx)
	if err != nil {
		return err
	}
	slices.Sort(waits)
	what := fmt.Sprintf("new orders beside a backlog of %d, %d of %d merchants hang, due to asked: ", l.sizes.NewcomersBacklog, hangingOnes, hangingOf)
	r.addLine(name, what+"median", medianOf(waits), "s", goal{})
	r.addLine(name, fmt.Sprintf("%sp99 of %d", what, len(waits)), waits[len(waits)*99/100], "s", atMost(newcomersInterval.Seconds()+1))
	return nil
}

// newcomersWaits are the seconds that each new order was due before it was asked about.
func (l *lab) newcomersWaits(ctx context.Context) (waits []float64, err error) {
	l.logProgress("newcomers: beside a backlog of %d, for %v", l.sizes.NewcomersBacklog, l.sizes.NewcomersFor)
	db, err := l.loadDatabase(ctx, dueOrdersOf(hangingOf, 0, 1, l.sizes.NewcomersBacklog))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.dropDatabase(ctx)) }()
	gateway, err := l.startHanging(ctx, hangingLatency, hangingOnes)
	if err != nil {
		return nil, err
	}
	defer func() { _, stopErr := gateway.stopChild(); err = errors.Join(err, stopErr) }()
	ch, err := startChild(ctx, command{path: l.product, args: []string{"run", "--listen", "off"}, env: []string{
		"DATABASE_URL=" + db.url, "CHINAUMS_BASE_URL=" + gateway.url, "CHINAUMS_APP_ID=" + appID, "CHINAUMS_APP_KEY=" + appKey,
	}})
	if err != nil {
		return nil, err
	}
	defer func() { _, stopErr := ch.stopChild(); err = errors.Join(err, stopErr) }()
	if err := sleepFor(ctx, newcomersInterval); err != nil { // the first timeouts are under way
		return nil, err
	}
	return db.insertNewcomers(ctx, l.sizes.NewcomersBacklog, l.sizes.NewcomersFor)
}

// insertNewcomers inserts orders of the merchants that answer, one at a time.
func (db *database) insertNewcomers(ctx context.Context, behind int, lasts time.Duration) ([]float64, error) {
	conn, err := pgx.Connect(ctx, db.url)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for n, end := behind+1, time.Now().Add(lasts); time.Now().Before(end); n++ {
		_, err := conn.Exec(ctx, `INSERT INTO orders (mid, tid, mer_order_id, order_amount)
			VALUES ($1, $2, '3194' || lpad($3::bigint::text, 20, '0'), 1)`,
			fmt.Sprintf("%s%0*d", midPrefix, midDigits, hangingOnes+n*7%(hangingOf-hangingOnes)), tid, n)
		if err != nil {
			return nil, fmt.Errorf("insert an order: %w", err)
		}
		if err := sleepFor(ctx, newcomersEvery); err != nil {
			return nil, err
		}
	}
	if err := sleepFor(ctx, 2*newcomersInterval); err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, `
		SELECT coalesce(extract(epoch FROM (SELECT min(q.queried_at) FROM order_queries AS q WHERE q.order_id = o.id) - o.created_at), 'infinity')::float8
		FROM orders AS o WHERE o.mer_order_id > '3194' || lpad($1::bigint::text, 20, '0')`, behind)
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[float64])
}
