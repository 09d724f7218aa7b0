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
	Role       string
	Now        time.Time
}

// Server reads the facts of the server.
func (s *Store) Server(ctx context.Context) (Server, error) {
	var v Server
	err := s.pool.QueryRow(ctx, `
		SELECT current_setting('server_version'), pg_is_in_recovery(), current_user::text, clock_timestamp()`).
		Scan(&v.Version, &v.InRecovery, &v.Role, &v.Now)
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
	Dead, Live int64
	LastVacuum *time.Time
	XIDAge     int64 `db:"xid_age"`
	Disabled   bool  // autovacuum
}

// TableHealths reads the statistics of orders, its children, and the ledger.
func (s *Store) TableHealths(ctx context.Context) ([]TableHealth, error) {
	return lookRows[TableHealth](ctx, s, "read the statistics", orderTables+`
		SELECT c.oid::regclass::text AS "table", coalesce(s.n_dead_tup, 0) AS dead, coalesce(s.n_live_tup, 0) AS live,
		       greatest(s.last_vacuum, s.last_autovacuum) AS last_vacuum, age(c.relfrozenxid)::bigint AS xid_age,
		       current_setting('autovacuum') = 'off' OR EXISTS (
		           SELECT FROM pg_options_to_table(c.reloptions) AS o WHERE o.option_name = 'autovacuum_enabled' AND NOT o.option_value::boolean) AS disabled
		FROM (SELECT oid FROM tree UNION SELECT unnest(ARRAY['order_queries'::regclass, 'order_events'::regclass])) AS t
		JOIN pg_class AS c ON c.oid = t.oid AND c.relkind = 'r'
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

// MissingParts lists the partial indexes and the triggers that orders, a child or a partition lacks,
// or that are not in force, each as "table: name".
func (s *Store) MissingParts(ctx context.Context) ([]string, error) {
	return lookRows[string](ctx, s, "check the indexes", orderTables+`,
		wanted AS (
		    SELECT name, (
		        SELECT regexp_replace(pg_get_indexdef(x.indexrelid), '^.* USING ', '') FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
		        WHERE x.indrelid = 'orders'::regclass AND i.relname = name AND x.indisvalid
		    ) AS definition
		    FROM unnest(ARRAY['orders_due', 'orders_due_by_merchant', 'orders_review', 'orders_orphans', 'orders_open', 'orders_target_order',
		        'orders_reference', 'orders_serial', 'orders_learned']) AS name
		)
		SELECT tree.oid::regclass::text || ': ' || wanted.name FROM tree JOIN pg_class AS c ON c.oid = tree.oid AND c.relkind IN ('r', 'p'), wanted
		WHERE NOT EXISTS (
		    SELECT FROM pg_index AS x WHERE x.indrelid = tree.oid AND x.indisvalid
		      AND regexp_replace(pg_get_indexdef(x.indexrelid), '^.* USING ', '') = wanted.definition)
		UNION ALL
		SELECT tree.oid::regclass::text || ': ' || name FROM tree JOIN pg_class AS c ON c.oid = tree.oid AND c.relkind IN ('r', 'p'),
		       unnest(ARRAY['zz_orders_stay_due', 'zz_orders_stay_settled']) AS name
		WHERE NOT EXISTS (
		    SELECT FROM pg_trigger AS g WHERE g.tgrelid = tree.oid AND g.tgname = name AND g.tgenabled IN ('O', 'A'))
		ORDER BY 1`)
}
