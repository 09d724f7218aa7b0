package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// Open orders count by age, those under review and orphans included. Late checks count where
// overdue.
func TestOpenMerchants(t *testing.T) {
	t.Parallel()
	d := open(t)
	const late, done = "898340149000001", "898340149000002"
	d.exec(t, `ALTER TABLE orders DISABLE TRIGGER zz_orders_stay_due`)
	d.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, created_at, next_query_at, status, review_reason, lease_until)
		SELECT $1, '88880001', '3194' || lpad(n::text, 8, '0'), 1 << n, now() - age::interval, now() + next::interval, status, review, now() + lease::interval
		FROM (VALUES
		    (0, '1 minute', '1 hour', 'UNKNOWN', NULL, NULL),
		    (1, '5 minutes', '-2 minutes', 'NEW_ORDER', NULL, NULL),
		    (2, '11 minutes', '-9 minutes', 'WAIT_BUYER_PAY', NULL, '-1 minute'),
		    (3, '50 minutes', '-20 minutes', 'UNKNOWN', NULL, '1 hour'),     -- in flight
		    (4, '61 minutes', NULL, 'UNKNOWN', 'poison', NULL),
		    (5, '20 hours', '-20 minutes', 'UNKNOWN', 'bad_request', NULL),
		    (6, '25 hours', NULL, 'UNKNOWN', NULL, NULL),                    -- an orphan
		    (7, '26 hours', '-30 minutes', 'NOT_FOUND', NULL, NULL),         -- a late check
		    (8, '27 hours', NULL, 'TRADE_SUCCESS', NULL, NULL),
		    (9, '28 hours', NULL, 'TRADE_SUCCESS', 'conflict', NULL)
		) AS v(n, age, next, status, review, lease)`, mid)
	d.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, status, next_query_at) VALUES
		($1, '88880001', '319500000001', 5, 'NOT_FOUND', '-infinity'),
		($2, '88880001', '319600000001', 5, 'TRADE_CLOSED', NULL), ($2, '88880001', '319600000002', 5, 'NOT_FOUND', now() + interval '1 day')`, late, done)
	d.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at)
		SELECT $1, '88880001', '3197' || lpad(i::text, 8, '0'), 9223372036854775807, now() + interval '1 hour' FROM generate_series(1, 3) AS i`, otherMID)
	list, err := d.OpenMerchants(t.Context())
	must(t, err)
	var since []string
	for i := range list {
		word := "never"
		if list[i].DueSince != nil {
			word = time.Since(*list[i].DueSince).Truncate(10 * time.Minute).String()
		}
		since, list[i].DueSince = append(since, word), nil
	}
	if want := []string{"never", "30m0s", "never"}; !slices.Equal(since, want) {
		t.Errorf("due since %v ago, want %v", since, want)
	}
	want := []store.OpenMerchant{
		{MID: late, Overdue: 1},
		{
			MID: mid, Orders: 7, Amount: 1 + 2 + 4 + 8 + 16 + 32 + 64, Under10m: 2, Under1h: 2, Under24h: 2, Older: 1,
			AmountUnder10m: 1 + 2, AmountUnder1h: 4 + 8, AmountUnder24h: 16 + 32, AmountOlder: 64, Waiting: 5, WaitingAmount: 1 + 2 + 4 + 8 + 64, Overdue: 3,
		},
		{MID: otherMID, Orders: 3, Amount: 1 << 53, Under10m: 3, AmountUnder10m: 1 << 53, Waiting: 3, WaitingAmount: 1 << 53},
	}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Errorf("merchants (-want +got):\n%s", diff)
	}
}

// The orders that need a person: all reviews of open orders, and conflicts of settled ones. The
// list has the gateway's last word, the pile the sums.
func TestReviews(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 7)
	d.exec(t, `UPDATE orders SET review_reason = 'poison', review_note = 'look', created_at = now() - id * interval '1 hour', order_amount = id * 10 WHERE id < 6`)
	d.exec(t, `UPDATE orders SET review_reason = 'conflict', status = 'TRADE_CLOSED', mid = $1 WHERE id = 2`, otherMID)
	d.exec(t, `UPDATE orders SET status = 'TRADE_SUCCESS' WHERE id = 3`) // the application has settled it itself
	d.exec(t, `UPDATE orders SET review_reason = 'amount_missing', status = 'NOT_FOUND' WHERE id = 5`)
	d.exec(t, `UPDATE orders SET last_queried_at = '2026-11-25T09:00:00Z', updated_at = '2026-11-25T10:00:00Z'`)
	d.exec(t, `UPDATE orders SET last_queried_at = NULL WHERE id = 5`)
	d.exec(t, `INSERT INTO order_queries (order_id, claim_no, decision, trade_status, response) VALUES
		(1, 1, 'deferred', 'NEW_ORDER', '{"totalAmount": 1}'),
		(1, 2, 'review', 'TRADE_SUCCESS', '{"totalAmount": "90"}'),
		(1, 3, 'no_answer', NULL, '{"totalAmount": 7}'),
		(2, 1, 'review', 'TRADE_CLOSED', '{"totalAmount": "9999999999999999999"}'),
		(4, 1, 'review', 'TRADE_SUCCESS', '{"totalAmount": "1.5"}')`)
	d.exec(t, `INSERT INTO order_events (order_id, mid, event, payload, created_at) VALUES
		(1, $1, 'order.review', '{}', '2026-11-25T07:00:00Z'), (1, $1, 'order.review', '{}', '2026-11-25T08:00:00Z'), (1, $1, 'order.paid', '{}', '2026-11-25T08:30:00Z')`, mid)
	type row struct {
		ID            int64
		Reason        string
		GatewayStatus string
		GatewayAmount int64
		Since         string
	}
	conflict, missing := row{2, "conflict", "TRADE_CLOSED", -1, "09:00"}, row{5, "amount_missing", "-", -1, "10:00"}
	first, fourth := row{1, "poison", "TRADE_SUCCESS", 90, "08:00"}, row{4, "poison", "TRADE_SUCCESS", -1, "09:00"}
	for name, tt := range map[string]struct {
		filter store.ReviewFilter
		want   []row
	}{
		"all":                       {store.ReviewFilter{Limit: 10}, []row{missing, conflict, first, fourth}},
		"two":                       {store.ReviewFilter{Limit: 2}, []row{missing, conflict}},
		"of a reason":               {store.ReviewFilter{Limit: 10, Reason: "poison"}, []row{first, fourth}},
		"of a merchant":             {store.ReviewFilter{Limit: 10, MID: otherMID}, []row{conflict}},
		"of a merchant's and cause": {store.ReviewFilter{Limit: 10, MID: otherMID, Reason: "poison"}, nil},
	} {
		list, err := d.Reviews(t.Context(), tt.filter)
		must(t, err)
		var got []row
		for _, r := range list {
			word, amount := "-", int64(-1)
			if r.GatewayStatus != nil {
				word = *r.GatewayStatus
			}
			if r.GatewayAmount != nil {
				amount = *r.GatewayAmount
			}
			if r.ReviewNote != "look" {
				t.Errorf("order %d: note %q", r.ID, r.ReviewNote)
			}
			got = append(got, row{r.ID, r.ReviewReason, word, amount, r.Since.UTC().Format("15:04")})
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	piles, err := d.ReviewPile(t.Context())
	must(t, err)
	for reason, age := range map[string]time.Duration{"poison": 4 * time.Hour, "conflict": 2 * time.Hour, "amount_missing": 5 * time.Hour} {
		pile := piles[reason]
		if pile.Oldest.Truncate(time.Hour) != age {
			t.Errorf("the oldest of %s is %v old, want %v", reason, pile.Oldest, age)
		}
		pile.Oldest = 0
		piles[reason] = pile
	}
	if diff := cmp.Diff(map[string]store.Pile{
		"poison": {Orders: 2, Amount: 50}, "conflict": {Orders: 1, Amount: 20}, "amount_missing": {Orders: 1, Amount: 50},
	}, piles); diff != "" {
		t.Errorf("piles (-want +got):\n%s", diff)
	}
}

// What a query settled counts by when it was settled, also where its events are gone.
func TestLearnedSince(t *testing.T) {
	t.Parallel()
	d := open(t)
	week := time.Now().Add(-7 * 24 * time.Hour)
	learned := func() store.Learned {
		t.Helper()
		l, err := d.LearnedSince(t.Context(), week, time.UTC)
		must(t, err)
		l.Days = nil
		return l
	}
	if got := learned(); len(got.Statuses) != 0 {
		t.Errorf("of nothing: %+v", got)
	}
	d.insert(t, 10)
	d.exec(t, `UPDATE orders SET status = 'TRADE_SUCCESS', created_at = now() - interval '1 day', order_amount = 100, total_amount = CASE WHEN id <= 2 THEN 90 END`)
	d.exec(t, `UPDATE orders SET settled_by = 'query', settled_at = created_at + id * interval '10 seconds' WHERE id <> 6`) // that one the application
	d.exec(t, `UPDATE orders SET status = 'TRADE_CLOSED' WHERE id = 4`)
	d.exec(t, `UPDATE orders SET settled_by = 'hand' WHERE id = 5`)
	d.exec(t, `UPDATE orders SET settled_at = now() - interval '8 days' WHERE id = 7`)
	d.exec(t, `UPDATE orders SET created_at = '-infinity' WHERE id = 8`)
	d.exec(t, `UPDATE orders SET settled_at = 'infinity' WHERE id = 10`)
	d.exec(t, `UPDATE orders SET status = 'UNKNOWN' WHERE id = 9`) // somebody reopened it
	want := store.Learned{
		Statuses: []store.StatusCount{
			{Status: order.StatusTradeClosed, Orders: 1, Amount: 100},
			{Status: order.StatusTradeSuccess, Orders: 4, Amount: 90 + 90 + 100 + 100}, // one without an age
		},
		P50: 25, P95: 38.5,
	}
	if diff := cmp.Diff(want, learned()); diff != "" {
		t.Errorf("learned (-want +got):\n%s", diff)
	}
	d.exec(t, `SET enable_seqscan = off`)
	d.exec(t, `PREPARE learned (timestamptz, text) AS `+store.LearnedSQL)
	nodes := planNodes(t, []byte(scan[string](t, d, `EXPLAIN (FORMAT JSON) EXECUTE learned (now() - interval '7 days', 'UTC')`)))
	if !strings.Contains(strings.Join(nodes, ", "), "orders_learned") {
		t.Errorf("reads %q", nodes)
	}
}

// A consumer has read all, or waits since its oldest event. Of the webhook open deliveries count.
func TestUnreadEvents(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.tell(t, 1)
	d.exec(t, `SELECT register_order_events('late', false), register_order_events('slow', true), register_order_events('webhook', false)`)
	d.tell(t, 2)
	d.tell(t, 3)
	d.exec(t, `UPDATE order_events SET created_at = '2026-11-25T08:00:00Z'::timestamptz + id * interval '1 minute'`)
	unread := func() map[string]string {
		t.Helper()
		list, _, err := d.UnreadEvents(t.Context())
		must(t, err)
		got := make(map[string]string)
		for _, u := range list {
			got[u.Consumer] = "-"
			if u.Oldest != nil {
				got[u.Consumer] = u.Oldest.UTC().Format("15:04")
			}
			if u.SeenAt.IsZero() {
				t.Errorf("consumer %s was never seen", u.Consumer)
			}
		}
		return got
	}
	want := func(when string, want map[string]string) {
		t.Helper()
		if diff := cmp.Diff(want, unread()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	want("at first", map[string]string{"late": "08:02", "slow": "08:01", "webhook": "08:02"})
	d.ack(t, "slow", d.wantNext(t, "slow", 1, 2, 3)[0])
	d.ack(t, "late", d.wantNext(t, "late", 2, 3)[1])
	d.hold(t, "a")
	d.enlist(t, 2)
	d.exec(t, `UPDATE webhook_deliveries SET pending_since = '2026-11-25T09:00:00Z'::timestamptz + event_id * interval '1 minute'`)
	want("after some were read", map[string]string{"late": "-", "slow": "08:02", "webhook": "09:02"})
	d.tell(t, 4)
	d.exec(t, `UPDATE order_events SET created_at = '2026-11-25T08:30:00Z' WHERE order_id = 4`)
	want("beside one that is not enlisted", map[string]string{"late": "08:30", "slow": "08:02", "webhook": "08:30"})
	d.enlist(t, 1)
	_, due := d.due(t, 10, 0)
	d.attempt(t, store.Attempt{Delivery: due[2], Status: 200, Delivered: true})
	d.attempt(t, store.Attempt{Delivery: due[3], Status: 500})
	d.attempt(t, store.Attempt{Delivery: due[4], Status: 500})
	want("after all were sent", map[string]string{"late": "08:30", "slow": "08:02", "webhook": "-"})
	if _, setAside, err := d.UnreadEvents(t.Context()); err != nil || setAside != 2 {
		t.Errorf("%d deliveries are set aside, %v; want 2", setAside, err)
	}
}

// The outcomes that were learned count by the day of the reader's zone.
func TestLearnedDays(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 6)
	d.exec(t, `UPDATE orders SET status = CASE WHEN id = 3 THEN 'TRADE_CLOSED' ELSE 'TRADE_SUCCESS' END, settled_by = CASE WHEN id = 5 THEN 'hand' ELSE 'query' END,
		settled_at = '2026-11-25T15:30:00Z'::timestamptz + id * interval '10 minutes'`)
	d.exec(t, `UPDATE orders SET settled_at = '2026-11-01T00:00:00Z' WHERE id = 6`)
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	must(t, err)
	for zone, want := range map[*time.Location][]store.DayCount{ // midnight in Shanghai is 16:00 UTC
		time.UTC: {{"2026-11-25", order.StatusTradeClosed, 1}, {"2026-11-25", order.StatusTradeSuccess, 3}},
		shanghai: {{"2026-11-25", order.StatusTradeSuccess, 2}, {"2026-11-26", order.StatusTradeClosed, 1}, {"2026-11-26", order.StatusTradeSuccess, 1}},
	} {
		got, err := d.LearnedSince(t.Context(), time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), zone)
		must(t, err)
		if diff := cmp.Diff(want, got.Days); diff != "" {
			t.Errorf("%s (-want +got):\n%s", zone, diff)
		}
	}
}
