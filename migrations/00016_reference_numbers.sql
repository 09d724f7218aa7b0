-- Without a transaction: the indexes are built beside a running application.
-- +goose NO TRANSACTION
-- +goose Up

-- A slip or a statement of the acquirer shows the reference number or the serial number, so people look for
-- orders by them. Without these indexes that read the whole table. Orders that the application settled have
-- neither number as a rule, and are in neither index.
SELECT set_config('lock_timeout', current_setting('reconciler.patience', true), false); -- the build waits for older transactions and holds nobody up
DROP INDEX CONCURRENTLY IF EXISTS orders_reference; -- an interrupted build leaves an invalid one
CREATE INDEX CONCURRENTLY orders_reference ON orders (ref_id) WHERE ref_id IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS orders_serial;
CREATE INDEX CONCURRENTLY orders_serial ON orders (seq_id) WHERE seq_id IS NOT NULL;
SET lock_timeout = '2s';

-- +goose Down

SELECT set_config('lock_timeout', current_setting('reconciler.patience', true), false);
DROP INDEX CONCURRENTLY IF EXISTS orders_serial;
DROP INDEX CONCURRENTLY IF EXISTS orders_reference;
SET lock_timeout = '2s';
