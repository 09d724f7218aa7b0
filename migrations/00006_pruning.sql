-- Without a transaction: the indexes are built beside a running application.
-- +goose NO TRANSACTION
-- +goose Up

-- Where the old rows end, for pruning: without, each run would read all that is younger. These indexes hold a line
-- for every 128 pages; a table in the order of its times needs no more, and inserts hardly notice.
DROP INDEX CONCURRENTLY IF EXISTS order_queries_queried_at; -- what a build that was interrupted left
CREATE INDEX CONCURRENTLY order_queries_queried_at ON order_queries USING brin (queried_at) WITH (autosummarize = on);
DROP INDEX CONCURRENTLY IF EXISTS order_events_created_at;
CREATE INDEX CONCURRENTLY order_events_created_at ON order_events USING brin (created_at) WITH (autosummarize = on);

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS order_queries_queried_at;
DROP INDEX CONCURRENTLY IF EXISTS order_events_created_at;
