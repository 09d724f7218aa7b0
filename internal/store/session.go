package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

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

// sessionSQL sets what poolers do not know, where it differs and the server knows it. A guarded
// write that has to wait must see the row as it is then, which is read committed alone. Statements
// have limits of their own: a shorter one would end the write of a whole group again and again.
const sessionSQL = `
SELECT set_config(name, value, false)
FROM (VALUES ('default_transaction_isolation', 'read committed'), ('array_nulls', 'on'), ('IntervalStyle', 'postgres'),
             ('statement_timeout', '0'), ('lock_timeout', '0'), ('transaction_timeout', '0')) AS ours(name, value)
WHERE current_setting(name, true) <> value`

func prepareSession(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, sessionSQL); err != nil {
		return err
	}
	return checkSearchPath(ctx, conn)
}

// connPool is a pool whose errors are in our own words where it cannot connect. It tries a
// statement again whose plan another session has made stale. Statements of a transaction are not
// tried again: [retryStale] is for the whole of one. Rows are read by [collectRows].
type connPool struct {
	*pgxpool.Pool

	target target
}

// QueryRow asks for the first row of a statement, which runs when the row is scanned.
func (p *connPool) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return rowScan(func(dest ...any) error {
		return p.explainError(p.retryStale(func() error { return p.Pool.QueryRow(ctx, sql, args...).Scan(dest...) }))
	})
}

// rowScan is a [pgx.Row].
type rowScan func(dest ...any) error

// Scan reads the row.
func (r rowScan) Scan(dest ...any) error { return r(dest...) }

// Exec runs a statement that returns no rows.
func (p *connPool) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	err = p.retryStale(func() (err error) {
		tag, err = p.Pool.Exec(ctx, sql, args...)
		return err
	})
	return tag, p.explainError(err)
}

// execWithin runs a statement that returns no rows and may not take longer than limit.
func (p *connPool) execWithin(ctx context.Context, limit time.Duration, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	err = p.retryStale(func() error {
		batch := new(pgx.Batch)
		batch.Queue("SELECT " + timeLimit(limit))
		batch.Queue(sql, args...).Exec(func(t pgconn.CommandTag) error {
			tag = t
			return nil
		})
		return p.SendBatch(ctx, batch).Close()
	})
	return tag, p.explainError(err)
}

// AcquireFunc lends a connection to f, again where a plan was stale.
func (p *connPool) AcquireFunc(ctx context.Context, f func(*pgxpool.Conn) error) error {
	return p.explainError(p.retryStale(func() error { return p.Pool.AcquireFunc(ctx, f) }))
}

// inTx runs a transaction, all of it again where one of its plans was stale: do must not mind.
func (p *connPool) inTx(ctx context.Context, options pgx.TxOptions, do func(pgx.Tx) error) error {
	return p.explainError(p.retryStale(func() error { return pgx.BeginTxFunc(ctx, p.Pool, options, do) }))
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
	pgErr, found := errors.AsType[*pgconn.PgError](err)
	return found && pgErr.Code == "0A000" && pgErr.Routine == "RevalidateCachedQuery"
}

// explainError puts what the driver says into words that help, and that hold no part of a password.
// It closes sessions that may have begun under other settings of their role or database.
func (p *connPool) explainError(err error) error {
	if isOfSession(err) {
		p.Reset()
	}
	if errors.As(err, new(*connectTrouble)) {
		return err // it is in our words
	}
	if connectErr, found := errors.AsType[*pgconn.ConnectError](err); found {
		return &connectTrouble{words: p.target.errorWords(connectErr), err: connectErr}
	}
	if isQueueFull(err) {
		return fmt.Errorf("%w. A session that listens holds a transaction open: look for it in pg_stat_activity", err)
	}
	if lacksNumbers(err) {
		return fmt.Errorf("%w. Something keeps VACUUM back: an old session, a forgotten prepared transaction (pg_prepared_xacts) "+
			"or a replication slot (pg_replication_slots). End it, then VACUUM each database", err)
	}
	if lacksIdentity(err) {
		return fmt.Errorf("%w. A publication sends its updates (pg_publication_tables): give the table a REPLICA IDENTITY, "+
			"which has every column of the publication's WHERE, or take it out", err)
	}
	switch sqlState(err) {
	case "26000", "42P05":
		return fmt.Errorf("%w. Behind a pooler in transaction mode, add default_query_exec_mode=exec to the database URL", err)
	case "08P01":
		if strings.Contains(err.Error(), "statement pooling mode") {
			return fmt.Errorf("%w. The pooler must be in session or transaction mode (pgbouncer: pool_mode)", err)
		}
	case queryCanceled:
		return fmt.Errorf("%w. The server ended it before it was done: another session holds a lock, a trigger hangs, or the server is overloaded", err)
	}
	return err
}

// isOfSession reports an error that a new session may not have: a session keeps the
// default_transaction_read_only and the search_path that were set when it began.
func isOfSession(err error) bool {
	pgErr, found := errors.AsType[*pgconn.PgError](err)
	return found && functionContext(pgErr) == "" && (pgErr.Code == "25006" || pgErr.Code == "42P01" || pgErr.Code == "42883")
}

// RowSecurity lists our tables whose row-level security applies to our role. Orders that a policy
// hides are never asked about, and no count shows them.
func (s *Store) RowSecurity(ctx context.Context) ([]string, error) {
	tables, err := collectRows[string](ctx, s.pool, `
		SELECT relname::text FROM pg_class
		WHERE relnamespace = to_regnamespace(quote_ident(current_schema())) AND relname = ANY ($1)
		  AND relkind IN ('r', 'p') AND row_security_active(oid)
		ORDER BY relname`, ownTables())
	if err != nil {
		return nil, fmt.Errorf("check row-level security: %w", err)
	}
	return tables, nil
}

// checkPlace refuses a database whose encoding cannot hold every answer, and a search_path without
// a schema that exists and may be used.
func (s *Store) checkPlace(ctx context.Context) error {
	var encoding, searchPath, role string
	var schema *string
	// In a transaction, because a pooler in statement mode refuses those, and much of what follows.
	err := s.pool.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `
			SELECT current_setting('server_encoding'), current_setting('search_path'), current_user::text, current_schema()::text`).
			Scan(&encoding, &searchPath, &role, &schema)
	})
	if err != nil {
		return fmt.Errorf("check the database: %w", err)
	}
	if encoding != "UTF8" && encoding != "SQL_ASCII" {
		return fmt.Errorf("%w: it is %s, which cannot hold every name and text of the gateway. "+
			"Create a database with ENCODING 'UTF8'", ErrEncoding, encoding)
	}
	if schema == nil {
		return fmt.Errorf("%w: search_path is %s. Create the schema, or GRANT USAGE ON SCHEMA … TO %s", ErrNoSchema, searchPath, role)
	}
	return nil
}

// ErrEncoding means that the database has another encoding than UTF8 or SQL_ASCII.
var ErrEncoding = errors.New("the database's encoding cannot be used")

// ErrNoSchema means that no schema of the search_path exists and may be used.
var ErrNoSchema = errors.New("no schema of the search_path exists and may be used")
