package store_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

func detailIDs(list []store.Detail) []int64 {
	ids := []int64{}
	for _, o := range list {
		ids = append(ids, o.ID)
	}
	return ids
}

// A name is an id, or a number: the merchant's or the channel's. Among the orders of one merchant
// the merchant's number comes first.
func TestFindOrders(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 7)
	d.exec(t, `UPDATE orders SET mid = $1, mer_order_id = '319400000001' WHERE id = 2`, otherMID)
	d.exec(t, `UPDATE orders SET target_order_id = '319400000001' WHERE id = 3`) // the channel's is a merchant's number
	d.exec(t, `UPDATE orders SET target_order_id = '4200000001' WHERE id IN (4, 5)`)
	d.exec(t, `UPDATE orders SET mid = $1 WHERE id = 5`, otherMID)
	d.exec(t, `UPDATE orders SET mer_order_id = '4200000003' WHERE id = 6`)
	d.exec(t, `UPDATE orders SET target_order_id = '4200000003', mid = $1 WHERE id = 7`, otherMID)
	for name, tt := range map[string]struct {
		name store.OrderName
		want []int64
	}{
		"id":                               {store.OrderName{ID: 3}, []int64{3}},
		"id, whatever the number":          {store.OrderName{ID: 3, Number: "319400000001"}, []int64{3}},
		"id of another merchant":           {store.OrderName{ID: 3, MID: otherMID}, []int64{}},
		"no id":                            {store.OrderName{ID: 99}, []int64{}},
		"number of two merchants":          {store.OrderName{Number: "319400000001"}, []int64{2, 1}},
		"number of one of them":            {store.OrderName{Number: "319400000001", MID: mid}, []int64{1}},
		"channel's number":                 {store.OrderName{Number: "4200000001"}, []int64{5, 4}},
		"channel's number of one merchant": {store.OrderName{Number: "4200000001", MID: otherMID}, []int64{5}},
		"number of one, channel's number of another": {store.OrderName{Number: "4200000003"}, []int64{7, 6}},
		"channel's number of the other":              {store.OrderName{Number: "4200000003", MID: otherMID}, []int64{7}},
		"no number":                                  {store.OrderName{Number: "319400000099"}, []int64{}},
	} {
		got, err := d.FindOrders(t.Context(), tt.name, time.UTC)
		if err != nil || !slices.Equal(detailIDs(got), tt.want) {
			t.Errorf("%s: %v, %v; want %v", name, detailIDs(got), err, tt.want)
		}
	}
	d.exec(t, `INSERT INTO orders (mid, tid, target_order_id, order_amount) SELECT $1, $2, '4200000002', 100 FROM generate_series(1, 25)`, mid, tid)
	if got, err := d.FindOrders(t.Context(), store.OrderName{Number: "4200000002"}, nil); err != nil || len(got) != 20 || got[0].ID != 32 || got[19].ID != 13 {
		t.Errorf("of 25: %v, %v; want the latest 20", detailIDs(got), err)
	}
}

// The columns of an order come with the times of a zone. Times that Go has not are none.
func TestFindOrdersReadsTheWholeRow(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 2)
	at := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	d.exec(t, `UPDATE orders SET review_note = 'look', last_error = 'trouble', claimed_by = 'worker', updated_at = $1, settled_at = $1, settled_by = 'hand',
		total_amount = 90, refund_amount = 40, pay_time = $1, created_at = $1 WHERE id = 1`, at)
	d.exec(t, `UPDATE orders SET settled_at = 'infinity', pay_time = '-infinity', next_query_at = 'infinity', lease_until = 'infinity' WHERE id = 2`)
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	must(t, err)
	list, err := d.FindOrders(t.Context(), store.OrderName{ID: 1}, shanghai)
	must(t, err)
	got := list[0]
	var columns map[string]any
	must(t, json.Unmarshal(got.Columns, &columns))
	if columns["created_at"] != "2026-11-25T16:00:00+08:00" || columns["settled_by"] != "hand" || columns["mer_order_id"] != "319400000001" {
		t.Errorf("columns %s", got.Columns)
	}
	if n := scan[int](t, d, `SELECT count(*) FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = 'orders'`); len(columns) != n {
		t.Errorf("%d columns, want %d", len(columns), n)
	}
	want := store.Detail{
		Order: got.Order, Columns: got.Columns, ReviewNote: "look", ClaimedBy: "worker", UpdatedAt: at, SettledAt: &at, SettledBy: "hand",
		TotalAmount: new(int64(90)), RefundAmount: new(int64(40)), PayTime: &at,
	}
	if diff := cmp.Diff(want, got); diff != "" || got.OrderAmount != 100 || got.Status != order.StatusUnknown {
		t.Errorf("order %+v (-want +got):\n%s", got.Order, diff)
	}
	d.exec(t, `UPDATE orders SET created_at = 'infinity', expires_at = '294276-12-31', updated_at = 'infinity', last_queried_at = '-infinity', review_reason = 'poison' WHERE id = 2`)
	if reviews, err := d.Reviews(t.Context(), store.ReviewFilter{Limit: 9}); err != nil || len(reviews) != 1 {
		t.Errorf("reviews of infinite times: %v, %v", reviews, err)
	}
	if _, err := json.Marshal(d.detail(t, 2)); err != nil {
		t.Errorf("of infinite times: %v", err)
	}
	if o := d.detail(t, 2); o.SettledAt != nil || o.PayTime != nil || o.NextQueryAt != nil || o.LeaseUntil != nil || o.SettledBy != "" || o.TotalAmount != nil {
		t.Errorf("of infinite times: %+v", o)
	}
	if got, err := d.Setting(t.Context(), "TimeZone"); err != nil || got == "Asia/Shanghai" {
		t.Errorf("a look left the zone %s behind, %v", got, err)
	}
}

// The history of an order is its own, the oldest first, with its place in the queue.
func TestHistory(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 8)
	first := d.claimOne(t)
	d.record(t, deferred(first))
	d.exec(t, `UPDATE orders SET next_query_at = now() - interval '2 hours' WHERE id = 1`)
	d.exec(t, `UPDATE orders SET lease_until = now() + interval '1 hour' WHERE id = 2`)       // in flight
	d.exec(t, `UPDATE orders SET lease_until = now() - interval '1 hour' WHERE id = 3`)       // not any more
	d.exec(t, `UPDATE orders SET review_reason = 'poison' WHERE id = 4`)                      // not due
	d.exec(t, `UPDATE orders SET next_query_at = now() + interval '1 hour' WHERE id = 5`)     // later
	d.exec(t, `UPDATE orders SET next_query_at = now() - interval '30 minutes' WHERE id > 5`) // at one time
	d.tell(t, 1, 7, 1)
	for _, id := range []int64{1, 7, 1} {
		a := byHand("retry")
		a.OrderID = &id
		_, err := d.AddAction(t.Context(), a)
		must(t, err)
	}
	h, err := d.History(t.Context(), d.detail(t, 1).Order)
	must(t, err)
	q := h.Questions[0]
	if len(h.Questions) != 1 || h.Asked != 1 || q.OrderID != 1 || q.ClaimNo != first.ClaimNo || q.Decision != order.Deferred || *q.Reason != "unresolved" || q.DurationMS != 20 ||
		q.RoundTrips != 1 || *q.Worker != "test" || *q.HTTPStatus != 200 || *q.ErrCode != "SUCCESS" || q.ErrMsg != nil || *q.TradeStatus != "TRADE_SUCCESS" ||
		q.NextQueryAt == nil || !q.QueriedAt.Equal(first.ClaimedAt) || string(q.Response) != `{"status": "TRADE_SUCCESS"}` {
		t.Errorf("questions %+v, asked %d", h.Questions, h.Asked)
	}
	if len(h.Events) != 2 || h.Events[0].ID >= h.Events[1].ID || h.Events[0].Event != "order.paid" || string(h.Events[0].Payload) != "{}" || h.Events[0].CreatedAt.IsZero() {
		t.Errorf("events %+v", h.Events)
	}
	if len(h.Actions) != 2 || h.Actions[0].ID >= h.Actions[1].ID || h.Actions[0].Actor != "li" {
		t.Errorf("actions %+v", h.Actions)
	}
	for id, want := range map[int64]int{1: 0, 3: 1, 6: 2, 7: 3, 8: 4, 5: 5} {
		if h, err := d.History(t.Context(), d.detail(t, id).Order); err != nil || h.Ahead != want {
			t.Errorf("%d orders are ahead of order %d, %v; want %d", h.Ahead, id, err, want)
		}
	}
	d.exec(t, `INSERT INTO order_queries (order_id, claim_no, decision) SELECT 8, i, 'deferred' FROM generate_series(1, 510) AS i`)
	d.exec(t, `UPDATE orders SET next_query_at = NULL, status = 'TRADE_SUCCESS' WHERE id = 8`)
	h, err = d.History(t.Context(), d.detail(t, 8).Order)
	if err != nil || h.Asked != 510 || len(h.Questions) != 500 || h.Questions[0].ClaimNo != 11 || h.Questions[499].ClaimNo != 510 || h.Ahead != 0 {
		t.Errorf("of many: asked %d, %d questions, %d ahead, %v", h.Asked, len(h.Questions), h.Ahead, err)
	}
}

// A found answer is one with a trade status, of an order of the merchant, that can be believed.
func TestFoundAt(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 2)
	d.exec(t, `UPDATE orders SET mid = $1 WHERE id = 2`, otherMID)
	noon := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	d.exec(t, `INSERT INTO order_queries (order_id, claim_no, queried_at, trade_status, decision, reason)
		SELECT o, n, $1::timestamptz + n * interval '1 minute', word, decision, reason FROM (VALUES
		    (1, 1, 'NEW_ORDER', 'deferred', 'unresolved'),
		    (1, 2, 'TRADE_SUCCESS', 'superseded', 'superseded after: trade_success'),
		    (1, 3, 'TRADE_SUCCESS', 'no_answer', 'http_502'),
		    (1, 4, 'TRADE_SUCCESS', 'refused', 'BAD_SIGN'),
		    (1, 5, 'TRADE_SUCCESS', 'review', 'identity_mismatch'),
		    (1, 6, 'TRADE_SUCCESS', 'superseded', 'superseded after: identity_mismatch'),
		    (1, 7, NULL, 'deferred', 'no_order'),
		    (2, 9, 'NEW_ORDER', 'deferred', NULL)
		) AS v(o, n, word, decision, reason)`, noon)
	for name, tt := range map[string]struct {
		mid   string
		since time.Duration
		want  string
	}{
		"the latest":        {mid, 0, "12:02"},
		"at that time":      {mid, 2 * time.Minute, "12:02"},
		"after that time":   {mid, 2*time.Minute + time.Second, "none"},
		"another's":         {otherMID, 0, "12:09"},
		"a merchant's none": {"898340149000001", 0, "none"},
	} {
		at, err := d.FoundAt(t.Context(), tt.mid, noon.Add(tt.since))
		must(t, err)
		got := "none"
		if at != nil {
			got = at.UTC().Format("15:04")
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// What falls due is listed, the longest due first, and counted.
func TestFallingDue(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at, status, review_reason)
		SELECT $1, $2, '3194' || lpad(n::text, 8, '0'), 100, '2026-11-25T08:00:00Z'::timestamptz + minutes * interval '1 minute', status, review FROM (VALUES
		    (1, 30, 'UNKNOWN', NULL), (2, 10, 'NOT_FOUND', NULL), (3, 20, 'NEW_ORDER', NULL), (4, 20, 'UNKNOWN', NULL), (5, 60, 'UNKNOWN', NULL),
		    (6, 10, 'UNKNOWN', 'poison'), (7, 10, 'TRADE_SUCCESS', NULL)) AS v(n, minutes, status, review)`, mid, tid)
	for _, tt := range []struct {
		before       time.Duration
		limit, total int
		want         []int64
	}{
		{time.Hour, 10, 4, []int64{2, 3, 4, 1}},
		{time.Hour, 4, 4, []int64{2, 3, 4, 1}},
		{time.Hour, 2, 4, []int64{2, 3}},
		{61 * time.Minute, 10, 5, []int64{2, 3, 4, 1, 5}},
		{0, 10, 0, nil},
	} {
		list, total, err := d.FallingDue(t.Context(), time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC).Add(tt.before), tt.limit)
		if got := ids(list); err != nil || total != tt.total || fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("within %v, at most %d: %v of %d, %v; want %v of %d", tt.before, tt.limit, got, total, err, tt.want, tt.total)
		}
	}
}
