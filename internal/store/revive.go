package store

import (
	"context"
	"fmt"
	"time"

	"reconciler/internal/order"
)

// ReviveNoCredentials makes the unresolved orders of merchants due that are under review
// [order.ReviewNoCredentials]. It is for merchants that have credentials again; nil mids are all
// merchants. It returns how many it left under review: rows that another session holds locked, or
// that refuse it. The claims of the others do not wait for them.
func (s *Store) ReviveNoCredentials(ctx context.Context, mids []string) (left int, err error) {
	ids, err := collectRows[int64](ctx, s.pool, `
		SELECT o.id FROM orders AS o
		WHERE `+lacksCredentials+` AND ($2::text[] IS NULL OR o.mid = ANY ($2))`, order.ReviewNoCredentials, mids)
	revived := 0
	if err == nil && len(ids) > 0 {
		revived, err = s.reviveOrders(ctx, s.maxTogether, ids)
	}
	if isOfOneRow(err) {
		revived, err = changeOneByOne(ids, func(one []int64) (int, error) { return s.reviveOrders(ctx, s.maxAlone, one) })
	}
	if err != nil {
		return 0, fmt.Errorf("make orders due whose merchants have credentials again: %w", err)
	}
	return len(ids) - revived, nil
}

func (s *Store) reviveOrders(ctx context.Context, limit time.Duration, ids []int64) (int, error) {
	tag, err := s.pool.execWithin(ctx, limit, `
		WITH free AS MATERIALIZED (
		    SELECT o.id FROM orders AS o
		    WHERE o.id = ANY ($2::bigint[]) AND `+lacksCredentials+` AND `+boundLockWait+` FOR UPDATE SKIP LOCKED
		)
		UPDATE orders AS o
		SET review_reason = NULL, review_note = NULL, next_query_at = now()
		WHERE o.id = ANY (ARRAY(SELECT id FROM free)) AND `+lacksCredentials, order.ReviewNoCredentials, ids)
	return int(tag.RowsAffected()), err
}

const lacksCredentials = `o.review_reason = $1 AND ` + isUnresolved
