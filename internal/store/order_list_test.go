package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// orderPages reads a list to its end, and fails where a page is larger than asked for.
func (d database) orderPages(t *testing.T, f store.OrderFilter) (ids []int64) {
	t.Helper()
	for range 100 {
		p, err := d.Orders(t.Context(), f)
		must(t, err)
		if len(p.Orders) > f.Limit {
			t.Fatalf("a page of %d orders, want at most %d", len(p.Orders), f.Limit)
		}
		for _, o := range p.Orders {
			ids = append(ids, o.ID)
		}
		if p.Below == 0 {
			return ids
		}
		f.Below = p.Below
	}
	t.Fatal("the list does not end")
	return nil
}

// However a filter finds its orders, the pages have each of them once, the latest first.
func TestOrders(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 12)
	d.exec(t, `ALTER TABLE orders DISABLE TRIGGER zz_orders_stay_due`)
	d.exec(t, `UPDATE orders SET created_at = '2026-11-25T08:00:00Z'::timestamptz + id * interval '1 hour', mid = CASE WHEN id % 2 = 0 THEN $1 ELSE mid END`, otherMID)
	for id, set := range map[int]string{
		1: `status = 'TRADE_SUCCESS'`, 2: `status = 'TRADE_CLOSED', review_reason = 'conflict'`, 3: `status = 'NOT_FOUND', next_query_at = NULL`,
		4: `status = 'NEW_ORDER'`, 5: `review_reason = 'poison'`, 6: `next_query_at = NULL`, 7: `status = 'TRADE_SUCCESS', review_reason = 'poison'`,
		8: `status = 'NOT_FOUND', review_reason = 'bad_request'`,
	} {
		d.exec(t, fmt.Sprintf(`UPDATE orders SET %s WHERE id = %d`, set, id))
	}
	hour := func(n int) *time.Time { return new(time.Date(2026, 11, 25, 8+n, 0, 0, 0, time.UTC)) }
	for name, tt := range map[string]struct {
		filter store.OrderFilter
		want   []int64
	}{
		"all":                        {store.OrderFilter{}, []int64{12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}},
		"open":                       {store.OrderFilter{Status: store.StatusOpen}, []int64{12, 11, 10, 9, 6, 5, 4}},
		"of a status that is open":   {store.OrderFilter{Status: order.StatusUnknown}, []int64{12, 11, 10, 9, 6, 5}},
		"of a status that is rare":   {store.OrderFilter{Status: order.StatusNewOrder}, []int64{4}},
		"settled":                    {store.OrderFilter{Status: order.StatusTradeSuccess}, []int64{7, 1}},
		"not found":                  {store.OrderFilter{Status: order.StatusNotFound}, []int64{8, 3}},
		"under review":               {store.OrderFilter{Review: store.AnyReview}, []int64{8, 5, 2}},
		"under one review":           {store.OrderFilter{Review: "poison"}, []int64{5}},
		"of a merchant":              {store.OrderFilter{MID: otherMID}, []int64{12, 10, 8, 6, 4, 2}},
		"open, of a merchant":        {store.OrderFilter{Status: store.StatusOpen, MID: otherMID}, []int64{12, 10, 6, 4}},
		"under review, of a status":  {store.OrderFilter{Review: store.AnyReview, Status: order.StatusUnknown}, []int64{5}},
		"after a time":               {store.OrderFilter{CreatedAfter: hour(10)}, []int64{12, 11}},
		"at a time and before":       {store.OrderFilter{CreatedBefore: hour(2)}, []int64{2, 1}},
		"between, open":              {store.OrderFilter{Status: store.StatusOpen, CreatedAfter: hour(4), CreatedBefore: hour(6)}, []int64{6, 5}},
		"below an id":                {store.OrderFilter{Below: 3}, []int64{2, 1}},
		"of a merchant without them": {store.OrderFilter{MID: "898340149000001"}, nil},
	} {
		for _, limit := range []int{1, 2, 50} {
			tt.filter.Limit = limit
			if got := d.orderPages(t, tt.filter); !slices.Equal(got, tt.want) {
				t.Errorf("%s, by %d: %v, want %v", name, limit, got, tt.want)
			}
		}
	}
}

// A listed order has what the table of the page shows. Times that Go has not are none.
func TestOrdersShowTheirRows(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 2)
	at := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	d.exec(t, `UPDATE orders SET target_order_id = '4200000001', total_amount = 90, status = 'TRADE_SUCCESS', review_reason = 'conflict', created_at = $1, next_query_at = $1,
		last_queried_at = $1, settled_at = $1, settled_by = 'hand', last_error = 'trouble', lease_until = now() + interval '1 hour' WHERE id = 2`, at)
	d.exec(t, `UPDATE orders SET created_at = '-infinity', next_query_at = 'infinity', last_queried_at = 'infinity', settled_at = 'infinity',
		lease_until = now() - interval '1 hour' WHERE id = 1`)
	p, err := d.Orders(t.Context(), store.OrderFilter{Limit: 10})
	must(t, err)
	want := []store.OrderRow{
		{
			ID: 2, MID: mid, MerOrderID: "319400000002", TargetOrderID: "4200000001", OrderAmount: 100, TotalAmount: new(int64(90)), Status: order.StatusTradeSuccess,
			ReviewReason: "conflict", CreatedAt: at, NextQueryAt: &at, LastQueriedAt: &at, SettledAt: &at, SettledBy: "hand", LastError: "trouble", InFlight: true,
		},
		{ID: 1, MID: mid, MerOrderID: "319400000001", OrderAmount: 100, Status: order.StatusUnknown},
	}
	if diff := cmp.Diff(want, p.Orders); diff != "" || p.Below != 0 || p.WalkedTo != nil {
		t.Errorf("below %d, walked to %v, orders (-want +got):\n%s", p.Below, p.WalkedTo, diff)
	}
}

// Lists of people's pages go on where the page before ended.
func TestListsGoOnWhereTheyEnded(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 5)
	d.exec(t, `UPDATE orders SET review_reason = CASE WHEN id IN (2, 5) THEN 'amount_missing' ELSE 'poison' END`)
	d.tell(t, 1, 2, 3)
	d.exec(t, `UPDATE order_events SET event = 'order.closed' WHERE id = 2`)
	for range 3 {
		_, err := d.AddAction(t.Context(), byHand("retry"))
		must(t, err)
	}
	reviews, err := d.Reviews(t.Context(), store.ReviewFilter{Limit: 2, AfterReason: "amount_missing", AfterID: 2})
	must(t, err)
	if len(reviews) != 2 || reviews[0].ID != 5 || reviews[1].ID != 1 {
		t.Errorf("reviews %+v, want those of 5 and 1", reviews)
	}
	if got := eventIDs(d.events(t, store.EventFilter{Below: 3})); !slices.Equal(got, []int64{2, 1}) {
		t.Errorf("events %v below 3", got)
	}
	if got := eventIDs(d.events(t, store.EventFilter{Event: "order.closed"})); !slices.Equal(got, []int64{2}) {
		t.Errorf("events %v of closed orders", got)
	}
	actions := d.actions(t, store.ActionFilter{Limit: 10, Below: 3})
	if len(actions) != 2 || actions[0].ID != 2 {
		t.Errorf("actions %+v below 3", actions)
	}
}

// A page of events of a rare kind ends before it has looked at all, and the next one goes on there.
// Failed deliveries have an index and are found however old they are.
func TestEventPageEndsEarly(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	d.exec(t, `INSERT INTO order_events (id, order_id, mid, event, payload, created_at) OVERRIDING SYSTEM VALUE
		SELECT id, 1, $1, CASE WHEN id = 2 THEN 'order.closed' ELSE 'order.paid' END, '{}', '2026-11-25T08:00:00Z'::timestamptz + id * interval '1 second'
		FROM unnest(ARRAY[1, 2, 20000, 70000]) AS id`, mid)
	d.exec(t, `INSERT INTO webhook_deliveries (event_id, attempts, set_aside_at) VALUES (2, 9, now())`)
	pageOf := func(f store.EventFilter) store.EventPage {
		t.Helper()
		f.Limit = 2
		p, err := d.EventPage(t.Context(), f)
		must(t, err)
		return p
	}
	p := pageOf(store.EventFilter{Event: "order.closed"})
	if len(p.Events) != 0 || p.Below != 20001 || p.WalkedTo == nil || p.WalkedTo.Unix() != time.Date(2026, 11, 25, 8, 0, 70000, 0, time.UTC).Unix() {
		t.Errorf("first page %+v", p)
	}
	p = pageOf(store.EventFilter{Event: "order.closed", Below: p.Below})
	if !slices.Equal(eventIDs(p.Events), []int64{2}) || p.Below != 0 || p.WalkedTo != nil {
		t.Errorf("second page %+v", p)
	}
	if p = pageOf(store.EventFilter{Failed: true}); !slices.Equal(eventIDs(p.Events), []int64{2}) || p.Below != 0 {
		t.Errorf("failed %+v", p)
	}
	if p = pageOf(store.EventFilter{}); !slices.Equal(eventIDs(p.Events), []int64{70000}) || p.Below != 20001 {
		t.Errorf("all %+v", p)
	}
	p = pageOf(store.EventFilter{Below: 1 << 40})
	if p = pageOf(store.EventFilter{Below: p.Below}); !slices.Equal(eventIDs(p.Events), []int64{20000, 2}) || p.Below != 2 {
		t.Errorf("second of all %+v", p)
	}
	d.exec(t, `DELETE FROM order_events`)
	if p = pageOf(store.EventFilter{Event: "order.closed"}); len(p.Events) != 0 || p.Below != 0 {
		t.Errorf("of none %+v", p)
	}
}
