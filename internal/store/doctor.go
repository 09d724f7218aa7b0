package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is what doctor asks a server about itself.
type Server struct {
	Version    string // such as 15.18
	InRecovery bool   // a standby: nothing can be written
	ReadOnly   bool   // nothing can be written, because of default_transaction_read_only or a standby
	Role       string
	Now        time.Time
	// AwaitStandby counts our role's sessions whose commit has waited for a synchronous standby for
	// more than 5 s.
	AwaitStandby int
}

// Server reads the facts of the server.
func (s *Store) Server(ctx context.Context) (Server, error) {
	var v Server
	err := s.pool.QueryRow(ctx, `
		SELECT current_setting('server_version'), pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
		       current_user::text, clock_timestamp(),
		       (SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query_start < clock_timestamp() - interval '5 seconds')`).
		Scan(&v.Version, &v.InRecovery, &v.ReadOnly, &v.Role, &v.Now, &v.AwaitStandby)
	if err != nil {
		return Server{}, fmt.Errorf("ask the server about itself: %w", err)
	}
	return v, nil
}

// Orphans lists unresolved orders that have neither a due time nor a review reason, at most limit.
func (s *Store) Orphans(ctx context.Context, limit int) ([]int64, error) {
	return lookRows[int64](ctx, s, "look for orphans", `SELECT o.id FROM orders AS o WHERE `+isOrphan+` ORDER BY o.id LIMIT $1`, limit)
}

// AdoptOrphans makes at most limit orphans due and records the action, in one transaction. It
// returns their number.
func (s *Store) AdoptOrphans(ctx context.Context, limit int, a Action) (int, error) {
	n := 0
	begin := pgx.TxOptions{BeginQuery: "BEGIN; SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '30s'"}
	err := s.pool.inTx(ctx, begin, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			WITH orphan AS MATERIALIZED (
			    SELECT o.id FROM orders AS o WHERE `+isOrphan+` ORDER BY o.id LIMIT $1 FOR UPDATE SKIP LOCKED
			), adopted AS (
			    UPDATE orders AS o SET next_query_at = now() FROM orphan WHERE o.id = orphan.id RETURNING o.id
			)
			SELECT count(*), jsonb_build_object('orders', coalesce(jsonb_agg(id ORDER BY id), '[]')) FROM adopted`, limit).Scan(&n, &a.After)
		if err != nil || n == 0 {
			return err
		}
		_, err = addAction(ctx, tx, a)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("make orphans due: %w", err)
	}
	return n, nil
}

// TableHealth is how well a table is vacuumed.
type TableHealth struct {
	Table      string
	Qualified  string // with its schema, as SQL writes both
	Dead, Live int64
	XIDAge     int64 `db:"xid_age"`
	Disabled   bool  // autovacuum of the table
	ServerOff  bool  `db:"server_off"` // autovacuum of the server
}

// TableHealths reads the statistics of orders, its children, and the ledger.
func (s *Store) TableHealths(ctx context.Context) ([]TableHealth, error) {
	return lookRows[TableHealth](ctx, s, "read the statistics", orderTables+`
		SELECT c.oid::regclass::text AS "table", format('%I.%I', n.nspname, c.relname) AS qualified, coalesce(s.n_dead_tup, 0) AS dead, coalesce(s.n_live_tup, 0) AS live,
		       age(c.relfrozenxid)::bigint AS xid_age,
		       current_setting('autovacuum') = 'off' AS server_off, EXISTS (
		           SELECT FROM pg_options_to_table(c.reloptions) AS o WHERE o.option_name = 'autovacuum_enabled' AND NOT o.option_value::boolean) AS disabled
		FROM (SELECT oid FROM tree UNION SELECT unnest(ARRAY['order_queries'::regclass, 'order_events'::regclass])) AS t
		JOIN pg_class AS c ON c.oid = t.oid AND c.relkind = 'r' JOIN pg_namespace AS n ON n.oid = c.relnamespace
		LEFT JOIN pg_stat_user_tables AS s ON s.relid = c.oid
		ORDER BY 1`)
}

// orderTables is orders with its children and partitions, as tree.
const orderTables = `
	WITH RECURSIVE tree AS (
	    SELECT 'orders'::regclass::oid AS oid
	    UNION
	    SELECT i.inhrelid FROM pg_inherits AS i JOIN tree ON i.inhparent = tree.oid
	)`
