package soak_test

import (
	"context"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"reconciler/internal/postgres/postgrestest"
	"reconciler/internal/store/storetest"
)

// historySQL keeps every version of every order, with who wrote it in which
// transaction, and ties the ledger and the events to theirs. A claim also notes
// whether a person had paused it for longer than the claim can have looked at.
// An order has its number throughout, whatever is done to its row.
const historySQL = `
CREATE TABLE soak_history (
    seq    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    tx_at  timestamptz NOT NULL DEFAULT now(),
    xid    xid8        NOT NULL DEFAULT pg_current_xact_id(),
    who    text        NOT NULL DEFAULT current_setting('application_name'),
    paused boolean     NOT NULL,
    id     bigint      NOT NULL,
    number text        NOT NULL,
    o      orders,
    n      orders
);
CREATE INDEX ON soak_history (id, seq);
CREATE INDEX ON soak_history (number, seq);
ALTER TABLE order_queries ADD COLUMN soak_xid xid8 DEFAULT pg_current_xact_id(), ADD COLUMN soak_at timestamptz DEFAULT clock_timestamp();
ALTER TABLE order_events ADD COLUMN soak_xid xid8 DEFAULT pg_current_xact_id();
CREATE FUNCTION soak_keep() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO soak_history (id, number, paused, o, n)
    VALUES (coalesce(NEW.id, OLD.id), substr(coalesce(NEW.mer_order_id, NEW.target_order_id, OLD.mer_order_id, OLD.target_order_id), 5, 8), coalesce(NEW.claim_no > OLD.claim_no, false) AND EXISTS (
        SELECT 1 FROM gateway_controls AS c
        WHERE c.set_by = 'person' AND c.set_at < now() - interval '1 second'
          AND (c.paused_until IS NULL OR c.paused_until > now() + interval '1 second')
          AND (c.scope = 'app' OR c.key = NEW.mid)), OLD, NEW);
    RETURN NULL;
END $$;
CREATE TRIGGER soak_keep AFTER INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION soak_keep();
`

// partitionedSQL makes orders a partitioned table before anybody uses it.
const partitionedSQL = `
ALTER TABLE orders RENAME TO orders_plain;
CREATE TABLE orders (LIKE orders_plain INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING IDENTITY, PRIMARY KEY (id)) PARTITION BY HASH (id);
CREATE TABLE orders_even PARTITION OF orders FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE orders_odd PARTITION OF orders FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE UNIQUE INDEX ON orders_even (mid, mer_order_id);
CREATE UNIQUE INDEX ON orders_odd (mid, mer_order_id);
DROP TABLE orders_plain;
`

// database is used by one world after the other. Each pool is another party, by
// its application_name in the history.
type database struct {
	url       string // of the owner
	daemonURL string // of a role that has the daemon's rights and no others
	role      string

	partitioned bool // orders is, and has no table that inherits

	application, orm, person, clock *pgxpool.Pool
	columns                         string // of orders, without its id
}

func newDatabase(t *testing.T, partitioned bool) *database {
	t.Helper()
	db := &database{url: postgrestest.NewDatabase(t), partitioned: partitioned}
	db.clock = db.pool(t, "clock", 0)
	db.application, db.orm, db.person = db.pool(t, "application", lockTimeout), db.pool(t, "orm", lockTimeout), db.pool(t, "person", lockTimeout)
	if partitioned {
		exec(t, db.clock, partitionedSQL+stayDueSQL("orders"))
	}
	exec(t, db.clock, historySQL)
	exec(t, db.clock, shopSQL)
	if !partitioned {
		exec(t, db.clock, archiveSQL+stayDueSQL("orders_archive"))
	}
	db.columns = one[string](t, db.clock, `SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = 'orders'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'id'`)
	db.role = "soak_" + one[string](t, db.clock, `SELECT current_database()`)
	exec(t, db.clock, `CREATE ROLE `+db.role+` LOGIN`)
	t.Cleanup(func() { db.dropRole(t) })
	exec(t, db.clock, db.grants())
	u := parsed(t, db.url)
	u.User = url.User(db.role)
	db.daemonURL = u.String()
	return db
}

func (db *database) dropRole(t *testing.T) {
	conn, err := pgx.Connect(context.Background(), db.url)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), `DROP OWNED BY `+db.role+`; DROP ROLE `+db.role); err != nil {
		t.Error(err)
	}
}

// pool connects as somebody, who waits for a lock for a while; 0: as long as it takes.
func (db *database) pool(t *testing.T, who string, wait time.Duration) *pgxpool.Pool {
	t.Helper()
	u := parsed(t, db.url)
	q := u.Query()
	q.Set("application_name", who)
	q.Set("lock_timeout", strconv.FormatInt(wait.Milliseconds(), 10))
	u.RawQuery = q.Encode()
	return storetest.OpenPool(t, u.String())
}

func parsed(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (db *database) empty(t *testing.T) {
	t.Helper()
	exec(t, db.clock, `TRUNCATE orders, order_queries, order_events, gateway_controls, gateway_incidents, gateway_budgets, soak_history, soak_rules, soak_refused RESTART IDENTITY`)
}

func exec(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	_, err := pool.Exec(context.WithoutCancel(t.Context()), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func rows[T any](t *testing.T, pool *pgxpool.Pool, collect pgx.RowToFunc[T], sql string, args ...any) []T {
	t.Helper()
	r, err := pool.Query(context.WithoutCancel(t.Context()), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	list, err := pgx.CollectRows(r, collect)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return list
}

func one[T any](t *testing.T, pool *pgxpool.Pool, sql string, args ...any) T {
	t.Helper()
	list := rows(t, pool, pgx.RowTo[T], sql, args...)
	if len(list) != 1 {
		t.Fatalf("%s: %d rows, want 1", sql, len(list))
	}
	return list[0]
}
