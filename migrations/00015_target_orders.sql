-- Without a transaction: the index is built beside a running application.
-- +goose NO TRANSACTION
-- +goose Up

-- A payer's receipt shows the channel's number, so people look for orders by it. Without this index that
-- read the whole table.
SELECT set_config('lock_timeout', current_setting('reconciler.patience', true), false); -- the build waits for older transactions and holds nobody up
DROP INDEX CONCURRENTLY IF EXISTS orders_target_order; -- an interrupted build leaves an invalid one
CREATE INDEX CONCURRENTLY orders_target_order ON orders (target_order_id) WHERE target_order_id IS NOT NULL;
SET lock_timeout = '2s';

-- +goose Down

SELECT set_config('lock_timeout', current_setting('reconciler.patience', true), false);
DROP INDEX CONCURRENTLY IF EXISTS orders_target_order;
SET lock_timeout = '2s';
