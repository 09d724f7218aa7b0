package main_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler/internal/chinaums/simulator"
)

// breakerPause is how long no order is claimed once the breaker is open.
const breakerPause = 30 * time.Second

func TestRunEasesOffWhileTheGatewayIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_CONCURRENCY=2")
	numbers := w.orders(t, 30, paid())
	if err := w.SetOutage(simulator.Step{Fault: simulator.FaultHTML502}); err != nil {
		t.Fatal(err)
	}
	p := w.start(t, "run")
	eventually(t, "the breaker is open and every claim given back", func() bool {
		return scan[bool](t, w, `
			SELECT (SELECT count(*) FROM order_queries) >= 5
			   AND NOT EXISTS (SELECT 1 FROM orders WHERE lease_until IS NOT NULL)`)
	})
	const most = (5 + 2) * 3 // five failures open it, two questions are in flight, three round trips each
	if n := w.Total(); n > most {
		t.Errorf("%d requests during the outage, want at most %d", n, most)
	}
	if n := scan[int](t, w, `SELECT count(*) FROM order_queries WHERE decision <> 'no_answer' OR round_trips <> 3 OR next_query_at IS NULL`); n != 0 {
		t.Errorf("%d rows in the ledger are not no_answer after 3 round trips, with a next time", n)
	}
	if n := scan[int](t, w, `SELECT count(*) FROM orders WHERE query_count <> 0 OR status <> 'UNKNOWN' OR next_query_at IS NULL`); n != 0 {
		t.Errorf("%d orders have spent their plan, changed their status or lost their place", n)
	}

	if err := w.SetOutage(); err != nil {
		t.Fatal(err)
	}
	if length := scan[time.Duration](t, w, `SELECT paused_until - set_at FROM gateway_controls WHERE scope = 'app'`); length < breakerPause {
		t.Errorf("a pause of %v is stored, want %v", length, breakerPause)
	}
	const sooner = breakerPause - 4*time.Second
	w.shortenPauses(t, sooner)
	eventually(t, "all orders are settled", func() bool {
		return w.statuses(t)["TRADE_SUCCESS"] == len(numbers)
	})
	p.stop(t)
	w.wantOneEventEach(t)
	pause := scan[time.Duration](t, w, `
		SELECT (SELECT min(queried_at) FROM order_queries WHERE decision = 'settled')
		     - (SELECT queried_at + duration_ms * interval '1 ms' AS ended FROM order_queries WHERE decision = 'no_answer' ORDER BY ended OFFSET 4 LIMIT 1)`)
	if least := breakerPause - sooner; pause < least-time.Second {
		t.Errorf("asked again after %v, want %v", pause, least)
	}
}

// Refused credentials open the breaker at the first answer; other instances respect it.
func TestBreakerIsSharedByAllInstances(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_CONCURRENCY=1")
	w.SetEntitled(appID, false)
	w.orders(t, 10, paid())
	p := w.start(t, "run")
	p.awaitLog(t, `"level":"ERROR"`) // loud
	eventually(t, "the refusal is written", func() bool {
		return scan[bool](t, w, `
			SELECT EXISTS (SELECT 1 FROM order_queries WHERE decision = 'refused')
			   AND NOT EXISTS (SELECT 1 FROM orders WHERE lease_until IS NOT NULL)`)
	})
	asked := w.Total()
	if asked != 1 {
		t.Errorf("%d requests until the breaker was open, want 1", asked)
	}
	r, s := w.summary(t, 1, "run-once")
	if s.Asked != 0 || w.Total() != asked {
		t.Errorf("another instance asked %d orders in %d requests", s.Asked, w.Total()-asked)
	}
	for _, want := range []string{"app id " + appID, "paused until 20", "+08:00: chinaums: credentials: HTTP "} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("run-once does not say %q: %s", want, r.stderr)
		}
	}
	p.stop(t)
}

// A merchant that is refused holds up nobody else.
func TestRefusedMerchantIsAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_CONCURRENCY=2")
	if err := w.SetMerchant(simulator.Merchant{MID: otherMID, State: simulator.MerchantInactive}); err != nil {
		t.Fatal(err)
	}
	refused := w.register(t, otherMID, 20, paid())
	w.insert(t, otherMID, refused...)
	numbers := w.orders(t, 20, paid())
	p := w.start(t, "run")
	w.awaitPaid(t, len(numbers))
	p.stop(t)
	asked := slices.DeleteFunc(w.asked(), func(n string) bool { return !slices.Contains(refused, n) })
	if len(asked) == 0 || len(asked) > 2 {
		t.Errorf("%d orders of the refused merchant were asked about, want no more than were in flight", len(asked))
	}
	if n := scan[int](t, w, `SELECT count(*) FROM orders WHERE mid = $1 AND (status <> 'UNKNOWN' OR query_count > 0 OR lease_until IS NOT NULL)`, otherMID); n != 0 {
		t.Errorf("%d orders of the refused merchant have changed", n)
	}
}

// Two instances together keep to the rate: of thirty round trips at five a second, five may come at
// once.
func TestRateIsSharedByAllInstances(t *testing.T) {
	t.Parallel()
	const orders, rate = 30, 5
	w := newWorld(t)
	w.set("RECONCILER_RATE=5")
	w.orders(t, orders, paid())
	first, second := w.start(t, "run"), w.start(t, "run")
	w.awaitPaid(t, orders)
	first.stop(t)
	second.stop(t)
	requests := w.Requests()
	took := requests[len(requests)-1].Time.Sub(requests[0].Time)
	if least := time.Duration(orders-rate)*time.Second/rate - time.Second; took < least {
		t.Errorf("%d round trips within %v, want at least %v", len(requests), took, least)
	}
}
