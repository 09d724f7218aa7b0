package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

func merchant(n int) string { return fmt.Sprintf("8983401490001%02d", n) }

// spread gives the orders to merchants in turn.
func spread(t *testing.T, d database, merchants int) {
	t.Helper()
	d.exec(t, `UPDATE orders SET mid = '8983401490001' || lpad((id % $1)::text, 2, '0')`, merchants)
}

// byMerchant counts orders.
func byMerchant(orders []order.Order) map[string]int {
	counts := make(map[string]int)
	for _, o := range orders {
		counts[o.MID]++
	}
	return counts
}

// Whichever way it finds them, a claim takes the orders longest due of the merchants that it is
// about.
func TestClaimOfSomeMerchants(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		claim  store.Claim
		paused []string // in the database
		want   []int64
	}{
		{"some", store.Claim{MIDs: []string{merchant(1), merchant(2), "898340149000999"}}, nil, []int64{1, 2, 5, 6, 9}},
		{"one without orders", store.Claim{MIDs: []string{"898340149000999"}}, nil, nil},
		{"none", store.Claim{MIDs: []string{}}, nil, nil},
		{"all but some", store.Claim{ExceptMIDs: []string{merchant(0), merchant(1)}}, nil, []int64{2, 3, 6, 7, 10}},
		{"all but those paused here", store.Claim{PausedMIDs: []string{merchant(3)}}, nil, []int64{1, 2, 4, 5, 6}},
		{"some, of which one is paused", store.Claim{MIDs: []string{merchant(1), merchant(2)}, PausedMIDs: []string{merchant(2)}}, nil, []int64{1, 5, 9, 13, 17}},
		{"all but those paused there", store.Claim{}, []string{merchant(1)}, []int64{2, 3, 4, 6, 7}},
		{"paused here and there", store.Claim{PausedMIDs: []string{merchant(3)}}, []string{merchant(1)}, []int64{2, 4, 6, 8, 10}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			d.insert(t, 20)
			spread(t, d, 4)
			for _, mid := range tt.paused {
				d.exec(t, `INSERT INTO gateway_controls (scope, key, set_by) VALUES ('mid', $1, 'an operator')`, mid)
			}
			tt.claim.Limit = 5
			got := d.claimWith(t, tt.claim)
			if diff := cmp.Diff(tt.want, slices.Clip(ids(got))); diff != "" && len(tt.want)+len(got) > 0 {
				t.Errorf("claimed (-want +got):\n%s", diff)
			}
		})
	}
}

// Of a merchant no more are taken than it may have, some of each lane, and the others' instead.
func TestClaimKeepsMerchantsToTheirMost(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 100)
	d.exec(t, `UPDATE orders SET mid = CASE WHEN id <= 60 OR id > 90 THEN $1 ELSE $2 END`, merchant(1), merchant(2))
	claim := store.Claim{Limit: 32, MaxPerMerchant: 24, InHand: map[string]int{merchant(1): 4, merchant(3): 30}, Lanes: true}
	first := d.claimWith(t, claim)
	young := slices.DeleteFunc(slices.Clone(first), func(o order.Order) bool { return o.ID <= 90 })
	if got := byMerchant(first); got[merchant(1)] != 20 || len(young) < 4 {
		t.Errorf("took %v, %d of them new; want 20 of the merchant that has 4 of 24, at least 4 of them new", got, len(young))
	}
	claim.InHand, claim.PausedMIDs = nil, []string{merchant(1)}
	second := d.claimWith(t, claim)
	if got := byMerchant(second); len(got) != 1 || got[merchant(2)] != 24 {
		t.Errorf("took %v, want 24 of the other merchant", got)
	}
}

// With merchants left out, none of their orders is read: each merchant's are found by an index of
// their own.
func TestClaimByMerchantUsesItsIndex(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, status)
		SELECT $1, $2, 'settled' || i, 100, 'TRADE_SUCCESS' FROM generate_series(1, 20000) i`, mid, tid)
	d.insert(t, 5000)
	spread(t, d, 5)
	d.exec(t, `ANALYZE orders, gateway_controls`)
	for _, claim := range []store.Claim{{PausedMIDs: []string{merchant(1)}}, {MIDs: []string{merchant(2), merchant(3)}}, {ExceptMIDs: []string{merchant(2)}}} {
		for _, plan := range []string{"force_custom_plan", "force_generic_plan"} {
			d.exec(t, `SET plan_cache_mode = `+plan)
			claim.Lanes, claim.Worker, claim.Lease, claim.Limit = true, "test", time.Minute, 16
			sql, args := store.ClaimSQL(claim)
			nodes := strings.Join(planNodes(t, explain(t, d, sql, args)), ", ")
			if n := strings.Count(nodes, "orders_due_by_merchant"); n < 2 {
				t.Errorf("%s: the merchants and both lanes do not come from the index by merchant: %s", plan, nodes)
			}
			for _, slow := range []string{"Seq Scan orders", "Bitmap Heap Scan orders"} {
				if strings.Contains(nodes, slow) {
					t.Errorf("%s: the claim's cost grows with the table, %s: %s", plan, slow, nodes)
				}
			}
		}
	}
}

func explain(t *testing.T, d database, sql string, args pgx.NamedArgs) []byte {
	t.Helper()
	var text []byte
	if err := d.conn.QueryRow(t.Context(), "EXPLAIN (FORMAT JSON) "+sql, args).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

func TestMerchantStats(t *testing.T) {
	t.Parallel()
	d := open(t)
	check := func(when string, merchants int, paused ...string) {
		t.Helper()
		got, err := d.MerchantStats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got.Merchants != merchants || !slices.Equal(got.Paused, paused) {
			t.Errorf("%s: %+v, want %d merchants, paused %v", when, got, merchants, paused)
		}
	}
	check("no orders", 0)
	d.insert(t, 4)
	check("one merchant", 1)
	spread(t, d, 2)
	check("two merchants", 2)
	d.exec(t, `UPDATE orders SET next_query_at = now() + interval '1 hour' WHERE mid = $1`, merchant(1))
	check("one of them later", 2)
	d.exec(t, `UPDATE orders SET status = 'TRADE_SUCCESS' WHERE mid = $1`, merchant(1))
	check("one of them settled", 1)
	d.exec(t, `INSERT INTO gateway_controls (scope, key, paused_until, set_by) VALUES ('mid', 'a', NULL, 'me'), ('mid', 'b', now() - interval '1 s', 'me'), ('app', 'c', NULL, 'me')`)
	check("pauses", 1, "a")
}
