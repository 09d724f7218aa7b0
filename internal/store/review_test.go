package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// detail is an order as a person is shown it.
func (d database) detail(t *testing.T, id int64) store.Detail {
	t.Helper()
	list, err := d.FindOrders(t.Context(), store.OrderName{ID: id}, nil)
	must(t, err)
	if len(list) != 1 {
		t.Fatalf("order %d: %d rows", id, len(list))
	}
	return list[0]
}

// paidByHand is a person's settlement of an order as it is now.
func (d database) paidByHand(t *testing.T, id int64) store.HandSettlement {
	t.Helper()
	return store.HandSettlement{
		Shown: d.detail(t, id), Status: order.StatusTradeSuccess, Event: order.EventPaid, TotalAmount: new(int64(100)), Action: byHand("resolve"),
	}
}

// wantNothingWritten compares orders, events and actions with what they were.
func (d database) wantNothingWritten(t *testing.T, when, before string) {
	t.Helper()
	if after := d.everything(t); after != before {
		t.Errorf("%s: rows were %s\nand are %s", when, before, after)
	}
}

func (d database) everything(t *testing.T) string {
	t.Helper()
	return scan[string](t, d, `SELECT concat((SELECT string_agg(to_jsonb(o)::text, ',' ORDER BY id) FROM orders AS o),
		(SELECT string_agg(to_jsonb(e)::text, ',' ORDER BY id) FROM order_events AS e), (SELECT count(*) FROM operator_actions))`)
}

// A settlement by hand is one transaction: the order, its event, those who listen, the action.
func TestSettleByHand(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	d.exec(t, `UPDATE orders SET status = 'NEW_ORDER', review_reason = 'amount_mismatch', review_note = 'look', last_error = 'trouble',
		lease_until = now() - interval '1 minute', claimed_by = 'worker', claim_no = 3, unrecorded_claims = 2, query_count = 4`)
	d.exec(t, `LISTEN order_events`)
	paid, day := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC), time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	h := d.paidByHand(t, 1)
	h.Status, h.Event, h.TotalAmount, h.RefundAmount, h.PayTime, h.SettleDate = order.StatusTradeRefund, order.EventRefunded, new(int64(90)), new(int64(40)), &paid, &day
	h.Action.Evidence = "the platform's page"
	trace, err := d.SettleByHand(t.Context(), h)
	must(t, err)

	for sql, want := range map[string]string{
		`SELECT concat_ws(' ', status, total_amount, refund_amount, pay_time AT TIME ZONE 'UTC', settle_date, settled_by, settled_at <= now(), updated_at = settled_at,
			claim_no, query_count, unrecorded_claims, num_nonnulls(review_reason, review_note, last_error, next_query_at, lease_until, claimed_by)) FROM orders`: "TRADE_REFUND 90 40 2026-11-25 08:00:00 2026-11-26 hand t t 3 4 0 0",
		`SELECT concat_ws(' ', order_id, mid, mer_order_id, event) FROM order_events`: "1 " + mid + " 319400000001 order.refunded",
		`SELECT concat_ws(' ', payload->>'from', payload->>'to', payload->>'order_amount', payload->>'total_amount', payload->>'refund_amount', payload->>'pay_time',
			payload->>'settle_date', payload->>'settled_by', payload->>'settled_before', payload->>'claim_no') FROM order_events`: "NEW_ORDER TRADE_REFUND 100 90 40 2026-11-25T08:00:00Z 2026-11-26 hand 3",
		`SELECT concat_ws(' ', actor, action, order_id, reason, evidence, before->>'status', before->>'review_reason', after->>'status', after->>'total_amount',
			after->>'settled_by', after->>'review_reason') FROM operator_actions`: "li resolve 1 ticket 812 the platform's page NEW_ORDER amount_mismatch TRADE_REFUND 90 hand",
	} {
		if got := scan[string](t, d, sql); got != want {
			t.Errorf("%s:\n got %q\nwant %q", sql, got, want)
		}
	}
	if words(t, trace.Before, "status") != "NEW_ORDER" || words(t, trace.After, "status") != "TRADE_REFUND" ||
		trace.ActionID != scan[int64](t, d, `SELECT id FROM operator_actions`) || trace.EventID != scan[int64](t, d, `SELECT id FROM order_events`) {
		t.Errorf("trace %+v", trace)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := d.conn.WaitForNotification(ctx); err != nil {
		t.Errorf("nobody was told: %v", err)
	}
}

// What is given is booked. What is not given stays, except of an order that is closed.
func TestSettleByHandBooks(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 4)
	d.exec(t, `UPDATE orders SET total_amount = 70, refund_amount = 30, pay_time = '2026-11-01T00:00:00Z', settle_date = '2026-11-02'`)
	paid, day := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC), time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	id := int64(0)
	for name, tt := range map[string]struct {
		give func(*store.HandSettlement)
		want string
	}{
		"paid, the amount alone": {func(*store.HandSettlement) {}, "TRADE_SUCCESS 100 30 2026-11-01 00:00:00 2026-11-02"},
		"paid, all":              {func(h *store.HandSettlement) { h.RefundAmount, h.PayTime, h.SettleDate = new(int64(0)), &paid, &day }, "TRADE_SUCCESS 100 0 2026-11-25 08:00:00 2026-11-26"},
		"closed": {func(h *store.HandSettlement) {
			h.Status, h.Event, h.TotalAmount = order.StatusTradeClosed, order.EventClosed, nil
		}, "TRADE_CLOSED"},
		"closed after a refund": {func(h *store.HandSettlement) {
			h.Status, h.Event, h.RefundAmount, h.PayTime, h.SettleDate = order.StatusTradeClosed, order.EventClosed, new(int64(100)), &paid, &day
		}, "TRADE_CLOSED 100 100 2026-11-25 08:00:00 2026-11-26"},
	} {
		id++
		h := d.paidByHand(t, id)
		tt.give(&h)
		_, err := d.SettleByHand(t.Context(), h)
		must(t, err)
		if got := scan[string](t, d, `SELECT concat_ws(' ', status, total_amount, refund_amount, pay_time AT TIME ZONE 'UTC', settle_date) FROM orders WHERE id = $1`, id); got != tt.want {
			t.Errorf("%s: booked %q, want %q", name, got, tt.want)
		}
	}
}

// A second settlement says that it is one.
func TestSettleByHandAfterAnotherSettlement(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	d.record(t, settled(d.claimOne(t)))
	d.exec(t, `UPDATE orders SET status = 'TRADE_CLOSED', review_reason = 'conflict'`)
	_, err := d.SettleByHand(t.Context(), d.paidByHand(t, 1))
	must(t, err)
	if got := scan[string](t, d, `SELECT string_agg(concat_ws(' ', event, payload->>'from', payload->>'to', payload->>'settled_by', payload->>'settled_before'), ', ' ORDER BY id) FROM order_events`); got != "order.paid UNKNOWN TRADE_SUCCESS query, order.paid TRADE_CLOSED TRADE_SUCCESS hand true" {
		t.Errorf("events %s", got)
	}
	if got := scan[string](t, d, `SELECT concat_ws(' ', status, settled_by, review_reason) FROM orders`); got != "TRADE_SUCCESS hand" {
		t.Errorf("order %s", got)
	}
}

// A decision from a row that has changed since writes nothing, whatever changed it.
func TestReviewsAreGuardedByWhatWasShown(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 2)
	d.exec(t, `UPDATE orders SET review_reason = 'bad_request', total_amount = 100, refund_amount = 0`)
	for name, change := range map[string]string{
		"settled by the application": `status = 'TRADE_CLOSED'`,
		"lifted":                     `review_reason = NULL, next_query_at = now()`,
		"of another reason":          `review_reason = 'conflict'`,
		"asked about":                `claim_no = claim_no + 1`,
		"another merchant's":         `mid = '898340149000099'`,
		"another terminal's":         `tid = '88880002'`,
		"of another business type":   `inst_mid = 'OTHERTYPE'`,
		"of another number":          `mer_order_id = '319400000099'`,
		"of a channel's number":      `target_order_id = '4200000000000000000000000001'`,
		"of another amount":          `order_amount = 200`,
		"of another total":           `total_amount = 99`,
		"of no total":                `total_amount = NULL`,
		"refunded":                   `refund_amount = 1`,
		"touched":                    `updated_at = now()`,
	} {
		h := d.paidByHand(t, 1)
		original := scan[string](t, d, `SELECT to_jsonb(o)::text FROM orders AS o WHERE id = 1`)
		d.exec(t, `UPDATE orders SET `+change+` WHERE id = 1`)
		before := d.everything(t)
		if _, err := d.SettleByHand(t.Context(), h); !errors.Is(err, store.ErrChanged) {
			t.Errorf("settled an order that is %s meanwhile: %v", name, err)
		}
		if _, err := d.Retry(t.Context(), h.Shown, store.Correction{}, byHand("retry")); !errors.Is(err, store.ErrChanged) {
			t.Errorf("asked again about an order that is %s meanwhile: %v", name, err)
		}
		d.wantNothingWritten(t, name, before)
		d.exec(t, `DELETE FROM orders WHERE id = 1`)
		d.exec(t, `INSERT INTO orders SELECT * FROM jsonb_populate_record(NULL::orders, $1::text::jsonb)`, original)
	}
	h := d.paidByHand(t, 1)
	d.exec(t, `DELETE FROM orders WHERE id = 1`)
	before := d.everything(t)
	if _, err := d.SettleByHand(t.Context(), h); !errors.Is(err, store.ErrChanged) {
		t.Errorf("settled an order that is gone: %v", err)
	}
	d.wantNothingWritten(t, "gone", before)
	_, err := d.SettleByHand(t.Context(), d.paidByHand(t, 2)) // as it was shown
	must(t, err)
}

// While a question is in flight its answer comes first.
func TestReviewsWaitForTheQuestionInFlight(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	d.claimOne(t)
	h := d.paidByHand(t, 1)
	before := d.everything(t)
	var flight *store.InFlightError
	_, settleErr := d.SettleByHand(t.Context(), h)
	_, retryErr := d.Retry(t.Context(), h.Shown, store.Correction{}, byHand("retry"))
	for what, err := range map[string]error{"settled": settleErr, "asked again": retryErr} {
		if !errors.As(err, &flight) || flight.ClaimedBy != "test" || !flight.Until.Equal(*h.Shown.LeaseUntil) || !strings.Contains(err.Error(), "in flight, by test, until ") {
			t.Errorf("%s while a question is in flight: %v", what, err)
		}
	}
	d.wantNothingWritten(t, "in flight", before)
	d.exec(t, `UPDATE orders SET lease_until = now() - interval '1 second'`)
	_, err := d.SettleByHand(t.Context(), h)
	must(t, err)
}

// Of several people who were shown the same order one wins.
func TestReviewsByManyAtOnce(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	d.exec(t, `UPDATE orders SET review_reason = 'poison'`)
	h := d.paidByHand(t, 1)
	errs := d.together(t, `SELECT FROM orders FOR UPDATE`, 4, func(person int) (err error) {
		if person%2 == 0 {
			_, err = d.SettleByHand(t.Context(), h)
		} else {
			_, err = d.Retry(t.Context(), h.Shown, store.Correction{}, byHand("retry"))
		}
		return err
	})
	winner, winners := "", 0
	for i, err := range errs {
		switch {
		case err == nil:
			winner, winners = []string{"resolve TRADE_SUCCESS 1", "retry UNKNOWN 0"}[i%2], winners+1
		case !errors.Is(err, store.ErrChanged) && !isLockTimeout(err):
			t.Error(err)
		}
	}
	got := scan[string](t, d, `SELECT concat_ws(' ', (SELECT string_agg(action, ',') FROM operator_actions), status, (SELECT count(*) FROM order_events)) FROM orders`)
	if winners != 1 || got != winner {
		t.Errorf("%d people won; written %q, want %q", winners, got, winner)
	}
}

// An order whose action or event cannot be written is not settled.
func TestSettleByHandNeedsItsTraces(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	before := d.everything(t)
	for what, spoil := range map[string]func(*store.HandSettlement){
		"an action": func(h *store.HandSettlement) { h.Action.Via = "telegraph" },
		"an event":  func(h *store.HandSettlement) { h.Event = "order.lost" },
		"a status":  func(h *store.HandSettlement) { h.Status = "PAID" },
	} {
		h := d.paidByHand(t, 1)
		spoil(&h)
		if _, err := d.SettleByHand(t.Context(), h); err == nil || !strings.Contains(err.Error(), "settle order 1") {
			t.Errorf("without %s: %v", what, err)
		}
		d.wantNothingWritten(t, "without "+what, before)
	}
}

// A retry lifts the review, corrects what is given, and makes the order due.
func TestRetry(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 2)
	d.exec(t, `UPDATE orders SET review_reason = 'bad_request', review_note = 'look', next_query_at = NULL, unrecorded_claims = 3, target_order_id = '42000000000' || id`)
	const row = `SELECT concat_ws(' ', tid, inst_mid, mer_order_id, target_order_id, unrecorded_claims, next_query_at <= now(), updated_at = next_query_at, num_nonnulls(review_reason, review_note, settled_at)) FROM orders WHERE id = $1`
	for id, tt := range map[int64]struct {
		correction store.Correction
		want       string
	}{
		1: {store.Correction{}, tid + " MINIDEFAULT 319400000001 420000000001 0 t t 0"},
		2: {store.Correction{TID: "88880009", InstMID: "OTHERTYPE", MerOrderID: "319400000009", TargetOrderID: "420000000009"}, "88880009 OTHERTYPE 319400000009 420000000009 0 t t 0"},
	} {
		trace, err := d.Retry(t.Context(), d.detail(t, id), tt.correction, byHand("retry"))
		must(t, err)
		if got := scan[string](t, d, row, id); got != tt.want {
			t.Errorf("order %d: %q, want %q", id, got, tt.want)
		}
		if trace.EventID != 0 || words(t, trace.Before, "review_reason", "mer_order_id") != fmt.Sprint("bad_request 31940000000", id) ||
			words(t, trace.After, "review_reason", "mer_order_id") != "null "+scan[string](t, d, `SELECT mer_order_id FROM orders WHERE id = $1`, id) {
			t.Errorf("order %d: before %s, after %s", id, trace.Before, trace.After)
		}
		last := d.actions(t, store.ActionFilter{OrderID: id})[0]
		if last.ID != trace.ActionID || last.Action != "retry" || words(t, last.Before, "review_reason") != "bad_request" {
			t.Errorf("action %+v", last)
		}
	}
	if n := len(d.claim(t, 10)); n != 2 {
		t.Errorf("%d orders are due, want 2", n)
	}
	if n := scan[int](t, d, `SELECT count(*) FROM order_events`); n != 0 {
		t.Errorf("%d events, want none", n)
	}
}
