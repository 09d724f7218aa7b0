package main_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"reconciler/internal/chinaums/simulator"
)

// frontOf puts a line before the world's gateway that can be cut.
func frontOf(t *testing.T, w *world) *proxy {
	t.Helper()
	u, err := url.Parse(w.gateway.url)
	if err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, "tcp", u.Host)
	p.restore()
	w.set("CHINAUMS_BASE_URL=http://" + p.address)
	return p
}

// A gateway in trouble gets a bounded number of requests, and no order's plan is spent. When it is
// well again, all goes on by itself, at the rate that was set.
func TestGatewayOutages(t *testing.T) {
	t.Parallel()
	const rate = 20
	type outage struct {
		name       string
		begin, end func(w *world, line *proxy)
		probe      bool // lasts until a first probe has failed
	}
	fault := func(name string, steps ...simulator.Step) outage {
		set := func(w *world, steps ...simulator.Step) {
			if err := w.SetOutage(steps...); err != nil {
				panic(err) // a step of this test is wrong
			}
		}
		return outage{
			name:  name,
			begin: func(w *world, _ *proxy) { set(w, steps...) },
			end:   func(w *world, _ *proxy) { set(w) },
		}
	}
	for _, o := range []outage{
		{name: "refusing", probe: true, begin: func(_ *world, line *proxy) { line.cut() }, end: func(_ *world, line *proxy) { line.restore() }},
		fault("hanging", simulator.Step{Fault: simulator.FaultHang}),
		fault("resetting", simulator.Step{Fault: simulator.FaultReset}),
		fault("dripping", simulator.Step{Fault: simulator.FaultSlowBody, Delay: time.Minute}),
	} {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			line := frontOf(t, w)
			w.set(shortTimeout, shortLease, "RECONCILER_CONCURRENCY=4", fmt.Sprintf("RECONCILER_RATE=%d", rate))
			o.begin(w, line)
			b := w.backlog(t, 150, time.Millisecond)
			p, q := w.start(t, "run"), w.start(t, "run")
			opened := func(trips int) func() bool {
				return func() bool {
					return scan[bool](t, w, `
						SELECT (SELECT count(*) FROM order_queries) >= $1 AND NOT EXISTS (SELECT 1 FROM orders WHERE lease_until IS NOT NULL)
						   AND EXISTS (SELECT 1 FROM gateway_controls WHERE scope = 'app' AND paused_until > now())`, trips)
				}
			}
			eventually(t, "the breaker is open and every claim given back", opened(5))
			trips := scan[int](t, w, `SELECT sum(round_trips) FROM order_queries`)
			const most = 2 * (5 + 4) * 3 // of each process: five failures, four questions in flight, three round trips
			t.Logf("%d round trips until the breaker was open, of at most %d", trips, most)
			if trips > most || w.Total() > most {
				t.Errorf("%d round trips, %d of which came through, want at most %d", trips, w.Total(), most)
			}
			if o.probe {
				before := scan[int](t, w, `SELECT count(*) FROM order_queries`)
				w.shortenPauses(t, breakerPause)
				eventually(t, "a probe has failed", opened(before+1))
				after := scan[int](t, w, `SELECT sum(round_trips) FROM order_queries`)
				t.Logf("%d round trips of probes", after-trips)
				if after-trips > 3 {
					t.Errorf("%d round trips after the first pause, want one question's", after-trips)
				}
			}
			if n := scan[int](t, w, `SELECT count(*) FROM orders WHERE query_count <> 0 OR status <> 'UNKNOWN' OR next_query_at IS NULL OR review_reason IS NOT NULL`); n != 0 {
				t.Errorf("%d orders have spent their plan, changed, or lost their place", n)
			}
			o.end(w, line)
			ended := time.Now()
			b.awaitUnpaused(t, w, patience)
			t.Logf("all is settled %v after the outage's end", time.Since(ended).Round(100*time.Millisecond))
			p.stop(t)
			q.stop(t)
			b.check(t, w)
			wantRate(t, w.Requests(), rate, 2*4)
		})
	}
}

// A gateway that comes and goes: questions are answered at a second or third try, or later.
func TestGatewayFlapping(t *testing.T) {
	t.Parallel()
	const rate = 40
	w := newWorld(t)
	w.set(shortTimeout, shortLease, "RECONCILER_CONCURRENCY=4", fmt.Sprintf("RECONCILER_RATE=%d", rate))
	var steps []simulator.Step
	for range 3 {
		steps = append(steps,
			simulator.Step{Fault: simulator.FaultReset, Probability: 0.5, For: time.Second},
			simulator.Step{Fault: simulator.FaultHTML502, For: time.Second},
			simulator.Step{Delay: time.Millisecond, For: time.Second})
	}
	if err := w.SetOutage(steps...); err != nil {
		t.Fatal(err)
	}
	b := w.backlog(t, 300, time.Millisecond)
	p, q := w.start(t, "run"), w.start(t, "run")
	b.awaitUnpaused(t, w, patience)
	p.stop(t)
	q.stop(t)
	b.check(t, w)
	if n := scan[int](t, w, `SELECT count(*) FROM order_queries WHERE round_trips > 3`); n != 0 {
		t.Errorf("%d questions took more than three round trips", n)
	}
	if n := scan[int](t, w, `SELECT count(*) FROM orders AS o WHERE query_count <>
		(SELECT count(*) FROM order_queries AS q WHERE q.order_id = o.id AND q.decision = 'deferred')`); n != 0 {
		t.Errorf("%d orders have spent more of their plan than they had answers", n)
	}
	wantRate(t, w.Requests(), rate, 2*4)
}

// A gateway that takes its time and then is quick again: the orders claimed meanwhile do not come
// as a stampede.
func TestSlowGatewayRecoversWithoutAStampede(t *testing.T) {
	t.Parallel()
	const rate = 20
	w := newWorld(t)
	w.set(fmt.Sprintf("RECONCILER_RATE=%d", rate), "RECONCILER_CONCURRENCY=16")
	if err := w.SetOutage(simulator.Step{Delay: 4 * time.Second}); err != nil {
		t.Fatal(err)
	}
	b := w.backlog(t, 240, time.Millisecond)
	p, q := w.start(t, "run"), w.start(t, "run")
	eventually(t, "all workers wait", func() bool { return w.Total() >= 2*16 })
	if err := w.SetOutage(); err != nil {
		t.Fatal(err)
	}
	b.await(t, w)
	p.stop(t)
	q.stop(t)
	b.check(t, w)
	wantRate(t, w.Requests(), rate, 2*16)
}
