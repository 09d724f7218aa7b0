package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// runLoop is what one writes first: select what is due, let some goroutines ask, one transaction an
// order. It holds no leases: only one such process may run.
func (p *peer) runLoop(ctx context.Context) (summary, error) {
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	orders := make(chan order)
	group.Go(func() error {
		defer close(orders)
		return p.feedWorkers(ctx, orders)
	})
	for range p.concurrency {
		group.Go(func() error { return p.settleAll(ctx, orders) })
	}
	err := group.Wait()
	return summary{Settled: p.orders, Seconds: time.Since(began).Seconds()}, err
}

// dueOrder is an order with its place in the queue.
type dueOrder struct {
	order

	NextQueryAt time.Time
}

// feedWorkers hands out what is due, page by page.
func (p *peer) feedWorkers(ctx context.Context, orders chan<- order) error {
	const page = 1000
	last, lastID := time.Time{}, int64(0) // the keyset: pages never go back over what is in flight
	for {
		rows, err := p.pool.Query(ctx, `
			SELECT id, mid, tid, inst_mid, mer_order_id, order_amount, next_query_at FROM orders
			WHERE status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY', 'NOT_FOUND') AND review_reason IS NULL
			  AND next_query_at <= now() AND (next_query_at, id) > ($1, $2)
			ORDER BY next_query_at, id LIMIT $3`, last, lastID, page)
		if err != nil {
			return fmt.Errorf("select due orders: %w", err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowToStructByName[dueOrder])
		if err != nil {
			return fmt.Errorf("select due orders: %w", err)
		}
		for _, o := range found {
			select {
			case orders <- o.order:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if len(found) < page {
			return nil
		}
		last, lastID = found[page-1].NextQueryAt, found[page-1].ID
	}
}

func (p *peer) settleAll(ctx context.Context, orders <-chan order) error {
	for o := range orders {
		a, err := p.askGateway(ctx, o)
		if err != nil {
			return err
		}
		err = pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error { return p.bookOrder(ctx, tx, a) })
		if err != nil {
			return fmt.Errorf("settle order %d: %w", o.ID, err)
		}
	}
	return nil
}
