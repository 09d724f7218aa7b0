-- Without a transaction: the index is built beside a running application.
-- +goose NO TRANSACTION
-- +goose Up

SELECT set_config('lock_timeout', current_setting('reconciler.patience', true), false); -- the build waits for older transactions and holds nobody up
DROP INDEX CONCURRENTLY IF EXISTS order_events_xact; -- an interrupted build leaves an invalid one
CREATE INDEX CONCURRENTLY order_events_xact ON order_events (xact, id);
SET lock_timeout = '2s';

-- +goose Down

SELECT set_config('lock_timeout', current_setting('reconciler.patience', true), false);
DROP INDEX CONCURRENTLY IF EXISTS order_events_xact;
SET lock_timeout = '2s';
