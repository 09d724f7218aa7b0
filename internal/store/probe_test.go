package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// pausedHalfOpen opens a breaker after a question about an order, and lets the pause end.
func (d database) pausedHalfOpen(t *testing.T, scope store.Scope, key string, failed order.Order) {
	t.Helper()
	must(t, d.PauseByBreaker(t.Context(), store.BreakerPause{
		Scope: scope, Key: key, Cause: "HTTP 502", For: time.Minute, FailedOrderID: failed.ID, FailedMID: failed.MID,
	}))
	d.over(t)
}

// A probe is about another order than the question that failed, and that of an app about another
// merchant. Where there is no other, it is about the same.
func TestProbesRotate(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 6)
	d.exec(t, `UPDATE orders SET mid = CASE WHEN id <= 4 THEN $1 ELSE $2 END`, mid, otherMID)
	probe := func(c store.Claim) int64 {
		t.Helper()
		c.App, c.Limit = app, 10
		got := d.page(t, c)
		if len(got.Orders) != 1 || !got.Orders[0].AppProbe {
			t.Fatalf("claimed %+v, want one probe", got)
		}
		if again := d.page(t, c); len(again.Orders) != 0 || !again.ProbeInFlight {
			t.Fatalf("beside the probe: %+v", again)
		}
		if err := d.Release(t.Context(), got.Orders); err != nil {
			t.Fatal(err)
		}
		return got.Orders[0].ID
	}
	first := order.Order{ID: 1, MID: mid}
	for name, tt := range map[string]struct {
		claim store.Claim
		want  int64
	}{
		"another merchant":             {store.Claim{ExceptIDs: []int64{6}}, 5},
		"another merchant, selected":   {store.Claim{Selection: &store.Selection{}}, 5},
		"another order":                {store.Claim{MIDs: []string{mid}, ExceptIDs: []int64{3, 4}}, 2},
		"another order, also not one":  {store.Claim{MIDs: []string{mid}, ExceptIDs: []int64{2, 4}}, 3},
		"no other order":               {store.Claim{ExceptIDs: []int64{2, 3, 4, 5, 6}}, 1},
		"all merchants at limits":      {store.Claim{LimitedMIDs: []string{mid, otherMID}, ExceptIDs: []int64{6}}, 5},
		"in the face of its own pause": {store.Claim{DespitePause: true, ExceptIDs: []int64{6}}, 5},
	} {
		d.exec(t, `DELETE FROM gateway_controls`)
		d.pausedHalfOpen(t, store.ScopeApp, app, first)
		if tt.claim.DespitePause {
			d.exec(t, `UPDATE gateway_controls SET paused_until = now() + interval '1 minute'`)
		}
		if got := probe(tt.claim); got != tt.want {
			t.Errorf("%s: the probe is about order %d, want %d", name, got, tt.want)
		}
	}
	d.exec(t, `DELETE FROM gateway_controls`)
	d.pausedHalfOpen(t, store.ScopeMerchant, mid, first)
	if diff := cmp.Diff([]int64{2, 5, 6}, ids(d.claimAs(t, 10, 0))); diff != "" {
		t.Errorf("claimed with the probe of a merchant (-want +got):\n%s", diff)
	}
}

// Merchants that hang may have all that is longest due. The probe of an app is about one that was
// answered lately, or now and then about what has just become due.
func TestAppProbeBesideMerchantsThatHang(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 40)
	d.exec(t, `UPDATE orders SET mid = '8983401490001' || lpad(id::text, 2, '0'), next_query_at = now() - interval '30 minutes' WHERE id <= 38`)
	d.exec(t, `UPDATE orders SET mid = $1, next_query_at = now() - interval '1 minute' WHERE id = 39`, mid)
	d.exec(t, `UPDATE orders SET mid = $1, next_query_at = now() WHERE id = 40`, otherMID)
	probe := func() int64 {
		t.Helper()
		d.exec(t, `DELETE FROM gateway_controls`)
		d.pausedHalfOpen(t, store.ScopeApp, app, order.Order{ID: 7, MID: "898340149000107"})
		got := d.claimWith(t, store.Claim{App: app, Limit: 9})
		if len(got) != 1 || !got[0].AppProbe {
			t.Fatalf("claimed %+v, want one probe", got)
		}
		must(t, d.Release(t.Context(), got))
		return got[0].ID
	}
	told := func(id int, decision, reason string) {
		t.Helper()
		d.exec(t, `INSERT INTO order_queries (order_id, claim_no, round_trips, decision, reason) VALUES ($1, 900, 1, $2, $3)`, id, decision, reason)
	}
	tries := make(map[int64]bool)
	for range 200 { // nobody was answered: chance tells
		tries[probe()] = true
	}
	if !tries[40] || !tries[1] || tries[7] {
		t.Errorf("probes %v, want the longest due and what has just become due", tries)
	}
	told(1, "no_answer", "transient")
	told(39, "deferred", "no_order")
	told(2, "deferred", "unusable_answer")
	if got := probe(); got != 39 {
		t.Errorf("the probe is about order %d, want 39, whose merchant was answered", got)
	}
	told(40, "settled", "trade_success")
	told(39, "no_answer", "transient")
	if got := probe(); got != 40 {
		t.Errorf("the probe is about order %d, want 40: the other's last question failed", got)
	}
	d.exec(t, `ALTER TABLE order_queries RENAME TO locked_away`)
	if got := probe(); got == 0 || got == 7 {
		t.Errorf("without a ledger the probe is about order %d", got)
	}
}

// However many orders others have, a merchant gets its probe; and both kinds of probes meet.
func TestProbesBesideABacklog(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 300)
	d.exec(t, `UPDATE orders SET mid = $1 WHERE id > 290`, otherMID)
	d.pausedHalfOpen(t, store.ScopeMerchant, otherMID, order.Order{ID: 291, MID: otherMID})
	for _, limit := range []int{8, 1} {
		d.exec(t, `UPDATE gateway_controls SET probe_until = NULL`)
		probed := false
		for range 40 { // of single orders, half are probes
			got := d.claimAs(t, limit, 0)
			if len(got) == 0 || len(got) > limit {
				t.Fatalf("claimed %d orders of at most %d", len(got), limit)
			}
			if i := slices.IndexFunc(got, func(o order.Order) bool { return o.MID == otherMID }); i >= 0 {
				if !got[i].MerchantProbe || got[i].ID == 291 || probed {
					t.Errorf("claimed %+v", got[i])
				}
				probed = true
				break
			}
		}
		if !probed {
			t.Errorf("no probe with claims of %d", limit)
		}
	}
	// Of the app's orders only those of the half-open merchant are left.
	d.exec(t, `UPDATE orders SET status = 'TRADE_SUCCESS' WHERE mid <> $1`, otherMID)
	d.exec(t, `UPDATE orders SET lease_until = NULL, unrecorded_claims = 0`)
	d.exec(t, `UPDATE gateway_controls SET probe_until = NULL`)
	d.pausedHalfOpen(t, store.ScopeApp, app, order.Order{ID: 1, MID: mid})
	if got := d.claimAs(t, 10, 0); len(got) != 1 || !got[0].AppProbe || !got[0].MerchantProbe {
		t.Errorf("claimed %+v, want one probe of both", got)
	}
}

// An open transaction on a pause holds up its own app or merchant, and nobody else.
func TestClaimBesideALockedPause(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 4)
	d.exec(t, `UPDATE orders SET mid = $1 WHERE id = 4`, otherMID)
	d.pausedHalfOpen(t, store.ScopeMerchant, otherMID, order.Order{})
	d.exec(t, `BEGIN`)
	d.exec(t, `UPDATE gateway_controls SET reason = 'a note'`)
	if diff := cmp.Diff([]int64{1, 2, 3}, ids(d.claimAs(t, 10, 0))); diff != "" {
		t.Errorf("claimed (-want +got):\n%s", diff)
	}
	d.exec(t, `ROLLBACK`)
	if diff := cmp.Diff([]int64{4}, ids(d.claimAs(t, 10, 0))); diff != "" {
		t.Errorf("claimed afterwards (-want +got):\n%s", diff)
	}
	d.pausedHalfOpen(t, store.ScopeApp, app, order.Order{})
	d.exec(t, `UPDATE orders SET lease_until = NULL`)
	d.exec(t, `BEGIN`)
	d.exec(t, `SELECT FROM gateway_controls WHERE scope = 'app' FOR UPDATE`)
	if got := d.page(t, store.Claim{App: app, Limit: 9}); len(got.Orders) != 0 || !got.Paused {
		t.Errorf("claimed %+v beside the lock on the app's pause", got)
	}
	d.exec(t, `ROLLBACK`)
}

// A row that refuses to be claimed stops neither the probe that it would be nor the orders that are
// claimed with it. It is named.
func TestProbeBesideARowThatRefuses(t *testing.T) {
	t.Parallel()
	for _, scope := range []store.Scope{store.ScopeApp, store.ScopeMerchant} {
		d := open(t)
		d.insert(t, 3)
		orders := d.claim(t, 3)
		d.exec(t, `UPDATE orders SET lease_until = NULL, claimed_by = NULL, unrecorded_claims = 0`)
		d.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount) SELECT '898340149000099', tid, '31940000999' || id, 100 FROM orders ORDER BY id`)
		key, refuses, claims := app, `1, 4, 6`, 1
		if scope == store.ScopeMerchant {
			key, refuses, claims = "898340149000099", `4`, 4 // the other merchant's three, and a probe
		}
		d.pausedHalfOpen(t, scope, key, orders[2])
		d.trigger(t, `NEW.id IN (`+refuses+`) AND NEW.claim_no > OLD.claim_no`, `RAISE EXCEPTION 'not this one';`)
		page := d.page(t, store.Claim{App: app, Limit: 10})
		if len(page.Orders) != claims || len(page.Refused) == 0 {
			t.Errorf("%s: claimed %v, refused %v; want %d orders", scope, ids(page.Orders), page.Refused, claims)
		}
		if leased := scan[int](t, d, `SELECT count(*) FROM orders WHERE lease_until IS NOT NULL`); leased != len(page.Orders) {
			t.Errorf("%s: %d orders are leased, and %d claimed", scope, leased, len(page.Orders))
		}
		probes := 0
		for _, o := range page.Orders {
			if o.AppProbe || o.MerchantProbe {
				probes++
			}
		}
		if probes != 1 {
			t.Errorf("%s: %d probes among %v", scope, probes, ids(page.Orders))
		}
	}
}
