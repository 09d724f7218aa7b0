package operator_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/operator"
	"reconciler/internal/order"
	"reconciler/internal/store"
)

func byID(id int64) store.OrderName { return store.OrderName{ID: id} }

func paidBy(reason string) operator.Resolution {
	return operator.Resolution{As: order.StatusTradeSuccess, Reason: reason, Evidence: "56917314069N"}
}

const underReview = "review_reason = 'amount_mismatch', review_note = 'note', next_query_at = NULL"

func TestResolveLeavesEveryTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.insert(t, mid, "31940001", 100, underReview)
	s, err := w.PrepareResolve(t.Context(), byID(id), paidBy("receipt 5512"))
	if err != nil {
		t.Fatal(err)
	}
	change, err := w.Resolve(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	row := scan[string](t, w, `SELECT concat_ws(' ', status, total_amount, settled_by, settled_at IS NOT NULL, review_reason IS NULL, review_note IS NULL, next_query_at IS NULL, updated_at = settled_at) FROM orders WHERE id = $1`, id)
	if want := "TRADE_SUCCESS 100 hand t t t t t"; row != want {
		t.Errorf("row %q, want %q", row, want)
	}
	event := scan[string](t, w, `SELECT concat_ws(' ', event, mid, mer_order_id, payload->>'from', payload->>'to', payload->>'settled_by', payload->>'total_amount', payload->>'settled_before') FROM order_events WHERE id = $1`, *change.EventID)
	if want := "order.paid " + mid + " 31940001 UNKNOWN TRADE_SUCCESS hand 100"; event != want {
		t.Errorf("event %q, want %q", event, want)
	}
	action := scan[string](t, w, `SELECT concat_ws(' ', actor, via, action, order_id, reason, evidence, before->>'status', before->>'review_reason', after->>'status', after->>'settled_by', db_user = session_user) FROM operator_actions WHERE id = $1`, change.ActionID)
	if want := "wang.li cli resolve " + string(rune('0'+id)) + " receipt 5512 56917314069N UNKNOWN amount_mismatch TRADE_SUCCESS hand t"; action != want {
		t.Errorf("action %q, want %q", action, want)
	}
	w.exec(t, `UPDATE orders SET total_amount = 5000 WHERE id = $1`, id)
	if why, err := w.Why(t.Context(), byID(id)); err != nil || !strings.HasPrefix(why.Sentence, "PAID, ¥50.00") {
		t.Errorf("the sentence is %q (%v), want the amount that was paid", why.Sentence, err)
	}
	if !json.Valid(change.Before) || !strings.Contains(string(change.After), "TRADE_SUCCESS") {
		t.Errorf("change %s", change.After)
	}
}

// Of two people at once one wins. The other is told, and writes nothing.
func TestTwoPeopleResolveAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 10 {
		id := w.insert(t, mid, "3194"+rand8(t, w), 100, underReview)
		var desks [2]*operator.Desk
		var settlements [2]operator.Settlement
		for i := range desks {
			desks[i] = w.desk(t, []string{"li", "wang"}[i])
			resolution := paidBy("one of two")
			if i == 1 {
				resolution.As = order.StatusTradeClosed
			}
			var err error
			if settlements[i], err = desks[i].PrepareResolve(t.Context(), byID(id), resolution); err != nil {
				t.Fatal(err)
			}
		}
		var errs [2]error
		var both sync.WaitGroup
		for i := range desks {
			both.Go(func() { _, errs[i] = desks[i].Resolve(t.Context(), settlements[i]) })
		}
		both.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("errors %v, %v: want one winner", errs[0], errs[1])
		}
		if err := errors.Join(errs[0], errs[1]); !errors.Is(err, store.ErrChanged) {
			t.Errorf("the other was told %v", err)
		}
		if n := scan[int](t, w, `SELECT (SELECT count(*) FROM order_events WHERE order_id = $1) + (SELECT count(*) FROM operator_actions WHERE order_id = $1)`, id); n != 2 {
			t.Errorf("%d traces, want an event and an action", n)
		}
	}
}

func rand8(t *testing.T, w *world) string {
	t.Helper()
	return scan[string](t, w, `SELECT lpad((random() * 99999999)::bigint::text, 8, '0')`)
}

// The state that was shown guards the write.
func TestResolveOfAnOrderThatChanged(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"settled by the application": "status = 'TRADE_CLOSED'",
		"claimed and answered":       "claim_no = claim_no + 1",
		"another review":             "review_reason = 'poison'",
		"another amount":             "order_amount = 99",
		"another number":             "target_order_id = 'WX42000001'",
		"written":                    "updated_at = updated_at + interval '1 microsecond'",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.insert(t, mid, "31940001", 100, underReview)
			s, err := w.PrepareResolve(t.Context(), byID(id), paidBy("too late"))
			if err != nil {
				t.Fatal(err)
			}
			w.exec(t, `UPDATE orders SET `+change)
			if _, err := w.Resolve(t.Context(), s); !errors.Is(err, store.ErrChanged) {
				t.Errorf("err = %v, want ErrChanged", err)
			}
			if n := scan[int](t, w, `SELECT (SELECT count(*) FROM order_events) + (SELECT count(*) FROM operator_actions)`); n != 0 {
				t.Errorf("%d traces of an action that failed", n)
			}
		})
	}
}

func TestResolveInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.insert(t, mid, "31940001", 100)
	s, err := w.PrepareResolve(t.Context(), byID(id), paidBy("why"))
	if err != nil {
		t.Fatal(err)
	}
	w.exec(t, `UPDATE orders SET lease_until = now() + interval '1 minute', claimed_by = 'web-1/7'`)
	_, early := w.PrepareResolve(t.Context(), byID(id), paidBy("why"))
	_, late := w.Resolve(t.Context(), s)
	for _, err := range []error{early, late} {
		var flight *store.InFlightError
		if !errors.As(err, &flight) || !strings.Contains(err.Error(), "+08:00") || !strings.Contains(err.Error(), "web-1/7") {
			t.Errorf("err = %v, want until when, in China time", err)
		}
	}
}

// What is shown before a settlement is all that it changes, as it is now.
func TestResolveShowsBeforeAndAfter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.insert(t, mid, "31940001", 100, "status = 'TRADE_SUCCESS', review_reason = 'conflict', total_amount = 100, refund_amount = 0",
		"pay_time = '2026-11-20T02:00:00Z', settle_date = '2026-11-21'")
	shown := func(r operator.Resolution) map[string]string {
		t.Helper()
		s, err := w.PrepareResolve(t.Context(), byID(id), r)
		if err != nil {
			t.Fatal(err)
		}
		fields := make(map[string]string)
		for _, row := range s.Page(operator.Locale{Lang: "en", Zone: time.UTC}, w.Desk).Rows {
			if len(row) == 4 {
				fields[strings.TrimSpace(row[0].Text)] = row[1].Text + " to " + row[3].Text
			}
		}
		return fields
	}
	again := paidBy("receipt")
	again.PayTime, again.SettleDate = new(time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)), new(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))
	for name, tt := range map[string]struct {
		r    operator.Resolution
		want map[string]string
	}{
		"paid": {again, map[string]string{
			"status": "TRADE_SUCCESS (conflict) to TRADE_SUCCESS", "total_amount": "¥1.00 to ¥1.00", "pay_time": "2026-11-20 02:00:00 to 2026-11-22 03:00:00",
			"settle_date": "2026-11-21 to 2026-11-23", "settled_by": "- to hand",
		}},
		"closed": {operator.Resolution{As: order.StatusTradeClosed, Reason: "why"}, map[string]string{
			"status": "TRADE_SUCCESS (conflict) to TRADE_CLOSED", "total_amount": "¥1.00 to -", "refund_amount": "¥0.00 to -", "pay_time": "2026-11-20 02:00:00 to -",
			"settle_date": "2026-11-21 to -", "settled_by": "- to hand",
		}},
	} {
		if diff := cmp.Diff(tt.want, shown(tt.r)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestResolveRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	open := w.insert(t, mid, "31940001", 100)
	settled := w.insert(t, mid, "31940002", 100, "status = 'TRADE_SUCCESS'")
	conflict := w.insert(t, mid, "31940003", 100, "status = 'TRADE_SUCCESS', review_reason = 'conflict', settled_at = now(), settled_by = 'query'")
	absent := w.insert(t, mid, "31940004", 100, "status = 'NOT_FOUND'")
	closed := operator.Resolution{As: order.StatusTradeClosed, Reason: "why"}
	other := paidBy("why")
	other.Amount = new(int64(99))
	accepted := other
	accepted.AcceptAmount = true
	refund := paidBy("why")
	refund.As, refund.RefundAmount = order.StatusTradeRefund, new(int64(101))
	for name, tt := range map[string]struct {
		id   int64
		r    operator.Resolution
		want string // of the error
	}{
		"no reason":        {open, paidBy(" "), "--reason"},
		"no settlement":    {open, operator.Resolution{As: "UNKNOWN", Reason: "why"}, "--as"},
		"settled":          {settled, closed, "settled already"},
		"another amount":   {open, other, "--accept-amount"},
		"too great refund": {open, refund, "greater"},
	} {
		if _, err := w.PrepareResolve(t.Context(), byID(tt.id), tt.r); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: err = %v, want %s", name, err, tt.want)
		}
	}
	for _, tt := range []struct {
		id    int64
		r     operator.Resolution
		total any
		event string
	}{
		{open, accepted, int64(99), "order.paid"}, {conflict, closed, nil, "order.closed"}, {absent, closed, nil, "order.closed"},
	} {
		s, err := w.PrepareResolve(t.Context(), byID(tt.id), tt.r)
		if err == nil {
			_, err = w.Resolve(t.Context(), s)
		}
		if err != nil {
			t.Fatal(err)
		}
		if total := scan[*int64](t, w, `SELECT total_amount FROM orders WHERE id = $1`, tt.id); (total == nil) != (tt.total == nil) || (total != nil && *total != tt.total) {
			t.Errorf("order %d: total_amount %v, want %v", tt.id, total, tt.total)
		}
		if event := scan[string](t, w, `SELECT event FROM order_events WHERE order_id = $1`, tt.id); event != tt.event {
			t.Errorf("order %d: event %s, want %s", tt.id, event, tt.event)
		}
	}
	if before := scan[bool](t, w, `SELECT (payload->>'settled_before')::boolean FROM order_events WHERE order_id = $1`, conflict); !before {
		t.Error("the event of an order that was settled before does not say so")
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.insert(t, mid, "31940001", 100, underReview, "unrecorded_claims = 3")
	second := w.insert(t, mid, "31940002", 100, underReview)
	open := w.insert(t, mid, "31940003", 100)
	conflict := w.insert(t, mid, "31940004", 100, "status = 'TRADE_SUCCESS', review_reason = 'conflict'")
	for _, unseen := range []string{"ab\x1bcdefg", "abcdef\u202e", "abc\xffdef"} {
		if _, err := w.Retry(t.Context(), []store.OrderName{byID(first)}, store.Correction{MerOrderID: unseen}, "typo"); !errors.Is(err, operator.ErrUsage) {
			t.Errorf("a number of %q: %v", unseen, err)
		}
	}
	done, err := w.Retry(t.Context(), []store.OrderName{byID(first), byID(open), byID(conflict), byID(second)}, store.Correction{TID: "88880002"}, "wrong terminal")
	if err == nil || !strings.Contains(err.Error(), "not under review") || !strings.Contains(err.Error(), "settled") {
		t.Errorf("err = %v, want the two that cannot be asked again", err)
	}
	if len(done.Retries) != 2 {
		t.Fatalf("done: %+v", done)
	}
	if n := scan[int](t, w, `SELECT count(*) FROM orders WHERE review_reason IS NULL AND review_note IS NULL AND next_query_at <= now() AND tid = '88880002' AND unrecorded_claims = 0`); n != 2 {
		t.Errorf("%d orders are due with the new terminal, want 2", n)
	}
	if n := scan[int](t, w, `SELECT count(*) FROM operator_actions WHERE action = 'retry' AND before->>'tid' = '88880001' AND after->>'tid' = '88880002' AND reason = 'wrong terminal'`); n != 2 {
		t.Errorf("%d actions, want 2", n)
	}
}
