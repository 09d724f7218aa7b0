package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// tell writes an event for each order id, in one transaction.
func (d database) tell(t *testing.T, orders ...int64) {
	t.Helper()
	d.exec(t, `INSERT INTO order_events (order_id, mid, event, payload) SELECT o, $1, 'order.paid', '{}' FROM unnest($2::bigint[]) AS o`, mid, orders)
}

// event is one that a consumer read.
type event struct {
	Xact    string
	ID      int64
	OrderID int64
}

func (d database) next(t *testing.T, consumer string, limit int) []event {
	t.Helper()
	rows, err := d.conn.Query(t.Context(), `SELECT xact::text, id, order_id FROM next_order_events($1, $2)`, consumer, limit)
	if err != nil {
		t.Fatal(err)
	}
	events, err := pgx.CollectRows(rows, pgx.RowToStructByPos[event])
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func orderIDs(events []event) []int64 {
	var ids []int64
	for _, e := range events {
		ids = append(ids, e.OrderID)
	}
	return ids
}

// wantNext waits until the consumer reads these orders' events. Transactions of other tests'
// databases count as older ones as well, so they may keep an event back for a moment.
func (d database) wantNext(t *testing.T, consumer string, want ...int64) []event {
	t.Helper()
	var got []event
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); {
		if got = d.next(t, consumer, 100); slices.Equal(orderIDs(got), want) {
			return got
		}
	}
	t.Fatalf("%s reads the events of %v, want %v", consumer, orderIDs(got), want)
	return nil
}

// wantAll waits until the consumer reads these orders' events, others that it has had perhaps
// again.
func (d database) wantAll(t *testing.T, consumer string, want ...int64) []event {
	t.Helper()
	var got []event
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); {
		got = d.next(t, consumer, 100)
		missing := slices.DeleteFunc(slices.Clone(want), func(o int64) bool { return slices.Contains(orderIDs(got), o) })
		if len(missing) == 0 {
			return got
		}
	}
	t.Fatalf("%s reads the events of %v, want at least %v", consumer, orderIDs(got), want)
	return nil
}

func (d database) ack(t *testing.T, consumer string, e event) {
	t.Helper()
	d.exec(t, `SELECT ack_order_events($1, $2::text::xid8, $3)`, consumer, e.Xact, e.ID)
}

func TestConsumerBeginsAtTheEnd(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.tell(t, 1, 2)
	d.wantNext(t, "shop")
	d.tell(t, 3, 4)
	d.tell(t, 5)
	events := d.wantNext(t, "shop", 3, 4, 5)
	if got := d.next(t, "shop", 2); !slices.Equal(orderIDs(got), []int64{3, 4}) {
		t.Errorf("the next two are %v", orderIDs(got))
	}
	d.ack(t, "shop", events[1])
	d.wantNext(t, "shop", 5)
	d.ack(t, "shop", events[2])
	d.ack(t, "shop", events[0]) // never goes back
	d.wantNext(t, "shop")
	d.exec(t, `SELECT register_order_events('late', true)`)
	d.wantNext(t, "late", 1, 2, 3, 4, 5)
	if d.exec(t, `SELECT register_order_events('shop', true)`); true {
		d.wantNext(t, "shop") // it stays where it is
	}
}

// A transaction that ends late has lower numbers than events that were read before it ended.
func TestConsumerMissesNoLateTransaction(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.wantNext(t, "shop")
	slow, err := pgx.Connect(t.Context(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close(context.Background())
	tx, err := slow.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `INSERT INTO order_events (order_id, mid, event, payload) VALUES (1, $1, 'order.paid', '{}')`, mid); err != nil {
		t.Fatal(err)
	}
	d.tell(t, 2)
	d.wantNext(t, "shop") // 2 waits for 1
	d.exec(t, `SELECT next_order_events('registered meanwhile', 1)`)
	if _, err := d.conn.Exec(t.Context(), `SELECT ack_order_events('shop', xact, id) FROM order_events`); err == nil {
		t.Error("an event that was never read was acknowledged")
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.wantNext(t, "shop", 1, 2)
	d.wantNext(t, "registered meanwhile", 1) // 2 was there before
}

func TestConsumerRefusals(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, sql := range []string{
		`SELECT ack_order_events('nobody', '3', 1)`,
		`SELECT ack_order_events('nobody', NULL, 1)`,
		`SELECT next_order_events('', 1)`,
		`SELECT next_order_events(NULL, 1)`,
	} {
		if _, err := d.conn.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s: no error", sql)
		}
	}
}

// After a restore into another cluster the events' transactions lie ahead of the cluster's numbers.
func TestConsumersAfterARestore(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, name := range []string{"behind", "done", "ahead"} {
		d.exec(t, `SELECT register_order_events($1, true)`, name)
	}
	d.tell(t, 1)
	d.tell(t, 2)
	events := d.wantNext(t, "behind", 1, 2)
	// As it would stand in a cluster that is far ahead: events 3 and 4 have high numbers, and so
	// have the cursors of those who have read them.
	d.tell(t, 3)
	d.tell(t, 4)
	d.exec(t, `UPDATE order_events SET xact = (5000000000 + id)::text::xid8 WHERE order_id > 2`)
	d.exec(t, `UPDATE event_consumers SET (xact, id) = (SELECT xact, id FROM order_events WHERE order_id = 3) WHERE name = 'ahead'`)
	d.exec(t, `UPDATE event_consumers SET (xact, id) = (SELECT xact, id FROM order_events WHERE order_id = 4) WHERE name = 'done'`)
	d.exec(t, `UPDATE event_consumers SET registered_in = '5000000001:5000000001:' WHERE name = 'done'`)
	d.tell(t, 5) // the first one of the new cluster
	d.ack(t, "behind", events[0])
	d.wantAll(t, "ahead", 4, 5)
	d.wantAll(t, "done", 5)
	last := d.wantAll(t, "behind", 2, 3, 4, 5)
	d.ack(t, "behind", last[len(last)-1])
	d.tell(t, 6)
	d.wantNext(t, "behind", 6)
	if n := scan[int](t, d, `SELECT count(*) FROM event_consumers WHERE xact >= pg_snapshot_xmax(pg_current_snapshot())`); n != 0 {
		t.Errorf("%d cursors are still ahead", n)
	}
}

// The functions find our tables whatever the caller's search_path is, and nobody has them by
// default.
func TestEventFunctionsArePinned(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `CREATE SCHEMA shop; CREATE TABLE shop.event_consumers (name text); CREATE TABLE shop.order_events (id int)`)
	d.exec(t, `SET search_path = shop, public`)
	d.tellIn(t, "public", 1)
	d.exec(t, `SELECT * FROM public.next_order_events('shop', 1)`)
	if n := scan[int](t, d, `SELECT count(*) FROM public.event_consumers`); n != 1 {
		t.Errorf("%d consumers, want 1", n)
	}
	public := scan[[]string](t, d, `
		SELECT coalesce(array_agg(p.proname::text), '{}') FROM pg_proc AS p
		WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE '%order_events'
		  AND (p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) AS a WHERE a.grantee = 0))`)
	if len(public) > 0 {
		t.Errorf("everybody may call %v", public)
	}
}

func (d database) tellIn(t *testing.T, schema string, order int64) {
	t.Helper()
	d.exec(t, `INSERT INTO `+schema+`.order_events (order_id, mid, event, payload) VALUES ($1, $2, 'order.paid', '{}')`, order, mid)
}
