package store

import (
	"context"
	"fmt"
	"slices"

	"reconciler/internal/order"
)

// NamedOrder is how a list names an order. An empty MID is any merchant's.
type NamedOrder struct{ MID, MerOrderID string }

// NamedState is where an order of a list stands. ID is 0 where there is no such order, or where the
// selection leaves it out. Known then tells the latter.
type NamedState struct {
	ID           int64
	MID          string
	MerOrderID   string
	Status       order.Status
	ReviewReason string
	InFlight     bool
	Known        bool
}

// LookUp tells where the orders of a list stand, in its order. A number that several merchants have
// comes several times; an order that two entries name comes once. The selection narrows the list by
// merchant and creation.
func (s *Store) LookUp(ctx context.Context, list []NamedOrder, sel Selection) ([]NamedState, error) {
	mids, numbers := make([]string, len(list)), make([]string, len(list))
	for i, n := range list {
		mids[i], numbers[i] = n.MID, n.MerOrderID
	}
	states, err := collectRows[NamedState](ctx, s.pool, `
		SELECT coalesce(o.id, 0) AS id, coalesce(o.mid, n.mid) AS mid, n.number AS mer_order_id,
		       coalesce(o.status, '') AS status, coalesce(o.review_reason, '') AS review_reason, `+isInFlight+` AS in_flight,
		       o.id IS NOT NULL OR EXISTS (SELECT FROM orders AS k WHERE k.mer_order_id = n.number AND (n.mid = '' OR k.mid = n.mid)) AS known
		FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n(mid, number, place)
		LEFT JOIN orders AS o ON o.mer_order_id = n.number AND (n.mid = '' OR o.mid = n.mid)
		  AND ($3 = '' OR o.mid = $3) AND ($4::timestamptz IS NULL OR o.created_at >= $4) AND ($5::timestamptz IS NULL OR o.created_at < $5)
		ORDER BY n.place, o.id`, mids, numbers, sel.MID, sel.CreatedSince, sel.CreatedUntil)
	if err != nil {
		return nil, fmt.Errorf("look up the orders: %w", err)
	}
	seen := make(map[int64]bool, len(states))
	return slices.DeleteFunc(states, func(n NamedState) bool {
		twice := n.ID != 0 && seen[n.ID]
		seen[n.ID] = true
		return twice
	}), nil
}
