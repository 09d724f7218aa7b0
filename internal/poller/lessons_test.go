package poller

import (
	"strings"
	"testing"

	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/store"
)

// The lessons are those of other systems with the same task. Where one is the subject
// of tests of another name, it is not repeated here: 1 TestEveryFault, 2
// TestNotFoundFromEndToEnd, 4 TestHangingOrderHoldsUpNobody and TestPanicStaysInItsOrder,
// 6 TestOrderChangesInFlight, 9 TestIdentity and TestTotalAmount.

// Giving up in silence is the worst state: at any age, after any answer, an order has
// a due time or a person.
func TestLesson3NoSilentGiveUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ages := []string{"1 min", "1 hour", "3 hours", "25 hours", "6 days", "8 days", "400 days"}
	steps := []simulator.Step{
		says("WAIT_BUYER_PAY"), says("NEW_ORDER"), codes("NO_ORDER"), codes("TARGET_FAIL"), codes("ORDER_PROCESSING"),
		says("TRADE_SUCCESS", simulator.MutationStatusEmpty), says("TRADE_SUCCESS", simulator.MutationErrCodeMissing), says("TRADE_FINISHED"),
	}
	n := 0
	for _, age := range ages {
		for _, step := range steps {
			mid := testMID
			if step.Code == "NO_ORDER" { // of a merchant that no other answer speaks for
				mid = otherMID
			}
			w.addOf(t, mid, n, step)
			w.exec(t, `UPDATE orders SET created_at = now() - $2::interval, expires_at = now() - $2::interval + interval '30 min' WHERE mer_order_id = $1`, mer(n), age)
			n++
		}
	}
	summary := sweep(t, w.poller(t), Run{})
	if summary.Asked != n {
		t.Errorf("asked %d of %d", summary.Asked, n)
	}
	silent := rows[string](t, w, `SELECT concat_ws(' ', now() - created_at, status, last_error) FROM orders
		WHERE (next_query_at IS NULL OR next_query_at <= now()) = (review_reason IS NULL)`)
	if len(silent) > 0 {
		t.Errorf("neither due nor under review, or both:\n%s", strings.Join(silent, "\n"))
	}
	over := one[int](t, w, `SELECT count(*)::int FROM orders WHERE review_reason IS NOT NULL`)
	told := one[int](t, w, `SELECT count(*)::int FROM order_events WHERE event = 'order.review'`)
	if over != 2*len(steps) || told != over {
		t.Errorf("%d under review, %d told; want the %d that are older than a week", over, told, 2*len(steps))
	}
}

// Money that arrives after the order was called not found is booked, and told.
func TestLesson5PaidAfterNotFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addLost(t, isPaidStep)
	w.exec(t, `UPDATE orders SET status = 'NOT_FOUND', next_query_at = NULL`)
	sweep(t, w.poller(t), Run{Selection: &store.Selection{MerOrderIDs: []string{mer(0)}}})
	w.wantState(t, 0, rowPaid)
	w.wantEvents(t, 0, "order.paid")
}

// No lock and no transaction is held while the gateway is asked.
func TestLesson7NothingHeldWhileAsking(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 10 {
		w.add(t, i, isPaidStep)
	}
	g, holding, letGo := w.held()
	pass := start(t, w.poller(t, asking(g)), Run{})
	for range 4 {
		<-holding
	}
	if busy := rows[string](t, w, `SELECT concat_ws(' ', state, query) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND state <> 'active'`); len(busy) > 0 {
		t.Errorf("open transactions:\n%s", strings.Join(busy, "\n"))
	}
	w.exec(t, `UPDATE orders SET updated_at = now()`) // every row, at once
	close(letGo)
	pass.wait(t)
	if n := one[int](t, w, `SELECT count(*)::int FROM orders WHERE status = 'TRADE_SUCCESS'`); n != 10 {
		t.Errorf("%d settled, want 10", n)
	}
}

// A backlog of many pages, with the same due time and with any: nothing is skipped,
// nothing asked twice, and the oldest come first.
func TestLesson8Backlog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const orders = 120
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at)
		SELECT $1, $2, '3194' || lpad(i::text, 8, '0'), $3, now() - CASE WHEN i % 2 = 0 THEN interval '1 hour' ELSE i * interval '1 s' END
		FROM generate_series(0, $4 - 1) i`, testMID, testTID, testAmount, orders)
	for i := range orders {
		w.script(t, testMID, i, says("WAIT_BUYER_PAY"))
	}
	for _, run := range []Run{{DryRun: true}, {}, {Selection: &store.Selection{}}} {
		g := &asked{w: w}
		summary := sweep(t, w.poller(t, workers(3), asking(g)), run)
		if got := g.sorted(); summary.Asked != orders || len(got) != orders {
			t.Errorf("%+v: asked %d times about %d orders, want %d", run, len(got), summary.Asked, orders)
		} else {
			for i := range orders {
				if got[i] != mer(i) {
					t.Fatalf("%+v: order %d is missing or came twice", run, i)
				}
			}
		}
	}
}
