package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"reconciler/internal/postgres"
)

// lab is what every workload needs.
type lab struct {
	sizes   sizes
	product string // the product's binary
	before  string // another build of it; "" = none
	self    string // ours, which is the peers' as well
	dir     string // for small files
	server  *postgres.Server
	admin   *pgxpool.Pool // on a database that no contestant uses
	stderr  io.Writer
	began   time.Time
	made    int // databases so far

	template string // the database that all others are copied from

	simulator bool // everywhere
}

// newLab starts the server and prepares the template.
func newLab(ctx context.Context, o options, stderr io.Writer) (*lab, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("our own binary: %w", err)
	}
	l := &lab{
		sizes: o.sizes, product: o.product, before: o.before, self: self, stderr: stderr, began: time.Now(),
		template: "bench_template", simulator: o.simulator,
	}
	if l.dir, err = os.MkdirTemp("", "reconciler-bench-"); err != nil {
		return nil, err
	}
	if err := l.openLab(ctx); err != nil {
		return nil, errors.Join(err, l.closeLab())
	}
	return l, nil
}

func (l *lab) openLab(ctx context.Context) (err error) {
	l.logProgress("starting Postgres")
	if l.server, err = postgres.Start(ctx, postgres.Options{Durable: true}); err != nil {
		return err
	}
	if l.admin, err = pgxpool.New(ctx, l.server.URL("postgres")); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	// After a checkpoint the next writer writes whole pages. None may fall into a run.
	err = l.execSQL(ctx, "ALTER SYSTEM SET checkpoint_timeout = '1h'", "ALTER SYSTEM SET max_wal_size = '16GB'",
		"SELECT pg_reload_conf()")
	if err != nil {
		return err
	}
	return l.makeTemplate(ctx)
}

// makeTemplate makes a database with the product's tables.
func (l *lab) makeTemplate(ctx context.Context) error {
	if err := l.execSQL(ctx, "CREATE DATABASE "+l.template); err != nil {
		return err
	}
	_, _, err := executeChild(ctx, command{path: l.product, args: []string{"migrate", "up"}, env: []string{"DATABASE_URL=" + l.server.URL(l.template)}})
	return err
}

func (l *lab) closeLab() error {
	if l.admin != nil {
		l.admin.Close()
	}
	var err error
	if l.server != nil {
		err = l.server.Stop()
	}
	return errors.Join(err, os.RemoveAll(l.dir))
}

// execSQL runs statements that speak of databases and of the server.
func (l *lab) execSQL(ctx context.Context, statements ...string) error {
	for _, sql := range statements {
		if _, err := l.admin.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// logProgress says what happens now.
func (l *lab) logProgress(format string, args ...any) {
	fmt.Fprintf(l.stderr, "%6.1fs  %s\n", time.Since(l.began).Seconds(), fmt.Sprintf(format, args...))
}

// database is a fresh copy of the template.
type database struct {
	lab  *lab
	name string
	url  string
}

func (l *lab) newDatabase(ctx context.Context) (*database, error) {
	l.made++
	db := &database{lab: l, name: fmt.Sprintf("%s_%d", l.template, l.made)}
	db.url = l.server.URL(db.name)
	return db, l.execSQL(ctx, "CREATE DATABASE "+db.name+" TEMPLATE "+l.template)
}

// dropDatabase also happens when the context has ended.
func (db *database) dropDatabase(ctx context.Context) error {
	return db.lab.execSQL(context.WithoutCancel(ctx), "DROP DATABASE IF EXISTS "+db.name+" WITH (FORCE)")
}

// execSQL runs statements in the database, on a connection that does not outlive them.
func (db *database) execSQL(ctx context.Context, statements ...string) error {
	conn, err := pgx.Connect(ctx, db.url)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%.80s: %w", sql, err)
		}
	}
	return nil
}

// queryValue reads one row.
func (db *database) queryValue(ctx context.Context, sql string, into ...any) error {
	conn, err := pgx.Connect(ctx, db.url)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, sql).Scan(into...); err != nil {
		return fmt.Errorf("%.80s: %w", sql, err)
	}
	return nil
}

// dueOrders inserts orders that are due, oldest first, with numbers from first on.
func dueOrders(first, orders int) string { return dueOrdersOf(1, 0, first, orders) }

// dueOrdersOf inserts the same of some merchants in turn, with numbers from the first merchant on.
func dueOrdersOf(merchants, firstMerchant, first, orders int) string {
	return fmt.Sprintf(`
		INSERT INTO orders (mid, tid, mer_order_id, order_amount, created_at, next_query_at)
		SELECT %s || lpad((%d + i %% %d)::text, %d, '0'), '%s', '3194' || lpad(i::text, 20, '0'), 1,
		       now() - interval '1 hour', now() - interval '1 hour' + i * interval '10 microseconds'
		FROM generate_series(%d, %d) AS i`, "'"+midPrefix+"'", firstMerchant, merchants, midDigits, tid, first, first+orders-1)
}

// loadDatabase is a fresh database with due orders, vacuumed and with nothing left to be written by
// a checkpoint.
func (l *lab) loadDatabase(ctx context.Context, load string) (*database, error) {
	db, err := l.newDatabase(ctx)
	if err == nil {
		err = l.execSQL(ctx, "CHECKPOINT") // before the load: the pages that it makes need not be written whole later
	}
	if err == nil {
		err = db.execSQL(ctx, load, "VACUUM (ANALYZE) orders")
	}
	if err != nil {
		return nil, errors.Join(err, db.dropDatabase(ctx))
	}
	return db, nil
}

// checkOutcome is an error unless every order was settled by one question.
func (db *database) checkOutcome(ctx context.Context, orders int) error {
	var paid, questions, asked int
	err := db.queryValue(ctx, `SELECT count(*) FILTER (WHERE status = 'TRADE_SUCCESS' AND total_amount = order_amount AND target_order_id IS NOT NULL),
		(SELECT count(*) FROM order_queries WHERE decision = 'settled' AND response IS NOT NULL),
		(SELECT count(DISTINCT order_id) FROM order_queries WHERE round_trips = 1) FROM orders`, &paid, &questions, &asked)
	if err == nil && (paid != orders || questions != orders || asked != orders) {
		err = fmt.Errorf("of %d orders %d were settled, with %d answers about %d of them in the ledger", orders, paid, questions, asked)
	}
	return err
}
