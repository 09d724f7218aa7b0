package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// sessionParams are the settings that our statements rely on, whatever the role and the database
// have. Each is one that poolers know: they refuse others in the first packet.
func sessionParams() map[string]string {
	return map[string]string{
		"client_encoding":             "UTF8",
		"DateStyle":                   "ISO, MDY", // the driver reads times as text in some modes
		"standard_conforming_strings": "on",
	}
}

// setParams replaces others' settings of the same name with ours.
func setParams(config *pgconn.Config) {
	ours := sessionParams()
	maps.DeleteFunc(config.RuntimeParams, func(name, _ string) bool {
		for own := range ours {
			if strings.EqualFold(name, own) {
				return true
			}
		}
		return false
	})
	maps.Copy(config.RuntimeParams, ours)
}

// sessionSQL sets what poolers do not know, where it differs. A guarded write that has to wait must
// see the row as it is then, which is read committed alone.
const sessionSQL = `
SELECT set_config(name, value, false)
FROM (VALUES ('default_transaction_isolation', 'read committed'), ('array_nulls', 'on'), ('IntervalStyle', 'postgres')) AS ours(name, value)
WHERE current_setting(name) <> value`

func prepareSession(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, sessionSQL)
	return err
}

// connPool is a pool whose errors are in our own words where it cannot connect, and which tries a
// statement again whose plan another session has made stale. Statements of a transaction are not
// tried again: [retryStale] is for the whole of one.
type connPool struct {
	*pgxpool.Pool

	target target
}

// Query runs a statement up to its first row.
func (p *connPool) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	var rows *startedRows
	err := p.retryStale(func() error {
		result, err := p.Pool.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		rows = &startedRows{Rows: result, pool: p}
		rows.hasFirst = result.Next()
		return result.Err()
	})
	if rows == nil {
		return nil, p.explain(err)
	}
	return rows, nil // an error of the statement is in the rows
}

// QueryRow runs a statement for its first row.
func (p *connPool) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := p.Query(ctx, sql, args...)
	return firstRow{rows, err}
}

// Exec runs a statement that returns no rows.
func (p *connPool) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	err = p.retryStale(func() (err error) {
		tag, err = p.Pool.Exec(ctx, sql, args...)
		return err
	})
	return tag, p.explain(err)
}

// Begin begins a transaction.
func (p *connPool) Begin(ctx context.Context) (pgx.Tx, error) { return p.BeginTx(ctx, pgx.TxOptions{}) }

// BeginTx begins a transaction.
func (p *connPool) BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error) {
	tx, err := p.Pool.BeginTx(ctx, options)
	return tx, p.explain(err)
}

// CopyFrom copies rows into a table.
func (p *connPool) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	n, err := p.Pool.CopyFrom(ctx, table, columns, rows)
	return n, p.explain(err)
}

// AcquireFunc lends a connection to f, again where a plan was stale.
func (p *connPool) AcquireFunc(ctx context.Context, f func(*pgxpool.Conn) error) error {
	return p.explain(p.retryStale(func() error { return p.Pool.AcquireFunc(ctx, f) }))
}

// Acquire lends a connection.
func (p *connPool) Acquire(ctx context.Context) (*pgxpool.Conn, error) {
	conn, err := p.Pool.Acquire(ctx)
	return conn, p.explain(err)
}

// SendBatch sends several statements at once.
func (p *connPool) SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults {
	return batchResults{p.Pool.SendBatch(ctx, batch), p}
}

// Ping reports whether the server answers.
func (p *connPool) Ping(ctx context.Context) error { return p.explain(p.Pool.Ping(ctx)) }

// inTx runs a transaction, all of it again where one of its plans was stale: do must not mind.
func (p *connPool) inTx(ctx context.Context, options pgx.TxOptions, do func(pgx.Tx) error) error {
	return p.explain(p.retryStale(func() error { return pgx.BeginTxFunc(ctx, p, options, do) }))
}

// retryStale tries again at once while a plan is stale. Each connection has plans of its own, and
// the driver forgets one that has failed.
func (p *connPool) retryStale(do func() error) error {
	err := do()
	for tries := p.Config().MaxConns; isStalePlan(err) && tries > 0; tries-- {
		err = do()
	}
	return err
}

// isStalePlan reports that a prepared statement returns other types than it did, as after an ALTER
// TABLE of the application's. The server has done nothing then.
func isStalePlan(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "0A000" && pgErr.Routine == "RevalidateCachedQuery"
}

// explain puts what the driver says into words that help, and that hold no part of a password.
func (p *connPool) explain(err error) error {
	if errors.As(err, new(*connectTrouble)) {
		return err // it is in our words
	}
	if connectErr, found := errors.AsType[*pgconn.ConnectError](err); found {
		return &connectTrouble{words: p.target.words(connectErr), err: connectErr}
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && (pgErr.Code == "26000" || pgErr.Code == "42P05") {
		return fmt.Errorf("%w. Behind a pooler in transaction mode, add default_query_exec_mode=exec to the database URL", err)
	}
	return err
}

// startedRows are rows whose first has been fetched already.
type startedRows struct {
	pgx.Rows

	pool     *connPool
	started  bool
	hasFirst bool
}

// Next goes to the next row.
func (r *startedRows) Next() bool {
	if !r.started {
		r.started = true
		return r.hasFirst
	}
	return r.Rows.Next()
}

// Err is the error that ended the rows.
func (r *startedRows) Err() error { return r.pool.explain(r.Rows.Err()) }

// batchResults are those of several statements.
type batchResults struct {
	pgx.BatchResults

	pool *connPool
}

// Exec is the result of the next statement.
func (r batchResults) Exec() (pgconn.CommandTag, error) {
	tag, err := r.BatchResults.Exec()
	return tag, r.pool.explain(err)
}

// Query is the rows of the next statement.
func (r batchResults) Query() (pgx.Rows, error) {
	rows, err := r.BatchResults.Query()
	return rows, r.pool.explain(err)
}

// QueryRow is the first row of the next statement.
func (r batchResults) QueryRow() pgx.Row {
	rows, err := r.Query()
	return firstRow{rows, err}
}

// Close reads what is left.
func (r batchResults) Close() error { return r.pool.explain(r.BatchResults.Close()) }

// firstRow is the first row of some.
type firstRow struct {
	rows pgx.Rows
	err  error
}

// Scan reads it.
func (r firstRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}

// RowSecurity lists our tables whose row-level security applies to our role. Orders that a policy
// hides are never asked about, and no count shows them.
func (s *Store) RowSecurity(ctx context.Context) ([]string, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT relname::text FROM pg_class
		WHERE relnamespace = to_regnamespace(quote_ident(current_schema())) AND relname = ANY ($1)
		  AND relkind IN ('r', 'p') AND row_security_active(oid)
		ORDER BY relname`, ownTables())
	if err != nil {
		return nil, fmt.Errorf("check row-level security: %w", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("check row-level security: %w", err)
	}
	return tables, nil
}
