-- Without a transaction: the index is built beside a running application.
-- +goose NO TRANSACTION
-- +goose Up

-- The build waits for older transactions and holds nobody up, so it may wait longer than others.
SELECT set_config('lock_timeout', current_setting('reconciler.patience', true), false);
DROP INDEX CONCURRENTLY IF EXISTS orders_orphans; -- an interrupted build leaves an invalid one
CREATE INDEX CONCURRENTLY orders_orphans ON orders (id)
    WHERE status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY')
      AND review_reason IS NULL
      AND next_query_at IS NULL;
SET lock_timeout = '2s';

-- +goose Down

SELECT set_config('lock_timeout', current_setting('reconciler.patience', true), false);
DROP INDEX CONCURRENTLY IF EXISTS orders_orphans;
SET lock_timeout = '2s';
