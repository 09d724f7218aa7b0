package main_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler/internal/operator"
)

// states are those of the events, the oldest first.
func states(list operator.Events) string {
	var states []string
	for _, e := range slices.Backward(list.Events) {
		states = append(states, e.State)
	}
	return strings.Join(states, " ")
}

func TestEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.invoke(t, "events", "resend", "--failed").want(t, 1, "RECONCILER_WEBHOOK_URL")
	tell := func(n int) {
		w.exec(t, `INSERT INTO order_events (order_id, mid, mer_order_id, event, payload, created_at)
			SELECT 7, '898340149000005', '319400000007', 'order.paid', '{"claim_no": 1}', now() - interval '2 hours'
			FROM generate_series(1, $1)`, n)
	}
	tell(1) // before the webhook
	w.exec(t, `SELECT register_order_events('webhook', false)`)
	eventually(t, "the first event is before the webhook", func() bool {
		return states(document[operator.Events](t, w, 0, "events", "list")) == "not_sent"
	})
	tell(4)
	w.exec(t, `INSERT INTO webhook_deliveries (event_id, attempts, next_at, last_at, last_status, last_answer, delivered_at, set_aside_at) VALUES
		(2, 1, NULL, now(), 200, 'ok', now(), NULL),
		(3, 60, NULL, now(), 500, E'no\x1b[31m', NULL, now()),
		(4, 2, now() + interval '1 hour', now(), NULL, 'connection refused', NULL, NULL)`)
	list := document[operator.Events](t, w, 0, "events", "list")
	if got := states(list); got != "not_sent delivered set_aside failing waiting" {
		t.Errorf("states %q", got)
	}
	if e := list.Events[3]; *e.LastStatus != 200 || *e.MerOrderID != "319400000007" || !strings.HasSuffix(e.CreatedAt.Format(time.RFC3339), "+08:00") {
		t.Errorf("event %+v", e)
	}
	if got := states(document[operator.Events](t, w, 0, "events", "list", "--failed")); got != "set_aside failing" {
		t.Errorf("--failed lists %q", got)
	}
	if got := states(document[operator.Events](t, w, 0, "events", "list", "--since=1h")); got != "" {
		t.Errorf("--since=1h lists %q", got)
	}
	if got := states(document[operator.Events](t, w, 0, "events", "list", "--since=3h", "--mid=898340149000005", "--limit=2")); got != "failing waiting" {
		t.Errorf("the latest two are %q", got)
	}
	if got := states(document[operator.Events](t, w, 0, "events", "list", "--order=319400000007")); got != "" {
		t.Errorf("an order that does not exist has events: %q", got)
	}
	w.goldens(t, 0, "events", "events", "list")

	w.invoke(t, "events", "resend").want(t, 2, "--failed")
	w.invoke(t, "events", "resend", "2", "99").want(t, 1, "no such event", "99")
	w.invoke(t, "events", "resend", "2", "99", "--failed").want(t, 1, "no such event: [99]")
	w.invoke(t, "events", "resend", "2", "3", "--failed").want(t, 1, "[2]: they have not failed")
	w.invoke(t, "events", "resend", "2", "--since=1h").want(t, 1, "[2]: they were written before")
	w.invoke(t, "events", "resend", "x").want(t, 2)
	w.invoke(t, "events", "resend", "2", "--actor=li", "--reason=lost by the shop").want(t, 0, "1")
	w.invoke(t, "events", "resend", "--failed", "--lang=zh").want(t, 0, "2")
	if got := states(document[operator.Events](t, w, 0, "events", "list")); got != "not_sent waiting waiting waiting waiting" {
		t.Errorf("after resend: %q", got)
	}
	w.invoke(t, "events", "resend", "--since=3h").want(t, 0, "5")
	if got := column[string](t, w, `SELECT actor || ' ' || via || ' ' || coalesce(reason, '-') || ' ' || after::text FROM operator_actions WHERE actor = 'li'`); !slices.Equal(got, []string{`li cli lost by the shop {"count": 1, "events": [2]}`}) {
		t.Errorf("actions %q", got)
	}
}
