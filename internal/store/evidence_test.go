package store_test

import (
	"testing"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store/storetest"
)

// A slow look-up that finds nothing is remembered for a while. But a found answer that is written
// meanwhile counts at once.
func TestFoundAnswerCountsAtOnce(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 2)
	orders := d.claim(t, 2)
	evidence := func() order.Evidence {
		e, err := d.NotFoundEvidence(t.Context(), orders[1], time.Now().Add(-24*time.Hour))
		if err != nil {
			t.Error(err)
		}
		return e
	}
	commit := d.openTransaction(t, `LOCK TABLE orders IN ACCESS EXCLUSIVE MODE`)
	looked := make(chan order.Evidence, 1)
	go func() { looked <- evidence() }()
	storetest.Eventually(t, time.Minute, "a look-up has waited for a while", func() bool {
		return scan[bool](t, d, `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query_start < clock_timestamp() - interval '0.5 s')`)
	})
	commit()
	if e := <-looked; e.MerchantFound {
		t.Fatal("evidence before any answer")
	}
	d.record(t, settled(orders[0]))
	if e := evidence(); !e.MerchantFound {
		t.Error("the merchant's found answer does not count yet")
	}
}
