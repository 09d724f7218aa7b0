package store

import (
	"context"
	"fmt"
	"reflect"

	"github.com/jackc/pgx/v5"
)

// queryer is a pool or a transaction.
type queryer interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// collectRows reads all rows of a statement: structs by the names of its columns, anything else
// from its one column. It reads them again where a plan was stale, but not in a transaction.
func collectRows[T any](ctx context.Context, db queryer, sql string, args ...any) (list []T, err error) {
	read := func() error {
		rows, err := db.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		if reflect.TypeFor[T]().Kind() == reflect.Struct {
			list, err = pgx.CollectRows(rows, pgx.RowToStructByName[T])
		} else {
			list, err = pgx.CollectRows(rows, pgx.RowTo[T])
		}
		return err
	}
	if pool, found := db.(*connPool); found {
		return list, pool.explainError(pool.retryStale(read))
	}
	return list, read()
}

// lookTimeout ends a statement for people on the server.
const lookTimeout = "5s"

// readAtOnce reads several things as of one moment. Each statement ends after five seconds on the
// server. It reads few rows: to compile it, or to start workers for it, takes longer than to run
// it.
func (s *Store) readAtOnce(ctx context.Context, do func(pgx.Tx) error) error {
	return s.readWithin(ctx, lookTimeout, do)
}

// readWithin is [Store.readAtOnce] with another limit of each statement.
func (s *Store) readWithin(ctx context.Context, limit string, do func(pgx.Tx) error) error {
	begin := pgx.TxOptions{BeginQuery: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '" + limit + "'; " +
		"SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0"}
	return s.pool.inTx(ctx, begin, do)
}

// lookRows looks with one statement. Its error begins with what was to be done.
func lookRows[T any](ctx context.Context, s *Store, doing, sql string, args ...any) (list []T, err error) {
	err = s.readAtOnce(ctx, func(tx pgx.Tx) error {
		list, err = collectRows[T](ctx, tx, sql, args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return list, nil
}
