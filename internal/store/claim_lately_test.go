package store_test

import (
	"encoding/json"
	"testing"
	"time"

	"reconciler/internal/store"

	"github.com/jackc/pgx/v5"
)

// While another session holds an old snapshot, a claim of what became due lately passes none of the
// entries that settled orders have left in the indexes, and finds an order that is due.
func TestClaimLatelyBesideAnOldSnapshot(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 20_000)
	d.exec(t, `UPDATE orders SET next_query_at = now() - interval '1 hour'`)
	holder, err := pgx.ConnectConfig(t.Context(), d.conn.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(t.Context())
	if _, err := holder.Exec(t.Context(), `BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM orders`); err != nil {
		t.Fatal(err)
	}
	d.exec(t, `UPDATE orders SET status = 'TRADE_SUCCESS', next_query_at = NULL`)
	d.exec(t, `VACUUM (ANALYZE) orders`)
	claim := store.Claim{
		Worker: "test", Lease: time.Minute, Limit: 16, Lanes: true, Lately: true,
		From: store.Cursor{NextQueryAt: time.Now().Add(-10 * time.Second), ID: 1},
	}
	for _, left := range [][]string{nil, {merchant(0)}} {
		claim.PausedMIDs = left
		for _, plan := range []string{"force_custom_plan", "force_generic_plan"} {
			d.exec(t, `SET plan_cache_mode = `+plan)
			if pages := pagesRead(t, d, claim); pages > 200 {
				t.Errorf("%s, without %v: the claim read %d pages", plan, left, pages)
			}
		}
	}
	d.exec(t, `UPDATE orders SET status = 'UNKNOWN', next_query_at = now() WHERE id = 7`)
	if orders := d.claimWith(t, claim); len(orders) != 1 || orders[0].ID != 7 {
		t.Errorf("claimed %v, want the order that is due", orders)
	}
}

// A process that is stopped between a claim and its commit must not keep the budget's row from all
// other instances.
func TestClaimLatelyEndsWithAStoppedProcess(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, store.BeginLately)
	defer d.exec(t, `ROLLBACK`)
	var timeout string
	if err := d.conn.QueryRow(t.Context(), `SHOW idle_in_transaction_session_timeout`).Scan(&timeout); err != nil || timeout != "10s" {
		t.Errorf("the transaction may be idle for %q (%v), want 10s", timeout, err)
	}
}

// pagesRead is how many pages a claim reads.
func pagesRead(t *testing.T, d database, claim store.Claim) int {
	t.Helper()
	sql, args := store.ClaimSQL(claim)
	d.exec(t, store.BeginLately)
	defer d.exec(t, `ROLLBACK`)
	var text []byte
	if err := d.conn.QueryRow(t.Context(), "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+sql, args).Scan(&text); err != nil {
		t.Fatal(err)
	}
	var plan []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	if err := json.Unmarshal(text, &plan); err != nil {
		t.Fatal(err)
	}
	return plan[0].Plan.Hit + plan[0].Plan.Read
}
