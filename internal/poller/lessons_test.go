package poller

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/store"
)

// The ten lessons are those of other systems with the same task: what befell them does not happen
// here. Each test shows its lesson's failure from end to end, in all its variants. What exactly
// becomes of each is the subject of the tests beside it. The lessons 6 to 9 are in the next file,
// the tenth is in package ops.

// A question that fails says nothing of the payment. The order is paid or closed at
// the gateway, and whatever befalls the answer, the row keeps its status and is asked
// about again: no error becomes a settlement, and none becomes a failed payment.
func TestLesson1FailedQuestionIsNoFailedPayment(t *testing.T) {
	t.Parallel()
	var quick, patient []simulator.Step
	for _, status := range []chinaums.Status{chinaums.StatusTradeSuccess, chinaums.StatusTradeClosed} {
		for _, fault := range simulator.Faults() {
			step := simulator.Step{Status: status, Fault: fault}
			switch fault {
			case simulator.FaultContentType, simulator.FaultTwice, simulator.FaultCloseAfter: // the answer itself is right
			case simulator.FaultOversize: // is among the tables: to mask a megabyte takes seconds under the race detector
			case simulator.FaultHang, simulator.FaultSlowHeader, simulator.FaultSlowBody:
				quick = append(quick, step)
			default:
				patient = append(patient, step)
			}
		}
		for _, code := range []string{
			"1000", "1001", "BAD_SIGN", "INVALID_MSGSRC", "DENIED_IP", "ABNORMAL_REQUEST_TIME", "NO_SERVICE",
			"NO_MERCHANT", "INACTIVE_MERCHANT", "INVLID_MERCHANT_CONFIG", "NO_ORDER", "ORDER_PROCESSING", "TARGET_FAIL", "0000",
			"9200", "9999", "INTERNAL_ERROR", "TIMEOUT", "NET_ERROR", "TXN_DISCARDED", "INVALID_RESPONSE", "SYSTEM_BUSY",
		} {
			patient = append(patient, simulator.Step{Status: status, Code: code})
		}
		for _, code := range []int{201, 204, 302, 400, 401, 403, 404, 412, 429, 500, 502, 503, 504} {
			patient = append(patient, simulator.Step{Status: status, HTTPStatus: code})
		}
		for _, m := range []simulator.Mutation{
			simulator.MutationErrCodeMissing, simulator.MutationStatusEmpty, simulator.MutationStatusMissing, simulator.MutationStatusNull,
			simulator.MutationStatusNumber, simulator.MutationStatusUnknown, simulator.MutationStatusTwiceDifferent,
		} {
			patient = append(patient, says(status, m))
		}
	}
	for _, raw := range []string{"null", "[]", "{}", `"TRADE_CLOSED"`, "<html>", `{"status":"TRADE_CLOSED"`, `{"errCode":{}}`} {
		patient = append(patient, simulator.Step{Raw: raw})
	}
	for name, test := range map[string]struct {
		timeout time.Duration
		steps   []simulator.Step
	}{"no answer in time": {600 * time.Millisecond, quick}, "an answer of no use": {10 * time.Second, patient}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failedQuestions(t, newWorldWith(t, test.timeout), test.steps)
		})
	}
}

// failedQuestions asks each order once under an app id and a merchant of its own, so that one's
// pause is not another's. It asks again when the trouble is over.
func failedQuestions(t *testing.T, w *world, steps []simulator.Step) {
	t.Helper()
	passes := make([]*running, len(steps))
	for i, step := range steps {
		mid := fmt.Sprintf("89834014901%04d", i)
		w.addOf(t, mid, i, step)
		p := w.poller(t, workers(1), func(o *Options) { o.Apps[0].AppID = mer(i) })
		passes[i] = start(t, p, Run{Once: true, Selection: &store.Selection{MID: mid}})
	}
	for i := range steps {
		if summary := passes[i].wait(t); summary.Asked != 1 {
			t.Errorf("%+v: asked %d times", steps[i], summary.Asked)
		}
	}
	for _, order := range rows[string](t, w, `
		SELECT concat_ws(' ', substr(mer_order_id, 5)::int, status, review_reason, next_query_at - now(), last_queried_at - now(), lease_until - now(), total_amount, pay_time, settle_date)
		FROM orders
		WHERE NOT (status = 'UNKNOWN' AND review_reason IS NULL AND lease_until IS NULL AND next_query_at BETWEEN last_queried_at AND last_queried_at + interval '5 min'
			AND num_nonnulls(total_amount, buyer_pay_amount, refund_amount, pay_time, settle_date, seq_id, target_status) = 0)`) {
		var i int
		_, _ = fmt.Sscan(order, &i)
		t.Errorf("%+v made of its order: %s", steps[i], order)
	}
	if events := rows[string](t, w, `SELECT mer_order_id || event FROM order_events`); len(events) > 0 {
		t.Errorf("the application was told %v", events)
	}

	w.exec(t, `DELETE FROM gateway_controls`)
	for i := range steps {
		w.script(t, fmt.Sprintf("89834014901%04d", i), i, isPaidStep)
	}
	sweep(t, w.poller(t), Run{Selection: &store.Selection{}})
	if n := one[int](t, w, `SELECT count(*)::int FROM orders WHERE status = 'TRADE_SUCCESS' AND total_amount = $1`, testAmount); n != len(steps) {
		t.Errorf("%d paid after the trouble, want %d", n, len(steps))
	}
}

// "Not found" is neither failed nor pending: it ends no order that may still be paid, and none for
// the wrong merchant number's sake. But it does end, with a last look a day later, or with a
// person.
func TestLesson2NotFoundIsNeitherFailedNorPending(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const (
		live = iota // the payer has not opened it yet
		reopened
		unexpired
		wrongMID
		wrongMIDForLong
		unexpiredForLong
		gone
		late
		proof
	)
	for n, age := range map[int]string{
		live: "20 min", reopened: "20 min", unexpired: "20 hours", wrongMID: "20 hours", wrongMIDForLong: "8 days",
		unexpiredForLong: "8 days", gone: "3 hours", late: "3 hours",
	} {
		mid := testMID
		if n == wrongMID || n == wrongMIDForLong {
			mid = otherMID // no order of which was ever found
		}
		w.addOf(t, mid, n)
		w.exec(t, `UPDATE orders SET created_at = now() - $2::interval, expires_at = now() - $2::interval + interval '30 min' WHERE mer_order_id = $1`, mer(n), age)
	}
	w.exec(t, `UPDATE orders SET expires_at = now() + interval '1 hour' WHERE mer_order_id = ANY ($1)`, []string{mer(unexpired), mer(unexpiredForLong)})
	w.add(t, proof, isPaidStep) // the merchant's number works
	round := func() {
		t.Helper()
		w.exec(t, `UPDATE orders SET next_query_at = now() - interval '1 s' WHERE next_query_at IS NOT NULL`)
		sweep(t, w.poller(t), Run{})
	}
	round()
	round()
	for _, n := range []int{live, reopened, unexpired, wrongMID, gone, late} {
		// The lines are those of world.state: status, review, due, count, claim, booked.
		w.wantState(t, n, "UNKNOWN - later 2 free -")
	}
	round()
	w.wantState(t, gone, "NOT_FOUND - later 2 free -") // and is looked for once more
	w.wantState(t, late, "NOT_FOUND - later 2 free -")
	w.script(t, testMID, late, isPaidStep)
	w.script(t, testMID, reopened, isPaidStep)
	round()
	round()
	for n, want := range map[int]struct {
		row    string
		events []string
	}{
		live:             {"UNKNOWN - later 5 free -", nil},
		reopened:         {"TRADE_SUCCESS - never 3 free 1000", []string{"order.paid"}},
		unexpired:        {"UNKNOWN - later 5 free -", nil},
		wrongMID:         {"UNKNOWN - later 5 free -", nil},
		wrongMIDForLong:  {"UNKNOWN not_found_unconfirmed never 0 free -", []string{"order.review"}},
		unexpiredForLong: {"UNKNOWN not_found_unconfirmed never 0 free -", []string{"order.review"}},
		gone:             {"NOT_FOUND - never 2 free -", []string{"order.not_found"}},
		late:             {"TRADE_SUCCESS - never 2 free 1000", []string{"order.not_found", "order.paid"}},
	} {
		w.wantState(t, n, want.row)
		w.wantEvents(t, n, want.events...)
	}
}

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

// One bad row, one panic, one hang stops nobody: the others of its page are settled
// while it hangs, and the next pass runs.
func TestLesson4OneBadRowStopsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const orders, panics, hangs = 40, 1, 2
	bad := map[int]simulator.Step{
		panics: isPaidStep,
		hangs:  isPaidStep,
		3:      says("TRADE_SUCCESS", simulator.MutationNUL),
		4:      refusedNumber(4),
		5:      {Raw: "<html>"},
		6:      says("TRADE_SUCCESS", simulator.MutationTotalTooBig),
		7:      {Status: "TRADE_SUCCESS", Fault: simulator.FaultReset},
	}
	for i := range orders {
		step, odd := bad[i]
		if !odd {
			step = isPaidStep
		}
		w.add(t, i, step)
	}
	w.exec(t, `UPDATE orders SET created_at = '-infinity', expires_at = 'infinity', next_query_at = '-infinity' WHERE mer_order_id = $1`, mer(0))
	release := make(chan struct{})
	g := gatewayFunc(func(ctx context.Context, r chinaums.Request) (chinaums.Answer, error) {
		switch r.MerOrderID {
		case mer(panics):
			panic("a bug")
		case mer(hangs):
			<-release // whatever ctx says
		}
		return w.client.Query(ctx, r)
	})
	paid := func() int { return one[int](t, w, `SELECT count(*)::int FROM orders WHERE status = 'TRADE_SUCCESS'`) }
	pass := start(t, w.poller(t, asking(g)), Run{})
	eventually(t, "all others of the page", func() bool { return paid() == orders-len(bad) })
	w.add(t, orders, isPaidStep)
	eventually(t, "an order that came meanwhile", func() bool { return paid() == orders-len(bad)+1 })
	close(release)
	pass.wait(t)
	for n, want := range map[int]string{
		0: rowPaid, hangs: rowPaid, panics: rowWaiting, 5: rowWaiting, 7: rowWaiting,
		3: "UNKNOWN unwritable never 0 free -", 4: "UNKNOWN unwritable never 0 free -", 6: "UNKNOWN amount_missing never 0 free -",
	} {
		w.wantState(t, n, want)
	}

	// A whole pass that dies is not the last one.
	w.add(t, orders+1, isPaidStep)
	var claims atomic.Int64
	s := &brokenStore{Store: w.Store, claim: func(int) error {
		if claims.Add(1) == 1 {
			panic("another bug")
		}
		return nil
	}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	p := w.poller(t, into(s))
	go func() {
		defer close(ended)
		p.Run(ctx, every(t, "@every 1s"))
	}()
	eventually(t, "the pass after the one that died", func() bool { return w.state(t, orders+1) == rowPaid && p.Ready() == nil })
	stop()
	<-ended
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
