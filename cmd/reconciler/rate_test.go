package main_test

import (
	"slices"
	"testing"
	"time"

	"reconciler/internal/chinaums/simulator"
)

// Four instances with a backlog use the budget that they share, no more and hardly less. The test runs
// by itself: beside eleven others two cores cannot give four daemons their time.
func TestFourDaemonsShareTheRate(t *testing.T) {
	const rate, orders = 60, 900
	w := newWorld(t)
	w.set("RECONCILER_RATE=60", "RECONCILER_LOG_LEVEL=info")
	w.orders(t, orders, paid())
	for range 4 {
		w.start(t, "run")
	}
	w.awaitPaid(t, orders)
	requests := w.Requests()
	wantRate(t, requests, rate)
	begun := requests[0].Time.Add(2 * time.Second) // all four are up
	loaded := slices.DeleteFunc(slices.Clone(requests), func(r simulator.Request) bool { return r.Time.Before(begun) })
	_, least := busiest(loaded, 5*time.Second)
	if least < 5*rate*9/10 {
		t.Errorf("%d round trips in the slowest 5 s, want at least %d", least, 5*rate*9/10)
	}
}
