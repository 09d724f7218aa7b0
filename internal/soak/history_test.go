package soak_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"reconciler/internal/postgres/postgrestest"
)

// historySQL keeps every version of every order, with who wrote it in which
// transaction, and ties the ledger and the events to theirs. A claim also notes
// whether a person had paused it for longer than the claim can have looked at.
const historySQL = `
CREATE TABLE soak_history (
    seq    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    tx_at  timestamptz NOT NULL DEFAULT now(),
    xid    xid8        NOT NULL DEFAULT pg_current_xact_id(),
    who    text        NOT NULL DEFAULT current_setting('application_name'),
    paused boolean     NOT NULL,
    id     bigint      NOT NULL,
    o      orders,
    n      orders
);
CREATE INDEX ON soak_history (id, seq);
ALTER TABLE order_queries ADD COLUMN soak_xid xid8 DEFAULT pg_current_xact_id();
ALTER TABLE order_events ADD COLUMN soak_xid xid8 DEFAULT pg_current_xact_id();
CREATE FUNCTION soak_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO soak_history (id, paused, o, n)
    VALUES (coalesce(NEW.id, OLD.id), coalesce(NEW.claim_no > OLD.claim_no, false) AND EXISTS (
        SELECT 1 FROM gateway_controls AS c
        WHERE c.set_by = 'person' AND c.set_at < now() - interval '1 second'
          AND (c.paused_until IS NULL OR c.paused_until > now() + interval '1 second')
          AND (c.scope = 'app' OR c.key = NEW.mid)), OLD, NEW);
    RETURN NULL;
END $$;
CREATE TRIGGER soak_keep AFTER INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION soak_keep();
`

// database is used by one world after the other. Each pool is another party, by
// its application_name in the history.
type database struct {
	url                        string
	application, person, clock *pgxpool.Pool
}

func newDatabase(t *testing.T) *database {
	t.Helper()
	db := &database{url: postgrestest.NewDatabase(t)}
	db.application, db.person, db.clock = db.pool(t, "application"), db.pool(t, "person"), db.pool(t, "clock")
	if _, err := db.clock.Exec(t.Context(), historySQL); err != nil {
		t.Fatal(err)
	}
	return db
}

func (db *database) pool(t *testing.T, who string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), db.as(t, who))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// as is the database's URL for somebody.
func (db *database) as(t *testing.T, who string) string {
	t.Helper()
	u, err := url.Parse(db.url)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("application_name", who)
	u.RawQuery = q.Encode()
	return u.String()
}

func (db *database) empty(t *testing.T) {
	t.Helper()
	exec(t, db.clock, `TRUNCATE orders, order_queries, order_events, gateway_controls, gateway_budgets, soak_history RESTART IDENTITY`)
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
