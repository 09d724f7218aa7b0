package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// A row that refuses to be given back keeps its lease, and no other does.
func TestReleaseBesideARefusingRow(t *testing.T) {
	t.Parallel()
	const left = `SELECT coalesce(string_agg(concat_ws(' ', id, CASE WHEN lease_until IS NOT NULL THEN 'leased' END, claimed_by, unrecorded_claims), ', ' ORDER BY id), '') FROM orders`
	for name, tt := range map[string]struct {
		give func(d database, orders []order.Order) error
		want string
	}{
		"release": {func(d database, orders []order.Order) error { return d.Release(t.Context(), orders) }, "1 0, 2 leased test 1, 3 0, 4 leased test 1"},
		"uncount": {func(d database, orders []order.Order) error { return d.UncountClaims(t.Context(), orders) }, "1 leased 0, 2 leased test 1, 3 leased 0, 4 leased test 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			d.insert(t, 4)
			orders := d.claim(t, 4)
			d.exec(t, `ALTER TABLE orders ADD CHECK (id <> 2 OR unrecorded_claims > 0)`) // the application's own
			if err := tt.give(d, orders[:3]); err == nil || !strings.Contains(err.Error(), "orders_check") {
				t.Errorf("the refusal is not told: %v", err)
			}
			if got := scan[string](t, d, left); got != tt.want {
				t.Errorf("claims %s\nwant   %s", got, tt.want)
			}
			if err := tt.give(d, orders[1:2]); err == nil {
				t.Error("a refusal of one row alone is not told")
			}
			if err := tt.give(d, nil); err != nil {
				t.Errorf("of nothing: %v", err)
			}
			if got := scan[string](t, d, left); got != tt.want {
				t.Errorf("claims afterwards %s\nwant              %s", got, tt.want)
			}
		})
	}
}

// A claim that has been overtaken is not given back, and the count toward poison ends at zero.
func TestUncountClaims(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 3)
	orders := d.claim(t, 3)
	d.exec(t, `UPDATE orders SET claim_no = claim_no + 1 WHERE id = 1`)
	d.exec(t, `UPDATE orders SET unrecorded_claims = 0 WHERE id = 2`)
	for range 2 {
		must(t, d.UncountClaims(t.Context(), orders))
	}
	if got := scan[string](t, d, `SELECT string_agg(id || ' ' || unrecorded_claims || ' ' || (lease_until > now()), ', ' ORDER BY id) FROM orders`); got != "1 1 true, 2 0 true, 3 0 true" {
		t.Errorf("claims %s", got)
	}
}

// Room that is left for a probe is used for another order where nothing can be probed.
func TestClaimWithoutAProbe(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 12)
	d.pausedHalfOpen(t, store.ScopeMerchant, otherMID, order.Order{}) // it has no order
	for range 6 {
		if got := d.claimAs(t, 1, 0); len(got) != 1 || got[0].MerchantProbe {
			t.Fatalf("claimed %+v, want one ordinary order", got)
		}
	}
	d.exec(t, `UPDATE orders SET mid = $1 WHERE id = 12`, otherMID)
	got := d.claimAs(t, 3, 0)
	probes := slices.DeleteFunc(slices.Clone(got), func(o order.Order) bool { return !o.MerchantProbe })
	if len(got) != 3 || len(probes) != 1 || probes[0].ID != 12 {
		t.Errorf("claimed %v, want 3 orders, the probe 12 among them", ids(got))
	}
	d.exec(t, `UPDATE orders SET next_query_at = now() + interval '1 hour' WHERE lease_until IS NULL`)
	d.exec(t, `UPDATE gateway_controls SET probe_until = NULL`)
	d.exec(t, `UPDATE orders SET lease_until = NULL WHERE id = 12`)
	if got := d.claimAs(t, 1, 0); len(got) != 1 || !got[0].MerchantProbe || got[0].ID != 12 {
		t.Errorf("claimed %+v, want the probe", got)
	}
	const third = "898340149000098"
	d.exec(t, `UPDATE orders SET mid = $1, next_query_at = now() WHERE id = 11`, third)
	d.pausedHalfOpen(t, store.ScopeMerchant, third, order.Order{})
	d.exec(t, `UPDATE gateway_controls SET probe_until = NULL`)
	d.exec(t, `UPDATE orders SET lease_until = NULL, unrecorded_claims = 0 WHERE id IN (11, 12)`)
	if got := d.claimAs(t, 5, 0); len(got) != 2 || !got[0].MerchantProbe || !got[1].MerchantProbe {
		t.Errorf("claimed %+v, want the probes of both merchants", got)
	}
}

// What prune needs is checked before it begins.
func TestRightsForPrune(t *testing.T) {
	t.Parallel()
	d := open(t)
	operator, role := d.as(t, store.ForOperator)
	must(t, operator.CheckRights(t.Context(), store.ForPrune))
	if _, err := operator.Prune(t.Context(), store.Pruning{Before: time.Now()}); err != nil {
		t.Errorf("an operator cannot prune: %v", err)
	}
	d.exec(t, `REVOKE DELETE ON order_queries FROM `+role)
	d.exec(t, `INSERT INTO order_queries (order_id, claim_no, decision) VALUES (1, 1, 'settled')`)
	if err := operator.CheckRights(t.Context(), store.ForPrune); err == nil || !strings.Contains(err.Error(), "GRANT DELETE ON") || !strings.Contains(err.Error(), "order_queries") ||
		strings.Contains(err.Error(), "order_events") {
		t.Errorf("without the right to delete questions: %v", err)
	}
	if _, err := operator.Prune(t.Context(), store.Pruning{Before: time.Now().Add(time.Hour)}); err == nil {
		t.Error("questions were deleted without the right to")
	}
}
