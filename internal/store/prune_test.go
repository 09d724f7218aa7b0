package store_test

import (
	"slices"
	"testing"
	"time"

	"reconciler/internal/store"
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
	before := time.Now().Add(-90 * 24 * time.Hour)
	if would, err := d.Prune(t.Context(), store.Pruning{Before: before, DryRun: true}); err != nil || would.Questions != 4*700 || would.Events != 4 {
		t.Errorf("would prune %+v, %v; want 2800 questions, 4 events", would, err)
	}
	if n := scan[int](t, d, `SELECT (SELECT count(*) FROM order_queries) + (SELECT count(*) FROM order_events)`); n != 7*701+7 {
		t.Errorf("a dry run left %d rows", n)
	}
	done, err := d.Prune(t.Context(), store.Pruning{Before: before, Tell: func(store.Pruned) { tellings++ }})
	if err != nil || done.Questions != 4*700 || done.Events != 4 || done.Kept != 0 {
		t.Errorf("pruned %+v, %v; want 2800 questions, 4 events", done, err)
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
	done, err := d.Prune(t.Context(), store.Pruning{Before: time.Now().Add(-90 * 24 * time.Hour)})
	if err != nil || done.Questions != 2 || done.Events != 0 {
		t.Errorf("pruned %+v, %v; want 2 questions, 0 events", done, err)
	}
	if got := scan[int](t, d, `SELECT count(*) FROM order_queries`); got != 3498 {
		t.Errorf("%d questions are left, want 3498", got)
	}
}

// The last question of an order that is not settled is all that is known of it.
func TestPruneKeepsTheLastQuestion(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 3)
	d.exec(t, `UPDATE orders SET status = 'TRADE_SUCCESS' WHERE id = 1`)
	d.exec(t, `UPDATE orders SET status = 'NOT_FOUND', next_query_at = NULL WHERE id = 2`)
	d.exec(t, `INSERT INTO order_queries (order_id, claim_no, decision, queried_at)
		SELECT id, n, 'deferred', now() - interval '91 days' FROM generate_series(1, 4) AS id, generate_series(1, 3) AS n`)
	if _, err := d.Prune(t.Context(), store.Pruning{Before: time.Now().Add(-90 * 24 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	got := scan[string](t, d, `SELECT string_agg(order_id || ':' || claim_no, ' ' ORDER BY order_id, claim_no) FROM order_queries`)
	if want := "2:3 3:1 3:2 3:3"; got != want {
		t.Errorf("left %s, want %s", got, want)
	}
}

// An event stays until all that are registered have acknowledged it.
func TestPruneKeepsUnreadEvents(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.tell(t, 1, 2, 3)
	d.exec(t, `SELECT register_order_events('slow', true), register_order_events('fast', true)`)
	fast, slow := d.wantNext(t, "fast", 1, 2, 3), d.wantNext(t, "slow", 1, 2, 3)
	d.ack(t, "fast", fast[2])
	d.exec(t, `SELECT register_order_events('late', false)`) // these are from before it
	d.exec(t, `UPDATE order_events SET created_at = now() - interval '91 days'`)
	d.exec(t, `INSERT INTO webhook_deliveries (event_id, delivered_at, set_aside_at) VALUES ($1, now(), NULL), ($2, NULL, now())`, fast[0].ID, fast[1].ID)
	prune := func(events, kept int, waiting ...string) {
		t.Helper()
		done, err := d.Prune(t.Context(), store.Pruning{Before: time.Now().Add(-90 * 24 * time.Hour)})
		if err != nil || done.Events != events || done.Kept != kept || !slices.Equal(done.Waiting, waiting) {
			t.Errorf("pruned %+v, %v; want %d events, %d kept for %v", done, err, events, kept, waiting)
		}
	}
	prune(0, 3, "slow")
	d.ack(t, "slow", slow[0])
	prune(1, 2, "slow") // with its delivery, which is done
	d.ack(t, "slow", slow[2])
	prune(1, 1) // the one that was set aside was never delivered
	d.exec(t, `UPDATE webhook_deliveries SET delivered_at = now()`)
	prune(1, 0)
	if n := scan[int](t, d, `SELECT count(*) FROM webhook_deliveries`); n != 0 {
		t.Errorf("%d deliveries are left of no event", n)
	}
}
