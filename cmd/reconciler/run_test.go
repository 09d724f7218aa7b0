package main_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/store/storetest"
)

func TestRunSettlesOrdersOldAndNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	batch := func() {
		w.orders(t, 3, paid())
		w.orders(t, 2, simulator.Step{Status: chinaums.StatusNewOrder, Times: 1}, simulator.Step{Status: chinaums.StatusWaitBuyerPay, Times: 1}, paid())
		w.orders(t, 2, status(chinaums.StatusTradeClosed))
		w.orders(t, 2, status(chinaums.StatusTradeRefund))
		w.orders(t, 1, paid(simulator.MutationOtherOrder))
	}
	want := map[string]int{"TRADE_SUCCESS": 5, "TRADE_CLOSED": 2, "TRADE_REFUND": 2, "UNKNOWN": 1}
	twice := map[string]int{"TRADE_SUCCESS": 10, "TRADE_CLOSED": 4, "TRADE_REFUND": 4, "UNKNOWN": 2}

	batch()
	p := w.start(t, "run")
	eventually(t, "the orders that were there are settled", func() bool { return cmp.Equal(w.statuses(t), want) })
	batch()
	eventually(t, "the orders that came later are settled", func() bool { return cmp.Equal(w.statuses(t), twice) })
	p.stop(t)

	reviews := column[string](t, w, `SELECT review_reason || ' ' || (next_query_at IS NULL) FROM orders WHERE review_reason IS NOT NULL`)
	if diff := cmp.Diff([]string{"identity_mismatch true", "identity_mismatch true"}, reviews); diff != "" {
		t.Errorf("reviews (-want +got):\n%s", diff)
	}
	if n := scan[int](t, w, `SELECT count(*) FROM orders WHERE lease_until IS NOT NULL OR claimed_by IS NOT NULL`); n != 0 {
		t.Errorf("%d orders are still claimed", n)
	}
	wantBooked(t, w)
	wantEvents(t, w, map[string]int{"order.paid": 10, "order.closed": 4, "order.refunded": 4, "order.review": 2})
	if n := scan[int](t, w, `SELECT sum(round_trips) FROM order_queries`); n != w.Total() {
		t.Errorf("%d round trips in the ledger, want the %d that the gateway has seen", n, w.Total())
	}
	if n := scan[int](t, w, `SELECT count(*) FROM orders WHERE query_count = 2`); n != 4 {
		t.Errorf("%d orders have spent two steps of the plan, want the 4 that were asked three times", n)
	}
}

// wantBooked compares what was booked with the answers in the ledger.
func wantBooked(t *testing.T, w *world) {
	t.Helper()
	wrong := column[string](t, w, `
		SELECT o.mer_order_id || ' ' || o.status
		FROM orders o JOIN order_queries q ON q.order_id = o.id AND q.decision = 'settled'
		WHERE o.status <> q.response->>'status'
		   OR o.seq_id IS DISTINCT FROM nullif(q.response->>'seqId', '')
		   OR o.target_order_id IS DISTINCT FROM nullif(q.response->>'targetOrderId', '')
		   OR o.order_amount <> $1
		   OR o.next_query_at IS NOT NULL
		   OR CASE WHEN o.status = 'TRADE_CLOSED' THEN num_nonnulls(o.total_amount, o.pay_time, o.settle_date) > 0
		      ELSE o.total_amount IS DISTINCT FROM o.order_amount
		        OR o.total_amount IS DISTINCT FROM (q.response->>'totalAmount')::bigint
		        OR o.pay_time IS DISTINCT FROM (q.response->>'payTime')::timestamp AT TIME ZONE 'Asia/Shanghai'
		        OR o.settle_date IS DISTINCT FROM (q.response->>'settleDate')::date
		        OR o.pay_time IS NULL OR o.settle_date IS NULL OR o.seq_id IS NULL
		      END`, amount)
	if len(wrong) > 0 {
		t.Errorf("booked otherwise than answered: %q", wrong)
	}
}

func wantEvents(t *testing.T, w *world, want map[string]int) {
	t.Helper()
	got := make(map[string]int)
	for _, event := range column[string](t, w, `SELECT event FROM order_events`) {
		got[event]++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if n := scan[int](t, w, `SELECT count(*) - count(DISTINCT order_id) FROM order_events`); n != 0 {
		t.Errorf("%d events beyond one for each order", n)
	}
}

func TestRunTellsWhoListens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.orders(t, 1, paid())
	listener := storetest.Connect(t, w.url)
	if _, err := listener.Exec(t.Context(), "LISTEN order_events"); err != nil {
		t.Fatal(err)
	}
	p := w.start(t, "run")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	heard, err := listener.WaitForNotification(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if heard.Channel != "order_events" {
		t.Errorf("heard of %q", heard.Channel)
	}
	// A listener finds the event, and the order as the event tells: they are one transaction.
	if got := scan[string](t, w, `SELECT e.event || ' ' || o.status || ' ' || (e.payload->>'to') FROM order_events e JOIN orders o ON o.id = e.order_id`); got != "order.paid TRADE_SUCCESS TRADE_SUCCESS" {
		t.Errorf("after the notification: %s", got)
	}
	p.stop(t)
}

func TestRunLeavesWhatTheApplicationSettled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	number := w.orders(t, 1, status(chinaums.StatusWaitBuyerPay))[0]
	p := w.start(t, "run")
	eventually(t, "the order is asked about", func() bool { return w.Count(number) > 0 })
	w.exec(t, `UPDATE orders SET status = 'TRADE_SUCCESS' WHERE mer_order_id = $1`, number)
	asked := w.Count(number)

	other := w.orders(t, 1, status(chinaums.StatusWaitBuyerPay))[0]
	eventually(t, "another order is asked about again and again", func() bool { return w.Count(other) >= 3 })
	p.stop(t)
	if got := w.Count(number); got > asked+1 { // one question may have been on its way
		t.Errorf("asked %d times after the application had settled the order", got-asked)
	}
	if got := scan[string](t, w, `SELECT status FROM orders WHERE mer_order_id = $1`, number); got != "TRADE_SUCCESS" {
		t.Errorf("status %s, want the application's TRADE_SUCCESS", got)
	}
	wantEvents(t, w, map[string]int{})
}

func TestRunNeverOverwritesTheApplication(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		application, gateway chinaums.Status
		decision, review     string
	}{
		{"TRADE_SUCCESS", "WAIT_BUYER_PAY", "superseded", ""},
		{"TRADE_SUCCESS", "TRADE_SUCCESS", "superseded", ""},
		{"TRADE_SUCCESS", "TRADE_REFUND", "superseded", ""}, // both say paid
		{"TRADE_CLOSED", "TRADE_CLOSED", "superseded", ""},
		{"TRADE_CLOSED", "TRADE_SUCCESS", "review", "conflict"},
		{"TRADE_SUCCESS", "TRADE_CLOSED", "review", "conflict"},
		{"TRADE_REFUND", "TRADE_CLOSED", "review", "conflict"},
	} {
		t.Run(fmt.Sprintf("%s while the answer is %s", test.application, test.gateway), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.orders(t, 1, status(test.gateway))
			hold := w.hold()
			p := w.start(t, "run")
			hold.await(t, 1)
			w.exec(t, `UPDATE orders SET status = $1`, test.application)
			hold.release()
			eventually(t, "the answer is in the ledger", func() bool { return scan[int](t, w, `SELECT count(*) FROM order_queries`) == 1 })
			p.stop(t)

			got := scan[string](t, w, `
				SELECT concat_ws(' ', o.status, q.decision, q.trade_status, o.review_reason)
				FROM orders o JOIN order_queries q ON q.order_id = o.id`)
			want := strings.TrimSpace(strings.Join([]string{string(test.application), test.decision, string(test.gateway), test.review}, " "))
			if got != want {
				t.Errorf("status, decision, answer, review = %q, want %q", got, want)
			}
			if n := scan[int](t, w, `SELECT num_nonnulls(total_amount, pay_time, seq_id, lease_until, claimed_by) FROM orders`); n != 0 {
				t.Errorf("%d columns hold something of the late answer or of its claim", n)
			}
			events := map[string]int{}
			if test.review != "" {
				events["order.review"] = 1
			}
			wantEvents(t, w, events)
		})
	}
}
