package operator_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/operator"
	"reconciler/internal/order"
	"reconciler/internal/store"
)

// states maps the checks to their states.
func states(s operator.Status) map[string]operator.State {
	list := make(map[string]operator.State)
	for _, c := range s.Checks {
		list[c.Name] = c.State
	}
	return list
}

func detail(s operator.Status, name string) string {
	for _, c := range s.Checks {
		if c.Name == name {
			return c.Detail
		}
	}
	return ""
}

// wantState checks one check and the verdict.
func wantState(t *testing.T, s operator.Status, name string, state, verdict operator.State, text string) {
	t.Helper()
	if got := states(s)[name]; got != state || s.Verdict != verdict {
		t.Errorf("check %s = %s, verdict %s; want %s, %s: %s", name, got, s.Verdict, state, verdict, detail(s, name))
	}
	if !strings.Contains(detail(s, name), text) {
		t.Errorf("check %s says %q, want %q in it", name, detail(s, name), text)
	}
}

func TestStatusOfAHealthyDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.beat(t)
	s := w.Status(t.Context())
	var names []string
	for _, c := range s.Checks {
		names = append(names, c.Name)
		if c.State != operator.StateOK {
			t.Errorf("%+v, want ok", c)
		}
	}
	want := []string{"database", "schema", "instances", "passes", "writing", "gateway", "overdue", "paused", "review", "events"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
	if s.Verdict != operator.StateOK {
		t.Errorf("verdict %s", s.Verdict)
	}
}

func TestStatusOfDaemons(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, change, check string
		state, verdict      operator.State
		text                string
	}{
		{"nobody", `DELETE FROM instances`, "instances", "critical", "critical", "no daemon was seen in the last day"},
		{"silent", `UPDATE instances SET seen_at = now() - interval '61 seconds'`, "instances", "critical", "critical", "web-1/7"},
		{"no pass", `UPDATE instances SET last_pass_at = now() - interval '11 minutes'`, "passes", "critical", "critical", "11 min"},
		{"a long pass asks", `UPDATE instances SET last_pass_at = now() - interval '11 minutes';
			INSERT INTO order_queries (order_id, claim_no, decision) VALUES (1, 1, 'deferred')`, "passes", "ok", "ok", "goes on"},
		{"never a pass", `UPDATE instances SET last_pass_at = NULL`, "passes", "critical", "critical", "1 h"},
		{"just started", `UPDATE instances SET last_pass_at = NULL, started_at = now()`, "passes", "ok", "ok", "none has ended yet"},
		{"cannot write", `UPDATE instances SET trouble = 'no INSERT on order_events'`, "writing", "critical", "critical", "no INSERT on order_events"},
		{"versions", `INSERT INTO instances (worker, version, last_pass_at) VALUES ('web-2/8', 'v1.3.0', now())`, "instances", "note", "ok", "versions differ"},
		{"breaker", `INSERT INTO gateway_controls (scope, key, paused_until, reason, set_by) VALUES ('app', 'a', now() + interval '30 s', 'timeout', 'breaker')`, "gateway", "attention", "attention", "timeout"},
		{"incident of the breaker", `INSERT INTO gateway_incidents (scope, key, cause, opened_by) VALUES ('app', 'a', 'refused', 'breaker')`, "gateway", "attention", "attention", "refused"},
		{"incident that is over", `INSERT INTO gateway_incidents (scope, key, cause, opened_by, closed_at) VALUES ('app', 'a', 'refused', 'breaker', now())`, "gateway", "ok", "ok", ""},
		{"unread", `SELECT register_order_events('shop', true);
			INSERT INTO order_events (order_id, mid, event, payload, created_at) VALUES (1, 'm', 'order.paid', '{}', now() - interval '16 minutes')`, "events", "attention", "attention", "shop"},
		{"set aside", `INSERT INTO webhook_deliveries (event_id, set_aside_at) VALUES (1, now())`, "events", "attention", "attention", "deliveries set aside: 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.beat(t)
			w.exec(t, tt.change)
			wantState(t, w.Status(t.Context()), tt.check, tt.state, tt.verdict, tt.text)
		})
	}
}

func TestStatusWithoutDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, err := store.Open(t.Context(), "postgres://127.0.0.1:1/none?connect_timeout=1")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w.Store = s
	got := w.Status(t.Context())
	wantState(t, got, "database", operator.StateCritical, operator.StateCritical, "cannot be reached")
	if len(got.Checks) != 10 || states(got)["events"] != operator.StateNote {
		t.Errorf("checks %+v", got.Checks)
	}
}

func TestStatusOfAnOldSchema(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `DELETE FROM reconciler_migrations WHERE version_id = (SELECT max(version_id) FROM reconciler_migrations)`)
	wantState(t, w.Status(t.Context()), "schema", operator.StateCritical, operator.StateCritical, "migrate up")
}

func TestStatusOfTheBacklog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.beat(t)
	const later = "next_query_at = now() + interval '1 hour'"
	w.insert(t, mid, "31940001", 100, later, "created_at = now() - interval '5 minutes'")
	w.insert(t, mid, "31940002", 200, later, "created_at = now() - interval '30 minutes'")
	w.insert(t, mid, "31940003", 400, later, "created_at = now() - interval '2 hours'")
	w.insert(t, mid, "31940004", 800, "review_reason = 'poison', next_query_at = NULL", "created_at = now() - interval '2 days'")
	w.insert(t, mid, "31940005", 1600, "status = 'TRADE_SUCCESS'")
	w.insert(t, otherMID, "31940006", 3200, "next_query_at = now() - interval '1 hour'")
	w.insert(t, thirdMID, "31940007", 6400, "status = 'NOT_FOUND'", later)
	s := w.Status(t.Context())
	want := []operator.OpenMerchant{
		{MID: mid, Orders: 4, AmountFen: 1500, ByAge: operator.ByAge{Under10m: 1, Under1h: 1, Under24h: 1, Older: 1}},
		{MID: otherMID, Orders: 1, AmountFen: 3200, ByAge: operator.ByAge{Under10m: 1}},
	}
	if diff := cmp.Diff(want, s.Open); diff != "" {
		t.Errorf("open (-want +got):\n%s", diff)
	}
	wantState(t, s, "overdue", operator.StateCritical, operator.StateCritical, "1 h")
	wantState(t, s, "review", operator.StateAttention, operator.StateCritical, "¥8.00")

	// A pause by hand takes its orders out of what is overdue.
	w.exec(t, `INSERT INTO gateway_controls (scope, key, reason, set_by) VALUES ('mid', $1, 'ticket 812', 'li')`, otherMID)
	s = w.Status(t.Context())
	wantState(t, s, "overdue", operator.StateOK, operator.StateAttention, "")
	wantState(t, s, "paused", operator.StateNote, operator.StateAttention, "1 order, ¥32.00")
	if !s.Open[1].Paused || s.Open[0].Paused {
		t.Errorf("paused: %+v", s.Open)
	}
	w.exec(t, `UPDATE gateway_controls SET scope = 'app', key = $1`, appID)
	wantState(t, w.Status(t.Context()), "paused", operator.StateNote, operator.StateAttention, "4 orders, ¥39.00")

	// After a pause of the breaker they wait for its probe. They are overdue where none comes.
	w.exec(t, `UPDATE gateway_controls SET set_by = 'breaker', paused_until = now() - interval '4 seconds'`)
	wantState(t, w.Status(t.Context()), "overdue", operator.StateOK, operator.StateAttention, "1 order, the longest for")
	w.exec(t, `UPDATE gateway_controls SET paused_until = now() - interval '16 minutes'`)
	wantState(t, w.Status(t.Context()), "overdue", operator.StateCritical, operator.StateCritical, "1 order, the longest for")
}

func TestStatusOfWhatWasLearned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.beat(t)
	settle := func(number, status, event string, fen int64, after, ago time.Duration, by string) {
		id := w.insert(t, mid, number, fen, "next_query_at = NULL, status = '"+status+"'")
		w.exec(t, `UPDATE orders SET created_at = now() - $2::interval, settled_at = now() - $3::interval, settled_by = $4 WHERE id = $1`, id, after+ago, ago, by)
		w.exec(t, `INSERT INTO order_events (order_id, mid, event, payload, created_at) VALUES ($1, $2, $3, '{}', now() - $4::interval)`, id, mid, event, ago)
	}
	settle("31940009", "TRADE_SUCCESS", "order.paid", 12800, time.Minute, 8*24*time.Hour, "query") // too long ago
	settle("31940001", "TRADE_SUCCESS", "order.paid", 100, time.Minute, 6*24*time.Hour, "query")
	settle("31940002", "TRADE_SUCCESS", "order.paid", 200, time.Minute, time.Hour, "query")
	settle("31940003", "TRADE_CLOSED", "order.closed", 400, 3*time.Minute, time.Hour, "query")
	settle("31940004", "TRADE_SUCCESS", "order.paid", 800, time.Minute, time.Hour, "hand")
	s := w.Status(t.Context())
	want := []operator.Learned{
		{Status: order.StatusTradeClosed, Orders: 1, AmountFen: 400}, {Status: order.StatusTradeSuccess, Orders: 2, AmountFen: 300},
	}
	if diff := cmp.Diff(want, s.Learned); diff != "" {
		t.Errorf("learned (-want +got):\n%s", diff)
	}
	if s.After.P50 == nil || *s.After.P50 < 59 || *s.After.P50 > 61 || *s.After.P95 < 100 {
		t.Errorf("learned after %v, %v", s.After.P50, s.After.P95)
	}
}

// On a terminal the lists are bounded, so that the verdict is not lost above them. Piped, they are
// whole.
func TestStatusPageIsBounded(t *testing.T) {
	t.Parallel()
	s := operator.Status{Open: make([]operator.OpenMerchant, 25), Incidents: make([]operator.Incident, 27)}
	l := operator.Locale{Lang: "en", Zone: time.UTC}
	whole, bounded := s.Page(l, 0).Rows, s.Page(l, 20).Rows
	var more []string
	for _, row := range bounded {
		if len(row) > 0 && strings.HasPrefix(row[0].Text, "and ") {
			more = append(more, row[0].Text)
		}
	}
	want := []string{"and 5 more merchants (pipe the output to see all)", "and 7 more: reconciler incidents"}
	if diff := cmp.Diff(want, more); diff != "" || len(whole)-len(bounded) != 5+7-len(want) {
		t.Errorf("%d rows of %d, left out (-want +got):\n%s", len(bounded), len(whole), diff)
	}
}
