package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

func (d database) backlog(t *testing.T) store.Backlog {
	t.Helper()
	b, err := d.Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// piles are the unresolved ones without their ages.
func piles(b store.Backlog) map[order.Status]store.Pile {
	bare := make(map[order.Status]store.Pile)
	for status, pile := range b.Unresolved {
		bare[status] = store.Pile{Orders: pile.Orders, Amount: pile.Amount}
	}
	return bare
}

// near reports whether an age is what it was made, or a little more.
func near(got, made time.Duration) bool { return got >= made && got < made+time.Minute }

// Nothing to do is a figure, not the lack of one.
func TestBacklogOfNothing(t *testing.T) {
	t.Parallel()
	d := open(t)
	want := store.Backlog{
		Unresolved: map[order.Status]store.Pile{order.StatusUnknown: {}, order.StatusNewOrder: {}, order.StatusWaitBuyerPay: {}},
		Review:     map[string]store.Pile{},
		Pauses:     []store.Control{},
		Held:       []store.HeldPile{},
	}
	if diff := cmp.Diff(want, d.backlog(t)); diff != "" {
		t.Errorf("backlog (-want +got):\n%s", diff)
	}
	d.exec(t, `INSERT INTO instances (worker, version, seen_at) VALUES
		('gone', 'v', now() - interval '61 seconds'), ('late', 'v', now() - interval '30 seconds'), ('here', 'v', now())`)
	want.Instances = 2
	if diff := cmp.Diff(want, d.backlog(t)); diff != "" {
		t.Errorf("backlog beside two daemons (-want +got):\n%s", diff)
	}
}

func TestBacklog(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 14) // of 1 yuan, an hour overdue and just made
	later := `next_query_at = now() + interval '1 hour'`
	for id, change := range []string{
		1:  `created_at = now() - interval '5 hours'`,
		2:  `order_amount = 250, ` + later,
		3:  `status = 'NEW_ORDER', next_query_at = now() - interval '2 hours'`,
		4:  `status = 'WAIT_BUYER_PAY', lease_until = now() + interval '1 min', next_query_at = now() - interval '9 hours'`,
		5:  `status = 'WAIT_BUYER_PAY', lease_until = now() - interval '1 min', created_at = now() - interval '3 hours'`,
		6:  `status = 'NOT_FOUND', next_query_at = now() - interval '3 hours'`, // its late check
		7:  `status = 'NOT_FOUND', next_query_at = NULL`,
		8:  `status = 'TRADE_SUCCESS', order_amount = 1000000`,
		9:  `review_reason = 'amount_mismatch', next_query_at = NULL, order_amount = 7`,
		10: `review_reason = 'amount_mismatch', next_query_at = NULL, status = 'NOT_FOUND', order_amount = 11`,
		11: `review_reason = 'bad_request', next_query_at = NULL, status = 'NEW_ORDER', created_at = now() - interval '30 hours'`,
		12: `review_reason = 'conflict', status = 'TRADE_CLOSED', order_amount = 13`,
		13: `review_reason = 'bad_request', status = 'TRADE_CLOSED', order_amount = 1000000`, // settled since: nobody is needed
		14: `created_at = now() + interval '1 hour', ` + later,                               // another clock's
	} {
		if change != "" {
			d.exec(t, `UPDATE orders SET `+change+` WHERE id = $1`, id)
		}
	}
	b := d.backlog(t)
	want := map[order.Status]store.Pile{
		order.StatusUnknown:      {Orders: 4, Amount: 457},
		order.StatusNewOrder:     {Orders: 2, Amount: 200},
		order.StatusWaitBuyerPay: {Orders: 2, Amount: 200},
	}
	if diff := cmp.Diff(want, piles(b)); diff != "" {
		t.Errorf("unresolved (-want +got):\n%s", diff)
	}
	for status, age := range map[order.Status]time.Duration{
		order.StatusUnknown: 5 * time.Hour, order.StatusNewOrder: 30 * time.Hour, order.StatusWaitBuyerPay: 3 * time.Hour,
	} {
		if got := b.Unresolved[status].Oldest; !near(got, age) {
			t.Errorf("the oldest %s is %s old, want %s", status, got, age)
		}
	}
	reviews := make(map[string][2]int64)
	for reason, pile := range b.Review {
		reviews[reason] = [2]int64{int64(pile.Orders), pile.Amount}
	}
	if diff := cmp.Diff(map[string][2]int64{"amount_mismatch": {2, 18}, "bad_request": {1, 100}, "conflict": {1, 13}}, reviews); diff != "" {
		t.Errorf("in review (-want +got):\n%s", diff)
	}
	if b.Overdue != 4 || !near(b.OverdueBy, 3*time.Hour) {
		t.Errorf("%d overdue, by %s; want 4, by 3h", b.Overdue, b.OverdueBy)
	}
}

func TestBacklogNamesThePauses(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `INSERT INTO gateway_controls (scope, key, set_by, paused_until) VALUES
		('app', 'the app', 'breaker', now() + interval '1 min'), ('mid', $1, 'an operator', NULL), ('mid', 'over', 'an operator', now())`, mid)
	var got []string
	for _, c := range d.backlog(t).Pauses {
		got = append(got, strings.Join([]string{string(c.Scope), c.Key, c.SetBy}, " "))
	}
	if diff := cmp.Diff([]string{"app the app breaker", "mid " + mid + " an operator"}, got); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
}

// A planned pause pages nobody: its orders are not overdue, and are counted as held.
func TestBacklogLeavesOutWhatIsPaused(t *testing.T) {
	t.Parallel()
	const other, third = "898340149000006", "898340149000007"
	for name, tt := range map[string]struct {
		pauses, apps string
		overdue      int
		held         []store.HeldPile
	}{
		"nothing": {"", "", 6, []store.HeldPile{}},
		"a merchant": {
			`('mid', '` + mid + `', 'li', NULL)`, "", 5,
			[]store.HeldPile{{Scope: store.ScopeMerchant, Key: mid, Orders: 1, Amount: 100}},
		},
		"a pause that is over": {`('mid', '` + mid + `', 'li', now())`, "", 6, []store.HeldPile{}},
		"an app of which no daemon tells": {
			`('app', 'a', 'breaker', now() + interval '1 min')`, "", 0,
			[]store.HeldPile{{Scope: store.ScopeApp, Key: "a", Orders: 6, Amount: 600}},
		},
		"the only app": {
			`('app', 'a', 'li', NULL)`, `[{"app_id": "a"}]`, 0,
			[]store.HeldPile{{Scope: store.ScopeApp, Key: "a", Orders: 6, Amount: 600}},
		},
		"another app": {
			`('app', 'b', 'li', NULL)`, `[{"app_id": "a"}]`, 6,
			[]store.HeldPile{{Scope: store.ScopeApp, Key: "b"}},
		},
		"an app with merchants": {
			`('app', 'a', 'li', NULL)`, `[{"app_id": "a", "mids": ["` + other + `"]}, {"app_id": "b", "mids": ["` + third + `"]}]`, 4,
			[]store.HeldPile{{Scope: store.ScopeApp, Key: "a", Orders: 2, Amount: 200}},
		},
		"an app and one of its merchants": {
			`('app', 'a', 'li', NULL), ('mid', '` + other + `', 'li', NULL)`, `[{"app_id": "a", "mids": ["` + other + `", "` + third + `"]}]`, 1,
			[]store.HeldPile{{Scope: store.ScopeApp, Key: "a", Orders: 3, Amount: 300}, {Scope: store.ScopeMerchant, Key: other, Orders: 2, Amount: 200}},
		},
		"settings that tell nothing": {
			`('app', 'a', 'li', NULL)`, `"none"`, 0,
			[]store.HeldPile{{Scope: store.ScopeApp, Key: "a", Orders: 6, Amount: 600}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			d.insert(t, 7) // of mid: 1; of the other: 2 and 3; of the third: 4 to 6; 7 is under review
			d.exec(t, `UPDATE orders SET mid = CASE WHEN id = 1 THEN mid WHEN id < 4 THEN $1 ELSE $2 END`, other, third)
			d.exec(t, `UPDATE orders SET review_reason = 'bad_request' WHERE id = 7`)
			if tt.pauses != "" {
				d.exec(t, `INSERT INTO gateway_controls (scope, key, set_by, paused_until) VALUES `+tt.pauses)
			}
			if tt.apps != "" {
				d.exec(t, `INSERT INTO instances (worker, version, seen_at, settings) VALUES ('old', 'v', now() - interval '1 hour', '{"apps": [{"app_id": "gone"}]}')`)
				d.exec(t, `INSERT INTO instances (worker, version, settings) VALUES ('new', 'v', jsonb_build_object('apps', $1::jsonb))`, tt.apps)
				if tt.apps == `"none"` {
					d.exec(t, `DELETE FROM instances WHERE worker = 'old'`)
				}
			}
			b := d.backlog(t)
			if b.Overdue != tt.overdue || (b.OverdueBy > 0) != (tt.overdue > 0) {
				t.Errorf("%d overdue, by %s; want %d", b.Overdue, b.OverdueBy, tt.overdue)
			}
			if diff := cmp.Diff(tt.held, b.Held); diff != "" {
				t.Errorf("held (-want +got):\n%s", diff)
			}
			if n := b.Unresolved[order.StatusUnknown].Orders; n != 7 {
				t.Errorf("%d unresolved, want 7", n)
			}
		})
	}
}

// An order that a disabled trigger let through is money that stands still as well.
func TestBacklogCountsOrphans(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	d.exec(t, `ALTER TABLE orders DISABLE TRIGGER zz_orders_stay_due; UPDATE orders SET next_query_at = NULL`)
	if b := d.backlog(t); b.Unresolved[order.StatusUnknown].Orders != 1 {
		t.Errorf("unresolved %v, want the orphan", b.Unresolved)
	}
}

// A lease that the clock left far in the future hides no order that is overdue.
func TestBacklogCountsOverdueBehindALeaseTooFarAhead(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 2)
	d.exec(t, `UPDATE orders SET next_query_at = now() - interval '1 hour',
		lease_until = now() + CASE id WHEN 1 THEN interval '2 days' ELSE interval '1 minute' END`)
	if b := d.backlog(t); b.Overdue != 1 || b.OverdueBy < time.Hour {
		t.Errorf("%d overdue by %s, want one by an hour", b.Overdue, b.OverdueBy)
	}
}

// People are told the same: such an order is not in flight.
func TestALeaseTooFarAheadIsNoFlight(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, lease_until) VALUES
		($1, '1234', '319400000001', 1, now() + interval '2 days'), ($1, '1234', '319400000002', 1, now() + interval '1 hour')`, mid)
	for number, want := range map[string]bool{"319400000001": false, "319400000002": true} {
		found, err := d.FindOrders(t.Context(), store.OrderName{Number: number}, time.UTC)
		if err != nil || len(found) != 1 || (found[0].LeaseUntil != nil) != want {
			t.Errorf("%s: found %+v, %v; want a lease: %t", number, found, err, want)
		}
		states, err := d.LookUp(t.Context(), []store.NamedOrder{{MerOrderID: number}}, store.Selection{})
		if err != nil || len(states) != 1 || states[0].InFlight != want {
			t.Errorf("%s: looked up %+v, %v; want in flight: %t", number, states, err, want)
		}
	}
	page, err := d.Orders(t.Context(), store.OrderFilter{Limit: 10})
	if err != nil || len(page.Orders) != 2 || !page.Orders[0].InFlight || page.Orders[1].InFlight {
		t.Errorf("listed %+v, %v; want the second in flight alone", page.Orders, err)
	}
}

// One row with values beyond all measure must not make the whole unreadable.
func TestBacklogBearsStrangeRows(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 6)
	d.exec(t, `UPDATE orders SET order_amount = 9223372036854775807 WHERE id < 6`)
	d.exec(t, `UPDATE orders SET created_at = '-infinity', next_query_at = '-infinity' WHERE id = 1`)
	d.exec(t, `UPDATE orders SET created_at = 'infinity', next_query_at = 'infinity', status = 'NEW_ORDER' WHERE id = 2`)
	d.exec(t, `UPDATE orders SET review_reason = 'a person''s own', next_query_at = NULL WHERE id = 3`)
	b := d.backlog(t)
	want := map[order.Status]store.Pile{
		order.StatusUnknown: {Orders: 5, Amount: 2 << 53}, order.StatusNewOrder: {Orders: 1, Amount: 1 << 53}, order.StatusWaitBuyerPay: {},
	}
	if diff := cmp.Diff(want, piles(b)); diff != "" {
		t.Errorf("unresolved (-want +got):\n%s", diff)
	}
	const century = 100 * 365 * 24 * time.Hour
	if old := b.Unresolved[order.StatusUnknown].Oldest; old < century || b.OverdueBy < century {
		t.Errorf("the oldest is %s old, overdue by %s", old, b.OverdueBy)
	}
	if young := b.Unresolved[order.StatusNewOrder].Oldest; young != 0 {
		t.Errorf("an order of the future is %s old", young)
	}
	if b.Review["a person's own"].Orders != 1 || b.Overdue != 4 {
		t.Errorf("in review %v, overdue %d", b.Review, b.Overdue)
	}
}

// A dashboard must not cost what grows for ever: settled orders are not read.
func TestBacklogUsesThePartialIndexes(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, status, next_query_at)
		SELECT $1, $2, 'settled' || i, 100, 'TRADE_SUCCESS', NULL FROM generate_series(1, 200000) i`, mid, tid)
	d.insert(t, 2000)
	d.exec(t, `UPDATE orders SET review_reason = 'amount_mismatch', next_query_at = NULL WHERE mer_order_id LIKE '3194%' AND id % 10 = 0`)
	d.exec(t, `ANALYZE orders`)
	nodes := planNodes(t, []byte(scan[string](t, d, "EXPLAIN (FORMAT JSON) "+store.BacklogSQL)))
	for _, index := range []string{"orders_due", "orders_review"} { // or another of what is due
		if !slices.ContainsFunc(nodes, func(n string) bool { return strings.Contains(n, "Index Scan "+index) }) {
			t.Errorf("%s is not used: %v", index, nodes)
		}
	}
	for _, node := range nodes {
		if node == "Seq Scan orders" || strings.Contains(node, "_pkey") || strings.Contains(node, "_key") {
			t.Errorf("settled orders are read: %v", nodes)
		}
	}
	if b := d.backlog(t); b.Overdue != 1800 || b.Review["amount_mismatch"].Orders != 200 {
		t.Errorf("%d overdue, %v in review", b.Overdue, b.Review)
	}
}

// It changes nothing and waits for nobody but, at most for its own time, for what
// locks the whole table.
func TestBacklogEndsWithItsContext(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 3)
	tx, err := d.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `UPDATE orders SET order_amount = 5`); err != nil {
		t.Fatal(err)
	}
	if b := d.backlog(t); b.Unresolved[order.StatusUnknown].Amount != 300 {
		t.Errorf("beside locked rows: %+v", b.Unresolved)
	}
	if _, err := tx.Exec(t.Context(), `LOCK orders`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.Backlog(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("behind a lock of the table: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b := d.backlog(t); b.Unresolved[order.StatusUnknown].Orders != 3 {
		t.Errorf("after it: %+v", b.Unresolved)
	}
}
