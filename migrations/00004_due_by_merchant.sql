-- Without a transaction: the index is built beside a running application.
-- +goose NO TRANSACTION
-- +goose Up

DROP INDEX CONCURRENTLY IF EXISTS orders_due_by_merchant; -- what a build that was interrupted left
CREATE INDEX CONCURRENTLY orders_due_by_merchant ON orders (mid, next_query_at, id)
    WHERE status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY', 'NOT_FOUND')
      AND review_reason IS NULL
      AND next_query_at IS NOT NULL;

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS orders_due_by_merchant;
