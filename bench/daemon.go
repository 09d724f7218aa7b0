package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// daemon is `reconciler run` with a database and a gateway of its own.
type daemon struct {
	*child

	db      *database
	gateway *gateway
}

func (l *lab) startDaemon(ctx context.Context, schedule string, latency time.Duration) (*daemon, error) {
	db, err := l.newDatabase(ctx)
	if err != nil {
		return nil, err
	}
	gateway, err := l.startSimulator(ctx, latency)
	if err != nil {
		return nil, errors.Join(err, db.dropDatabase(ctx))
	}
	ch, err := startChild(ctx, command{
		path: l.product, args: []string{"run", "--listen", "off", "--schedule", schedule},
		env: productEnv(usualConcurrency, db.url, gateway.url),
	})
	if err != nil {
		_, stopErr := gateway.stopChild()
		return nil, errors.Join(err, stopErr, db.dropDatabase(ctx))
	}
	return &daemon{ch, db, gateway}, nil
}

// endDaemon stops the daemon, if it still runs, and what belongs to it.
func (d *daemon) endDaemon(ctx context.Context) error {
	_, err := d.stopChild()
	_, gatewayErr := d.gateway.stopChild()
	return errors.Join(err, gatewayErr, d.db.dropDatabase(ctx))
}

// runIdle measures how long an order that falls due at a random moment waits for a daemon that has
// nothing else to do.
func (l *lab) runIdle(ctx context.Context, r *report) error {
	intervals := []time.Duration{time.Second, 5 * time.Second}
	daemons := make([]*daemon, len(intervals))
	for i, every := range intervals {
		l.logProgress("idle: a daemon that looks every %v, for %v", every, l.sizes.Idle)
		d, err := l.startDaemon(ctx, "@every "+every.String(), 0)
		if err != nil {
			return err
		}
		defer func() { r.wasEnded("idle", d.endDaemon(ctx)) }()
		daemons[i] = d
	}
	waits := make([][]float64, len(intervals))
	group, ctx := errgroup.WithContext(ctx)
	for i, every := range intervals {
		group.Go(func() (err error) {
			waits[i], err = daemons[i].longestWaits(ctx, every, l.sizes.Idle)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, every := range intervals {
		what := fmt.Sprintf("wait of an order, looking every %v: ", every)
		r.addLine("idle", what+"median", medianOf(waits[i]), "s", goal{})
		r.addLine("idle", fmt.Sprintf("%slongest of %d", what, len(waits[i])), slices.Max(waits[i]), "s", atMost(every.Seconds()+0.1))
	}
	return nil
}

// wasEnded notes how something ended whose end is not worth more.
func (r *report) wasEnded(name string, err error) {
	if err != nil {
		r.Errors = append(r.Errors, fmt.Sprintf("%s: %v", name, err))
	}
}

// longestWaits inserts orders at random moments for a time, and returns how many seconds each was
// due before it was asked about.
func (d *daemon) longestWaits(ctx context.Context, every, length time.Duration) ([]float64, error) {
	conn, err := pgx.Connect(ctx, d.db.url)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	end := time.Now().Add(length)
	for n := 1; time.Now().Before(end); n++ {
		if err := sleepFor(ctx, time.Duration(rand.Int64N(int64(every)))); err != nil {
			return nil, err
		}
		_, err := conn.Exec(ctx, `INSERT INTO orders (mid, tid, mer_order_id, order_amount)
			VALUES ($1, $2, '3194' || lpad($3::bigint::text, 20, '0'), 1)`, mid, tid, n)
		if err != nil {
			return nil, fmt.Errorf("insert an order: %w", err)
		}
	}
	if err := sleepFor(ctx, every+500*time.Millisecond); err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, `
		SELECT coalesce(extract(epoch FROM q.queried_at - o.created_at), 'infinity')::float8
		FROM orders AS o LEFT JOIN order_queries AS q ON q.order_id = o.id`)
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[float64])
}

// runStop measures how long a daemon takes to end when questions are in flight.
func (l *lab) runStop(ctx context.Context, r *report) error {
	const latency = 300 * time.Millisecond
	var took []float64
	for range l.sizes.Stops {
		l.logProgress("stop: SIGTERM while the gateway thinks for %v", latency)
		one, err := l.stopOnce(ctx, latency)
		if err != nil {
			return err
		}
		took = append(took, one.Seconds())
	}
	r.addLine("stop", "from SIGTERM to the exit, median", medianOf(took), "s", goal{})
	r.addLine("stop", fmt.Sprintf("longest of %d", len(took)), slices.Max(took), "s", atMost(latency.Seconds()+0.1))
	return nil
}

// stopOnce also checks that the daemon leaves nothing behind: no lease, and a row of the ledger for
// each order settled.
func (l *lab) stopOnce(ctx context.Context, latency time.Duration) (took time.Duration, err error) {
	d, err := l.startDaemon(ctx, "@every 1s", latency)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, d.endDaemon(ctx)) }()
	if err := d.db.execSQL(ctx, dueOrders(1, 4*usualConcurrency)); err != nil {
		return 0, err
	}
	if err := d.awaitLeases(ctx); err != nil {
		return 0, err
	}
	if err := sleepFor(ctx, time.Duration(rand.Int64N(int64(latency)))); err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := d.stopChild(); err != nil {
		return 0, err
	}
	took = time.Since(began)
	var leases, unpaid int
	err = d.db.queryValue(ctx, `SELECT count(*) FILTER (WHERE lease_until IS NOT NULL),
		(SELECT count(*) FROM order_queries) - count(*) FILTER (WHERE status = 'TRADE_SUCCESS') FROM orders`, &leases, &unpaid)
	if err == nil && (leases != 0 || unpaid != 0) {
		err = fmt.Errorf("the daemon left %d leases, and %d answers that are not in the orders", leases, unpaid)
	}
	return took, err
}

// awaitLeases waits until questions are in flight.
func (d *daemon) awaitLeases(ctx context.Context) error {
	const patience = 10 * time.Second
	for end := time.Now().Add(patience); time.Now().Before(end); {
		var leases int
		if err := d.db.queryValue(ctx, "SELECT count(*) FROM orders WHERE lease_until IS NOT NULL", &leases); err != nil {
			return err
		}
		if leases > 0 {
			return nil
		}
		if err := sleepFor(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("the daemon claims nothing")
}

// sleepFor ends early with the context.
func sleepFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
