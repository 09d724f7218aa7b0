package main_test

import (
	"strings"
	"testing"
)

func TestReviewList(t *testing.T) {
	t.Parallel()
	w := eventful(t)
	w.exec(t, `INSERT INTO order_queries (order_id, claim_no, decision, trade_status, response) VALUES
		(6, 1, 'review', 'TRADE_SUCCESS', '{"totalAmount": 1}'), (7, 1, 'review', 'TRADE_SUCCESS', '{"totalAmount": "1e2"}')`)
	w.goldens(t, 0, "review-list", "review", "list")
	list := document[map[string][]map[string]any](t, w, 0, "review", "list", "--reason=amount_mismatch", "--limit=2")
	if len(list) != 1 || len(list["reviews"]) != 2 {
		t.Fatalf("reviews: %v", list)
	}
	wantKeys(t, "review", list["reviews"][0], "id", "mid", "mer_order_id", "order_amount_fen", "gateway_status", "gateway_amount_fen", "review_reason", "since", "what_to_do")
	if amount := list["reviews"][0]["gateway_amount_fen"]; amount != 1.0 {
		t.Errorf("gateway_amount_fen = %v, want 1", amount)
	}
	w.invoke(t, "review", "list", "--reason=nonsense").want(t, 2, `no review reason`, "amount_mismatch, bad_request")
	w.invoke(t, "audit", "--action=nonsense").want(t, 2, `no action`, "doctor --fix")
	if none := document[map[string][]any](t, w, 0, "review", "list", "--reason=poison"); none["reviews"] == nil || len(none["reviews"]) != 0 {
		t.Errorf("reviews of another reason: %v", none)
	}
}

func TestReviewResolve(t *testing.T) {
	t.Parallel()
	w := eventful(t)
	resolve := func(args ...string) result {
		t.Helper()
		return w.invoke(t, append([]string{"review", "resolve", "#6", "--as=TRADE_SUCCESS"}, args...)...)
	}
	resolve("--yes").want(t, 2, "--reason")
	resolve("--reason=receipt 5512").want(t, 2, "--yes", "amount_mismatch", "TRADE_SUCCESS", "¥600.00")
	resolve("--reason=receipt 5512", "--yes", "--amount=1").want(t, 2, "--accept-amount")
	resolve("--reason=receipt 5512", "--yes", "--pay-time=yesterday").want(t, 2, "yesterday")
	resolve("--reason=receipt 5512", "--yes", "--settle-date=31.1.").want(t, 2, "--settle-date")
	if n := scan[int](t, w, `SELECT count(*) FROM operator_actions`); n != 0 {
		t.Fatalf("%d actions of what was refused", n)
	}
	w.set("RECONCILER_ACTOR=wang.li")
	done := document[map[string]any](t, w, 0, "review", "resolve", "319400000006", "--as=TRADE_SUCCESS", "--reason=receipt 5512", "--evidence=56917314069N",
		"--pay-time=2026-01-31 09:30", "--settle-date=2026-02-01", "--yes")
	wantKeys(t, "change", done, "id", "mid", "mer_order_id", "before", "after", "event", "event_id", "action_id")
	row := scan[string](t, w, `SELECT concat_ws(' ', status, total_amount, settled_by, pay_time = '2026-01-31 09:30+08', settle_date) FROM orders WHERE id = 6`)
	if want := "TRADE_SUCCESS 60000 hand t 2026-02-01"; row != want {
		t.Errorf("row %q, want %q", row, want)
	}
	resolve("--reason=again", "--yes").want(t, 1, "settled already")
	w.invoke(t, "audit").want(t, 0, "wang.li", "resolve", "receipt 5512", "56917314069N")
	w.goldens(t, 0, "audit", "audit")
	list := document[map[string][]map[string]any](t, w, 0, "audit", "--by=wang.li")
	wantKeys(t, "action", list["actions"][0], "id", "at", "actor", "db_user", "via", "action", "order_id", "scope", "key", "reason", "evidence", "before", "after")
	if none := document[map[string][]any](t, w, 0, "audit", "--by=li"); len(none["actions"]) != 0 {
		t.Errorf("actions of another: %v", none)
	}
	w.invoke(t, "why", "#6").want(t, 0, "A person settled it", "wang.li: resolve")
}

func TestReviewRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	numbers := w.orders(t, 2, paid())
	number, other := numbers[0], numbers[1]
	w.exec(t, `UPDATE orders SET review_reason = 'bad_request', next_query_at = NULL`)
	w.exec(t, `UPDATE orders SET mer_order_id = '319499999999' WHERE mer_order_id = $1`, number)
	w.invoke(t, "review", "retry", "319499999999").want(t, 2, "--reason")
	w.invoke(t, "review", "retry", "319499999999", "--reason=typo", "--set=status=TRADE_SUCCESS").want(t, 2, "--set")
	w.invoke(t, "review", "retry", "319499999999", "--reason=typo", "--set=mer_order_id="+other).want(t, 1, "another order of the merchant")
	w.invoke(t, "review", "retry", "319499999999", "--reason=typo", "--set=mer_order_id="+number).want(t, 0, "due again")
	r := w.invoke(t, "review", "retry", other, number, other, "--reason=typo") // each order once
	r.want(t, 1, "due again")
	if strings.Count(r.stderr, "not under review") != 1 {
		t.Errorf("stderr: %s", r.stderr)
	}
	w.summary(t, 0, "run-once")
	if got := scan[string](t, w, `SELECT min(status) FROM orders`); got != "TRADE_SUCCESS" {
		t.Errorf("status %s after the retry", got)
	}
	if r := w.invoke(t, "review", "retry", "1", "--reason=once more"); r.code != 1 || !strings.Contains(r.stderr, "settled") {
		t.Errorf("retry of a settled order: %+v", r)
	}
}
