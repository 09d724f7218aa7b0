package poller

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/order"
	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

// halfOpen leaves a scope as it is when the breaker's pause is over and nobody has
// probed yet.
func (w *world) halfOpen(t *testing.T, scope store.Scope, key string) {
	t.Helper()
	if err := w.PauseByBreaker(t.Context(), store.BreakerPause{Scope: scope, Key: key, Cause: "trouble", For: time.Minute}); err != nil {
		t.Fatal(err)
	}
	w.pauseOver(t)
}

// pauses lists the pauses, in force or half open.
func (w *world) pauses(t *testing.T) []string {
	t.Helper()
	return rows[string](t, w, `SELECT concat_ws(' ', scope, key,
		CASE WHEN paused_until > now() THEN 'paused' WHEN probe_until > now() THEN 'probing' ELSE 'half open' END)
		FROM gateway_controls ORDER BY scope, key`)
}

// What the one probe finds decides for all instances.
func TestWhatAProbeFinds(t *testing.T) {
	t.Parallel()
	app := credentials().AppID
	for _, tt := range []struct {
		name   string
		scope  store.Scope
		step   simulator.Step
		pauses []string
	}{
		{"app: paid", store.ScopeApp, isPaidStep, nil},
		{"app: not yet", store.ScopeApp, says("WAIT_BUYER_PAY"), nil},
		{"app: not understood", store.ScopeApp, codes("TARGET_FAIL"), nil},
		{"app: merchant refused", store.ScopeApp, codes("NO_MERCHANT"), []string{"mid " + testMID + " paused"}},
		{"app: no answer", store.ScopeApp, simulator.Step{HTTPStatus: 503}, []string{"app " + app + " paused"}},
		{"app: no usable answer about its merchant", store.ScopeApp, codes("TIMEOUT"), nil},
		{"app: refused", store.ScopeApp, codes("1000"), []string{"app " + app + " paused"}},
		{"app: a panic of ours", store.ScopeApp, simulator.Step{Code: "PANIC"}, []string{"app " + app + " half open"}},
		{"merchant: paid", store.ScopeMerchant, isPaidStep, nil},
		{"merchant: refused", store.ScopeMerchant, codes("NO_MERCHANT"), []string{"mid " + testMID + " paused"}},
		{"merchant: no usable answer", store.ScopeMerchant, codes("TIMEOUT"), []string{"mid " + testMID + " paused"}},
		{"merchant: the gateway fails", store.ScopeMerchant, simulator.Step{HTTPStatus: 503}, []string{"mid " + testMID + " half open"}},
		{"merchant: a panic of ours", store.ScopeMerchant, simulator.Step{Code: "PANIC"}, []string{"mid " + testMID + " half open"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.add(t, 0, tt.step)
			w.halfOpen(t, tt.scope, map[store.Scope]string{store.ScopeApp: app, store.ScopeMerchant: testMID}[tt.scope])
			g := gatewayFunc(func(ctx context.Context, r chinaums.Request) (chinaums.Answer, error) {
				if got := w.pauses(t); len(got) != 1 || got[0][len(got[0])-7:] != "probing" {
					t.Errorf("while it is asked: %v, want a probe", got)
				}
				answer, err := w.client.Query(ctx, r)
				if answer.Code == "PANIC" {
					panic("a bug")
				}
				return answer, err
			})
			if s := sweep(t, w.poller(t, asking(g)), Run{}); s.Asked != 1 {
				t.Errorf("asked %d, want the probe", s.Asked)
			}
			if got := w.pauses(t); !slices.Equal(got, tt.pauses) {
				t.Errorf("afterwards %v, want %v", got, tt.pauses)
			}
		})
	}
}

// A probe that is given back without a question is another instance's to take.
func TestProbeGivenBack(t *testing.T) {
	t.Parallel()
	for _, scope := range []store.Scope{store.ScopeApp, store.ScopeMerchant} {
		w := newWorld(t)
		w.add(t, 0, isPaidStep)
		w.halfOpen(t, scope, map[store.Scope]string{store.ScopeApp: credentials().AppID, store.ScopeMerchant: testMID}[scope])
		ctx, stop := context.WithCancel(t.Context())
		s := &brokenStore{Store: w.Store, claimed: func([]order.Order) { stop() }} // between the claim and the question
		if summary, err := w.poller(t, into(s)).RunOnce(ctx, Run{}); err != nil || summary.Asked != 0 {
			t.Fatalf("%s: asked %d, %v", scope, summary.Asked, err)
		}
		w.wantState(t, 0, rowUntouched)
		wantDecisions(t, sweep(t, w.poller(t, named("another")), Run{}), map[order.Decision]int{order.Settled: 1})
	}
}

// A pause by hand holds for all, and no breaker ends it.
func TestPauseByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, isPaidStep)
	w.addOf(t, otherMID, 1, isPaidStep)
	hold := func(scope store.Scope, key string) {
		storetest.Pause(t, w.Store, store.Control{Scope: scope, Key: key, Reason: "maintenance", SetBy: "operator"})
	}
	hold(store.ScopeApp, credentials().AppID)
	for _, run := range []Run{{}, {DryRun: true}} {
		if s := sweep(t, w.poller(t), run); s.Asked != 0 || len(s.HeldApps) != 1 || s.BreakerOpen() || !s.Complete() {
			t.Errorf("paused: asked %d, held %q, breaker open %t, complete %t", s.Asked, s.HeldApps, s.BreakerOpen(), s.Complete())
		}
	}
	storetest.Resume(t, w.Store, store.ScopeApp, credentials().AppID, "operator")
	hold(store.ScopeMerchant, otherMID)
	if s := sweep(t, w.poller(t), Run{}); s.Asked != 1 || s.BreakerOpen() {
		t.Errorf("one merchant paused: asked %d, all of the gateway paused %t", s.Asked, s.BreakerOpen())
	}
	w.wantState(t, 1, rowUntouched)
	if s := sweep(t, w.poller(t), Run{Once: true, DespitePause: true}); s.Asked != 1 || s.Decisions[order.Settled] != 1 {
		t.Errorf("despite the pause: asked %d of what is due, settled %d", s.Asked, s.Decisions[order.Settled])
	}
}

// Of all instances one takes the probe, also where two claim at the same moment: the
// second waits for the first's claim and must then see its probe.
func TestOneProbeOfAllInstances(t *testing.T) {
	t.Parallel()
	for _, scope := range []store.Scope{store.ScopeApp, store.ScopeMerchant} {
		t.Run(string(scope), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for i := range 20 {
				w.add(t, i, isPaidStep)
			}
			key := map[store.Scope]string{store.ScopeApp: credentials().AppID, store.ScopeMerchant: testMID}[scope]
			w.halfOpen(t, scope, key)
			// What the first instance's claim does, held before its commit.
			tx := w.beginTx(t)
			if _, err := tx.Exec(t.Context(), `UPDATE gateway_controls SET probe_until = now() + interval '1 min'`); err != nil {
				t.Fatal(err)
			}
			claimed := make(chan []order.Order, 1)
			go func() {
				page, err := w.Claim(context.WithoutCancel(t.Context()), store.Claim{App: credentials().AppID, Worker: "second", Lease: time.Minute, Limit: 10})
				if err != nil {
					t.Error(err)
				}
				claimed <- page.Orders
			}()
			eventually(t, "the second claim to wait or to end", func() bool {
				return len(claimed) == 1 || one[bool](t, w, `SELECT EXISTS (SELECT 1 FROM pg_stat_activity
					WHERE datname = current_database() AND wait_event_type = 'Lock')`)
			})
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if orders := <-claimed; len(orders) != 0 {
				t.Errorf("%d orders claimed beside the probe, want none", len(orders))
			}
		})
	}
}

// Two instances on one backlog: each order once, and no claim fails for the other.
func TestTwoInstancesShareTheWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const orders = 200
	for i := range orders {
		w.add(t, i, isPaidStep)
	}
	first := start(t, w.poller(t, workers(8), at(1000), named("first")), Run{})
	second := start(t, w.poller(t, workers(8), at(1000), named("second")), Run{})
	got := first.wait(t).Asked + second.wait(t).Asked
	if got != orders || w.sim.Total() != orders {
		t.Errorf("asked %d times with %d round trips, want %d", got, w.sim.Total(), orders)
	}
	if n := one[int](t, w, `SELECT count(*)::int FROM orders WHERE status = 'TRADE_SUCCESS'`); n != orders {
		t.Errorf("%d settled", n)
	}
	if n := one[int](t, w, `SELECT count(*)::int FROM order_queries`); n != orders {
		t.Errorf("%d rows in the ledger", n)
	}
}

// The rate holds for all instances together, retries included. A stall of the machine
// only makes the run longer, so that the shortest possible time is a bound that holds.
func TestRateIsShared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const orders, rate = 45, 30
	for i := range orders {
		steps := []simulator.Step{isPaidStep}
		if i%3 == 0 {
			steps = []simulator.Step{{Times: 1, Code: "9200"}, isPaidStep}
		}
		w.add(t, i, steps...)
	}
	first := start(t, w.poller(t, at(rate), named("first")), Run{})
	second := start(t, w.poller(t, at(rate), named("second")), Run{})
	asked := first.wait(t).Asked + second.wait(t).Asked
	list := w.sim.Requests()
	if asked != orders || len(list) != orders*4/3 {
		t.Errorf("asked %d times with %d round trips", asked, len(list))
	}
	// A burst of at most one second's worth, the rest at the rate.
	least := time.Duration(float64(len(list)-rate) / rate * float64(time.Second))
	if took := list[len(list)-1].Time.Sub(list[0].Time); took < least*9/10 {
		t.Errorf("%d round trips within %s, want at least %s", len(list), took, least)
	}
}

// A selection asks about all of its orders, however little the rate allows at once.
func TestSelectionAtALowRate(t *testing.T) {
	t.Parallel()
	for _, dry := range []bool{false, true} {
		t.Run(fmt.Sprintf("dry %t", dry), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for i := range 40 {
				w.add(t, i, isPaidStep)
			}
			summary := sweep(t, w.poller(t, at(40)), Run{Selection: &store.Selection{}, DryRun: dry})
			wantDecisions(t, summary, map[order.Decision]int{order.Settled: 40})
		})
	}
}

// Behind a probe the rest of a selection follows, as the rest of what is due does.
func TestSelectionBehindAProbe(t *testing.T) {
	t.Parallel()
	for _, scope := range []store.Scope{store.ScopeApp, store.ScopeMerchant} {
		t.Run(string(scope), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for i := range 20 {
				w.add(t, i, isPaidStep)
			}
			key := map[store.Scope]string{store.ScopeApp: credentials().AppID, store.ScopeMerchant: testMID}[scope]
			w.halfOpen(t, scope, key)
			summary := sweep(t, w.poller(t), Run{Selection: &store.Selection{}})
			wantDecisions(t, summary, map[order.Decision]int{order.Settled: 20})
		})
	}
}

// Nor does a probe of one merchant make the run pass over that merchant's orders, which
// lie between those of others.
func TestSelectionBehindOneMerchantsProbe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 20 {
		w.addOf(t, []string{otherMID, testMID}[i/2%2], i, isPaidStep)
	}
	w.halfOpen(t, store.ScopeMerchant, otherMID)
	summary := sweep(t, w.poller(t), Run{Selection: &store.Selection{}})
	wantDecisions(t, summary, map[order.Decision]int{order.Settled: 20})
}

// A dry run waits for its turn as a real run does.
func TestDryRunKeepsTheRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 4 {
		w.add(t, i, isPaidStep)
	}
	summary := sweep(t, w.poller(t, at(4)), Run{DryRun: true})
	wantDecisions(t, summary, map[order.Decision]int{order.Settled: 4})
	list := w.sim.Requests() // two at once, two more at four a second
	if took := list[len(list)-1].Time.Sub(list[0].Time); took < 250*time.Millisecond {
		t.Errorf("four round trips within %s", took)
	}
}
