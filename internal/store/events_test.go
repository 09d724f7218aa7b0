package store_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/store"
)

func (d database) events(t *testing.T, f store.EventFilter) []store.EventDelivery {
	t.Helper()
	f.Limit = max(f.Limit, 100)
	list, err := d.Events(t.Context(), f)
	must(t, err)
	return list
}

func eventIDs(list []store.EventDelivery) []int64 {
	ids := []int64{}
	for _, e := range list {
		ids = append(ids, e.ID)
	}
	return ids
}

// delivered writes the state of deliveries: of 1 delivered, of 2 set aside, of 3 failing, of 4
// enlisted. Event 5 was told since, and 6 before the webhook began.
func (d database) delivered(t *testing.T) {
	t.Helper()
	d.tell(t, 1, 2, 3, 4)
	d.exec(t, `SELECT register_order_events($1, true)`, store.WebhookConsumer)
	d.tell(t, 5)
	d.exec(t, `INSERT INTO webhook_deliveries (event_id, attempts, next_at, last_at, last_status, last_answer, delivered_at, set_aside_at) VALUES
		(1, 2, NULL, '2026-11-25T08:00:00Z', 204, NULL, '2026-11-25T08:00:00Z', NULL),
		(2, 9, NULL, '2026-11-25T08:00:00Z', 500, 'try later', NULL, '2026-11-25T08:00:00Z'),
		(3, 1, '2026-11-25T09:00:00Z', '2026-11-25T08:00:00Z', NULL, 'connection refused', NULL, NULL),
		(4, 0, '2026-11-25T09:00:00Z', NULL, NULL, NULL, NULL, NULL)`)
	d.tell(t, 6)
	d.exec(t, `UPDATE order_events SET xact = '1' WHERE id = 6`)
	d.exec(t, `UPDATE event_consumers SET xact = '2'`)
}

// A list tells what became of each event.
func TestEventsTellTheirState(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.delivered(t)
	states := func() (states []string) {
		for _, e := range d.events(t, store.EventFilter{}) {
			states = append(states, e.State)
		}
		return states
	}
	if got, want := states(), []string{"not_sent", "waiting", "waiting", "failing", "set_aside", "delivered"}; !slices.Equal(got, want) {
		t.Errorf("states %v, want %v", got, want)
	}
	at, next := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC), time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	want := []store.EventDelivery{
		{ID: 3, OrderID: 3, State: "failing", Attempts: 1, NextAt: &next, LastAt: &at, LastAnswer: new("connection refused")},
		{ID: 2, OrderID: 2, State: "set_aside", Attempts: 9, LastAt: &at, LastStatus: new(500), LastAnswer: new("try later"), SetAsideAt: &at},
		{ID: 1, OrderID: 1, State: "delivered", Attempts: 2, LastAt: &at, LastStatus: new(204), DeliveredAt: &at},
	}
	got := d.events(t, store.EventFilter{IDs: []int64{1, 2, 3}})
	for i := range got {
		if got[i].CreatedAt.IsZero() {
			t.Errorf("event %d has no time", got[i].ID)
		}
		got[i].CreatedAt = time.Time{}
		want[i].MID, want[i].Event, want[i].Payload = mid, "order.paid", json.RawMessage(`{}`)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	d.exec(t, `UPDATE event_consumers SET xact = '0', registered_in = pg_current_snapshot()`)
	if got := states()[1]; got != "not_sent" {
		t.Errorf("an event from before the webhook is %s", got)
	}
	d.exec(t, `DELETE FROM event_consumers`)
	if got := states()[1]; got != "not_sent" {
		t.Errorf("without a webhook an event is %s", got)
	}
}

// The filter of a list is that of a resend.
func TestEventFilter(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 4)
	d.exec(t, `UPDATE orders SET mid = $1, target_order_id = '4200000000000000000000000002' WHERE id = 2`, otherMID)
	d.delivered(t)
	d.exec(t, `UPDATE order_events SET mid = $1 WHERE order_id = 2`, otherMID)
	d.exec(t, `UPDATE order_events SET created_at = now() - (7 - id) * interval '1 day'`)
	now := time.Now()
	for name, tt := range map[string]struct {
		filter store.EventFilter
		want   []int64
	}{
		"all":                       {store.EventFilter{}, []int64{6, 5, 4, 3, 2, 1}},
		"some":                      {store.EventFilter{IDs: []int64{5, 1, 99}}, []int64{5, 1}},
		"failed":                    {store.EventFilter{Failed: true}, []int64{3, 2}},
		"since":                     {store.EventFilter{Since: new(now.Add(-60 * time.Hour))}, []int64{6, 5}},
		"since the beginning":       {store.EventFilter{Since: new(time.Time)}, []int64{6, 5, 4, 3, 2, 1}},
		"since now":                 {store.EventFilter{Since: new(now.Add(time.Hour))}, []int64{}},
		"of a merchant":             {store.EventFilter{MID: otherMID}, []int64{2}},
		"of the merchant's number":  {store.EventFilter{Order: "319400000003"}, []int64{3}},
		"of the channel's number":   {store.EventFilter{Order: "4200000000000000000000000002"}, []int64{2}},
		"of no order":               {store.EventFilter{Order: "319400000009"}, []int64{}},
		"of one merchant, failed":   {store.EventFilter{Failed: true, MID: mid}, []int64{3}},
		"some, lately":              {store.EventFilter{IDs: []int64{1, 6}, Since: new(now.Add(-60 * time.Hour))}, []int64{6}},
		"of an order, and too late": {store.EventFilter{Order: "319400000001", Since: new(now.Add(-60 * time.Hour))}, []int64{}},
	} {
		if got := eventIDs(d.events(t, tt.filter)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	if got, err := d.Events(t.Context(), store.EventFilter{Limit: 2}); err != nil || !slices.Equal(eventIDs(got), []int64{6, 5}) {
		t.Errorf("the latest two: %v, %v", eventIDs(got), err)
	}
}

// Events since a time are found among many without a look at each, also where numbers are missing
// and where a transaction took long.
func TestEventsSince(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `INSERT INTO order_events (order_id, mid, event, payload, created_at)
		SELECT i, $1, 'order.paid', '{}', now() - (1000 - i) * interval '10 minutes' FROM generate_series(1, 1000) AS i`, mid)
	d.exec(t, `DELETE FROM order_events WHERE id BETWEEN 300 AND 620 OR id % 7 = 0`)
	d.exec(t, `UPDATE order_events SET created_at = created_at - interval '50 minutes' WHERE id % 11 = 0`)
	for _, age := range []time.Duration{0, 5 * time.Minute, time.Hour, 24 * time.Hour, 65 * time.Hour, 100 * time.Hour, 160 * time.Hour, 1000 * time.Hour} {
		since := scan[time.Time](t, d, `SELECT now() - $1::interval`, age)
		want := scan[[]int64](t, d, `SELECT coalesce(array_agg(id ORDER BY id DESC), '{}') FROM order_events WHERE created_at >= $1`, since)
		got, err := d.Events(t.Context(), store.EventFilter{Since: &since, Limit: 1000})
		if err != nil || !slices.Equal(eventIDs(got), want) {
			t.Errorf("since %v ago: %d events, %v; want %d", age, len(got), err, len(want))
		}
	}
}

// What is sent again is due at once, whatever had become of it, and the action says what it was.
func TestResendEvents(t *testing.T) {
	t.Parallel()
	d := open(t)
	ctx := t.Context()
	d.tell(t, 1)
	if _, err := d.ResendEvents(ctx, store.EventFilter{IDs: []int64{1}}, byHand("events resend")); !errors.Is(err, store.ErrNoWebhook) {
		t.Errorf("without a webhook: %v", err)
	}
	d.exec(t, `TRUNCATE order_events RESTART IDENTITY`)
	d.delivered(t)
	d.exec(t, `UPDATE webhook_deliveries SET pending_since = now() - interval '4 days'`)
	const all = `SELECT coalesce(string_agg(concat_ws(' ', event_id, attempts, coalesce(next_at <= now() AND next_at > now() - interval '10 minutes', false),
		pending_since > now() - interval '10 minutes', num_nonnulls(delivered_at, set_aside_at), last_status), ', ' ORDER BY event_id), '') FROM webhook_deliveries`
	before := scan[string](t, d, all)
	if n, err := d.ResendEvents(ctx, store.EventFilter{IDs: []int64{1, 77, 78}}, byHand("events resend")); !errors.Is(err, store.ErrNoEvent) || n != 0 {
		t.Errorf("of events that do not exist: %d, %v", n, err)
	}
	if n, err := d.ResendEvents(ctx, store.EventFilter{MID: otherMID}, byHand("events resend")); err != nil || n != 0 {
		t.Errorf("of a merchant without events: %d, %v", n, err)
	}
	if after := scan[string](t, d, all); after != before {
		t.Errorf("deliveries were %s\nand are %s", before, after)
	}
	d.wantActions(t, "")

	if n, err := d.ResendEvents(ctx, store.EventFilter{Failed: true}, byHand("events resend")); err != nil || n != 2 {
		t.Errorf("of what failed: %d, %v; want 2", n, err)
	}
	if n, err := d.ResendEvents(ctx, store.EventFilter{IDs: []int64{6, 1}}, byHand("events resend")); err != nil || n != 2 {
		t.Errorf("of what was delivered and what never was: %d, %v; want 2", n, err)
	}
	if got, want := scan[string](t, d, all), "1 0 t t 0 204, 2 0 t t 0 500, 3 0 t t 0, 4 0 f f 0, 6 0 t t 0"; got != want {
		t.Errorf("deliveries %s\nwant       %s", got, want)
	}
	d.wantActions(t, "li cli events resend ticket 812, li cli events resend ticket 812")
	if got := scan[string](t, d, `SELECT string_agg(after::text, ' ' ORDER BY id) FROM operator_actions`); got != `{"count": 2, "events": [2, 3]} {"count": 2, "events": [1, 6]}` {
		t.Errorf("the actions say %s", got)
	}
	d.wantDue(t, "after both", 4, 2, 3, 1, 6)
}

// However many are sent again, the action names a thousand.
func TestResendOfManyEvents(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `SELECT register_order_events($1, true)`, store.WebhookConsumer)
	d.exec(t, `INSERT INTO order_events (order_id, mid, event, payload) SELECT i, $1, 'order.paid', '{}' FROM generate_series(1, 1200) AS i`, mid)
	if n, err := d.ResendEvents(t.Context(), store.EventFilter{MID: mid}, byHand("events resend")); err != nil || n != 1200 {
		t.Errorf("sent %d again, %v; want 1200", n, err)
	}
	if got := scan[string](t, d, `SELECT concat_ws(' ', after->>'count', jsonb_array_length(after->'events'), after->'events'->>999) FROM operator_actions`); got != "1200 1000 1000" {
		t.Errorf("the action says %s", got)
	}
}
