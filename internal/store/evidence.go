package store

import (
	"context"
	"fmt"
	"time"
)

// Evidence is what the ledger says that bears on a not-found answer.
type Evidence struct {
	// NoOrders is how many NO_ORDER answers the order has had before.
	NoOrders int
	// MerchantFound is whether the merchant has had an answer with a trade status
	// since the given time: its number and settings work.
	MerchantFound bool
}

// NotFoundEvidence reads the ledger for order o. Answers that carried another
// order's numbers, and those that were no proper answers, do not count as found.
func (s *Store) NotFoundEvidence(ctx context.Context, o Order, since time.Time) (Evidence, error) {
	var e Evidence
	err := s.pool.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM order_queries WHERE order_id = $1 AND err_code = 'NO_ORDER'
		          AND trade_status IS NULL AND decision NOT IN ('no_answer', 'refused')),
		       EXISTS (SELECT 1
		               FROM order_queries q
		               JOIN orders o ON o.id = q.order_id
		               WHERE q.trade_status IS NOT NULL
		                 AND q.queried_at >= $3
		                 AND o.mid = $2
		                 AND q.err_code IS DISTINCT FROM 'NO_ORDER'
		                 AND q.decision NOT IN ('no_answer', 'refused')
		                 AND coalesce(q.reason, '') NOT LIKE '%identity_mismatch%')`,
		o.ID, o.MID, since).Scan(&e.NoOrders, &e.MerchantFound)
	if err != nil {
		return Evidence{}, fmt.Errorf("read the ledger of order %d: %w", o.ID, err)
	}
	return e, nil
}
