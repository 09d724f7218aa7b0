package store_test

import (
	"fmt"
	"testing"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/postgres/postgrestest"
	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

// A session that listens in an open transaction fills the listeners' queue. Commits with an event
// are then refused, whatever their rows are. They succeed once that session has ended.
func TestListenersQueueIsFull(t *testing.T) {
	t.Parallel()
	d := openSmallQueue(t)
	d.insert(t, 1)
	paid := settled(d.claimOne(t))

	listener := storetest.Connect(t, d.url)
	for _, sql := range []string{"LISTEN anything", "BEGIN", "SELECT 1"} {
		if _, err := listener.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	d.fillQueue(t)
	for range 3 {
		if _, err := d.Record(t.Context(), []order.Outcome{paid}); store.FailureReason(err) != "room" {
			t.Fatalf("with a full queue: %v, reason %q; want room", err, store.FailureReason(err))
		}
	}
	if err := listener.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, time.Minute, "the answer is written", func() bool {
		_, err := d.Record(t.Context(), []order.Outcome{paid})
		return err == nil
	})
	if got := scan[string](t, d, `SELECT status FROM orders`); got != "TRADE_SUCCESS" {
		t.Errorf("status %s", got)
	}
}

// openSmallQueue has a database on a server of its own, whose listeners' queue is small.
func openSmallQueue(t *testing.T) database {
	t.Helper()
	shared := storetest.Connect(t, postgrestest.NewDatabase(t))
	var version int
	if err := shared.QueryRow(t.Context(), `SELECT current_setting('server_version_num')::int`).Scan(&version); err != nil {
		t.Fatal(err)
	}
	if version < 170000 {
		t.Skip("the queue of listeners is 8 GB before Postgres 17")
	}
	return scratchCluster(t, "max_notify_queue_pages=64")
}

// fillQueue notifies until the server refuses it.
func (d database) fillQueue(t *testing.T) {
	t.Helper()
	const pages = 64
	for i := range 2 * pages {
		if _, err := d.conn.Exec(t.Context(), `SELECT pg_notify('anything', repeat('x', 7900) || $1)`, fmt.Sprint(i)); err != nil {
			return
		}
	}
	t.Fatal("the queue has no end")
}
