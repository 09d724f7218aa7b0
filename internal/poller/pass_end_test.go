package poller

import (
	"context"
	"sync"
	"testing"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/order"
	"reconciler/internal/store"
)

// A claim brings nothing while the budget is empty. That it has filled by the time the
// pass looks why does not mean that nothing is due.
func TestPassDoesNotEndWhenTheBudgetFills(t *testing.T) {
	t.Parallel()
	for _, selection := range []*store.Selection{nil, {}} {
		w := newWorld(t)
		const orders = 30
		for i := range orders {
			w.add(t, i, isPaidStep)
		}
		s := &brokenStore{Store: w.Store, claimed: func(orders []order.Order) {
			if len(orders) > 0 {
				return
			}
			eventually(t, "the questions in flight", func() bool { return w.inFlight(t) == 0 })
			w.exec(t, `UPDATE gateway_budgets SET tokens = 1, refilled_at = clock_timestamp()`)
		}}
		summary := sweep(t, w.poller(t, into(s), at(40)), Run{Selection: selection})
		wantDecisions(t, summary, map[order.Decision]int{order.Settled: orders})
	}
}

// A claim brings nothing beside a probe. That the probe has ended well by the time the
// pass looks why does not mean that nothing is due.
func TestPassDoesNotEndWithItsProbe(t *testing.T) {
	t.Parallel()
	for _, scope := range []store.Scope{store.ScopeApp, store.ScopeMerchant} {
		w := newWorld(t)
		for i := range 10 {
			w.add(t, i, isPaidStep)
		}
		w.halfOpen(t, scope, map[store.Scope]string{store.ScopeApp: credentials().AppID, store.ScopeMerchant: testMID}[scope])
		first := make(chan struct{})
		var once sync.Once
		g := gatewayFunc(func(ctx context.Context, r chinaums.Request) (chinaums.Answer, error) {
			<-first
			return w.client.Query(ctx, r)
		})
		s := &brokenStore{Store: w.Store, claimed: func(orders []order.Order) {
			if len(orders) > 0 {
				return
			}
			once.Do(func() {
				close(first)
				eventually(t, "the probe to be written", func() bool { return one[int](t, w, `SELECT count(*)::int FROM order_queries`) > 0 })
			})
		}}
		summary := sweep(t, w.poller(t, into(s), asking(g)), Run{})
		wantDecisions(t, summary, map[order.Decision]int{order.Settled: 10})
	}
}

// An order that was claimed three times without a record may be what ended those
// processes: it goes to a person instead of ending a fourth.
func TestPoison(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, isPaidStep)
	w.add(t, 1, isPaidStep)
	lose := func(worker string) { // a claim whose process dies
		claim := store.Claim{App: credentials().AppID, Worker: worker, Lease: time.Minute, Limit: 1, Suspects: true, Selection: &store.Selection{MerOrderIDs: []string{mer(0)}}}
		if page, err := w.Claim(t.Context(), claim); err != nil || len(page.Orders) != 1 {
			t.Fatalf("claimed %d, %v", len(page.Orders), err)
		}
		w.exec(t, `UPDATE orders SET lease_until = now() - interval '1 s' WHERE lease_until IS NOT NULL`)
	}
	for _, worker := range []string{"one", "two", "three"} {
		lose(worker)
	}
	wantDecisions(t, sweep(t, w.poller(t), Run{DryRun: true}), map[order.Decision]int{order.Settled: 1, order.Review: 1})
	asked := w.sim.Count(mer(0))
	wantDecisions(t, sweep(t, w.poller(t), Run{}), map[order.Decision]int{order.Settled: 1, order.Review: 1})
	if n := w.sim.Count(mer(0)); n != asked || asked != 0 {
		t.Errorf("%d round trips about it", n)
	}
	// The lines are those of world.state: status, review, due, count, claim, booked.
	w.wantState(t, 0, "UNKNOWN poison never 0 free -")
	w.wantLedger(t, 0, "review poison 0")
	w.wantEvents(t, 0, "order.review")
	w.wantState(t, 1, rowPaid)
	// By hand it is asked about once more.
	wantDecisions(t, sweep(t, w.poller(t), Run{Selection: &store.Selection{OnlyReview: true}}), map[order.Decision]int{order.Settled: 1})
	w.wantState(t, 0, rowPaid)
}

// Orders given back, and answers recorded in whatever way, are no sign of it.
func TestNoPoison(t *testing.T) {
	t.Parallel()
	t.Run("given back", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.add(t, 0, isPaidStep)
		for range 6 {
			ctx, stop := context.WithCancel(t.Context())
			s := &brokenStore{Store: w.Store, claimed: func([]order.Order) { stop() }}
			if _, err := w.poller(t, into(s)).RunOnce(ctx, Run{}); err != nil {
				t.Fatal(err)
			}
		}
		wantDecisions(t, sweep(t, w.poller(t), Run{}), map[order.Decision]int{order.Settled: 1})
	})
	t.Run("superseded", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.add(t, 0, isPaidStep)
		statuses := []string{"NEW_ORDER", "WAIT_BUYER_PAY"}
		g := w.meanwhile(func(chinaums.Request) {
			w.exec(t, `UPDATE orders SET status = $1`, statuses[0])
			statuses[0], statuses[1] = statuses[1], statuses[0]
		})
		for range 4 {
			sweep(t, w.poller(t, asking(g)), Run{Selection: &store.Selection{}})
		}
		wantDecisions(t, sweep(t, w.poller(t), Run{}), map[order.Decision]int{order.Settled: 1})
	})
	t.Run("panic", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.add(t, 0, isPaidStep)
		g := gatewayFunc(func(context.Context, chinaums.Request) (chinaums.Answer, error) { panic("a bug") })
		for range 4 {
			sweep(t, w.poller(t, asking(g)), Run{Selection: &store.Selection{}})
		}
		wantDecisions(t, sweep(t, w.poller(t), Run{Selection: &store.Selection{}}), map[order.Decision]int{order.Settled: 1})
	})
}
