package poller

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/order"
	"reconciler/internal/store"
)

// Trouble that passes is met within the question: three round trips with a nonce and
// stamps of their own, one row in the ledger, and the plan is not spent.
func TestRetriesWithinAQuestion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, simulator.Step{Times: 2, Code: "9200"}, isPaidStep)
	w.add(t, 1, simulator.Step{Times: 1, Fault: simulator.FaultReset}, isPaidStep)
	w.add(t, 2, simulator.Step{Times: 1, Fault: simulator.FaultHTML502}, simulator.Step{Times: 1, Code: "SYSTEM_BUSY"}, says("WAIT_BUYER_PAY"))
	wantDecisions(t, sweep(t, w.poller(t), Run{}), map[order.Decision]int{order.Settled: 2, order.Deferred: 1})
	w.wantState(t, 0, rowPaid)
	w.wantLedger(t, 0, "settled trade_success 3")
	w.wantEvents(t, 0, "order.paid")
	w.wantLedger(t, 1, "settled trade_success 2")
	w.wantLedger(t, 2, "deferred unresolved 3")
	nonces := map[string]bool{}
	for _, r := range w.sim.Requests() {
		nonces[r.Nonce] = true
	}
	if len(nonces) != 8 {
		t.Errorf("%d nonces for 8 round trips", len(nonces))
	}
}

// Trouble that cannot pass within a question is not asked again within it.
func TestNoRetryOfAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, step := range []simulator.Step{
		says("WAIT_BUYER_PAY"), says("TRADE_SUCCESS", simulator.MutationStatusEmpty), codes("NO_ORDER"), codes("ORDER_PROCESSING"),
		codes("TARGET_FAIL"), codes("BAD_REQUEST"), codes("NO_MERCHANT"), codes("1000"),
	} {
		w.add(t, i, step)
	}
	// One at a time, in order, credentials last: a refusal shuts the others out.
	sweep(t, w.poller(t, workers(1)), Run{Once: true})
	for i := range 7 {
		if n := w.sim.Count(mer(i)); n != 1 {
			t.Errorf("order %d: %d round trips, want 1", i, n)
		}
	}
}

// Each kind of silence and nonsense: three round trips, no_answer, and the row as it
// was, except for its due time and the trouble in words.
func TestEveryFault(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, 2*time.Second) // the answers that are right come in time on a slow machine too
	// Too long an answer is among the tables: to mask a megabyte takes seconds under the race
	// detector.
	faults := slices.DeleteFunc(simulator.Faults(), func(f simulator.Fault) bool { return f == simulator.FaultOversize })
	passes := make([]*running, len(faults))
	for i, fault := range faults {
		w.add(t, i, simulator.Step{Status: chinaums.StatusTradeSuccess, Fault: fault})
		// Each under an app id of its own, so that one's breaker is not another's.
		p := w.poller(t, func(o *Options) { o.Apps[0].AppID = string(fault) })
		passes[i] = start(t, p, Run{Once: true, Selection: &store.Selection{MerOrderIDs: []string{mer(i)}}})
	}
	for i, fault := range faults {
		summary := passes[i].wait(t)
		switch fault {
		case simulator.FaultContentType, simulator.FaultTwice, simulator.FaultCloseAfter: // the answer itself is right
			wantDecisions(t, summary, map[order.Decision]int{order.Settled: 1})
			continue
		}
		wantDecisions(t, summary, map[order.Decision]int{order.NoAnswer: 1})
		w.wantState(t, i, rowWaiting)
		w.wantLedger(t, i, "no_answer transient 3")
		w.wantEvents(t, i)
		if n := w.sim.Count(mer(i)); n > 3 { // one that timed out may never have come
			t.Errorf("%s: %d round trips at the gateway", fault, n)
		}
		if trouble := one[*string](t, w, `SELECT last_error FROM orders WHERE mer_order_id = $1`, mer(i)); trouble == nil {
			t.Errorf("%s: no last_error", fault)
		}
		w.script(t, testMID, i, isPaidStep)
	}
	sweep(t, w.poller(t), Run{Selection: &store.Selection{}})
	for i := range faults {
		w.wantState(t, i, rowPaid) // after the trouble nothing of it is left
	}
}

// A gateway that asks to be left alone gets no further round trip: not of the question that it
// said so to, and not of another order's.
func TestNoRetryDespiteRetryAfter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, simulator.Step{Times: 1, Fault: simulator.FaultRateLimit, RetryAfter: "600"}, isPaidStep)
	w.add(t, 1, isPaidStep)
	sweep(t, w.poller(t, workers(1)), Run{Once: true})
	w.wantLedger(t, 0, "no_answer transient 1")
	w.wantLedger(t, 1)
	if n := len(w.sim.Requests()); n != 1 {
		t.Errorf("%d round trips, want 1", n)
	}
	if s := one[int](t, w, `SELECT extract(epoch FROM paused_until - set_at)::int FROM gateway_controls WHERE scope = 'app'`); s != 600 {
		t.Errorf("a pause of %d s, want 600", s)
	}
}

// It is no trouble of the order's own, whatever others of its app are answered meanwhile.
func TestRetryAfterSpendsNoPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, says("WAIT_BUYER_PAY"))
	w.add(t, 1, says("WAIT_BUYER_PAY"))
	p := w.poller(t, workers(1))
	sweep(t, p, Run{Once: true})
	w.exec(t, `UPDATE orders SET next_query_at = now() - interval '1 minute' WHERE mer_order_id = $1`, mer(1))
	sweep(t, p, Run{})
	w.exec(t, `UPDATE orders SET next_query_at = now() - interval '1 minute' WHERE mer_order_id = $1`, mer(0))
	w.script(t, testMID, 0, simulator.Step{Fault: simulator.FaultRateLimit, RetryAfter: "600"})
	sweep(t, p, Run{})
	w.wantLedger(t, 0, "deferred unresolved 1", "no_answer transient 1")
}

// A question whose first answers were no use and whose last one refuses us, or is
// about another order, ends with that.
func TestLastReplyDecides(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	busy := simulator.Step{Times: 1, Code: "SYSTEM_BUSY"}
	w.add(t, 0, busy, says("TRADE_SUCCESS", simulator.MutationOtherMID))
	w.add(t, 1, busy, says("TRADE_SUCCESS", simulator.MutationTotalNull))
	w.add(t, 2, simulator.Step{Times: 1, Status: "TRADE_SUCCESS", HTTPStatus: 404}, says("TRADE_CLOSED"))
	sweep(t, w.poller(t), Run{})
	w.wantLedger(t, 0, "review identity_mismatch 3") // once more on a new connection
	w.wantLedger(t, 1, "review amount_missing 2")
	w.wantLedger(t, 2, "settled trade_closed 2")
}

// no_answer waits as the plan says now, at most five minutes, and spends nothing.
func TestNoAnswerDoesNotSpendThePlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, count := range []int{0, 2, 8} {
		w.add(t, i, codes("TIMEOUT"))
		w.exec(t, `UPDATE orders SET query_count = $2 WHERE mer_order_id = $1`, mer(i), count)
	}
	sweep(t, w.poller(t), Run{})
	for i, want := range []int{60, 240, 300} {
		// The wait counts from the answer, the row's last_queried_at from the question.
		got := one[float64](t, w, `SELECT extract(epoch FROM q.next_query_at - q.queried_at)::float8 - q.duration_ms / 1000.0
			FROM order_queries q JOIN orders o ON o.id = q.order_id AND o.next_query_at = q.next_query_at WHERE o.mer_order_id = $1`, mer(i))
		if got < float64(want)-0.1 || got > float64(want)+0.1 {
			t.Errorf("order %d: waits %gs, want %ds", i, got, want)
		}
		if n := one[int](t, w, `SELECT query_count FROM orders WHERE mer_order_id = $1`, mer(i)); n != []int{0, 2, 8}[i] {
			t.Errorf("order %d: query_count %d", i, n)
		}
	}
}

// A round trip may last as long as its lease allows and no longer, so that what it
// brings can still be written.
func TestQuestionEndsWithItsLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, isPaidStep)
	g := gatewayFunc(func(ctx context.Context, r chinaums.Request) (chinaums.Answer, error) {
		deadline, ok := ctx.Deadline()
		lease := one[time.Time](t, w, `SELECT lease_until FROM orders`)
		if margin := lease.Sub(deadline); !ok || margin < writeMargin {
			t.Errorf("the question may last until %s before its lease ends, want at least %s", margin, writeMargin)
		}
		return w.client.Query(ctx, r)
	})
	wantDecisions(t, sweep(t, w.poller(t, asking(g)), Run{}), map[order.Decision]int{order.Settled: 1})
}

// The gateway's words and ours for the log and the row, without the key.
func TestTroubleIsToldWithoutSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, codes("BAD_SIGN"))
	logged := newRecords()
	sweep(t, w.poller(t, logging(logged)), Run{})
	lines := strings.Join(logged.all(), "\n")
	if !strings.Contains(lines, "ERROR gateway paused") || !strings.Contains(lines, "BAD_SIGN") {
		t.Errorf("the refusal is not loud:\n%s", lines)
	}
	if all := lines + strings.Join(w.dump(t), "\n"); strings.Contains(all, credentials().AppKey) {
		t.Error("the key is told")
	}
}
