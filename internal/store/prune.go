package store

import (
	"context"
	"fmt"
	"time"
)

// pruneBatch is how many rows one statement looks at, and deletes at most: few enough
// that its locks and its WAL are no burden beside the daemon.
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

// pruneTable finds the last row that is old enough, which takes reading the table, and
// walks up to it by the primary key, whatever lies between. A page is taken before it is
// looked into: from the age of its rows the planner would conclude that it had better
// read the table, for each page (50 s for 100,000 rows of 2,000,000).
func (s *Store) pruneTable(ctx context.Context, table, stamp string, before time.Time, told func(int)) (int, error) {
	var last *int64
	// Without OFFSET the planner would walk backwards from the youngest row, page by page.
	err := s.pool.QueryRow(ctx, `
		SELECT max(id) FROM (SELECT id FROM `+table+` WHERE `+stamp+` < $1 OFFSET 0) AS r`, before).Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("prune %s: %w", table, err)
	}
	total, n := 0, 0
	for after := new(int64(0)); last != nil && after != nil; {
		err := s.pool.QueryRow(ctx, `
			WITH page AS MATERIALIZED (
				SELECT id, order_id, `+stamp+` AS stamp FROM `+table+`
				WHERE id > $1 AND id <= $2
				ORDER BY id
				LIMIT $3
			),
			gone AS (
				DELETE FROM `+table+` AS t USING page AS r
				WHERE t.id = r.id AND r.stamp < $4 AND `+prunable+`
				RETURNING true
			)
			SELECT (SELECT count(*) FROM gone), (SELECT max(id) FROM page)`, *after, *last, pruneBatch, before).Scan(&n, &after)
		if err != nil {
			return total, fmt.Errorf("prune %s: %w", table, err)
		}
		if n > 0 {
			total += n
			told(total)
		}
	}
	return total, nil
}
