package main_test

import (
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/chinaums/simulator"
)

// One question in flight is answered after the signal; the others that were claimed have not been
// asked yet.
func TestStopGivesBackAndWrites(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set("RECONCILER_CONCURRENCY=2")
			numbers := w.orders(t, 50, paid())
			hold := w.hold()
			p := w.start(t, "run")
			hold.await(t, 2)
			p.signal(t, signal)
			hold.release()
			if code := p.wait(t); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			wantStopped(t, w, numbers)
		})
	}
}

// The reader of the log can go, such as a journal that restarts.
func TestReaderOfTheLogHasGone(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"run", "run-once"} {
		w := newWorld(t)
		w.orders(t, 20, paid())
		reader, log, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		reader.Close()
		p := startWith(t, log, w.env, command)
		w.awaitPaid(t, 20)
		if command == "run" {
			p.signal(t, syscall.SIGTERM)
		}
		if code := p.wait(t); code != 0 {
			t.Errorf("%s: exit code %d, want 0", command, code)
		}
	}
}

// wantStopped checks that what was asked is written, and all the rest is as if it had never been
// claimed.
func wantStopped(t *testing.T, w *world, numbers []string) {
	t.Helper()
	asked := w.asked()
	if len(asked) < 2 || len(asked) >= len(numbers) {
		t.Errorf("%d of %d orders were asked about, want those in flight and not all", len(asked), len(numbers))
	}
	settled := column[string](t, w, `SELECT mer_order_id FROM orders WHERE status = 'TRADE_SUCCESS' ORDER BY 1`)
	if diff := cmp.Diff(asked, settled); diff != "" {
		t.Errorf("asked about, settled (-want +got):\n%s", diff)
	}
	w.wantAskedOnce(t, asked)
	w.wantOneEventEach(t)
	due := column[string](t, w, `
		SELECT mer_order_id FROM orders
		WHERE status = 'UNKNOWN' AND lease_until IS NULL AND claimed_by IS NULL AND next_query_at <= now()
		  AND last_queried_at IS NULL AND query_count = 0
		ORDER BY 1`)
	rest := slices.DeleteFunc(slices.Clone(numbers), func(n string) bool { return slices.Contains(asked, n) })
	if diff := cmp.Diff(rest, due); diff != "" {
		t.Errorf("not asked about, due as before (-want +got):\n%s", diff)
	}
}

// A gateway that never answers is awaited for one request timeout, and the question leaves its row.
func TestStopDoesNotWaitForADeadGateway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_REQUEST_TIMEOUT=1s", "RECONCILER_LEASE=10s")
	w.orders(t, 3, simulator.Step{Fault: simulator.FaultHang})
	p := w.start(t, "run")
	eventually(t, "all questions are in flight", func() bool { return w.Total() >= 3 })
	p.stop(t)
	rows := column[string](t, w, `
		SELECT q.decision || ' ' || o.status || ' ' || o.query_count || ' ' || (o.lease_until IS NULL) || ' ' || (o.next_query_at IS NOT NULL)
		FROM order_queries q JOIN orders o ON o.id = q.order_id`)
	want := "no_answer UNKNOWN 0 true true"
	if len(rows) < 3 || slices.ContainsFunc(rows, func(row string) bool { return row != want }) {
		t.Errorf("rows in the ledger = %q, want 3 of %q", rows, want)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set("RECONCILER_REQUEST_TIMEOUT=60s", "RECONCILER_LEASE=200s")
			w.orders(t, 1, paid())
			hold := w.hold()
			p := w.start(t, "run")
			hold.await(t, 1)
			// It takes a moment until the program has taken note of the first signal, so that more
			// than two may be needed.
			eventually(t, "the process ends", func() bool {
				if !p.running() {
					return true
				}
				p.signal(t, signal)
				return false
			})
			how, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
			if !ok || !how.Signaled() || how.Signal() != signal {
				t.Errorf("ended with %v, want the signal itself", p.cmd.ProcessState)
			}
			if n := scan[int](t, w, `SELECT count(*) FROM order_queries`); n != 0 {
				t.Errorf("%d answers were written, though none came", n)
			}
		})
	}
}

// What a killed process had claimed is asked about by another one, but not before its leases end.
func TestKilledProcessIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_CONCURRENCY=4")
	numbers := w.orders(t, 20, paid())
	hold := w.hold()
	killed := w.start(t, "run")
	hold.await(t, 4)
	killed.signal(t, syscall.SIGKILL)
	killed.wait(t)
	hold.release()
	claimed := scan[int](t, w, `SELECT count(*) FROM orders WHERE lease_until > now()`)
	if claimed < 4 {
		t.Fatalf("%d orders were claimed by the killed process, want at least the 4 in flight", claimed)
	}
	// The process is dead: nobody counts on the seconds that its leases had left.
	w.exec(t, `UPDATE orders SET lease_until = now() + interval '2 s' WHERE lease_until > now() + interval '2 s'`)
	w.exec(t, `CREATE TABLE leases AS SELECT id, lease_until FROM orders WHERE lease_until IS NOT NULL`)

	p := w.start(t, "run")
	w.awaitPaid(t, len(numbers))
	p.stop(t)
	w.wantOneEventEach(t)
	if n := scan[int](t, w, `SELECT count(*) FROM order_queries`); n != len(numbers) {
		t.Errorf("%d rows in the ledger, want %d", n, len(numbers))
	}
	early := scan[int](t, w, `SELECT count(*) FROM order_queries q JOIN leases l ON l.id = q.order_id WHERE q.queried_at < l.lease_until`)
	if early > 0 {
		t.Errorf("%d orders were asked about while another process held them", early)
	}
	wrong := scan[int](t, w, `
		SELECT count(*) FROM order_queries q JOIN orders o ON o.id = q.order_id
		WHERE q.claim_no <> CASE WHEN q.order_id IN (SELECT id FROM leases) THEN 2 ELSE 1 END OR q.claim_no <> o.claim_no`)
	if wrong > 0 {
		t.Errorf("%d rows in the ledger have another claim number than their order", wrong)
	}
}

func TestTwoProcessesShareABacklog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_CONCURRENCY=4")
	numbers := w.orders(t, 300, paid())
	hold := w.hold()
	first := w.start(t, "run")
	hold.await(t, 4)
	second := w.start(t, "run")
	hold.await(t, 8) // both are at work
	hold.release()
	w.awaitPaid(t, len(numbers))
	first.stop(t)
	second.stop(t)
	w.wantAskedOnce(t, numbers)
	w.wantOneEventEach(t)
	if n := scan[int](t, w, `SELECT count(DISTINCT worker) FROM order_queries`); n != 2 {
		t.Errorf("%d names of instances in the ledger, want 2", n)
	}
}
