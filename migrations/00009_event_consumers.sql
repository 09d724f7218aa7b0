-- +goose Up

-- A constant default is kept in the catalogue: the table is not rewritten. Events from before this
-- file have 0 and come before all others.
ALTER TABLE order_events ADD COLUMN xact xid8 NOT NULL DEFAULT '0';
ALTER TABLE order_events ALTER COLUMN xact SET DEFAULT pg_current_xact_id();

COMMENT ON COLUMN order_events.xact IS 'The transaction that wrote the row. Events are read in the order of xact and id, once no older transaction is running. Do not set it.';

CREATE TABLE event_consumers (
    name          text        PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 100),
    xact          xid8        NOT NULL,
    id            bigint      NOT NULL,
    seen_at       timestamptz NOT NULL DEFAULT now(),
    registered_in pg_snapshot
);

COMMENT ON TABLE event_consumers IS 'Who reads order_events, and how far. prune keeps an event until each consumer has acknowledged it. Delete the row of a consumer that will not come back.';
COMMENT ON COLUMN event_consumers.name IS 'The name that the consumer gave.';
COMMENT ON COLUMN event_consumers.xact IS 'Events up to this xact and id are acknowledged. It never goes back.';
COMMENT ON COLUMN event_consumers.id IS 'See xact.';
COMMENT ON COLUMN event_consumers.seen_at IS 'When the consumer last read or acknowledged.';
COMMENT ON COLUMN event_consumers.registered_in IS 'Events that this snapshot sees were there before the consumer, and it does not get them. Null: it gets all.';

-- The functions run with the rights of their owner, so that a consumer needs no right on the tables
-- and no cursor can go back. Their search_path is pinned below.
-- +goose StatementBegin
CREATE FUNCTION register_order_events(consumer text, from_beginning boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO event_consumers (name, xact, id, registered_in)
    SELECT consumer, coalesce(last.xact, '0'), coalesce(last.id, 0),
           CASE WHEN from_beginning THEN NULL ELSE pg_current_snapshot() END
    FROM (SELECT) AS one
    LEFT JOIN LATERAL (
        SELECT e.xact, e.id FROM order_events AS e
        WHERE NOT coalesce(from_beginning, false) AND e.xact < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY e.xact DESC, e.id DESC LIMIT 1
    ) AS last ON true
    ON CONFLICT (name) DO NOTHING;
    RETURN FOUND;
END $$;
-- +goose StatementEnd

COMMENT ON FUNCTION register_order_events(text, boolean) IS 'Registers a consumer of order_events, at the beginning or at the end of the existing events. A consumer that is registered stays where it is. Returns whether it is new.';

-- In one cluster no visible row has an xact beyond the snapshot. After a restore into another cluster
-- rows and cursors can lie ahead of its transaction numbers: such rows would wait for years, and a
-- cursor that lies ahead would hide all new events. This function moves both to the present. An event
-- may be read twice then; none is left out.
-- +goose StatementBegin
CREATE FUNCTION renumber_order_events() RETURNS void
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

COMMENT ON FUNCTION renumber_order_events() IS 'After a restore into another cluster: lets the restored events be read. next_order_events calls it where it is needed.';

-- +goose StatementBegin
CREATE FUNCTION next_order_events(consumer text, most int) RETURNS SETOF order_events
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

COMMENT ON FUNCTION next_order_events(text, int) IS 'The next events that the consumer has not acknowledged, oldest first by xact and id. A first call registers the consumer at the end of the existing events. An event appears once all transactions that are older than its own have ended.';

-- +goose StatementBegin
CREATE FUNCTION ack_order_events(consumer text, upto_xact xid8, upto_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF upto_xact IS NULL OR upto_id IS NULL OR upto_xact >= pg_snapshot_xmin(pg_current_snapshot()) THEN
        RAISE EXCEPTION 'event (%, %) cannot be acknowledged: next_order_events has not returned it', upto_xact, upto_id
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    UPDATE event_consumers AS c SET xact = upto_xact, id = upto_id, seen_at = now()
    WHERE c.name = consumer AND (c.xact, c.id) < (upto_xact, upto_id);
    IF NOT FOUND AND NOT EXISTS (SELECT FROM event_consumers AS c WHERE c.name = consumer) THEN
        RAISE EXCEPTION 'no consumer of order_events is named %', quote_nullable(consumer)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Call next_order_events or register_order_events first.';
    END IF;
END $$;
-- +goose StatementEnd

COMMENT ON FUNCTION ack_order_events(text, xid8, bigint) IS 'Acknowledges all events up to this xact and id for a consumer. An acknowledgement never goes back.';

-- +goose StatementBegin
DO $$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY[
        'register_order_events(text, boolean)', 'renumber_order_events()',
        'next_order_events(text, int)', 'ack_order_events(text, xid8, bigint)']
    LOOP
        EXECUTE format('ALTER FUNCTION %I.%s SET search_path = %I, pg_temp', current_schema(), signature, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %I.%s FROM PUBLIC', current_schema(), signature);
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down

DROP FUNCTION ack_order_events(text, xid8, bigint);
DROP FUNCTION next_order_events(text, int);
DROP FUNCTION renumber_order_events();
DROP FUNCTION register_order_events(text, boolean);
DROP TABLE event_consumers;
ALTER TABLE order_events DROP COLUMN xact;
