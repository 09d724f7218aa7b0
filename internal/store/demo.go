package store

import (
	"context"
	"fmt"
	"time"

	"reconciler/internal/order"

	"github.com/jackc/pgx/v5"
)

// NewOrder is an order as an application inserts it.
type NewOrder struct {
	MID, TID    string
	MerOrderID  string
	OrderAmount int64 // fen
	CreatedAt   time.Time
	ExpiresAt   time.Time
}

// Insert adds orders as an application would. In production nothing calls it:
// the rows are the application's. It serves the demo, the tests and benchmarks.
func (s *Store) Insert(ctx context.Context, orders []NewOrder) error {
	rows := pgx.CopyFromSlice(len(orders), func(i int) ([]any, error) {
		o := orders[i]
		return []any{o.MID, o.TID, o.MerOrderID, o.OrderAmount, o.CreatedAt, o.ExpiresAt}, nil
	})
	columns := []string{"mid", "tid", "mer_order_id", "order_amount", "created_at", "expires_at"}
	if _, err := s.pool.CopyFrom(ctx, pgx.Identifier{"orders"}, columns, rows); err != nil {
		return fmt.Errorf("insert orders: %w", s.pool.explainError(err))
	}
	return nil
}

// State is where an order stands.
type State struct {
	MerOrderID   string
	Status       order.Status
	ReviewReason string // "": none
	Queries      int    // rows in the ledger
	Events       int
}

// States lists all orders, the oldest first.
func (s *Store) States(ctx context.Context) ([]State, error) {
	states, err := collectRows[State](ctx, s.pool, `
		SELECT coalesce(o.mer_order_id, '') AS mer_order_id,
		       o.status,
		       coalesce(o.review_reason, '') AS review_reason,
		       (SELECT count(*) FROM order_queries q WHERE q.order_id = o.id) AS queries,
		       (SELECT count(*) FROM order_events e WHERE e.order_id = o.id) AS events
		FROM orders o
		ORDER BY o.id`)
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	return states, nil
}
