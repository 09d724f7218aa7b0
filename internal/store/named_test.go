package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// Each name of a list is answered in its place: by all orders that it fits, or by whether there is
// one that the selection leaves out.
func TestLookUp(t *testing.T) {
	t.Parallel()
	d := open(t)
	const n1, n2, n3, none = "319400000001", "319400000002", "319400000003", "319400000099"
	d.insert(t, 4)
	d.exec(t, `UPDATE orders SET mid = $1, mer_order_id = '319400000001', created_at = '2026-11-02T00:00:00Z' WHERE id = 4`, otherMID)
	d.exec(t, `UPDATE orders SET created_at = '2026-11-01T00:00:00Z' WHERE id < 4`)
	d.exec(t, `UPDATE orders SET status = 'TRADE_SUCCESS', review_reason = 'conflict', lease_until = now() - interval '1 minute' WHERE id = 2`)
	d.exec(t, `UPDATE orders SET lease_until = now() + interval '1 hour' WHERE id = 3`)
	first := store.NamedState{ID: 1, MID: mid, MerOrderID: n1, Status: order.StatusUnknown, Known: true}
	fourth := store.NamedState{ID: 4, MID: otherMID, MerOrderID: n1, Status: order.StatusUnknown, Known: true}
	left := store.NamedState{MerOrderID: n1, Known: true}
	for name, tt := range map[string]struct {
		list      []store.NamedOrder
		selection store.Selection
		want      []store.NamedState
	}{
		"nothing": {nil, store.Selection{}, []store.NamedState{}},
		"in the order of the list": {[]store.NamedOrder{{MerOrderID: n3}, {MerOrderID: none}, {MerOrderID: n2}}, store.Selection{}, []store.NamedState{
			{ID: 3, MID: mid, MerOrderID: n3, Status: order.StatusUnknown, InFlight: true, Known: true},
			{MerOrderID: none},
			{ID: 2, MID: mid, MerOrderID: n2, Status: order.StatusTradeSuccess, ReviewReason: "conflict", Known: true},
		}},
		"of two merchants": {[]store.NamedOrder{{MerOrderID: n1}}, store.Selection{}, []store.NamedState{first, fourth}},
		"by two names":     {[]store.NamedOrder{{MID: mid, MerOrderID: n1}, {MerOrderID: n1}}, store.Selection{}, []store.NamedState{first, fourth}},
		"of one merchant":  {[]store.NamedOrder{{MID: otherMID, MerOrderID: n1}}, store.Selection{}, []store.NamedState{fourth}},
		"of another merchant": {
			[]store.NamedOrder{{MID: otherMID, MerOrderID: n2}},
			store.Selection{},
			[]store.NamedState{{MID: otherMID, MerOrderID: n2}},
		},
		"selected by merchant":    {[]store.NamedOrder{{MerOrderID: n1}}, store.Selection{MID: otherMID}, []store.NamedState{fourth}},
		"left out by merchant":    {[]store.NamedOrder{{MerOrderID: n1}}, store.Selection{MID: "898340149000001"}, []store.NamedState{left}},
		"selected from a time on": {[]store.NamedOrder{{MerOrderID: n1}}, store.Selection{CreatedSince: new(time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC))}, []store.NamedState{fourth}},
		"selected before a time":  {[]store.NamedOrder{{MerOrderID: n1}}, store.Selection{CreatedUntil: new(time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC))}, []store.NamedState{first}},
		"left out by time":        {[]store.NamedOrder{{MerOrderID: n1}}, store.Selection{CreatedUntil: new(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))}, []store.NamedState{left}},
	} {
		got, err := d.LookUp(t.Context(), tt.list, tt.selection)
		must(t, err)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Merchants that have credentials again get their unresolved orders back, and no others.
func TestReviveNoCredentials(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 6)
	d.exec(t, `UPDATE orders SET review_reason = $1, review_note = 'look', next_query_at = NULL WHERE id <> 4`, order.ReviewNoCredentials)
	d.exec(t, `UPDATE orders SET review_reason = 'poison', next_query_at = NULL WHERE id = 4`)
	d.exec(t, `UPDATE orders SET status = 'TRADE_SUCCESS' WHERE id = 3`)
	d.exec(t, `UPDATE orders SET mid = $1 WHERE id > 4`, otherMID)
	want := func(when string, mids []string, n int, left string) {
		t.Helper()
		if got, err := d.ReviveNoCredentials(t.Context(), mids); err != nil || got != n {
			t.Errorf("%s: %d orders left, %v; want %d", when, got, err, n)
		}
		if got := scan[string](t, d, `SELECT coalesce(string_agg(id || ' ' || review_reason, ', ' ORDER BY id), '') FROM orders WHERE review_reason IS NOT NULL`); got != left {
			t.Errorf("%s: under review are %s, want %s", when, got, left)
		}
		if n := scan[int](t, d, `SELECT count(*) FROM orders WHERE review_reason IS NULL AND (review_note IS NOT NULL OR next_query_at IS DISTINCT FROM least(next_query_at, now()))`); n != 0 {
			t.Errorf("%s: %d orders are not due, or have a note", when, n)
		}
	}
	want("of no merchant", []string{}, 0, "1 no_credentials, 2 no_credentials, 3 no_credentials, 4 poison, 5 no_credentials, 6 no_credentials")
	shop := d.connect(t, "shop")
	exec(t, shop, `BEGIN; SELECT FROM orders WHERE id = 1 FOR UPDATE`)
	want("of one merchant, one order locked", []string{mid, "898340149000001"}, 1, "1 no_credentials, 3 no_credentials, 4 poison, 5 no_credentials, 6 no_credentials")
	exec(t, shop, `ROLLBACK`)
	d.trigger(t, "NEW.id = 5", `RAISE EXCEPTION 'not today';`)
	want("of all merchants, one order refuses", nil, 1, "3 no_credentials, 4 poison, 5 no_credentials")
	d.exec(t, `DROP TRIGGER shop ON orders`)
	want("the rest", nil, 0, "3 no_credentials, 4 poison")
	want("again", nil, 0, "3 no_credentials, 4 poison")
}
