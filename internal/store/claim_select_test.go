package store_test

import (
	"strings"
	"testing"
	"time"

	"reconciler/internal/store"
)

// A selection reads open orders and no settled ones, however many there are.
func TestSelectionReadsOpenOrdersAlone(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, status)
		SELECT $1, $2, 'settled' || i, 100, 'TRADE_SUCCESS' FROM generate_series(1, 20000) i`, mid, tid)
	d.insert(t, 2000)
	d.exec(t, `ANALYZE orders, gateway_controls`)
	since := time.Now().Add(-36 * time.Hour)
	for _, selection := range []store.Selection{{}, {CreatedSince: &since}, {MID: mid}, {Review: true}, {OnlyReview: true}} {
		for _, plan := range []string{"force_custom_plan", "force_generic_plan"} {
			d.exec(t, `SET plan_cache_mode = `+plan)
			sql, args := store.ClaimSQL(store.Claim{Worker: "test", Lease: time.Minute, Limit: 16, Suspects: true, Selection: &selection})
			nodes := strings.Join(planNodes(t, explain(t, d, sql, args)), ", ")
			if !strings.Contains(nodes, "orders_open") {
				t.Errorf("%s: %+v does not read the index of open orders: %s", plan, selection, nodes)
			}
			if strings.Contains(nodes, "Seq Scan orders") {
				t.Errorf("%s: %+v reads the whole table: %s", plan, selection, nodes)
			}
		}
	}
}
