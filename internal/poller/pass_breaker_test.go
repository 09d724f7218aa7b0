package poller

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/order"
)

// pauseOver lets the pauses of the breaker end now, without the half minute.
func (w *world) pauseOver(t *testing.T) {
	t.Helper()
	w.exec(t, `UPDATE gateway_controls SET paused_until = now() - interval '1 s' WHERE paused_until IS NOT NULL`)
}

// inFlight counts orders that are leased.
func (w *world) inFlight(t *testing.T) int {
	t.Helper()
	return one[int](t, w, `SELECT count(*)::int FROM orders WHERE lease_until IS NOT NULL OR claimed_by IS NOT NULL`)
}

func TestBreakerOpensDuringABacklog(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		outage   simulator.Step
		decision order.Decision
		most     int // questions: those that open it, and those beside them in flight
		trips    int // round trips a question
	}{
		{"failures", simulator.Step{HTTPStatus: http.StatusServiceUnavailable, Code: "SYSTEM_BUSY"}, order.NoAnswer, 5 + 3, 3},
		{"credentials", simulator.Step{Code: "1000"}, order.Refused, 1 + 3, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			const orders = 100
			for i := range orders {
				w.add(t, i, isPaidStep)
			}
			if err := w.sim.SetOutage(tt.outage); err != nil {
				t.Fatal(err)
			}
			p := w.poller(t)
			summary := sweep(t, p, Run{})
			if !summary.BreakerOpen() || summary.Complete() {
				t.Errorf("breaker open %t, complete %t", summary.BreakerOpen(), summary.Complete())
			}
			asked := summary.Asked
			if summary.Decisions[tt.decision] != asked || asked > tt.most || w.sim.Total() != asked*tt.trips {
				t.Errorf("%v with %d round trips; want at most %d %s of %d each", summary.Decisions, w.sim.Total(), tt.most, tt.decision, tt.trips)
			}
			// Claimed and not asked: given back, as due as before.
			if n := w.inFlight(t); n != 0 {
				t.Errorf("%d orders are left in flight", n)
			}
			due := one[int](t, w, `SELECT count(*)::int FROM orders WHERE next_query_at < now() AND last_queried_at IS NULL`)
			if due != orders-asked {
				t.Errorf("%d orders are as due as before, want %d", due, orders-asked)
			}
			if n := one[int](t, w, `SELECT count(*)::int FROM order_queries`); n != asked {
				t.Errorf("%d rows in the ledger for %d questions", n, asked)
			}
			if n := one[int](t, w, `SELECT coalesce(sum(query_count), 0)::int FROM orders`); n != 0 {
				t.Errorf("the outage spent %d steps of plans", n)
			}

			// Neither this instance nor another asks while the pause lasts.
			total := w.sim.Total()
			for _, other := range []*Poller{p, w.poller(t, named("another"))} {
				if s := sweep(t, other, Run{}); s.Asked != 0 || !s.BreakerOpen() {
					t.Errorf("asked %d, breaker open %t during the pause", s.Asked, s.BreakerOpen())
				}
			}
			if w.sim.Total() != total {
				t.Errorf("%d round trips during the pause", w.sim.Total()-total)
			}

			// The pause over, one probe fails: nothing more is asked.
			w.pauseOver(t)
			if s := sweep(t, w.poller(t, named("another")), Run{}); s.Asked != 1 || !s.BreakerOpen() {
				t.Errorf("asked %d, breaker open %t; want one probe", s.Asked, s.BreakerOpen())
			}
			if s := sweep(t, w.poller(t, named("a third")), Run{}); s.Asked != 0 || !s.BreakerOpen() {
				t.Errorf("asked %d, breaker open %t behind a failed probe", s.Asked, s.BreakerOpen())
			}

			// And one succeeds: all goes on.
			if err := w.sim.SetOutage(); err != nil {
				t.Fatal(err)
			}
			w.pauseOver(t)
			w.exec(t, `UPDATE orders SET next_query_at = now()`)
			if s := sweep(t, w.poller(t, named("a fourth")), Run{}); s.Asked != orders || s.BreakerOpen() {
				t.Errorf("asked %d of %d, breaker open %t after the outage", s.Asked, orders, s.BreakerOpen())
			}
			if n := one[int](t, w, `SELECT count(*)::int FROM gateway_controls`); n != 0 {
				t.Errorf("%d pauses left", n)
			}
		})
	}
}

// Nothing is asked while the pause is being written, however long that takes.
func TestBreakerOpensBehindALock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 100 {
		w.add(t, i, isPaidStep)
	}
	if err := w.sim.SetOutage(simulator.Step{Code: "1000"}); err != nil {
		t.Fatal(err)
	}
	tx := w.beginTx(t)
	if _, err := tx.Exec(t.Context(), `LOCK TABLE gateway_incidents IN SHARE MODE`); err != nil { // a pause writes there, a claim does not
		t.Fatal(err)
	}
	summary := sweep(t, w.poller(t), Run{})
	if summary.Asked > 1+3 || !summary.BreakerOpen() {
		t.Errorf("%d questions, breaker open %t; want the first and those beside it in flight", summary.Asked, summary.BreakerOpen())
	}
}

// One merchant's trouble pauses that merchant, in all instances, and no other.
func TestMerchantTroubleStaysWithItsMerchant(t *testing.T) {
	t.Parallel()
	for _, state := range []simulator.MerchantState{simulator.MerchantUnknown, simulator.MerchantInactive, simulator.MerchantBadConfig} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if err := w.sim.SetMerchant(simulator.Merchant{MID: otherMID, State: state}); err != nil {
				t.Fatal(err)
			}
			for i := range 40 {
				w.addOf(t, []string{testMID, otherMID}[i%2], i, isPaidStep)
			}
			logged := newRecords()
			summary := sweep(t, w.poller(t, logging(logged)), Run{})
			refused := summary.Decisions[order.Refused]
			if summary.Decisions[order.Settled] != 20 || refused < 1 || refused > 4 || summary.BreakerOpen() || summary.Complete() {
				t.Errorf("%v, breaker open %t, complete %t", summary.Decisions, summary.BreakerOpen(), summary.Complete())
			}
			if n := w.inFlight(t); n != 0 {
				t.Errorf("%d orders are left in flight", n)
			}
			if !logged.find("ERROR", "merchant", otherMID) {
				t.Error("the refusal is not loud")
			}
			if s := sweep(t, w.poller(t, named("another")), Run{}); s.Asked != 0 || s.BreakerOpen() {
				t.Errorf("another instance: asked %d, breaker open %t", s.Asked, s.BreakerOpen())
			}
			// Well again: a probe, then the rest.
			if err := w.sim.SetMerchant(simulator.Merchant{MID: otherMID}); err != nil {
				t.Fatal(err)
			}
			w.pauseOver(t)
			w.exec(t, `UPDATE orders SET next_query_at = now() WHERE next_query_at IS NOT NULL`)
			wantDecisions(t, sweep(t, w.poller(t, named("a third")), Run{}), map[order.Decision]int{order.Settled: 20})
		})
	}
}

// An overloaded gateway fails, whatever its body says: the breaker opens, a 429 with Retry-After opens
// it at once, and no plan is spent.
func TestBreakerOpensWhateverAnOutageSays(t *testing.T) {
	t.Parallel()
	const stranger = `{"errCode":"SUCCESS","status":"NEW_ORDER","mid":"898340149009999","merOrderId":"319499999999"}`
	for _, tt := range []struct {
		name, body string
		status     int
		retryAfter string
		decision   order.Decision
		asked      int
	}{
		{"a word called status", `{"status":"error"}`, http.StatusServiceUnavailable, "", order.NoAnswer, 5},
		{"the same with Retry-After", `{"status":"error"}`, http.StatusTooManyRequests, "120", order.NoAnswer, 1},
		{"another order", stranger, http.StatusBadGateway, "", order.Review, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			const orders = 12
			for i := range orders {
				w.add(t, i)
			}
			gateway := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				if tt.retryAfter != "" {
					rw.Header().Set("Retry-After", tt.retryAfter)
				}
				rw.WriteHeader(tt.status)
				_, _ = rw.Write([]byte(tt.body))
			}))
			t.Cleanup(gateway.Close)
			client, err := chinaums.New(chinaums.Options{
				BaseURL: gateway.URL, Path: "/", Credentials: credentials(), Timeout: 10 * time.Second, Concurrency: 1,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.Close)
			summary := sweep(t, w.poller(t, asking(client), workers(1)), Run{})
			if !summary.BreakerOpen() || summary.Asked != tt.asked || summary.Decisions[tt.decision] != tt.asked {
				t.Errorf("breaker open %t, %v; want %d %s", summary.BreakerOpen(), summary.Decisions, tt.asked, tt.decision)
			}
			if n := one[int](t, w, `SELECT sum(query_count)::int FROM orders`); n != 0 {
				t.Errorf("%d steps of the plans are spent", n)
			}
		})
	}
}
