package poller

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/order"
	"reconciler/internal/store"
)

// held is the gateway, which holds each answer back until it is let go.
func (w *world) held() (g Gateway, holding <-chan string, letGo chan struct{}) {
	answers, letGo := make(chan string, 1000), make(chan struct{})
	return w.meanwhile(func(r chinaums.Request) {
		answers <- r.MerOrderID
		<-letGo
	}), answers, letGo
}

// A stop while questions are in flight: nothing new is asked, what waits behind them
// is given back, and every answer that came is written.
func TestStopInFlight(t *testing.T) {
	t.Parallel()
	for _, selection := range []*store.Selection{nil, {}} {
		w := newWorld(t)
		const orders, most = 40, 3
		for i := range orders {
			w.add(t, i, isPaidStep)
		}
		g, holding, letGo := w.held()
		pass := start(t, w.poller(t, workers(most), asking(g)), Run{Selection: selection})
		for range most {
			<-holding
		}
		if n := w.inFlight(t); n < most || n > 5*most {
			t.Errorf("%d orders claimed by %d workers", n, most)
		}
		pass.stop()
		close(letGo)
		wantDecisions(t, pass.wait(t), map[order.Decision]int{order.Settled: most})
		if pass.summary.BreakerOpen() {
			t.Error("a stop looks like an open breaker")
		}
		if w.sim.Total() != most {
			t.Errorf("%d round trips, want no more after the stop", w.sim.Total())
		}
		if n := w.inFlight(t); n != 0 {
			t.Errorf("%d orders are left in flight", n)
		}
		touched := 0
		for i := range orders {
			if w.state(t, i) == rowPaid {
				touched++
				continue
			}
			w.wantState(t, i, rowUntouched)
			w.wantLedger(t, i)
		}
		if touched != most {
			t.Errorf("%d orders settled, want %d", touched, most)
		}
	}
}

// The present round trip of a question is its last, though it is no use.
func TestStopEndsRetries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, codes("SYSTEM_BUSY"))
	g, holding, letGo := w.held()
	pass := start(t, w.poller(t, asking(g)), Run{})
	<-holding
	pass.stop()
	close(letGo)
	wantDecisions(t, pass.wait(t), map[order.Decision]int{order.NoAnswer: 1})
	w.wantLedger(t, 0, "no_answer transient 1")
	w.wantState(t, 0, rowWaiting)
}

// Nor does a retry that waits for the rate come after the stop.
func TestStopEndsTheWaitForTheRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, codes("SYSTEM_BUSY"))
	p := w.poller(t, at(0.05)) // one round trip now, the next in 20 s
	pass := start(t, p, Run{})
	// The retry has reserved its round trip and waits.
	eventually(t, "the retry's reservation", func() bool {
		return len(rows[float64](t, w, `SELECT tokens FROM gateway_budgets WHERE tokens < 0`)) == 1
	})
	pass.stop()
	pass.wait(t)
	if n := w.sim.Total(); n != 1 {
		t.Errorf("%d round trips, want none after the stop", n)
	}
	w.wantLedger(t, 0, "no_answer transient 1")
}

// A gateway that does not answer may hold a stop up for one request timeout, and the
// order is written as not answered.
func TestStopAwaitsOneRequestTimeout(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, 30*time.Second)
	w.add(t, 0, simulator.Step{Fault: simulator.FaultHang})
	p := w.poller(t, func(o *Options) { o.RequestTimeout = 300 * time.Millisecond })
	pass := start(t, p, Run{})
	eventually(t, "the question", func() bool { return w.sim.Total() == 1 })
	pass.stop()
	wantDecisions(t, pass.wait(t), map[order.Decision]int{order.NoAnswer: 1})
	w.wantState(t, 0, rowWaiting)
}

// A stop before anything was claimed claims nothing.
func TestStoppedBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, isPaidStep)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	summary, err := w.poller(t).RunOnce(ctx, Run{})
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if summary.Asked != 0 {
		t.Errorf("asked %d", summary.Asked)
	}
	w.wantState(t, 0, rowUntouched)
}

// The database is away when the stop comes: received answers are still written when it
// is back within the time that is left.
func TestStopWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, isPaidStep)
	tried := make(chan struct{}, 100)
	s := &brokenStore{Store: w.Store, record: func(n int) error {
		tried <- struct{}{}
		if n < 3 {
			return errors.New("connection refused")
		}
		return nil
	}}
	pass := start(t, w.poller(t, into(s)), Run{})
	<-tried
	pass.stop()
	wantDecisions(t, pass.wait(t), map[order.Decision]int{order.Settled: 1})
	w.wantState(t, 0, rowPaid)
}

// The trail of a stopped instance names it, and its claims are free for others.
func TestClaimNamesItsInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, isPaidStep)
	g, holding, letGo := w.held()
	pass := start(t, w.poller(t, asking(g), named("instance 7")), Run{})
	<-holding
	got := one[string](t, w, `SELECT concat_ws(' ', claimed_by, claim_no, lease_until BETWEEN now() + interval '50 s' AND now() + interval '60 s') FROM orders`)
	if got != "instance 7 1 t" {
		t.Errorf("in flight: %q, want the instance, its claim and a lease of a minute", got)
	}
	close(letGo)
	pass.wait(t)
	if dump := strings.Join(w.dump(t), " "); strings.Contains(dump, `"claimed_by": "instance`) {
		t.Error("the order is still claimed")
	}
}
