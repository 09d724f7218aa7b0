package store

import (
	"context"
	"fmt"
	"time"
)

// pruneBatch is how many rows one statement reads, and deletes at most. Its locks and its WAL are
// no burden beside the daemon.
const pruneBatch = 1000

// Pruning says what to delete.
type Pruning struct {
	Before time.Time // rows older than this
	DryRun bool      // count, and delete nothing
	// Tell hears how many are gone so far. Nil is nobody.
	Tell func(Pruned)
}

// Pruned is what a [Pruning] deleted, or would delete.
type Pruned struct {
	Questions int
	Events    int
	// Kept are events that are old enough, and that somebody has not acknowledged.
	Kept int
	// Waiting are the consumers that have not. The consumer webhook has not while a delivery is
	// open.
	Waiting []string
}

// isFinished are rows r whose order is done: settled or not found, nothing to come, nobody to look
// at it; or gone.
const isFinished = `NOT EXISTS (
	SELECT 1 FROM orders AS o
	WHERE o.id = r.order_id
	  AND (o.status NOT IN ('TRADE_SUCCESS', 'TRADE_REFUND', 'TRADE_CLOSED', 'NOT_FOUND')
	       OR o.review_reason IS NOT NULL
	       OR (o.status = 'NOT_FOUND' AND o.next_query_at IS NOT NULL)))`

// isSpare are questions r that may go: the last one of an order that is not settled is all that is
// known of it.
const isSpare = `(EXISTS (SELECT 1 FROM order_queries AS later WHERE later.order_id = r.order_id AND later.id > r.id)
	OR NOT EXISTS (SELECT 1 FROM orders AS o WHERE o.id = r.order_id AND o.status NOT IN ('TRADE_SUCCESS', 'TRADE_REFUND', 'TRADE_CLOSED')))`

// isUndelivered are events r whose delivery by HTTP is open, or was set aside.
const isUndelivered = `EXISTS (SELECT 1 FROM webhook_deliveries AS d WHERE d.event_id = r.id AND d.delivered_at IS NULL)`

// Prune deletes the questions and events of finished orders that are old enough, a small batch at a
// time. It keeps events that a registered consumer has not acknowledged, and the last question of
// an order that is not settled. What was deleted stays so when ctx ends; the result tells it then
// too.
func (s *Store) Prune(ctx context.Context, p Pruning) (Pruned, error) {
	var done Pruned
	tell := func() {
		if p.Tell != nil {
			p.Tell(done)
		}
	}
	err := s.walkOld(ctx, p, "order_queries", "queried_at", questionPage(p.DryRun), func(gone, _ int) {
		done.Questions += gone
		tell()
	})
	if err != nil {
		return done, err
	}
	err = s.walkOld(ctx, p, "order_events", "created_at", eventPage(p.DryRun), func(gone, kept int) {
		done.Events, done.Kept = done.Events+gone, done.Kept+kept
		tell()
	})
	if err != nil || done.Kept == 0 {
		return done, err
	}
	done.Waiting, err = s.waitingConsumers(ctx, p.Before)
	return done, err
}

// prunePage begins a statement: a page of a table by its primary key. It is taken before it is
// looked into. From the age of its rows the planner would conclude that it had better read the
// table, for each page: 50 s for 100,000 rows of 2,000,000.
func prunePage(table, columns string) string {
	return `
		WITH page AS MATERIALIZED (
			SELECT ` + columns + ` FROM ` + table + `
			WHERE id > $1 AND id <= $2
			ORDER BY id
			LIMIT $3
		),`
}

// questionPage deletes of a page what may go, or counts it.
func questionPage(dryRun bool) string {
	const which = `r.stamp < $4 AND ` + isFinished + ` AND ` + isSpare
	gone := `DELETE FROM order_queries AS t USING page AS r WHERE t.id = r.id AND ` + which + ` RETURNING t.id`
	if dryRun {
		gone = `SELECT r.id FROM page AS r WHERE ` + which
	}
	return prunePage("order_queries", "id, order_id, queried_at AS stamp") + `
		gone AS (` + gone + `)
		SELECT (SELECT count(*) FROM gone), 0, (SELECT max(id) FROM page)`
}

// eventPage does the same with events, whose deliveries go with them.
func eventPage(dryRun bool) string {
	gone := `DELETE FROM order_events AS t USING old AS r WHERE t.id = r.id AND NOT r.wanted RETURNING t.id`
	deliveries := `DELETE FROM webhook_deliveries AS d USING gone WHERE d.event_id = gone.id RETURNING 1`
	if dryRun {
		gone, deliveries = `SELECT r.id FROM old AS r WHERE NOT r.wanted`, `SELECT 1`
	}
	return prunePage("order_events", "id, order_id, xact, created_at AS stamp") + `
		old AS MATERIALIZED (
			SELECT r.id, EXISTS (SELECT 1 FROM event_consumers AS c WHERE ` + isUnread("r") + `) OR ` + isUndelivered + ` AS wanted
			FROM page AS r WHERE r.stamp < $4 AND ` + isFinished + `
		),
		gone AS (` + gone + `),
		deliveries AS (` + deliveries + `)
		SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM old WHERE wanted), (SELECT max(id) FROM page)`
}

// walkOld finds the last row that is old enough, which takes reading the table. It walks up to it
// by the primary key, whatever lies between.
func (s *Store) walkOld(ctx context.Context, p Pruning, table, stamp, page string, told func(gone, kept int)) error {
	var last *int64
	// Without OFFSET the planner would walk backwards from the youngest row, page by page.
	err := s.pool.QueryRow(ctx, `
		SELECT max(id) FROM (SELECT id FROM `+table+` WHERE `+stamp+` < $1 OFFSET 0) AS r`, p.Before).Scan(&last)
	if err != nil {
		return fmt.Errorf("prune %s: %w", table, err)
	}
	var gone, kept int
	for after := new(int64(0)); last != nil && after != nil; {
		err := s.pool.QueryRow(ctx, page, *after, *last, pruneBatch, p.Before).Scan(&gone, &kept, &after)
		if err != nil {
			return fmt.Errorf("prune %s: %w", table, err)
		}
		if gone > 0 || kept > 0 {
			told(gone, kept)
		}
	}
	return nil
}

// waitingConsumers are those that have not acknowledged an event that is older than before.
func (s *Store) waitingConsumers(ctx context.Context, before time.Time) ([]string, error) {
	names, err := collectRows[string](ctx, s.pool, `
		SELECT c.name FROM event_consumers AS c
		WHERE EXISTS (SELECT 1 FROM order_events AS r WHERE r.created_at < $1 AND `+isUnread("r")+`)
		   OR (c.name = 'webhook' AND EXISTS (SELECT 1 FROM order_events AS r WHERE r.created_at < $1 AND `+isUndelivered+`))
		ORDER BY c.name`, before)
	if err != nil {
		return nil, fmt.Errorf("prune order_events: %w", err)
	}
	return names, nil
}
