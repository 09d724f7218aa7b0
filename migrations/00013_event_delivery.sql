-- +goose Up

-- A snapshot that a consumer keeps must not see the place to which restored events move: it would hide
-- them. An old open transaction can put that place far below the cluster's next number. And a cursor
-- that lies behind stays where it is: there may be events between it and the restored ones.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION renumber_order_events() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    LOCK TABLE event_consumers IN SHARE ROW EXCLUSIVE MODE;
    WITH here AS MATERIALIZED (
        SELECT pg_snapshot_xmax(pg_current_snapshot()) AS ahead,
               (pg_snapshot_xmin(pg_current_snapshot())::text::numeric - 1)::text::xid8 AS past
    ),
    restored AS MATERIALIZED (
        SELECT e.xact, e.id FROM order_events AS e, here
        WHERE e.xact >= here.ahead AND e.xact IS DISTINCT FROM pg_current_xact_id_if_assigned()
    ),
    renumbered AS (
        UPDATE order_events AS e SET xact = here.past FROM restored, here WHERE e.id = restored.id
    )
    UPDATE event_consumers AS c
    SET xact = CASE WHEN c.xact >= here.ahead OR (unread.xact, unread.id) <= (c.xact, c.id)
                    THEN coalesce(unread.xact, here.past) ELSE c.xact END,
        id = CASE WHEN c.xact >= here.ahead OR (unread.xact, unread.id) <= (c.xact, c.id)
                  THEN coalesce(unread.id - 1, c.id) ELSE c.id END,
        registered_in = CASE WHEN pg_snapshot_xmax(c.registered_in) <= here.past THEN c.registered_in END
    FROM here, event_consumers AS c2
    LEFT JOIN LATERAL (
        -- the first event that the consumer may not have acknowledged, where it stands from now on
        SELECT e.xact, e.id FROM (
            SELECT here2.past AS xact, r.id FROM restored AS r, here AS here2 WHERE (r.xact, r.id) > (c2.xact, c2.id)
            UNION ALL
            SELECT e.xact, e.id FROM order_events AS e, here AS here2
            WHERE c2.xact >= here2.ahead AND e.xact < here2.ahead AND e.id > c2.id
        ) AS e
        ORDER BY e.xact, e.id LIMIT 1
    ) AS unread ON true
    WHERE c.name = c2.name
      AND (c.xact >= here.ahead OR pg_snapshot_xmax(c.registered_in) > here.past
           OR (unread.xact, unread.id) <= (c.xact, c.id));
END $$;
-- +goose StatementEnd

-- Whether events or cursors lie ahead. An EXISTS with a comparison would let the planner read the whole
-- table, because it takes a third of the rows to match; the order leads it to the end of the index.
-- +goose StatementBegin
CREATE FUNCTION order_events_lie_ahead() RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    ahead xid8 := pg_snapshot_xmax(pg_current_snapshot());
BEGIN
    RETURN coalesce((SELECT e.xact FROM order_events AS e
                     WHERE e.xact IS DISTINCT FROM pg_current_xact_id_if_assigned()
                     ORDER BY e.xact DESC, e.id DESC LIMIT 1) >= ahead, false)
        OR EXISTS (SELECT FROM event_consumers AS c WHERE c.xact >= ahead OR pg_snapshot_xmax(c.registered_in) > ahead);
END $$;
-- +goose StatementEnd

COMMENT ON FUNCTION order_events_lie_ahead() IS 'Whether events or cursors have transaction numbers that this cluster has not reached, as after a restore.';

-- The cluster catches up with restored events while new ones are written, and a cursor that lies beyond
-- would hide those. So the first write after a restore moves the old events, whether anybody reads or
-- not. While the restore itself writes them, events and cursors are not complete, so it does nothing.
-- +goose StatementBegin
CREATE FUNCTION order_events_in_order() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF order_events_lie_ahead()
       AND NOT EXISTS (SELECT FROM order_events AS e
                       WHERE e.xact >= pg_snapshot_xmax(pg_current_snapshot()) AND e.xact <> pg_current_xact_id()
                         AND e.xmin::text::numeric = pg_current_xact_id()::text::numeric % 4294967296) THEN
        PERFORM renumber_order_events();
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

COMMENT ON FUNCTION order_events_in_order() IS 'Trigger on order_events. The first write after a restore into another cluster calls renumber_order_events.';

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION next_order_events(consumer text, most int) RETURNS SETOF order_events
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    cursor_ event_consumers;
BEGIN
    PERFORM register_order_events(consumer, false)
    WHERE NOT EXISTS (SELECT FROM event_consumers AS c WHERE c.name = consumer);
    IF order_events_lie_ahead() THEN
        PERFORM renumber_order_events();
    END IF;
    SELECT c.* INTO cursor_ FROM event_consumers AS c WHERE c.name = consumer;
    RETURN QUERY
        SELECT e.* FROM order_events AS e
        WHERE (e.xact, e.id) > (cursor_.xact, cursor_.id)
          AND e.xact < pg_snapshot_xmin(pg_current_snapshot())
          AND (cursor_.registered_in IS NULL OR NOT pg_visible_in_snapshot(e.xact, cursor_.registered_in))
        ORDER BY e.xact, e.id
        LIMIT greatest(most, 1);
    UPDATE event_consumers SET seen_at = now()
    WHERE name IN (SELECT c.name FROM event_consumers AS c
                   WHERE c.name = consumer AND c.seen_at NOT BETWEEN now() - interval '1 second' AND now()
                   FOR UPDATE SKIP LOCKED); -- a reader waits for nobody
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY[
        'renumber_order_events()', 'order_events_lie_ahead()', 'order_events_in_order()', 'next_order_events(text, int)']
    LOOP
        EXECUTE format('ALTER FUNCTION %I.%s SET search_path = %I, pg_temp', current_schema(), signature, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %I.%s FROM PUBLIC', current_schema(), signature);
    END LOOP;
END $$;
-- +goose StatementEnd

CREATE TRIGGER order_events_in_order AFTER INSERT ON order_events
    FOR EACH STATEMENT EXECUTE FUNCTION order_events_in_order();

-- One instance at a time delivers by HTTP. A lease in a row, and not an advisory lock, works behind a
-- pooler as well.
ALTER TABLE event_consumers ADD COLUMN held_by text, ADD COLUMN held_until timestamptz;

COMMENT ON COLUMN event_consumers.held_by IS 'The instance that delivers for this consumer. Only the consumer webhook has one.';
COMMENT ON COLUMN event_consumers.held_until IS 'Until then no other instance delivers for it.';

ALTER TABLE webhook_deliveries ADD COLUMN pending_since timestamptz NOT NULL DEFAULT now();

CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (event_id) WHERE next_at IS NOT NULL;
CREATE INDEX webhook_deliveries_set_aside ON webhook_deliveries (event_id) WHERE set_aside_at IS NOT NULL;

COMMENT ON TABLE webhook_deliveries IS 'Deliveries by HTTP: one row per event since the consumer webhook began. prune deletes it with its event.';
COMMENT ON COLUMN webhook_deliveries.attempts IS 'How many times it was sent since pending_since.';
COMMENT ON COLUMN webhook_deliveries.pending_since IS 'Since when it is to be delivered: when its event was read, or when events resend asked for it.';

-- +goose Down

DROP INDEX webhook_deliveries_set_aside;
DROP INDEX webhook_deliveries_pending;
ALTER TABLE webhook_deliveries DROP COLUMN pending_since;
ALTER TABLE event_consumers DROP COLUMN held_by, DROP COLUMN held_until;
DROP TRIGGER order_events_in_order ON order_events;
DROP FUNCTION order_events_in_order();

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION next_order_events(consumer text, most int) RETURNS SETOF order_events
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    cursor_ event_consumers;
BEGIN
    PERFORM register_order_events(consumer, false)
    WHERE NOT EXISTS (SELECT FROM event_consumers AS c WHERE c.name = consumer);
    IF EXISTS (SELECT FROM order_events AS e
               WHERE e.xact >= pg_snapshot_xmax(pg_current_snapshot())
                 AND e.xact IS DISTINCT FROM pg_current_xact_id_if_assigned())
       OR EXISTS (SELECT FROM event_consumers AS c
                  WHERE c.name = consumer
                    AND (c.xact >= pg_snapshot_xmax(pg_current_snapshot())
                         OR pg_snapshot_xmax(c.registered_in) > pg_snapshot_xmax(pg_current_snapshot()))) THEN
        PERFORM renumber_order_events();
    END IF;
    SELECT c.* INTO cursor_ FROM event_consumers AS c WHERE c.name = consumer;
    RETURN QUERY
        SELECT e.* FROM order_events AS e
        WHERE (e.xact, e.id) > (cursor_.xact, cursor_.id)
          AND e.xact < pg_snapshot_xmin(pg_current_snapshot())
          AND (cursor_.registered_in IS NULL OR NOT pg_visible_in_snapshot(e.xact, cursor_.registered_in))
        ORDER BY e.xact, e.id
        LIMIT greatest(most, 1);
    UPDATE event_consumers SET seen_at = now()
    WHERE name IN (SELECT c.name FROM event_consumers AS c
                   WHERE c.name = consumer AND c.seen_at NOT BETWEEN now() - interval '1 second' AND now()
                   FOR UPDATE SKIP LOCKED); -- a reader waits for nobody
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION renumber_order_events() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    LOCK TABLE event_consumers IN SHARE ROW EXCLUSIVE MODE;
    WITH here AS MATERIALIZED (
        SELECT pg_snapshot_xmax(pg_current_snapshot()) AS ahead,
               (pg_snapshot_xmin(pg_current_snapshot())::text::numeric - 1)::text::xid8 AS past
    ),
    restored AS MATERIALIZED (
        SELECT e.xact, e.id FROM order_events AS e, here
        WHERE e.xact >= here.ahead AND e.xact IS DISTINCT FROM pg_current_xact_id_if_assigned()
    ),
    renumbered AS (
        UPDATE order_events AS e SET xact = here.past FROM restored, here WHERE e.id = restored.id
    )
    UPDATE event_consumers AS c
    SET xact = coalesce(unread.xact, here.past),
        id = coalesce(unread.id - 1, c.id),
        registered_in = CASE WHEN pg_snapshot_xmax(c.registered_in) <= here.ahead THEN c.registered_in END
    FROM here, event_consumers AS c2
    LEFT JOIN LATERAL (
        -- the first event that the consumer may not have acknowledged, where it stands from now on
        SELECT e.xact, e.id FROM (
            SELECT here2.past AS xact, r.id FROM restored AS r, here AS here2 WHERE (r.xact, r.id) > (c2.xact, c2.id)
            UNION ALL
            SELECT e.xact, e.id FROM order_events AS e, here AS here2
            WHERE c2.xact >= here2.ahead AND e.xact < here2.ahead AND e.id > c2.id
        ) AS e
        ORDER BY e.xact, e.id LIMIT 1
    ) AS unread ON true
    WHERE c.name = c2.name
      AND (c.xact >= here.ahead OR pg_snapshot_xmax(c.registered_in) > here.ahead
           OR (unread.xact, unread.id) <= (c.xact, c.id));
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION %1$I.renumber_order_events() SET search_path = %1$I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION %1$I.next_order_events(text, int) SET search_path = %1$I, pg_temp', current_schema());
END $$;
-- +goose StatementEnd

DROP FUNCTION order_events_lie_ahead();
