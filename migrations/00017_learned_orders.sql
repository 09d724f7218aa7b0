-- Without a transaction: the index is built beside a running application.
-- +goose NO TRANSACTION
-- +goose Up

-- status and the console count what the reconciler learned in the last week. Orders that the application
-- settled are not in this index.
SELECT set_config('lock_timeout', current_setting('reconciler.patience', true), false); -- the build waits for older transactions and holds nobody up
DROP INDEX CONCURRENTLY IF EXISTS orders_learned; -- an interrupted build leaves an invalid one
CREATE INDEX CONCURRENTLY orders_learned ON orders (settled_at) WHERE settled_by = 'query';
SET lock_timeout = '2s';

-- +goose Down

SELECT set_config('lock_timeout', current_setting('reconciler.patience', true), false);
DROP INDEX CONCURRENTLY IF EXISTS orders_learned;
SET lock_timeout = '2s';
