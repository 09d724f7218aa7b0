-- Without a transaction: the index is built beside a running application.
-- +goose NO TRANSACTION
-- +goose Up

-- The build waits for older transactions and holds nobody up, so it may wait longer than others.
SET lock_timeout = '5min';
DROP INDEX CONCURRENTLY IF EXISTS orders_orphans; -- an interrupted build leaves an invalid one
CREATE INDEX CONCURRENTLY orders_orphans ON orders (id)
    WHERE status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY')
      AND review_reason IS NULL
      AND next_query_at IS NULL;
SET lock_timeout = '2s';

-- +goose Down

SET lock_timeout = '5min';
DROP INDEX CONCURRENTLY IF EXISTS orders_orphans;
SET lock_timeout = '2s';
