package soak_test

import (
	"testing"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/postgres/postgrestest"
	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

// Found by SOAKSEED=927140912: an answer is committed, its acknowledgement is lost,
// the application deletes the order, and the answer is written again.
func TestRecordAgainOfDeletedOrder(t *testing.T) {
	db := &database{url: postgrestest.NewDatabase(t)}
	db.application = db.pool(t, "application", 0)
	s := storetest.Open(t, db.url)
	exec(t, db.application, `INSERT INTO orders (mid, tid, mer_order_id, order_amount) VALUES ('898340149000005', '88880001', '319400000001', 1)`)
	page, err := s.Claim(t.Context(), store.Claim{App: appID, Worker: "test", Lease: time.Minute, Limit: 1})
	if err != nil || len(page.Orders) != 1 {
		t.Fatal(page, err)
	}
	group := []order.Outcome{{
		Order: page.Orders[0], Decision: order.Settled, Reason: "trade_closed", Status: order.StatusTradeClosed, Event: order.EventClosed,
		Question: order.Question{At: time.Now(), Worker: "test", TradeStatus: "TRADE_CLOSED", RoundTrips: 1},
	}}
	for range 2 {
		if _, err := s.Record(t.Context(), group); err != nil {
			t.Fatal(err)
		}
		exec(t, db.application, `DELETE FROM orders`)
	}
	if n := one[int](t, db.application, `SELECT count(*) FROM order_queries`); n != 1 {
		t.Errorf("%d ledger rows of one question, want 1", n)
	}
}
