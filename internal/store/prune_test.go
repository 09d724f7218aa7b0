package store_test

import (
	"testing"
	"time"
)

func TestPruneLeavesWhatIsNotDone(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 7)
	d.exec(t, `UPDATE orders SET status = 'TRADE_SUCCESS' WHERE id <= 4`)
	d.exec(t, `UPDATE orders SET review_reason = 'conflict' WHERE id = 3`)
	d.exec(t, `UPDATE orders SET status = 'NOT_FOUND', next_query_at = NULL WHERE id = 5`)
	d.exec(t, `UPDATE orders SET status = 'NOT_FOUND' WHERE id = 6`) // its late check is to come
	d.exec(t, `DELETE FROM orders WHERE id = 4`)
	d.exec(t, `INSERT INTO order_queries (order_id, claim_no, decision, queried_at)
		SELECT id, n, 'deferred', now() - interval '91 days' FROM generate_series(1, 7) AS id, generate_series(1, 700) AS n`)
	d.exec(t, `INSERT INTO order_queries (order_id, claim_no, decision) SELECT id, 701, 'settled' FROM generate_series(1, 7) AS id`)
	d.exec(t, `INSERT INTO order_events (order_id, mid, event, payload, created_at)
		SELECT id, $1, 'order.paid', '{}', now() - interval '91 days' FROM generate_series(1, 7) AS id`, mid)

	tellings := 0
	questions, events, err := d.Prune(t.Context(), time.Now().Add(-90*24*time.Hour), func(int, int) { tellings++ })
	if err != nil || questions != 4*700 || events != 4 {
		t.Errorf("pruned %d questions, %d events, %v; want 2800, 4", questions, events, err)
	}
	if tellings < 4 {
		t.Errorf("told %d times of 2800 rows: the batches are not small", tellings)
	}
	if got := scan[string](t, d, `SELECT string_agg(DISTINCT order_id::text, ',' ORDER BY order_id::text) FROM order_queries WHERE claim_no < 701`); got != "3,6,7" {
		t.Errorf("old questions are left of the orders %s, want 3,6,7", got)
	}
	if got := scan[int](t, d, `SELECT count(*) FROM order_queries WHERE claim_no = 701`); got != 7 {
		t.Errorf("%d young questions are left, want 7", got)
	}
}

// TestPruneFindsOldRowsBehindYoungOnes: numbers and ages need not go together, as after an import.
func TestPruneFindsOldRowsBehindYoungOnes(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `INSERT INTO order_queries (order_id, claim_no, decision, queried_at)
		SELECT n, 1, 'settled', now() - CASE WHEN n IN (1, 3000) THEN interval '91 days' ELSE interval '1 day' END FROM generate_series(1, 3500) AS n`)
	questions, events, err := d.Prune(t.Context(), time.Now().Add(-90*24*time.Hour), func(int, int) {})
	if err != nil || questions != 2 || events != 0 {
		t.Errorf("pruned %d questions, %d events, %v; want 2, 0", questions, events, err)
	}
	if got := scan[int](t, d, `SELECT count(*) FROM order_queries`); got != 3498 {
		t.Errorf("%d questions are left, want 3498", got)
	}
}
