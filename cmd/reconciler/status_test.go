package main_test

import (
	"strings"
	"testing"

	"reconciler/internal/operator"
)

// eventful is a database with something of everything.
func eventful(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.exec(t, `
		INSERT INTO instances (worker, version, started_at, last_pass_at, seen_at, settings) VALUES
		    ('web-1/7', 'v1.4.0', now() - interval '1 day', now() + interval '1 hour', now() + interval '1 hour', '{"apps": [{"app_id": "`+appID+`"}]}');
		INSERT INTO orders (mid, tid, mer_order_id, order_amount, created_at, next_query_at, status, review_reason, settled_at, settled_by, total_amount)
		SELECT CASE WHEN i % 3 = 0 THEN '`+otherMID+`' ELSE '`+mid+`' END, '`+tid+`', '3194' || lpad(i::text, 8, '0'), 10000 * i,
		       now() - make_interval(days => 2),
		       CASE WHEN i <= 5 THEN now() + interval '1 hour' END,
		       CASE WHEN i > 8 THEN 'TRADE_SUCCESS' WHEN i % 2 = 0 THEN 'WAIT_BUYER_PAY' ELSE 'UNKNOWN' END,
		       CASE WHEN i BETWEEN 6 AND 8 THEN 'amount_mismatch' END,
		       CASE WHEN i > 8 THEN now() - make_interval(days => 2) + interval '41 minutes' END, CASE WHEN i > 8 THEN 'query' END,
		       CASE WHEN i > 8 THEN 10000 * i END
		FROM generate_series(1, 13) AS i;
		INSERT INTO order_events (order_id, mid, mer_order_id, event, payload, created_at)
		SELECT id, mid, mer_order_id, 'order.paid', '{}', settled_at FROM orders WHERE settled_at IS NOT NULL;
		INSERT INTO gateway_controls (scope, key, reason, set_by) VALUES ('mid', '`+otherMID+`', E'ticket 812\x1b[31m', 'li');
		INSERT INTO gateway_incidents (scope, key, opened_at, closed_at, cause, opened_by, closed_by, questions_lost) VALUES
		    ('app', '`+appID+`', now() - interval '30 minutes', now() - interval '20 minutes', 'connection refused', 'breaker', 'breaker', 22)`)
	return w
}

func TestStatus(t *testing.T) {
	t.Parallel()
	w := eventful(t)
	w.goldens(t, 3, "status", "status")

	s := document[map[string]any](t, w, 3, "status")
	wantKeys(t, "status", s, "verdict", "at", "checks", "open", "learned", "learned_after_seconds", "incidents")
	open := s["open"].([]any)[0]
	wantKeys(t, "open", open, "mid", "orders", "amount_fen", "paused", "by_age")
	wantKeys(t, "by_age", open.(map[string]any)["by_age"], "under_10m", "under_1h", "under_24h", "older")
	wantKeys(t, "learned", s["learned"].([]any)[0], "status", "orders", "amount_fen")
	wantKeys(t, "learned_after_seconds", s["learned_after_seconds"], "p50", "p95")
	wantKeys(t, "check", s["checks"].([]any)[0], "name", "state", "detail")
	if at, _ := s["at"].(string); !strings.HasSuffix(at, "+08:00") {
		t.Errorf("at = %v, want China time", s["at"])
	}
}

func TestStatusExitCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if s := document[operator.Status](t, w, 4, "status"); s.Verdict != operator.StateCritical {
		t.Errorf("verdict without a daemon: %s", s.Verdict)
	}
	wantKeys(t, "learned_after_seconds", document[map[string]any](t, w, 4, "status")["learned_after_seconds"], "p50", "p95")
	p := w.start(t, "run")
	eventually(t, "the daemon is seen and has ended a pass", func() bool {
		return scan[int](t, w, `SELECT count(*) FROM instances WHERE version = $1`, builtVersion) == 1
	})
	if s := document[operator.Status](t, w, 0, "status"); s.Verdict != operator.StateOK {
		t.Errorf("verdict with a daemon: %+v", s)
	}
	p.stop(t)
	if apps := scan[string](t, w, `SELECT settings->'apps'->0->>'app_id' FROM instances`); apps != appID {
		t.Errorf("apps of the instance: %q", apps)
	}
	if all := scan[string](t, w, `SELECT settings::text FROM instances`); strings.Contains(all, appKey) || strings.Contains(all, w.url) {
		t.Errorf("the settings hold a secret: %s", all)
	}
	w.set("DATABASE_URL=postgres://127.0.0.1:1/none?connect_timeout=1")
	r := w.invoke(t, "status")
	r.want(t, 4, "CRITICAL", "cannot be reached", "what is open could not be read")
	r.lacks(t, "nothing is open")
	w.invoke(t, "status", "--lang=zh").want(t, 4, "严重", "无法连接数据库")
	w.invoke(t, "status", "--tz=Moon").want(t, 2, "--tz")
	w.invoke(t, "status", "--lang=fr").want(t, 2, "--lang")
	w.invoke(t, "status", "--output=xml").want(t, 2)
}

func TestIncidents(t *testing.T) {
	t.Parallel()
	w := eventful(t)
	w.goldens(t, 0, "incidents", "incidents")
	list := document[map[string][]map[string]any](t, w, 0, "incidents")
	wantKeys(t, "incident", list["incidents"][0], "id", "scope", "key", "opened_at", "closed_at", "cause", "opened_by", "closed_by", "questions_lost")
	if none := document[map[string][]any](t, w, 0, "incidents", "--since=1m"); len(none["incidents"]) != 0 {
		t.Errorf("incidents of the last minute: %v", none)
	}
	w.invoke(t, "incidents", "--limit=0").want(t, 2, "--limit")
}
