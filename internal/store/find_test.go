package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler/internal/store"
)

// An order is found by each of its numbers without reading the others, also before the table's first
// ANALYZE.
func TestFindOrdersReadsNoOthers(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 2)
	d.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, target_order_id, ref_id, seq_id, order_amount, status)
		SELECT $1, $2, 'settled' || i, '42000012' || lpad(i::text, 20, '0'), 'ref' || i, 'seq' || i, 100, 'TRADE_SUCCESS' FROM generate_series(1, 4000) i`, mid, tid)
	for _, statistics := range []string{"", "ANALYZE orders"} {
		d.exec(t, statistics)
		for where, indexes := range map[string][]string{
			store.HasMerchantNumber: {"orders_mer_order_id_mid_key"}, store.HasChannelNumber: {"orders_target_order"}, store.HasReference: {"orders_reference", "orders_serial"},
		} {
			for _, plan := range []string{"force_custom_plan", "force_generic_plan"} {
				d.exec(t, `SET plan_cache_mode = `+plan)
				d.exec(t, `PREPARE find (text, text) AS `+store.FindSQL(where))
				nodes := strings.Join(planNodes(t, []byte(scan[string](t, d, `EXPLAIN (FORMAT JSON) EXECUTE find ('4200001200000000000000000001', '')`))), ", ")
				d.exec(t, `DEALLOCATE find`)
				lacks := func(index string) bool { return !strings.Contains(nodes, index) }
				if slices.ContainsFunc(indexes, lacks) || strings.Contains(nodes, "Seq Scan orders") || strings.Contains(nodes, "orders_pkey") {
					t.Errorf("%q %s %s: %s", statistics, where, plan, nodes)
				}
			}
		}
	}
	for _, number := range []string{"settled7", "4200001200000000000000000007", "ref7", "seq7"} {
		found, err := d.FindOrders(t.Context(), store.OrderName{Number: number, References: true}, time.UTC)
		if err != nil || len(found) != 1 || found[0].MerOrderID != "settled7" {
			t.Errorf("%s: found %+v, %v", number, found, err)
		}
	}
}
