package main_test

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// awaitMoment waits for a random one in the life of a process at work: so many round trips, or so
// many rows in the ledger, after it was started, or all of the backlog's orders at their end.
func (w *world) awaitMoment(t *testing.T, p *process, b backlog) {
	t.Helper()
	count := w.Total
	if rand.IntN(2) == 0 {
		count = func() int { return scan[int](t, w, `SELECT count(*) FROM order_queries`) }
	}
	until := count() + 1 + rand.IntN(60)
	eventually(t, fmt.Sprintf("the process is at work (%d)", until), func() bool { return count() >= until || !p.running() || b.isDone(t, w) })
}

// A daemon is killed at random moments, and each time another one goes on with the same backlog.
func TestKilledTimeAndAgain(t *testing.T) {
	t.Parallel()
	const rounds = 8
	w := newWorld(t)
	w.set(shortTimeout, shortLease, "RECONCILER_CONCURRENCY=8")
	b := w.backlog(t, 900, 20*time.Millisecond)
	for round := range rounds {
		p := w.start(t, "run")
		w.awaitMoment(t, p, b)
		p.signal(t, syscall.SIGKILL)
		p.wait(t)
		t.Logf("round %d: killed after %d round trips, %d claims left behind so far", round+1, w.Total(), w.leases(t))
	}
	// All that claimed so far are dead: nobody counts on what their leases have left.
	w.exec(t, `UPDATE orders SET lease_until = now() WHERE lease_until > now()`)
	p := w.start(t, "run")
	b.await(t, w)
	p.stop(t)
	b.check(t, w)
}

// A supervisor restarts the daemon twenty times, as in a bad deployment.
func TestRestartedTimeAndAgain(t *testing.T) {
	t.Parallel()
	const restarts = 20
	w := newWorld(t)
	w.set("RECONCILER_CONCURRENCY=8")
	b := w.backlog(t, 900, 20*time.Millisecond)
	for restart := range restarts {
		p := w.start(t, "run")
		w.awaitMoment(t, p, b)
		p.awaitLog(t, `"msg":"started"`) // the backlog may be done before it heeds signals
		p.stop(t)
		if n := w.leases(t); n != 0 {
			t.Errorf("restart %d: %d leases are left", restart+1, n)
		}
	}
	p := w.start(t, "run")
	b.await(t, w)
	p.awaitLog(t, `"msg":"started"`)
	p.stop(t)
	b.check(t, w)
	if n := scan[int](t, w, `SELECT count(*) FROM order_queries WHERE decision IN ('superseded', 'no_answer')`); n != 0 {
		t.Errorf("%d questions came to nothing, though every stop was a clean one", n)
	}
}
