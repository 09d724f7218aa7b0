package store

import (
	"context"
	"fmt"

	"reconciler/internal/order"
)

// ReviveNoCredentials makes the unresolved orders of merchants due that are under review
// [order.ReviewNoCredentials], and returns how many. It is for merchants that have credentials
// again; nil mids are all merchants.
func (s *Store) ReviveNoCredentials(ctx context.Context, mids []string) (int, error) {
	tag, err := s.pool.Exec(ctx, `
		UPDATE orders AS o
		SET review_reason = NULL, review_note = NULL, next_query_at = now()
		WHERE o.review_reason = $1 AND o.status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY')
		  AND ($2::text[] IS NULL OR o.mid = ANY ($2))`, order.ReviewNoCredentials, mids)
	if err != nil {
		return 0, fmt.Errorf("make orders due whose merchants have credentials again: %w", err)
	}
	return int(tag.RowsAffected()), nil
}
