package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

func TestServer(t *testing.T) {
	t.Parallel()
	d := open(t)
	before := scan[time.Time](t, d, `SELECT clock_timestamp()`)
	got, err := d.Server(t.Context())
	must(t, err)
	after := scan[time.Time](t, d, `SELECT clock_timestamp()`)
	if got.InRecovery || got.Role != scan[string](t, d, `SELECT current_user::text`) || got.Version != scan[string](t, d, `SHOW server_version`) ||
		got.Now.Before(before) || got.Now.After(after) {
		t.Errorf("server %+v, asked between %v and %v", got, before, after)
	}
}

// Orders that are lost without the trigger become due, each once, and the action says which.
func TestOrphansAreAdopted(t *testing.T) {
	t.Parallel()
	d := open(t)
	ctx := t.Context()
	if n, err := d.AdoptOrphans(ctx, 10, byHand("doctor --fix")); err != nil || n != 0 {
		t.Errorf("adopted %d, %v; want none", n, err)
	}
	d.wantActions(t, "")
	d.insert(t, 7)
	d.exec(t, `ALTER TABLE orders DISABLE TRIGGER zz_orders_stay_due`)
	d.exec(t, `UPDATE orders SET next_query_at = NULL WHERE id < 7`)
	d.exec(t, `UPDATE orders SET review_reason = 'poison' WHERE id = 1`)
	d.exec(t, `UPDATE orders SET status = 'TRADE_SUCCESS' WHERE id = 2`)
	d.exec(t, `UPDATE orders SET status = 'NOT_FOUND' WHERE id = 3`)
	orphans := func(limit int, want ...int64) {
		t.Helper()
		if got, err := d.Orphans(ctx, limit); err != nil || !slices.Equal(got, want) {
			t.Errorf("orphans %v, %v; want %v", got, err, want)
		}
	}
	orphans(10, 4, 5, 6)
	orphans(2, 4, 5)

	d.exec(t, `BEGIN`)
	d.exec(t, `SELECT FROM orders WHERE id = 4 FOR UPDATE`) // the application's own transaction
	if n, err := d.AdoptOrphans(ctx, 1, byHand("doctor --fix")); err != nil || n != 1 {
		t.Errorf("adopted %d, %v; want one beside the locked row", n, err)
	}
	d.exec(t, `ROLLBACK`)
	orphans(10, 4, 6)
	refused := byHand("doctor --fix")
	refused.Via = "telegraph"
	if _, err := d.AdoptOrphans(ctx, 10, refused); err == nil {
		t.Error("adopted without an action")
	}
	orphans(10, 4, 6)
	if n, err := d.AdoptOrphans(ctx, 10, byHand("doctor --fix")); err != nil || n != 2 {
		t.Errorf("adopted %d, %v; want 2", n, err)
	}
	orphans(10)
	if got := scan[string](t, d, `SELECT string_agg(after::text, ' ' ORDER BY id) FROM operator_actions`); got != `{"orders": [5]} {"orders": [4, 6]}` {
		t.Errorf("the actions say %s", got)
	}
	due := ids(d.claim(t, 10))
	if slices.Sort(due); !slices.Equal(due, []int64{4, 5, 6, 7}) {
		t.Errorf("due are %v", due)
	}
}

// Each table of orders is told of, by whatever word its autovacuum was turned off.
func TestTableHealths(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `CREATE TABLE orders_archive () INHERITS (orders) WITH (autovacuum_enabled = off)`)
	d.exec(t, `CREATE TABLE orders_other () INHERITS (orders) WITH (autovacuum_enabled = true, fillfactor = 70)`)
	d.exec(t, `ALTER TABLE order_events SET (autovacuum_enabled = false)`)
	d.insert(t, 10)
	d.exec(t, `DELETE FROM orders WHERE id <= 3`)
	var list []store.TableHealth
	storetest.Eventually(t, time.Minute, "the statistics of orders", func() bool {
		d.exec(t, `SELECT`) // before Postgres 15 an idle session keeps its figures to itself
		var err error
		list, err = d.TableHealths(t.Context())
		must(t, err)
		i := slices.IndexFunc(list, func(h store.TableHealth) bool { return h.Table == "orders" })
		return i >= 0 && list[i].Dead == 3 && list[i].Live == 7
	})
	var got []string
	for _, h := range list {
		word := h.Table
		if h.Disabled {
			word += " disabled"
			d.exec(t, `ALTER TABLE `+h.Qualified+` RESET (autovacuum_enabled)`) // as doctor says
		}
		if h.ServerOff {
			word += " of a server without autovacuum"
		}
		if h.XIDAge < 0 || h.XIDAge > 1_000_000 {
			word += " old"
		}
		got = append(got, word)
	}
	if want := "order_events disabled, order_queries, orders, orders_archive disabled, orders_other"; strings.Join(got, ", ") != want {
		t.Errorf("tables %s\nwant   %s", strings.Join(got, ", "), want)
	}
}

// Without its partial indexes and its trigger a table is slow, or loses orders. Children and
// partitions count.
func TestMissingParts(t *testing.T) {
	t.Parallel()
	d := open(t)
	missing := func(when string, want ...string) {
		t.Helper()
		wantParts(t, d, when, want...)
	}
	missing("at first")
	d.exec(t, `CREATE TABLE orders_bare () INHERITS (orders)`)
	d.exec(t, `CREATE TABLE orders_like (LIKE orders INCLUDING ALL) INHERITS (orders)`)
	indexes := scan[[]string](t, d, `SELECT array_agg('orders_bare: ' || i.relname ORDER BY i.relname) FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
		WHERE x.indrelid = 'orders'::regclass AND x.indpred IS NOT NULL`)
	missing("with children that have no trigger", append(indexes, "orders_bare: zz_orders_stay_due", "orders_bare: zz_orders_stay_settled",
		"orders_like: zz_orders_stay_due", "orders_like: zz_orders_stay_settled")...)
	d.exec(t, `DROP TABLE orders_bare`)
	d.exec(t, `CREATE TRIGGER zz_orders_stay_due BEFORE INSERT OR UPDATE ON orders_like FOR EACH ROW WHEN (NEW.next_query_at IS NULL) EXECUTE FUNCTION orders_stay_due()`)
	d.exec(t, `CREATE TRIGGER zz_orders_stay_settled BEFORE UPDATE ON orders_like FOR EACH ROW EXECUTE FUNCTION orders_stay_settled()`)
	missing("with a child that has all")
	for _, state := range []string{"DISABLE", "ENABLE REPLICA"} {
		d.exec(t, `ALTER TABLE orders_like `+state+` TRIGGER zz_orders_stay_due`)
		missing("with a trigger in state "+state, "orders_like: zz_orders_stay_due")
	}
	d.exec(t, `ALTER TABLE orders_like ENABLE ALWAYS TRIGGER zz_orders_stay_due`)
	missing("with a trigger that is always in force")
	const valid = `UPDATE pg_index SET indisvalid = $1 WHERE indrelid = 'orders_like'::regclass AND pg_get_expr(indpred, indrelid) = '(review_reason IS NOT NULL)'`
	d.exec(t, valid, false) // a build that was broken off
	missing("with an index of the child that is not valid", "orders_like: orders_review")
	d.exec(t, valid, true)
	d.exec(t, `DROP INDEX orders_review`)
	missing("without an index", "orders: orders_review", "orders_like: orders_review")
	d.exec(t, `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_due'::regclass`)
	missing("with an index that is not valid", "orders: orders_due", "orders: orders_review", "orders_like: orders_due", "orders_like: orders_review")
	d.exec(t, `CREATE TABLE "Orders of 2025" () INHERITS (orders)`)
	d.exec(t, `ALTER TABLE orders_like DISABLE TRIGGER zz_orders_stay_due; DROP TRIGGER zz_orders_stay_due ON orders; DROP TRIGGER zz_orders_stay_settled ON orders`)
	d.exec(t, `DROP INDEX `+strings.Join(scan[[]string](t, d, `SELECT array_agg(indexrelid::regclass::text) FROM pg_index
		WHERE indrelid = 'orders'::regclass AND indpred IS NOT NULL AND indisvalid`), ", "))
	wantMended(t, d)
}

// A partition gets the indexes and the trigger from its parent.
func TestMissingPartsOfPartitions(t *testing.T) {
	t.Parallel()
	d := open(t)
	const partial = ` FROM pg_index WHERE indrelid = 'orders'::regclass AND indpred IS NOT NULL`
	definitions := scan[[]string](t, d, `SELECT array_agg(pg_get_indexdef(indexrelid))`+partial)
	names := scan[[]string](t, d, `SELECT array_agg(indexrelid::regclass::text)`+partial)
	d.exec(t, `ALTER TABLE orders RENAME TO orders_plain`)
	for _, name := range names {
		d.exec(t, `ALTER INDEX `+name+` RENAME TO plain_`+name)
	}
	d.exec(t, `CREATE TABLE orders (LIKE orders_plain INCLUDING DEFAULTS) PARTITION BY HASH (id)`)
	d.exec(t, `CREATE TABLE orders_0 PARTITION OF orders FOR VALUES WITH (MODULUS 2, REMAINDER 0)`)
	for _, definition := range definitions {
		d.exec(t, definition)
	}
	d.exec(t, `CREATE TABLE orders_1 PARTITION OF orders FOR VALUES WITH (MODULUS 2, REMAINDER 1)`)
	wantParts(t, d, "without triggers", []string{
		"orders: zz_orders_stay_due", "orders: zz_orders_stay_settled", "orders_0: zz_orders_stay_due", "orders_0: zz_orders_stay_settled",
		"orders_1: zz_orders_stay_due", "orders_1: zz_orders_stay_settled",
	}...)
	d.exec(t, `CREATE TRIGGER zz_orders_stay_due BEFORE INSERT OR UPDATE ON orders FOR EACH ROW WHEN (NEW.next_query_at IS NULL) EXECUTE FUNCTION orders_stay_due()`)
	d.exec(t, `CREATE TRIGGER zz_orders_stay_settled BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION orders_stay_settled()`)
	d.exec(t, `ALTER TABLE orders_1 DISABLE TRIGGER zz_orders_stay_due`)
	wantParts(t, d, "with a trigger that is disabled", "orders_1: zz_orders_stay_due")
	d.exec(t, `DROP INDEX orders_review; DROP TRIGGER zz_orders_stay_settled ON orders`)
	wantMended(t, d)
}

func wantParts(t *testing.T, d database, when string, want ...string) {
	t.Helper()
	var got []string
	parts, err := d.MissingParts(t.Context())
	for _, part := range parts {
		got = append(got, part.String())
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%s: missing %q, %v; want %q", when, got, err, want)
	}
}

// wantMended follows the advice about all that is missing.
func wantMended(t *testing.T, d database) {
	t.Helper()
	parts, err := d.MissingParts(t.Context())
	if err != nil || len(parts) == 0 {
		t.Errorf("missing %v, %v", parts, err)
	}
	for _, part := range parts {
		for _, statement := range part.Statements() {
			d.exec(t, statement)
		}
	}
	wantParts(t, d, "after the advice was followed")
}
