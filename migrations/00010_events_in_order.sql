-- Without a transaction: the index is built beside a running application.
-- +goose NO TRANSACTION
-- +goose Up

SET lock_timeout = '5min'; -- the build waits for older transactions and holds nobody up
DROP INDEX CONCURRENTLY IF EXISTS order_events_xact; -- an interrupted build leaves an invalid one
CREATE INDEX CONCURRENTLY order_events_xact ON order_events (xact, id);
SET lock_timeout = '2s';

-- +goose Down

SET lock_timeout = '5min';
DROP INDEX CONCURRENTLY IF EXISTS order_events_xact;
SET lock_timeout = '2s';
