-- Without a transaction: the index is built beside a running application.
-- +goose NO TRANSACTION
-- +goose Up

-- A selection of run-once reads open orders by their ids, whatever their due time. Without this index it
-- would read the settled ones as well.
SELECT set_config('lock_timeout', current_setting('reconciler.patience', true), false); -- the build waits for older transactions and holds nobody up
DROP INDEX CONCURRENTLY IF EXISTS orders_open; -- an interrupted build leaves an invalid one
CREATE INDEX CONCURRENTLY orders_open ON orders (id)
    WHERE status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY', 'NOT_FOUND');
SET lock_timeout = '2s';

-- +goose Down

SELECT set_config('lock_timeout', current_setting('reconciler.patience', true), false);
DROP INDEX CONCURRENTLY IF EXISTS orders_open;
SET lock_timeout = '2s';
