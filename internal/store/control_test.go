package store_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/order"
	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

const (
	app      = "an-app"
	otherMID = "898340149000099"
)

func (d database) claimAs(t *testing.T, limit int, rate float64) []order.Order {
	t.Helper()
	return d.claimWith(t, store.Claim{App: app, Rate: rate, Limit: limit})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (d database) resume(t *testing.T, scope store.Scope, key string) {
	t.Helper()
	if _, _, err := d.ResumeByBreaker(t.Context(), scope, key); err != nil {
		t.Fatal(err)
	}
}

// over lets a pause of the breaker end.
func (d database) over(t *testing.T) {
	t.Helper()
	d.exec(t, `UPDATE gateway_controls SET paused_until = now() - interval '1 second'`)
}

func TestPausedAppIsNotClaimedFor(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 5)
	must(t, d.PauseByBreaker(t.Context(), store.BreakerPause{Scope: store.ScopeApp, Key: app, Cause: "the gateway failed", For: time.Minute}))
	if got := d.page(t, store.Claim{App: app, Limit: 5}); len(got.Orders) != 0 || !got.Paused || got.ProbeInFlight {
		t.Errorf("claimed %+v while paused", got)
	}
	if got := scan[string](t, d, `SELECT concat_ws(' ', set_by, reason) FROM gateway_controls`); got != "breaker the gateway failed" {
		t.Errorf("pause %q", got)
	}
	if other := d.claimWith(t, store.Claim{App: "another-app", Limit: 1}); len(other) != 1 {
		t.Errorf("another app claimed %v; want one order", ids(other))
	}
}

// Of all instances one asks one question after a pause.
func TestOneProbeForAllInstances(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 50)
	must(t, d.PauseByBreaker(t.Context(), store.BreakerPause{Scope: store.ScopeApp, Key: app, Cause: "the gateway failed", For: time.Minute}))
	d.over(t)
	var mu sync.Mutex
	var probes []order.Order
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got, err := d.Claim(t.Context(), store.Claim{App: app, Worker: "test", Lease: time.Minute, Limit: 10})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			probes = append(probes, got.Orders...)
		})
	}
	wg.Wait()
	if len(probes) != 1 || !probes[0].AppProbe {
		t.Fatalf("%d orders were claimed as probes, want 1: %+v", len(probes), probes)
	}
	if got := d.page(t, store.Claim{App: app, Limit: 5}); len(got.Orders) != 0 || !got.Paused || !got.ProbeInFlight {
		t.Errorf("not paused while the probe is in flight: %+v", got)
	}
	must(t, d.ReleaseProbe(t.Context(), store.ScopeApp, app))
	if got := d.claimAs(t, 10, 0); len(got) != 1 || !got[0].AppProbe {
		t.Errorf("after a probe that taught nothing: %+v, want one probe", got)
	}
	d.resume(t, store.ScopeApp, app)
	if got := d.claimAs(t, 10, 0); len(got) != 10 || got[0].AppProbe {
		t.Errorf("after a good probe %d orders, want 10", len(got))
	}
}

func TestPausedMerchantAloneIsLeftOut(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 6)
	d.exec(t, `UPDATE orders SET mid = $1 WHERE id <= 3`, otherMID)
	must(t, d.PauseByBreaker(t.Context(), store.BreakerPause{Scope: store.ScopeMerchant, Key: otherMID, Cause: "NO_MERCHANT", For: time.Minute}))
	if diff := cmp.Diff([]int64{4}, ids(d.claimAs(t, 1, 0))); diff != "" {
		t.Errorf("claimed (-want +got):\n%s", diff)
	}
	d.over(t)
	got := d.claimAs(t, 10, 0)
	if diff := cmp.Diff([]int64{1, 5, 6}, ids(got)); diff != "" {
		t.Errorf("claimed with one probe of the merchant (-want +got):\n%s", diff)
	}
	if !got[0].MerchantProbe || got[1].MerchantProbe || got[0].AppProbe {
		t.Errorf("probes: %+v", got)
	}
	if again := d.claimAs(t, 10, 0); len(again) != 0 {
		t.Errorf("claimed %v while the merchant's probe is in flight", ids(again))
	}
	d.resume(t, store.ScopeMerchant, otherMID)
	if diff := cmp.Diff([]int64{2, 3}, ids(d.claimAs(t, 10, 0))); diff != "" {
		t.Errorf("claimed after the merchant's probe (-want +got):\n%s", diff)
	}
}

// A pause by hand ends by itself or by hand, never by the breaker.
func TestPauseByHand(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 3)
	ctx := t.Context()
	storetest.Pause(t, d.Store, store.Control{Scope: store.ScopeApp, Key: app, Reason: "maintenance", SetBy: "an operator"})
	must(t, d.PauseByBreaker(ctx, store.BreakerPause{Scope: store.ScopeApp, Key: app, Cause: "the gateway failed", For: -time.Minute}))
	d.resume(t, store.ScopeApp, app)
	must(t, d.ReleaseProbe(ctx, store.ScopeApp, app))
	controls, err := d.Controls(ctx)
	if err != nil || len(controls) != 1 || controls[0].SetBy != "an operator" || controls[0].PausedUntil != nil {
		t.Fatalf("controls %+v, %v", controls, err)
	}
	if got := d.claimAs(t, 3, 0); len(got) != 0 {
		t.Errorf("claimed %v while paused by hand", ids(got))
	}
	d.over(t) // by itself: no probe is needed
	if got := d.claimAs(t, 2, 0); len(got) != 2 || got[0].AppProbe {
		t.Errorf("claimed %+v after the pause, want two ordinary orders", got)
	}
	storetest.Pause(t, d.Store, store.Control{Scope: store.ScopeApp, Key: app, Reason: "again", SetBy: "an operator"})
	if !storetest.Resume(t, d.Store, store.ScopeApp, app, "an operator") {
		t.Error("there was no pause to end")
	}
	if storetest.Resume(t, d.Store, store.ScopeApp, app, "an operator") {
		t.Error("the pause was ended twice")
	}
	if got := d.claimAs(t, 3, 0); len(got) != 1 {
		t.Errorf("claimed %d orders after resume, want 1", len(got))
	}
}

func TestClaimTakesWhatTheBudgetAllows(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 50)
	const rate = 0.001 // nothing is refilled while the test runs
	must(t, d.OpenBudget(t.Context(), app, rate))
	d.exec(t, `UPDATE gateway_budgets SET tokens = 1`)
	if got := d.claimAs(t, 10, rate); len(got) != 1 {
		t.Errorf("claimed %d orders with a budget of 1", len(got))
	}
	got := d.page(t, store.Claim{App: app, Rate: rate, Limit: 10})
	if len(got.Orders) != 0 || got.Paused || got.NextToken < 900*time.Second || got.NextToken > 1000*time.Second {
		t.Errorf("with a budget of 0: %+v", got)
	}
	if wait, err := d.Reserve(t.Context(), app, 1000); err != nil || wait > time.Second {
		t.Errorf("Reserve with a rate of 1000 waits %v, %v", wait, err)
	}
	if got := d.claimAs(t, 10, 0); len(got) != 10 {
		t.Errorf("claimed %d orders without a limit, want 10", len(got))
	}
}

func TestReserveWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	d := open(t)
	const rate = 0.01 // a token in 100 s
	must(t, d.OpenBudget(t.Context(), app, rate))
	var waits []time.Duration
	for range 3 {
		wait, err := d.Reserve(t.Context(), app, rate)
		must(t, err)
		waits = append(waits, wait.Round(50*time.Second))
	}
	if diff := cmp.Diff([]time.Duration{0, 100 * time.Second, 200 * time.Second}, waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
}
