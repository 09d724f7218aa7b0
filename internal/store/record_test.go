package store_test

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

func TestRecordWritesTheLedgerAndOneEvent(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	listener, err := pgx.Connect(t.Context(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close(context.Background())
	if _, err := listener.Exec(t.Context(), "LISTEN order_events"); err != nil {
		t.Fatal(err)
	}
	out := settled(d.claimOne(t))
	out.Question.Response = []byte(`{"status":"TRADE_SUCCESS","totalAmount":100}`)
	d.record(t, out)
	d.record(t, out) // as after a commit whose answer was lost

	row := scan[string](t, d, `SELECT concat_ws(' ', order_id, claim_no, duration_ms, round_trips, worker, http_status, err_code,
		trade_status, decision, reason, response->>'totalAmount') FROM order_queries`)
	if want := "1 1 20 1 test 200 SUCCESS TRADE_SUCCESS settled trade_success 100"; row != want {
		t.Errorf("ledger %q, want %q", row, want)
	}
	if n := scan[int](t, d, `SELECT count(*) FROM order_queries`); n != 1 {
		t.Errorf("%d ledger rows, want 1", n)
	}
	if n := scan[int](t, d, `SELECT count(*) FROM order_events WHERE event = 'order.paid' AND mid = $1 AND mer_order_id = '319400000001'`, mid); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
	payload := scan[string](t, d, `SELECT concat_ws(' ', payload->>'from', payload->>'to', payload->>'total_amount', payload->>'claim_no') FROM order_events`)
	if want := "UNKNOWN TRADE_SUCCESS 100 1"; payload != want {
		t.Errorf("payload %q, want %q", payload, want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if n, err := listener.WaitForNotification(ctx); err != nil || n.Channel != "order_events" {
		t.Errorf("notification %v, %v", n, err)
	}
}

func TestRecordDeferredSpendsThePlan(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	out := deferred(d.claimOne(t))
	d.record(t, out)
	d.record(t, out) // writing again holds for none
	row := scan[string](t, d, `SELECT concat_ws(' ', status, query_count, next_query_at = $1, lease_until IS NULL, total_amount IS NULL) FROM orders`, out.NextQueryAt)
	if want := "NEW_ORDER 1 t t t"; row != want {
		t.Errorf("row %q, want %q", row, want)
	}
	if n := scan[int](t, d, `SELECT count(*) FROM order_queries`); n != 1 {
		t.Errorf("%d ledger rows, want 1", n)
	}
}

// otherAmount is the review of an answer that says paid, with another amount.
func otherAmount(o order.Order) order.Outcome {
	out := deferred(o)
	out.Decision, out.Reason, out.ReviewReason = order.Review, order.ReviewAmountMismatch, order.ReviewAmountMismatch
	out.Status, out.NextQueryAt, out.Event = o.Status, nil, order.EventReview
	out.Question.TradeStatus = string(order.StatusTradeSuccess)
	return out
}

func TestRecordKeepsTheEvidenceOfWhoCameLate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		meanwhile    string
		outcome      func(order.Order) order.Outcome
		wantDecision order.Decision
		wantRow      string // status, review_reason
		wantEvents   int
	}{
		{"the application settled it alike", `UPDATE orders SET status = 'TRADE_SUCCESS'`, settled, order.Superseded, "TRADE_SUCCESS", 0},
		{"paid and refunded do not contradict", `UPDATE orders SET status = 'TRADE_REFUND'`, settled, order.Superseded, "TRADE_REFUND", 0},
		{"the application closed what is paid", `UPDATE orders SET status = 'TRADE_CLOSED'`, settled, order.Review, "TRADE_CLOSED conflict", 1},
		{"the application closed what is paid with another amount", `UPDATE orders SET status = 'TRADE_CLOSED'`, otherAmount, order.Review, "TRADE_CLOSED conflict", 1},
		{"the application settled what is paid with another amount", `UPDATE orders SET status = 'TRADE_SUCCESS'`, otherAmount, order.Superseded, "TRADE_SUCCESS", 0},
		{"the application settled, the answer is open", `UPDATE orders SET status = 'TRADE_CLOSED'`, deferred, order.Superseded, "TRADE_CLOSED", 0},
		{"another claim", `UPDATE orders SET claim_no = claim_no + 1`, settled, order.Superseded, "UNKNOWN", 0},
		{"the claim number went back", `UPDATE orders SET claim_no = -9223372036854775808`, settled, order.Superseded, "UNKNOWN", 0},
		{"another status", `UPDATE orders SET status = 'WAIT_BUYER_PAY'`, settled, order.Superseded, "WAIT_BUYER_PAY", 0},
		{"not found by another", `UPDATE orders SET status = 'NOT_FOUND'`, settled, order.Superseded, "NOT_FOUND", 0},
		{"the claim was given back", `UPDATE orders SET lease_until = NULL`, settled, order.Superseded, "UNKNOWN", 0},
		{"the row is gone", `DELETE FROM orders`, settled, order.Superseded, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			d.insert(t, 1)
			out := tt.outcome(d.claimOne(t))
			d.exec(t, tt.meanwhile)
			written := d.record(t, out)
			if written[0].Decision != tt.wantDecision {
				t.Errorf("decision %s, want %s", written[0].Decision, tt.wantDecision)
			}
			if got := scan[string](t, d, `SELECT coalesce(max(concat_ws(' ', status, review_reason)), '') FROM orders`); got != tt.wantRow {
				t.Errorf("row %q, want %q", got, tt.wantRow)
			}
			if got := scan[string](t, d, `SELECT string_agg(decision, ',') FROM order_queries`); got != string(tt.wantDecision) {
				t.Errorf("ledger %q, want %q", got, tt.wantDecision)
			}
			if got := scan[int](t, d, `SELECT count(*) FROM order_events`); got != tt.wantEvents {
				t.Errorf("%d events, want %d", got, tt.wantEvents)
			}
			if n := scan[int](t, d, `SELECT count(*) FROM orders WHERE total_amount IS NOT NULL OR query_count > 0 OR unrecorded_claims < 0`); n != 0 {
				t.Error("something of a superseded answer was booked, or claims count below 0")
			}
		})
	}
}

// A second late answer of the same kind is one conflict, not two, in a group of its own or in the
// same.
func TestRecordTellsOfAConflictOnce(t *testing.T) {
	t.Parallel()
	for _, together := range []bool{false, true} {
		d := open(t)
		d.insert(t, 1)
		first := settled(d.claimOne(t))
		d.exec(t, `UPDATE orders SET lease_until = now() - interval '1 second'`)
		second := settled(d.claimOne(t))
		d.exec(t, `UPDATE orders SET status = 'TRADE_CLOSED'`)
		if together {
			d.record(t, first, second)
		} else {
			d.record(t, first)
			d.record(t, second)
		}
		if n := scan[int](t, d, `SELECT count(*) FROM order_events`); n != 1 {
			t.Errorf("together %t: %d events, want 1", together, n)
		}
		if n := scan[int](t, d, `SELECT count(*) FROM order_queries`); n != 2 {
			t.Errorf("together %t: %d ledger rows, want 2", together, n)
		}
		if n := scan[int](t, d, `SELECT count(*) FROM order_queries WHERE decision = 'review' AND reason = 'conflict'`); n != 2 {
			t.Errorf("together %t: %d ledger rows of the conflict, want 2", together, n)
		}
	}
}

// One process can hold an old and a new claim of the same order: only the newer
// one counts, even in one group.
func TestRecordTwoClaimsOfAnOrderInOneGroup(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	old := settled(d.claimOne(t))
	d.exec(t, `UPDATE orders SET lease_until = now() - interval '1 second'`)
	newer := settled(d.claimOne(t))
	written := d.record(t, old, newer)
	if written[0].Decision != order.Superseded || written[1].Decision != order.Settled {
		t.Errorf("decisions %s, %s; want superseded, settled", written[0].Decision, written[1].Decision)
	}
	if n := scan[int](t, d, `SELECT count(*) FROM order_events`); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

// A stale copy of the row that an ORM saves whole lowers the claim number, so that two questions
// have the same one. The ledger keeps both.
func TestRecordOfTwoQuestionsWithOneClaimNumber(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	first := deferred(d.claimOne(t))
	d.record(t, first)
	d.exec(t, `UPDATE orders SET claim_no = 0, next_query_at = now()`)
	second := settled(d.claimOne(t))
	second.Question.At = first.Question.At.Add(time.Second)
	d.exec(t, `UPDATE orders SET status = 'TRADE_SUCCESS'`)
	d.record(t, second)
	d.record(t, second) // the reply was lost: it is written again
	if got := scan[string](t, d, `SELECT string_agg(claim_no || ' ' || decision, ', ' ORDER BY id) FROM order_queries`); got != "1 deferred, 1 superseded" {
		t.Errorf("ledger %q", got)
	}
}

func TestRecordReviews(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	d.exec(t, `UPDATE orders SET review_reason = 'amount_missing', review_note = 'a note'`)
	claim := func() order.Order {
		orders := d.claimWith(t, store.Claim{Limit: 1, Selection: &store.Selection{OnlyReview: true}})
		if len(orders) != 1 {
			t.Fatalf("claimed %v", orders)
		}
		return orders[0]
	}
	review := func() string {
		return scan[string](t, d, `SELECT concat_ws(': ', review_reason, review_note) FROM orders`)
	}

	stays := deferred(claim())
	stays.NextQueryAt = nil
	d.record(t, stays)
	if got := review(); got != "amount_missing: a note" {
		t.Errorf("after a deferred answer: %q", got)
	}
	other := deferred(claim())
	other.Decision, other.NextQueryAt, other.ReviewReason, other.ReviewNote = order.Review, nil, "amount_mismatch", "another"
	d.record(t, other)
	if got := review(); got != "amount_mismatch: another" {
		t.Errorf("after another review: %q", got)
	}
	d.record(t, settled(claim()))
	if got := review(); got != "" {
		t.Errorf("after a settlement: %q", got)
	}
}

func TestRecordReviewsAValueThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*order.Outcome){
		"a NUL character":  func(o *order.Outcome) { o.Booking.BankInfo = new("a\x00b") },
		"a short number":   func(o *order.Outcome) { o.Booking.TargetOrderID = new("123") },
		"a number too big": func(o *order.Outcome) { o.Booking.TotalAmount = new(int64(-1)) },
		"a text too long for its index": func(o *order.Outcome) {
			var text strings.Builder // it cannot be compressed
			for range 400 {
				text.WriteString(rand.Text())
			}
			o.Booking.RefID = new(text.String())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			d.insert(t, 2)
			orders := d.claim(t, 2)
			good, bad := settled(orders[0]), settled(orders[1])
			spoil(&bad)
			written := d.record(t, good, bad)
			if written[0].Decision != order.Settled || written[1].Decision != order.Review {
				t.Fatalf("decisions %s, %s; want settled, review", written[0].Decision, written[1].Decision)
			}
			if got := scan[string](t, d, `SELECT concat_ws(' ', status, review_reason, total_amount) FROM orders WHERE id = 2`); got != "UNKNOWN unwritable" {
				t.Errorf("row %q", got)
			}
			note := scan[string](t, d, `SELECT review_note FROM orders WHERE id = 2`)
			if !strings.Contains(note, "TRADE_SUCCESS") || !strings.Contains(note, "by hand") {
				t.Errorf("the note does not say what to do: %q", note)
			}
			if got := scan[string](t, d, `SELECT concat_ws(' ', decision, reason) FROM order_queries WHERE order_id = 2`); got != "review unwritable" {
				t.Errorf("ledger %q", got)
			}
			if got := scan[string](t, d, `SELECT string_agg(event, ',' ORDER BY order_id) FROM order_events`); got != "order.paid,order.review" {
				t.Errorf("events %q", got)
			}
		})
	}
}

// Evidence must be written whatever the gateway sends.
func TestRecordMakesTheLedgersTextsSafe(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	out := deferred(d.claimOne(t))
	out.Question.ErrCode, out.Question.ErrMsg, out.Question.TradeStatus = "A\x00", "b\xff\x00", "C\x00"
	out.LastError = "d\x00\xff"
	d.record(t, out)
	got := scan[string](t, d, `SELECT concat_ws(' ', err_code, err_msg, trade_status, last_error) FROM order_queries JOIN orders ON orders.id = order_id`)
	if want := "A\uFFFD b\uFFFD\uFFFD C\uFFFD d\uFFFD\uFFFD"; got != want {
		t.Errorf("texts %q, want %q", got, want)
	}
}

// A long text is cut between two characters.
func TestRecordCutsLongTexts(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	out := deferred(d.claimOne(t))
	out.Question.ErrMsg = strings.Repeat("订单", 200)
	d.record(t, out)
	got := scan[string](t, d, `SELECT err_msg FROM order_queries`)
	if want := strings.Repeat("订单", 166) + "订…"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
}

func TestRecordOfStaleAndFreshClaimsByManyWriters(t *testing.T) {
	t.Parallel()
	d := open(t)
	const orders = 60
	d.insert(t, orders)
	var groups [][]order.Outcome
	for range 4 { // four claims of each order, of which only the last may count
		var group []order.Outcome
		for _, o := range d.claim(t, orders) {
			group = append(group, settled(o))
		}
		groups = append(groups, group)
		d.exec(t, `UPDATE orders SET lease_until = now() - interval '1 second', unrecorded_claims = 0`)
	}
	var wg sync.WaitGroup
	for _, group := range groups {
		wg.Go(func() {
			for len(group) > 0 {
				written, err := d.Record(t.Context(), group)
				if err != nil {
					t.Error(err)
					return
				}
				group = nil // except what another writer holds at the moment
				for _, out := range written {
					if out.State == store.Locked {
						group = append(group, out.Outcome)
					}
				}
			}
		})
	}
	wg.Wait()
	got := scan[string](t, d, `SELECT (SELECT count(*) FROM orders WHERE status = 'TRADE_SUCCESS') || ' ' ||
		(SELECT count(*) FROM order_events) || ' ' || (SELECT count(*) FROM order_queries) || ' ' ||
		(SELECT count(*) FROM order_queries WHERE decision = 'superseded')`)
	if want := "60 60 240 180"; got != want {
		t.Errorf("settled, events, questions, superseded: %s, want %s", got, want)
	}
}

// An open transaction of the application holds up its own order and no other.
func TestRecordDoesNotWaitForALockedRow(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 2)
	orders := d.claim(t, 2)
	d.exec(t, `BEGIN`)
	d.exec(t, `UPDATE orders SET status = 'TRADE_CLOSED' WHERE id = 1`)
	written := d.recordAll(t, settled(orders[0]), settled(orders[1]))
	if written[0].State != store.Locked || written[1].State != store.Written || written[1].Outcome.Decision != order.Settled {
		t.Errorf("written %+v", written)
	}
	d.exec(t, `ROLLBACK`)
	if n := scan[int](t, d, `SELECT count(*) FROM order_queries`); n != 1 {
		t.Errorf("%d ledger rows, want 1", n)
	}
	if again := d.record(t, written[0].Outcome); again[0].Decision != order.Settled {
		t.Errorf("written again %+v", again)
	}
}

// A person who corrects an order under review while it is asked about by hand has
// the last word.
func TestRecordLeavesAReviewThatWasLifted(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	d.exec(t, `UPDATE orders SET review_reason = 'bad_request', next_query_at = NULL`)
	orders := d.claimWith(t, store.Claim{Limit: 1, Selection: &store.Selection{OnlyReview: true}})
	d.exec(t, `UPDATE orders SET review_reason = NULL, next_query_at = now()`)
	out := deferred(orders[0])
	out.NextQueryAt = nil
	if written := d.record(t, out); written[0].Decision != order.Superseded {
		t.Errorf("decision %s, want superseded", written[0].Decision)
	}
	if n := scan[int](t, d, `SELECT count(*) FROM orders WHERE review_reason IS NULL AND next_query_at IS NOT NULL AND lease_until IS NULL`); n != 1 {
		t.Error("the order is neither due nor under review")
	}
}

func TestNotFoundEvidence(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 3)
	d.exec(t, `UPDATE orders SET mid = '898340149000099' WHERE id = 3`)
	d.exec(t, `INSERT INTO order_queries (order_id, claim_no, decision, err_code, reason, http_status) VALUES
		(1, 1, 'deferred', 'NO_ORDER', 'no_order', 200), (1, 2, 'superseded', 'NO_ORDER', 'superseded after: no_order', 412),
		(1, 3, 'no_answer', '9200', 'transient', 200), (2, 1, 'deferred', 'NO_ORDER', 'no_order', 200),
		(1, 4, 'no_answer', 'NO_ORDER', 'transient', 503),        -- an overloaded gateway
		(1, 5, 'deferred', 'NO_ORDER', 'unusable_answer', 503),   -- the same, while others are answered
		(1, 6, 'superseded', 'NO_ORDER', 'superseded after: transient', 503)`)
	since := time.Now().Add(-24 * time.Hour)
	first := order.Order{ID: 1, MID: mid}
	check := func(want order.Evidence) {
		t.Helper()
		got, err := d.NotFoundEvidence(t.Context(), first, since)
		if err != nil || got != want {
			t.Errorf("evidence %+v, %v; want %+v", got, err, want)
		}
	}
	check(order.Evidence{NoOrders: 2})
	d.exec(t, `INSERT INTO order_queries (order_id, claim_no, decision, trade_status, reason, queried_at) VALUES
		(3, 1, 'settled', 'TRADE_SUCCESS', NULL, now()),                      -- another merchant
		(2, 2, 'review', 'TRADE_SUCCESS', 'identity_mismatch', now()),        -- another order's answer
		(2, 3, 'no_answer', 'TRADE_SUCCESS', 'transient', now()),             -- an error page
		(2, 6, 'deferred', 'TRADE_SUCCESS', 'unusable_answer', now()),        -- the same, while others are answered
		(2, 4, 'deferred', 'NEW_ORDER', 'unresolved', now() - interval '25 hours')`)
	check(order.Evidence{NoOrders: 2})
	d.exec(t, `INSERT INTO order_queries (order_id, claim_no, decision, trade_status) VALUES (2, 5, 'deferred', 'NEW_ORDER')`)
	check(order.Evidence{NoOrders: 2, MerchantFound: true})
}
