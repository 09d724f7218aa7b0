package store_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"reconciler/internal/store"

	"github.com/jackc/pgx/v5"
)

// While another session holds an old snapshot, settled orders leave entries in the indexes. A claim
// of what became due lately passes none of them, and finds an order that is due.
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
		Worker: "test", Lease: time.Minute, Limit: 16, Lanes: true,
		From: store.Cursor{NextQueryAt: time.Now().Add(-10 * time.Second), ID: 1},
	}
	for _, left := range [][]string{nil, {merchant(0)}} {
		claim.PausedMIDs = left
		if pages := pagesRead(t, prepareClaim(t, d, claim)()); pages > 200 {
			t.Errorf("without %v: the claim read %d pages", left, pages)
		}
	}
	d.exec(t, `UPDATE orders SET status = 'UNKNOWN', next_query_at = now() WHERE id = 7`)
	if orders := d.claimWith(t, claim); len(orders) != 1 || orders[0].ID != 7 {
		t.Errorf("claimed %v, want the order that is due", orders)
	}
}

// The plan of a claim is made once. It may be made for an empty table, or for few queued orders
// among many. It still follows the due times of a backlog that comes later, before any ANALYZE.
func TestClaimPlanFitsALaterBacklog(t *testing.T) {
	t.Parallel()
	for before, settled := range map[string]int{"an empty table": 0, "settled orders": 20_000} {
		t.Run(before, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			d.exec(t, `ALTER TABLE orders SET (autovacuum_enabled = off)`)
			d.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, status)
				SELECT $1, $2, 'settled' || i, 100, 'TRADE_SUCCESS' FROM generate_series(1, $3::int) AS i`, mid, tid, settled)
			d.exec(t, `ANALYZE orders`)
			plans := make(map[string]func() []byte)
			for name, claim := range map[string]store.Claim{
				"with a suspect": {Suspects: true},
				"from a place":   {From: store.Cursor{NextQueryAt: time.Now().Add(-2 * time.Hour), ID: 1}},
				"left out":       {PausedMIDs: []string{merchant(1)}, LimitedMIDs: []string{merchant(2)}},
				"of a list":      {MIDs: []string{mid, merchant(1)}},
				"in hand":        {MaxPerMerchant: 100, InHand: map[string]int{mid: 3}, MerchantCaps: map[string]int{merchant(1): 1}},
			} {
				claim.Worker, claim.Lease, claim.Limit, claim.Lanes = "test", time.Minute, 16, true
				plans[name] = prepareClaim(t, d, claim)
				plans[name]()
			}
			d.insert(t, 20_000)
			for name, explain := range plans {
				// A page of 16, found and leased; and a suspect among the first 2000.
				if read := ordersRead(t, explain()); read < 16 || read > 2100 {
					t.Errorf("%s: the claim read %d orders", name, read)
				}
			}
		})
	}
}

// prepareClaim prepares a claim as a session of the daemon does. The function runs it, takes it back
// and explains the plan that it had.
func prepareClaim(t *testing.T, d database, claim store.Claim) (explain func() []byte) {
	t.Helper()
	sql, named := store.ClaimSQL(claim)
	sql, args, err := named.RewriteQuery(t.Context(), d.conn, sql, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprint("claim_", time.Now().UnixNano())
	d.exec(t, `PREPARE `+name+` AS `+sql)
	places := make([]string, len(args))
	for i := range args {
		places[i] = "$" + strconv.Itoa(i+1)
	}
	execute := `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE ` + name + ` (` + strings.Join(places, ", ") + `)`
	args = append([]any{pgx.QueryExecModeSimpleProtocol}, args...)
	return func() (text []byte) {
		t.Helper()
		d.exec(t, `BEGIN`)
		defer d.exec(t, `ROLLBACK`)
		d.exec(t, store.Guidance)
		if err := d.conn.QueryRow(t.Context(), execute, args...).Scan(&text); err != nil {
			t.Fatal(err)
		}
		return text
	}
}

// pagesRead is how many pages an explained statement has read.
func pagesRead(t *testing.T, text []byte) int {
	t.Helper()
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
