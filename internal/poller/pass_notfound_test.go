package poller

import (
	"testing"
	"time"

	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

// addLost makes order 0 one of three hours, which the gateway does not know unless
// there are steps.
func (w *world) addLost(t *testing.T, steps ...simulator.Step) {
	t.Helper()
	w.add(t, 0, steps...)
	w.exec(t, `UPDATE orders SET created_at = now() - interval '3 hours', expires_at = now() - interval '150 min' WHERE mer_order_id = $1`, mer(0))
}

// again makes order 0 due, as time would, and does a pass.
func (w *world) again(t *testing.T) {
	t.Helper()
	w.exec(t, `UPDATE orders SET next_query_at = now() - interval '1 s' WHERE mer_order_id = $1`, mer(0))
	// A store of its own: on a busy machine the last one may have had a slow look for evidence, and
	// remembers for a while that there was none.
	sweep(t, w.poller(t, into(storetest.Open(t, w.pool.Config().ConnString()))), Run{})
}

func TestNotFoundFromEndToEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		late   simulator.Step
		row    string
		ledger string
		event  []string
	}{
		// The lines are those of world.state: status, review, due, count, claim, booked.
		{"still not found", codes("NO_ORDER"), "NOT_FOUND - never 2 free -", "not_found still_not_found 1", nil},
		{"found paid", isPaidStep, "TRADE_SUCCESS - never 2 free 1000", "settled trade_success 1", []string{"order.paid"}},
		{"found closed", says("TRADE_CLOSED"), "TRADE_CLOSED - never 2 free -", "settled trade_closed 1", []string{"order.closed"}},
		{"found with the wrong amount", simulator.Step{Status: "TRADE_SUCCESS", Amount: new(int64(1))}, "NOT_FOUND amount_mismatch never 2 free -", "review amount_mismatch 1", []string{"order.review"}},
		{"found waiting", says("WAIT_BUYER_PAY"), "WAIT_BUYER_PAY - later 3 free -", "deferred unresolved 1", nil},
		{"no answer", simulator.Step{HTTPStatus: 503, Raw: "busy"}, "NOT_FOUND - later 2 free -", "no_answer transient 3", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.addLost(t)
			w.add(t, 1, isPaidStep) // the same merchant's: its number works
			sweep(t, w.poller(t), Run{})
			w.again(t)
			w.wantState(t, 0, "UNKNOWN - later 2 free -")
			w.again(t)
			w.wantState(t, 0, "NOT_FOUND - later 2 free -")
			w.wantEvents(t, 0, "order.not_found")
			if got := one[bool](t, w, `SELECT next_query_at BETWEEN now() + interval '23 h 59 min' AND now() + interval '24 h 1 min' FROM orders WHERE mer_order_id = $1`, mer(0)); !got {
				t.Error("the late check is not a day later")
			}
			// By hand before its time: it keeps its late check.
			kept := `SELECT next_query_at FROM orders WHERE mer_order_id = $1`
			before := one[time.Time](t, w, kept, mer(0))
			sweep(t, w.poller(t), Run{Selection: &store.Selection{MerOrderIDs: []string{mer(0)}}})
			if after := one[time.Time](t, w, kept, mer(0)); !after.Equal(before) {
				t.Errorf("the late check moved from %s to %s", before, after)
			}

			w.script(t, testMID, 0, tt.late)
			w.again(t)
			w.wantState(t, 0, tt.row)
			w.wantLedger(t, 0, "deferred no_order 1", "deferred no_order 1", "not_found not_found 1", "not_found still_not_found 1", tt.ledger)
			w.wantEvents(t, 0, append([]string{"order.not_found"}, tt.event...)...)
		})
	}
}

// Which answers show that a merchant's number works, and which count as NO_ORDER.
func TestNotFoundEvidence(t *testing.T) {
	t.Parallel()
	const waits, lost = "UNKNOWN - later 1 free -", "NOT_FOUND - later 0 free -"
	for _, tt := range []struct {
		name string
		// What else the ledger holds of an order of the given merchant, and of the order itself.
		mid, found string
		noOrders   []string
		want       string
	}{
		{"found", testMID, `200, 'SUCCESS', 'TRADE_SUCCESS', 'settled', 'trade_success', now()`, noOrders(2), lost},
		{"found waiting", testMID, `200, 'SUCCESS', 'NEW_ORDER', 'deferred', 'unresolved', now()`, noOrders(2), lost},
		{"found in an unknown status", testMID, `200, 'SUCCESS', 'TRADE_FINISHED', 'deferred', 'unknown_status', now()`, noOrders(2), lost},
		{"found with the wrong amount", testMID, `200, 'SUCCESS', 'TRADE_SUCCESS', 'review', 'amount_mismatch', now()`, noOrders(2), lost},
		{"found too late", testMID, `200, 'SUCCESS', 'TRADE_SUCCESS', 'superseded', 'superseded after: trade_success', now()`, noOrders(2), lost},
		{"found almost a day ago", testMID, `200, 'SUCCESS', 'TRADE_SUCCESS', 'settled', 'trade_success', now() - interval '1439 min'`, noOrders(2), lost},
		{"found more than a day ago", testMID, `200, 'SUCCESS', 'TRADE_SUCCESS', 'settled', 'trade_success', now() - interval '1441 min'`, noOrders(2), waits},
		{"another merchant's", otherMID, `200, 'SUCCESS', 'TRADE_SUCCESS', 'settled', 'trade_success', now()`, noOrders(2), waits},
		{"another order's answer", testMID, `200, 'SUCCESS', 'TRADE_SUCCESS', 'review', 'identity_mismatch', now()`, noOrders(2), waits},
		{"another order's answer, too late", testMID, `200, 'SUCCESS', 'TRADE_SUCCESS', 'superseded', 'superseded after: identity_mismatch', now()`, noOrders(2), waits},
		{"no status", testMID, `200, 'SUCCESS', NULL, 'deferred', 'no_status', now()`, noOrders(2), waits},
		{"a status without HTTP 200", testMID, `404, 'SUCCESS', 'TRADE_SUCCESS', 'no_answer', 'transient', now()`, noOrders(2), waits},
		{"a status beside a refusal", testMID, `200, '1000', 'TRADE_SUCCESS', 'refused', 'credentials', now()`, noOrders(2), waits},
		// NO_ORDER is the opposite of found, whatever stands beside it.
		{"a status beside NO_ORDER", testMID, `200, 'NO_ORDER', 'TRADE_SUCCESS', 'deferred', 'no_order', now()`, noOrders(2), waits},

		{"one NO_ORDER before", testMID, `200, 'SUCCESS', 'TRADE_SUCCESS', 'settled', 'trade_success', now()`, noOrders(1), waits},
		// What a broken server says in passing is no answer.
		{
			"one NO_ORDER and one behind HTTP 503", testMID, `200, 'SUCCESS', 'TRADE_SUCCESS', 'settled', 'trade_success', now()`,
			append(noOrders(1), `503, 'NO_ORDER', NULL, 'no_answer', 'transient', now()`), waits,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.addLost(t)
			w.addOf(t, tt.mid, 1)
			w.exec(t, `UPDATE orders SET status = 'TRADE_SUCCESS' WHERE mer_order_id = $1`, mer(1))
			insert := func(n int, values string) {
				w.exec(t, `INSERT INTO order_queries (order_id, claim_no, http_status, err_code, trade_status, decision, reason, queried_at)
					SELECT id, 0, `+values+` FROM orders WHERE mer_order_id = $1`, mer(n))
			}
			insert(1, tt.found)
			for _, values := range tt.noOrders {
				insert(0, values)
			}
			sweep(t, w.poller(t), Run{})
			w.wantState(t, 0, tt.want)
		})
	}
}

func noOrders(n int) []string {
	var all []string
	for range n {
		all = append(all, `200, 'NO_ORDER', NULL, 'deferred', 'no_order', now() - interval '1 hour'`)
	}
	return all
}

// Where no order of the merchant is ever found, a person is called. That is when the order is as
// old as is waited for, and not before.
func TestNotFoundUnconfirmed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addLost(t)
	for range 4 {
		w.again(t)
	}
	w.wantState(t, 0, "UNKNOWN - later 4 free -")
	w.exec(t, `UPDATE orders SET created_at = now() - interval '8 days'`)
	w.again(t)
	w.wantState(t, 0, "UNKNOWN not_found_unconfirmed never 4 free -")
	w.wantEvents(t, 0, "order.review")
	// The settings corrected, the order turns up.
	w.script(t, testMID, 0, isPaidStep)
	sweep(t, w.poller(t), Run{Selection: &store.Selection{OnlyReview: true}})
	w.wantState(t, 0, "TRADE_SUCCESS - never 4 free 1000")
	w.wantEvents(t, 0, "order.review", "order.paid")
}
