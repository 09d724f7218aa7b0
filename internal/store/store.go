// Package store is the only place that holds SQL. It keeps the orders, the ledger of questions and
// the events in Postgres.
//
// # How the table is a queue
//
// An order is due when its outcome is unknown and its time has come (next_query_at). Nobody has to
// look at it first (review_reason), and no question about it is in flight (lease_until).
// [Store.Claim] takes due orders in one statement: it skips rows that others hold, sets a lease and
// raises the row's claim number. No lock and no transaction outlives that statement, so the gateway
// is asked outside of any. An expired lease needs no reaper: the row is simply due again.
//
// [Store.Record] writes a group of answers in one transaction. Each write is guarded by the claim
// number and by all that was read for the decision. So a late answer, or one that the application
// overtook, changes nothing. Such an answer still leaves its row in the ledger. Rows are found by
// their ids: orders may have partitions and child tables.
//
// An instant that lies further ahead than it can, because the clock was set back, counts as now:
// leases, refills of the budget, pauses of the breaker and its probes.
//
// All times come from the database's clock.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// leastConns lets claims, writes, look-ups and health checks not wait for each other.
const leastConns = 8

// Store reads and writes the tables. It is safe for use by many goroutines.
type Store struct {
	*timeLimits

	pool    *connPool
	found   *foundCache
	answers *answerWriter
}

// timeLimits bound statements, because a trigger of the shop's may hang. A statement that changes
// many orders may take maxTogether. One that takes longer is followed by one for each order, and
// none of these may take longer than maxAlone.
type timeLimits struct{ maxTogether, maxAlone time.Duration }

// Open prepares a pool for url (any pgx URL or keyword string; the standard PG* variables fill in
// what it leaves out). It fails on a url that cannot be read. The first statement tells whether the
// server answers. No error has a part of a password in it.
func Open(ctx context.Context, url string) (*Store, error) { return openPool(ctx, url, prepareSession) }

// OpenForPages is [Open] for a program that only serves people: every statement ends after five
// seconds on the server, unless its transaction says otherwise.
func OpenForPages(ctx context.Context, url string) (*Store, error) {
	return openPool(ctx, url, func(ctx context.Context, conn *pgx.Conn) error {
		if err := prepareSession(ctx, conn); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, `SELECT set_config('statement_timeout', '`+lookTimeout+`', false)`)
		return err
	})
}

func openPool(ctx context.Context, url string, prepare func(context.Context, *pgx.Conn) error) (*Store, error) {
	config, target, err := parseURL(url)
	if err != nil {
		return nil, fmt.Errorf("database url: %w", err)
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "reconciler"
	}
	setParams(&config.ConnConfig.Config)
	config.AfterConnect = prepare
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	if !strings.Contains(url, "pool_max_conns") {
		config.MaxConns = max(config.MaxConns, leastConns)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, errors.New("database url: its settings cannot be used together")
	}
	return newStore(&connPool{Pool: pool, target: target}), nil
}

func newStore(pool *connPool) *Store {
	limits := &timeLimits{maxTogether: 6 * time.Second, maxAlone: 3 * time.Second}
	found := new(foundCache)
	return &Store{timeLimits: limits, pool: pool, found: found, answers: newAnswerWriter(pool, limits, found)}
}

// Close waits for the statements in flight and closes the connections.
func (s *Store) Close() { s.pool.Close() }

// Now is the database's clock.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	var now time.Time
	if err := s.pool.QueryRow(ctx, "SELECT now()").Scan(&now); err != nil {
		return time.Time{}, fmt.Errorf("read the database's clock: %w", err)
	}
	return now, nil
}

// IsTransient reports whether the same statement may succeed later: the server cannot be reached,
// is shutting down or starting, or undid a transaction in favour of another. What a row's own
// values caused is not transient.
func IsTransient(err error) bool {
	if err == nil {
		return false
	}
	for _, lasting := range []error{pgx.ErrNoRows, ErrOldSchema, ErrEncoding, ErrNoSchema, ErrSearchPath, ErrRights} {
		if errors.Is(err, lasting) {
			return false
		}
	}
	switch stateClass(sqlState(err)) {
	case "", "08", "25", "40", "53", "55", "57", "58":
		// no server, connection, read-only after a failover, serialization and deadlock, resources,
		// locks, operator intervention, system
		return true
	}
	return false
}
