package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

// hold reports whether a holder delivers, for a minute.
func (d database) hold(t *testing.T, holder string) bool {
	t.Helper()
	held, err := d.HoldDeliveries(t.Context(), holder, time.Minute)
	must(t, err)
	return held
}

func (d database) wantHold(t *testing.T, when, holder string, want bool) {
	t.Helper()
	if got := d.hold(t, holder); got != want {
		t.Errorf("%s: %s delivers: %t, want %t", when, holder, got, want)
	}
}

// enlist makes n deliveries of what was told since, as holder a. Transactions of other tests'
// databases may keep events back for a moment.
func (d database) enlist(t *testing.T, n int) {
	t.Helper()
	enlisted := 0
	storetest.Eventually(t, time.Minute, fmt.Sprintf("%d deliveries", n), func() bool {
		more, err := d.EnlistDeliveries(t.Context(), "a", 100)
		must(t, err)
		enlisted += more
		return enlisted >= n
	})
	if enlisted != n {
		t.Fatalf("enlisted %d deliveries, want %d", enlisted, n)
	}
}

// due are the ids of the deliveries whose time has come, and the deliveries by id.
func (d database) due(t *testing.T, fresh, retried int, busy ...int64) ([]int64, map[int64]store.Delivery) {
	t.Helper()
	list, err := d.DueDeliveries(t.Context(), fresh, retried, busy)
	must(t, err)
	var ids []int64
	byID := make(map[int64]store.Delivery)
	for _, delivery := range list {
		ids = append(ids, delivery.EventID)
		byID[delivery.EventID] = delivery
	}
	return ids, byID
}

func (d database) wantDue(t *testing.T, when string, want ...int64) map[int64]store.Delivery {
	t.Helper()
	got, byID := d.due(t, 100, 100)
	if !slices.Equal(got, want) {
		t.Errorf("%s: events %v are due, want %v", when, got, want)
	}
	return byID
}

func (d database) attempt(t *testing.T, a store.Attempt) {
	t.Helper()
	must(t, d.RecordAttempt(t.Context(), a))
}

// The one who delivers goes on until its lease ends or it lets go.
func TestDeliveriesHaveOneHolder(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.tell(t, 1)
	d.wantHold(t, "at first", "a", true)
	d.wantHold(t, "while a delivers", "b", false)
	d.wantHold(t, "again", "a", true)
	d.exec(t, `UPDATE event_consumers SET held_until = now() - interval '1 second'`)
	d.wantHold(t, "after the lease of a", "b", true)
	d.wantHold(t, "while b delivers", "a", false)
	d.exec(t, `UPDATE event_consumers SET held_until = now() + interval '1 hour'`)
	d.wantHold(t, "after a lease that is longer than leases are", "a", true)
	must(t, d.ReleaseDeliveries(t.Context(), "b"))
	d.wantHold(t, "after the release of one that does not deliver", "b", false)
	must(t, d.ReleaseDeliveries(t.Context(), "a"))
	d.wantHold(t, "after a let go", "b", true)
	if got := scan[string](t, d, `SELECT string_agg(name || ' ' || held_by || ' ' || (held_until > now()), ', ') FROM event_consumers`); got != "webhook b true" {
		t.Errorf("consumers: %s", got)
	}
}

func TestDeliveriesHaveOneHolderOfMany(t *testing.T) {
	t.Parallel()
	d := open(t)
	var holders atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			held, err := d.HoldDeliveries(t.Context(), fmt.Sprint("instance ", i), time.Minute)
			if err != nil {
				t.Error(err)
			}
			if held {
				holders.Add(1)
			}
		})
	}
	wg.Wait()
	if n := holders.Load(); n != 1 {
		t.Errorf("%d instances deliver, want 1", n)
	}
}

// One that waited for the row meets a lease that began after its own statement did.
func TestDeliveriesAreNotTakenFromALaterLease(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.hold(t, "nobody")
	d.exec(t, `UPDATE event_consumers SET held_by = NULL, held_until = NULL`)
	d.exec(t, `BEGIN`)
	d.exec(t, `SELECT FROM event_consumers FOR UPDATE`)
	second := make(chan bool, 1)
	go func() {
		held, err := d.HoldDeliveries(context.WithoutCancel(t.Context()), "b", time.Minute)
		second <- held || err != nil
	}()
	storetest.Eventually(t, time.Minute, "b waits for the row", func() bool {
		return scan[bool](t, d, `SELECT EXISTS (SELECT FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
			WHERE NOT l.granted AND a.datname = current_database())`)
	})
	d.exec(t, `UPDATE event_consumers SET held_by = 'a', held_until = clock_timestamp() + interval '1 minute'`)
	d.exec(t, `COMMIT`)
	if <-second {
		t.Error("b took the deliveries from a, or failed")
	}
	if got := scan[string](t, d, `SELECT held_by FROM event_consumers`); got != "a" {
		t.Errorf("%s delivers, want a", got)
	}
}

// Only the holder turns events into deliveries: those after its beginning, each once, in small
// groups.
func TestEnlistDeliveries(t *testing.T) {
	t.Parallel()
	d := open(t)
	ctx := t.Context()
	if n, err := d.EnlistDeliveries(ctx, "a", 10); err == nil && n != 0 {
		t.Errorf("enlisted %d deliveries without a consumer", n)
	}
	d.tell(t, 1, 2) // from before the webhook
	d.hold(t, "a")
	d.tell(t, 3, 4, 5, 6, 7)
	d.wantNext(t, store.WebhookConsumer, 3, 4, 5, 6, 7)
	want := func(holder string, limit, n int) {
		t.Helper()
		if got, err := d.EnlistDeliveries(ctx, holder, limit); err != nil || got != n {
			t.Errorf("%s enlisted %d deliveries, %v; want %d", holder, got, err, n)
		}
	}
	want("b", 10, 0)
	want("a", 2, 2)
	d.exec(t, `UPDATE event_consumers SET held_until = now() - interval '1 second'`)
	want("a", 2, 0)
	d.hold(t, "b")
	want("a", 2, 0)
	want("b", 2, 2)
	want("b", 2, 1)
	want("b", 2, 0)
	got := scan[string](t, d, `SELECT string_agg(e.order_id || ' ' || d.attempts || ' ' || (d.next_at <= now()), ', ' ORDER BY e.id)
		FROM webhook_deliveries AS d JOIN order_events AS e ON e.id = d.event_id`)
	if want := "3 0 true, 4 0 true, 5 0 true, 6 0 true, 7 0 true"; got != want {
		t.Errorf("deliveries %s\nwant       %s", got, want)
	}
}

// Of each order one delivery after the other is due, and no order waits for another.
func TestDeliveriesOfAnOrderGoInOrder(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.hold(t, "a")
	d.tell(t, 1, 1, 2)
	d.enlist(t, 3)
	due := d.wantDue(t, "at first", 1, 3)
	d.attempt(t, store.Attempt{Delivery: due[1], Status: 500, RetryAfter: time.Hour})
	d.wantDue(t, "after the failure of 1", 3)
	d.tell(t, 1)
	d.enlist(t, 1)
	d.wantDue(t, "beside another event of the order that waits", 3)
	if n := scan[int](t, d, `SELECT count(DISTINCT next_at) FROM webhook_deliveries WHERE event_id <> 3`); n != 1 {
		t.Errorf("the order's deliveries wait for %d times, want one", n)
	}
	d.attempt(t, store.Attempt{Delivery: due[3], Status: 204, Delivered: true})
	d.wantDue(t, "after the delivery of 3")
	d.exec(t, `UPDATE webhook_deliveries SET next_at = now() WHERE next_at IS NOT NULL`)
	due = d.wantDue(t, "after the wait", 1)
	if due[1].Attempts != 1 {
		t.Errorf("%d attempts, want 1", due[1].Attempts)
	}
	d.exec(t, `UPDATE webhook_deliveries SET next_at = now() + interval '1 hour' WHERE event_id > 1 AND next_at IS NOT NULL`)
	d.attempt(t, store.Attempt{Delivery: due[1], Status: 200, Delivered: true})
	due = d.wantDue(t, "after the delivery of 1", 2)
	d.exec(t, `UPDATE webhook_deliveries SET next_at = now() + interval '1 hour' WHERE event_id > 2 AND next_at IS NOT NULL`)
	d.attempt(t, store.Attempt{Delivery: due[2], Status: 410}) // set aside
	d.wantDue(t, "after 2 was set aside", 4)
}

// Each lane has room of its own, for what is longest due, and leaves out orders that are busy.
func TestDueDeliveries(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `INSERT INTO order_events (order_id, mid, event, payload, created_at)
		SELECT i, $1, 'order.paid', '{"n": 1}', '2026-11-25T08:00:00Z' FROM generate_series(1, 8) AS i`, mid)
	// 1 to 4 were never sent, 5 to 8 were. The longest due has the highest number.
	d.exec(t, `INSERT INTO webhook_deliveries (event_id, attempts, next_at, pending_since)
		SELECT i, CASE WHEN i > 4 THEN 3 ELSE 0 END, now() - i * interval '1 minute', now() - interval '3 days' FROM generate_series(1, 8) AS i`)
	d.exec(t, `UPDATE webhook_deliveries SET next_at = now() + interval '1 hour' WHERE event_id = 4`)
	for name, tt := range map[string]struct {
		fresh, retried int
		busy           []int64
		want           []int64
	}{
		"all":                   {10, 10, nil, []int64{3, 2, 1, 8, 7, 6, 5}},
		"those longest due":     {2, 1, nil, []int64{3, 2, 8}},
		"only retried ones":     {0, 2, nil, []int64{8, 7}},
		"not of orders at work": {2, 2, []int64{3, 8}, []int64{2, 1, 7, 6}},
		"no room":               {0, 0, nil, nil},
	} {
		got, byID := d.due(t, tt.fresh, tt.retried, tt.busy...)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: events %v, want %v", name, got, tt.want)
		}
		if due, found := byID[8]; found {
			if due.OrderID != 8 || due.Event != "order.paid" || due.Payload != `{"n": 1}` || due.Attempts != 3 ||
				!due.CreatedAt.Equal(time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)) || due.PendingFor < 72*time.Hour || due.PendingFor > 73*time.Hour {
				t.Errorf("%s: delivery %+v", name, due)
			}
		}
	}
}

// What became of a sending stands in the row.
func TestRecordAttempt(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.hold(t, "a")
	const row = `SELECT concat_ws(' ', attempts, coalesce(last_status::text, '-'), coalesce(last_answer, '-'),
		CASE WHEN delivered_at IS NOT NULL THEN 'delivered' END, CASE WHEN set_aside_at IS NOT NULL THEN 'aside' END,
		CASE WHEN next_at IS NOT NULL THEN 'next in ' || next_at - last_at END, last_at BETWEEN now() - interval '10 minutes' AND now())
		FROM webhook_deliveries WHERE event_id = $1`
	event := int64(0)
	for name, tt := range map[string]struct {
		attempt store.Attempt
		want    string
	}{
		"accepted":        {store.Attempt{Status: 204, Delivered: true}, "1 204 - delivered t"},
		"refused":         {store.Attempt{Status: 500, Answer: "try later", RetryAfter: 5 * time.Second}, "1 500 try later next in 00:00:05 t"},
		"no answer":       {store.Attempt{Answer: "connection refused", RetryAfter: time.Hour}, "1 - connection refused next in 01:00:00 t"},
		"given up":        {store.Attempt{Status: 404, Answer: "no such page"}, "1 404 no such page aside t"},
		"a hostile text":  {store.Attempt{Status: 200, Answer: "a\x00b\xff", Delivered: true}, "1 200 a\uFFFDb\uFFFD delivered t"},
		"accepted anyway": {store.Attempt{Status: 201, Delivered: true, RetryAfter: time.Hour}, "1 201 - delivered t"},
	} {
		event++
		d.tell(t, event)
		d.enlist(t, 1)
		_, due := d.due(t, 10, 0)
		tt.attempt.Delivery = due[event]
		d.attempt(t, tt.attempt)
		if got := scan[string](t, d, row, event); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
		d.attempt(t, tt.attempt) // of a holder that lost its lease meanwhile
		if got := scan[string](t, d, row, event); got != tt.want {
			t.Errorf("%s, written late by another: %q, want %q", name, got, tt.want)
		}
		_, err := d.ResendEvents(t.Context(), store.EventFilter{IDs: []int64{event}}, byHand("events resend"))
		must(t, err)
		d.exec(t, `UPDATE webhook_deliveries SET attempts = $2 WHERE event_id = $1`, event, tt.attempt.Attempts)
		again := scan[string](t, d, row, event)
		d.attempt(t, tt.attempt) // the sending from before it was asked for again
		if got := scan[string](t, d, row, event); got != again || !strings.Contains(again, "next in") {
			t.Errorf("%s, sent again: %q, then %q", name, again, got)
		}
		d.exec(t, `UPDATE webhook_deliveries SET next_at = NULL`)
	}
}
