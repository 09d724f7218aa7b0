package main_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler/internal/chinaums"
)

func TestWhy(t *testing.T) {
	t.Parallel()
	w := eventful(t)
	w.exec(t, `
		INSERT INTO order_queries (order_id, claim_no, queried_at, duration_ms, round_trips, worker, http_status, err_code, err_msg, trade_status, decision, reason, next_query_at, response) VALUES
		    (3, 1, now() - interval '1 day', 12, 1, 'web-1/7', 200, 'NO_ORDER', E'无法找到指定的订单\x1b[2J', NULL, 'deferred', 'no_order', now() - interval '1 day' + interval '15 seconds', '{"errCode": "NO_ORDER"}'),
		    (4, 1, now() - interval '1 day', 12, 1, 'web-1/7', 200, 'SUCCESS', '查询成功', 'WAIT_BUYER_PAY', 'deferred', 'unresolved', now() + interval '1 hour', '{}');
		INSERT INTO gateway_incidents (scope, key, opened_at, cause, opened_by) VALUES ('mid', '`+otherMID+`', now() - interval '1 hour', 'ticket 812', 'li');
		INSERT INTO operator_actions (actor, via, action, order_id, reason, at) VALUES ('wang.li', 'cli', 'retry', 3, 'wrong terminal', now() - interval '2 hours');
		UPDATE orders SET pay_time = '2026-01-31 12:00:00+08', updated_at = settled_at WHERE id = 9`)
	for name, order := range map[string]string{"paused": "319400000003", "waiting": "319400000004", "review": "#6", "settled": "319400000009"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w.goldens(t, 0, "why-"+name, "why", order)
		})
	}
	t.Run("keys", func(t *testing.T) {
		t.Parallel()
		why := document[map[string]any](t, w, 0, "why", "319400000004")
		wantKeys(t, "why", why, "order", "outcome", "sentence", "next", "then", "story", "commands")
		wantKeys(t, "next", why["next"], "at", "state", "because", "ahead")
		wantKeys(t, "then", why["then"].([]any)[0], "at", "what")
		wantKeys(t, "created", why["story"].([]any)[0], "at", "kind", "text")
		wantKeys(t, "asked", why["story"].([]any)[1], "at", "kind", "text", "id", "order_id", "claim_no", "queried_at", "duration_ms", "round_trips", "worker",
			"http_status", "err_code", "err_msg", "trade_status", "decision", "reason", "next_query_at", "response")
		if at := why["order"].(map[string]any)["created_at"].(string); !strings.HasSuffix(at, "+08:00") {
			t.Errorf("created_at of the order: %s, want China time", at)
		}
	})
}

func TestWhyNoSuchOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, target_order_id, order_amount) VALUES
		('`+mid+`', '`+tid+`', '319400000001', 'WX42000001', 100), ('`+otherMID+`', '`+tid+`', '319400000001', 'WX42000002', 200)`)
	w.invoke(t, "why", "319499999999").want(t, 1, "no such order")
	w.invoke(t, "why", "#99").want(t, 1, "no such order")
	w.invoke(t, "why", "#1", "--mid=898340149000099").want(t, 1, "no such order: #1 of merchant 898340149000099")
	w.invoke(t, "why", "#x").want(t, 2, "no order")
	w.invoke(t, "why").want(t, 2)
	w.invoke(t, "why", "319400000001").want(t, 1, "names 2 orders", mid, otherMID, "¥2.00", "--mid")
	w.invoke(t, "why", "319400000001", "--mid", otherMID).want(t, 0, "¥2.00")
	w.invoke(t, "why", "WX42000002").want(t, 0, "¥2.00")
	w.invoke(t, "why", "2").want(t, 0, "¥2.00")
}

// The state of the next question, from an order's row.
func TestWhyNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tt := range []struct{ name, change, state, because string }{
		{"due", `UPDATE orders SET next_query_at = now() - interval '5 minutes'`, "due", "no daemon was seen"},
		{"due and alive", `UPDATE orders SET next_query_at = now() - interval '5 minutes'; INSERT INTO instances (worker, version) VALUES ('w', 'v')`, "due", "0 orders due before it"},
		{"in flight", `UPDATE orders SET lease_until = now() + interval '1 minute', claimed_by = 'web-9/1'`, "in_flight", "web-9/1"},
		{"closed case", `UPDATE orders SET status = 'NOT_FOUND', next_query_at = NULL`, "closed_case", "late check is done"},
		{"late check", `UPDATE orders SET status = 'NOT_FOUND', next_query_at = now() + interval '1 day'`, "waiting", "late check comes"},
		{"review", `UPDATE orders SET review_reason = 'poison', next_query_at = NULL`, "under_review", "poison"},
		{"settled", `UPDATE orders SET status = 'TRADE_CLOSED'`, "settled", "settled"},
		{"breaker", `INSERT INTO gateway_controls (scope, key, paused_until, reason, set_by) VALUES ('app', 'x', now() + interval '1 minute', 'timeout', 'breaker')`, "paused", "circuit breaker"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.exec(t, `TRUNCATE orders, order_queries, order_events, instances, gateway_controls`)
			w.insert(t, mid, "319400000001")
			w.exec(t, tt.change)
			next := document[map[string]any](t, w, 0, "why", "319400000001")["next"].(map[string]any)
			if next["state"] != tt.state || !strings.Contains(next["because"].(string), tt.because) {
				t.Errorf("next = %v, want %s, %s", next, tt.state, tt.because)
			}
			text := w.invoke(t, "why", "319400000001").stdout
			isNever := regexp.MustCompile(`(?m)^next +never `).MatchString(text)
			if want := slices.Contains([]string{"closed_case", "under_review", "settled"}, tt.state); isNever != want {
				t.Errorf("asked never again: %t, want %t:\n%s", isNever, want, text)
			}
		})
	}
}

// While a question is in flight run-once leaves the order and review refuses it, so that neither is
// offered.
func TestNoCommandWhileInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(t, mid, "319400000001")
	for _, change := range []string{
		`UPDATE orders SET lease_until = now() + interval '1 minute', claimed_by = 'web-9/1'`,
		`UPDATE orders SET status = 'NOT_FOUND'`,
		`UPDATE orders SET status = 'UNKNOWN', review_reason = 'poison'`,
	} {
		w.exec(t, change)
		if commands := document[map[string]any](t, w, 0, "why", "319400000001")["commands"].([]any); len(commands) != 0 {
			t.Errorf("%s: %q", change, commands)
		}
		w.invoke(t, "review", "retry", "319400000001", "--reason=x").want(t, 1, "in flight, by web-9/1")
		w.invoke(t, "review", "resolve", "319400000001", "--as=TRADE_CLOSED", "--reason=x", "--yes").want(t, 1, "in flight, by web-9/1")
	}
}

// The last question about an order is told as such also while it is due.
func TestLastQuestionIsDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(t, mid, "319400000001")
	for _, tt := range []struct{ change, then, plan string }{
		{`UPDATE orders SET created_at = now() - interval '8 days', expires_at = now() - interval '8 days', next_query_at = now() - interval '1 hour'`, "give_up", "goes to a person"},
		{`UPDATE orders SET status = 'NOT_FOUND'`, "late_check", "asked one last time"},
	} {
		w.exec(t, tt.change)
		then := document[map[string]any](t, w, 0, "why", "319400000001")["then"].([]any)
		if len(then) != 1 || then[0].(map[string]any)["what"] != tt.then {
			t.Errorf("%s: then = %v, want %s", tt.change, then, tt.then)
		}
		w.invoke(t, "plan", "319400000001").want(t, 0, tt.plan)
	}
}

type orderPlan struct {
	Questions []struct {
		N  int
		At time.Time
	}
	SlowFrom    *time.Time `json:"slow_from"`
	ReviewAt    *time.Time `json:"review_at"`
	LateCheckAt *time.Time `json:"late_check_at"`
}

// The daemon asks as the plan says: each wait of the ledger is the wait that the plan told.
func TestPlanForetellsTheDaemon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_PLAN_INITIAL=300ms", "RECONCILER_PLAN_MULTIPLIER=2", "RECONCILER_PLAN_MAX=1s", "RECONCILER_PLAN_JITTER=0.3")
	numbers := w.orders(t, 3, status(chinaums.StatusWaitBuyerPay))
	w.exec(t, `UPDATE orders SET next_query_at = now() + interval '1 hour'`) // so that no question is late when the plan is made
	plans := make(map[string]orderPlan)
	for _, number := range numbers {
		plans[number] = document[orderPlan](t, w, 0, "plan", number)
	}
	w.exec(t, `UPDATE orders SET next_query_at = now()`)
	p := w.start(t, "run")
	eventually(t, "each order is asked four times", func() bool {
		return scan[int](t, w, `SELECT coalesce(min(n), 0) FROM (SELECT count(*) AS n FROM order_queries GROUP BY order_id) AS asked`) >= 4
	})
	p.stop(t)
	for _, number := range numbers {
		asked := column[time.Time](t, w, `SELECT queried_at FROM order_queries q JOIN orders o ON o.id = q.order_id WHERE mer_order_id = $1 ORDER BY q.id`, number)
		took := column[int64](t, w, `SELECT duration_ms FROM order_queries q JOIN orders o ON o.id = q.order_id WHERE mer_order_id = $1 ORDER BY q.id`, number)
		next := column[time.Time](t, w, `SELECT q.next_query_at FROM order_queries q JOIN orders o ON o.id = q.order_id WHERE mer_order_id = $1 ORDER BY q.id`, number)
		planned := plans[number].Questions
		for i := range asked {
			wait := planned[i+1].At.Sub(planned[i].At)
			decided := next[i].Add(-wait)
			if decided.Before(asked[i].Add(-time.Millisecond)) || decided.After(asked[i].Add(time.Duration(took[i]+5)*time.Millisecond)) {
				t.Errorf("order %s, question %d: next at %s, which is not %s after its answer (asked %s, took %d ms)", number, i+1, next[i], wait, asked[i], took[i])
			}
		}
		now := document[orderPlan](t, w, 0, "plan", number)
		row := scan[time.Time](t, w, `SELECT next_query_at FROM orders WHERE mer_order_id = $1`, number)
		if first := now.Questions[0]; !first.At.Equal(row) || first.N != len(asked)+1 {
			t.Errorf("plan begins with %+v, the row says %s after %d questions", first, row, len(asked))
		}
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"RECONCILER_PLAN_INITIAL", "RECONCILER_PLAN_MAX", "RECONCILER_RATE"} {
		w.unset(name)
	}
	w.insert(t, mid, "319400000001", "319400000002")
	w.exec(t, `UPDATE orders SET created_at = date_trunc('hour', now()), expires_at = date_trunc('hour', now()) + interval '30 minutes', next_query_at = now() + interval '90 minutes'`)
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, status, next_query_at) VALUES ($1, $2, '319400000003', 1, 'NOT_FOUND', now() + interval '10 minutes')`, mid, tid)

	plan := document[map[string]any](t, w, 0, "plan", "319400000001")
	wantKeys(t, "plan of an order", plan, "questions", "slow_from", "review_at", "late_check_at")
	wantKeys(t, "question", plan["questions"].([]any)[0], "n", "at")
	if late := document[orderPlan](t, w, 0, "plan", "319400000003"); late.LateCheckAt == nil || len(late.Questions) != 1 || !late.LateCheckAt.Equal(late.Questions[0].At) {
		t.Errorf("plan of a NOT_FOUND order: %+v", late)
	}

	curve := document[struct {
		Curve []struct {
			N           int
			WaitSeconds float64 `json:"wait_seconds"`
		}
		FallsDue []struct {
			At          time.Time
			Questions   int
			ShareOfRate float64 `json:"share_of_rate"`
		} `json:"falls_due"`
	}](t, w, 0, "plan", "--next=3h")
	if len(curve.FallsDue) != 3 || curve.FallsDue[0].Questions != 1 || curve.FallsDue[1].Questions < 8 || curve.FallsDue[1].ShareOfRate <= 0 {
		t.Errorf("falls due: %+v, want the late check, then two orders that begin", curve.FallsDue)
	}
	if n := len(curve.Curve); curve.Curve[0].WaitSeconds != 15 || curve.Curve[n-1].WaitSeconds != 3600 {
		t.Errorf("curve: %+v", curve.Curve)
	}
	w.invoke(t, "plan", "--next=200h").want(t, 2, "--next")
	short := []string{"plan", "--next=3h", "--rate=0.01", "--output=json"} // 36 an hour
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount) SELECT $1, $2, '3195' || lpad(n::text, 20, '0'), 1 FROM generate_series(1, 100) AS n`, mid, tid)
	w.invoke(t, short...).want(t, 0, `"share_of_rate": 1`)
	w.invoke(t, short[:3]...).want(t, 0, "0 %")
	w.exec(t, `DELETE FROM orders WHERE mer_order_id LIKE '3195%'`)
	w.goldens(t, 0, "plan-simulate", "plan", "--simulate=1000")
	w.goldens(t, 0, "plan-order", "plan", "319400000003")
	wantKeys(t, "plan", document[map[string]any](t, w, 0, "plan"), "curve", "falls_due")
	w.invoke(t, "plan", "--lang=zh").want(t, 0, "查询次数", "等待 0")
	w.unset("DATABASE_URL")
	w.invoke(t, "plan", "--simulate=10").want(t, 0, "10 orders")
	for _, n := range []string{"-1", "0"} {
		w.invoke(t, "plan", "--simulate="+n).want(t, 2, "--simulate")
	}
	w.invoke(t, "plan", "319400000003", "--simulate=10").want(t, 2, "--simulate", "319400000003")
}
