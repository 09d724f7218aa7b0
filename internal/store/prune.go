package store

import (
	"context"
	"fmt"
	"time"
)

// pruneBatch is how many rows one statement deletes: few enough that its locks
// and its WAL are no burden beside the daemon.
const pruneBatch = 1000

// prunable are rows r of orders that are over and done with: settled or not found,
// nothing to come, nobody to look at them; or gone.
const prunable = `NOT EXISTS (
	SELECT 1 FROM orders AS o
	WHERE o.id = r.order_id
	  AND (o.status NOT IN ('TRADE_SUCCESS', 'TRADE_REFUND', 'TRADE_CLOSED', 'NOT_FOUND')
	       OR o.review_reason IS NOT NULL
	       OR (o.status = 'NOT_FOUND' AND o.next_query_at IS NOT NULL)))`

// Prune deletes the questions and events of finished orders that are older than
// before, a small batch at a time, and tells how many are gone so far. What was
// deleted stays so when ctx ends.
func (s *Store) Prune(ctx context.Context, before time.Time, told func(questions, events int)) (questions, events int, err error) {
	questions, err = s.pruneTable(ctx, "order_queries", "queried_at", before, func(n int) { told(n, 0) })
	if err != nil {
		return questions, 0, err
	}
	events, err = s.pruneTable(ctx, "order_events", "created_at", before, func(n int) { told(questions, n) })
	return questions, events, err
}

func (s *Store) pruneTable(ctx context.Context, table, stamp string, before time.Time, told func(int)) (int, error) {
	total, after := 0, int64(0)
	for {
		var n int
		var last *int64
		err := s.pool.QueryRow(ctx, `
			WITH batch AS (
				SELECT r.id FROM `+table+` AS r
				WHERE r.id > $1 AND r.`+stamp+` < $2 AND `+prunable+`
				ORDER BY r.id
				LIMIT $3
			),
			gone AS (DELETE FROM `+table+` AS r USING batch WHERE r.id = batch.id RETURNING r.id)
			SELECT count(*), max(id) FROM gone`, after, before, pruneBatch).Scan(&n, &last)
		if err != nil {
			return total, fmt.Errorf("prune %s: %w", table, err)
		}
		if n == 0 {
			return total, nil
		}
		total, after = total+n, *last
		told(total)
	}
}
