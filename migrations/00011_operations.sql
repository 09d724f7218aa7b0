-- +goose Up

ALTER TABLE gateway_controls
    ADD COLUMN failed_order_id bigint,
    ADD COLUMN failed_mid text;

COMMENT ON COLUMN gateway_controls.failed_order_id IS 'orders.id of the question that failed last. The next probe is about another order.';
COMMENT ON COLUMN gateway_controls.failed_mid IS 'The merchant of that question. The probe of an app id is about another merchant where there is one.';

CREATE TABLE gateway_incidents (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope          text        NOT NULL CHECK (scope IN ('app', 'mid')),
    key            text        NOT NULL,
    opened_at      timestamptz NOT NULL DEFAULT now(),
    closed_at      timestamptz,
    cause          text        NOT NULL DEFAULT '',
    opened_by      text        NOT NULL,
    closed_by      text,
    questions_lost bigint      NOT NULL DEFAULT 0
);

-- One pause is in force for an app id or a merchant, so one incident goes on.
CREATE UNIQUE INDEX gateway_incidents_open ON gateway_incidents (scope, key) WHERE closed_at IS NULL;
CREATE INDEX gateway_incidents_opened ON gateway_incidents (opened_at);

COMMENT ON TABLE gateway_incidents IS 'The history of the pauses. It is kept.';
COMMENT ON COLUMN gateway_incidents.id IS 'Number of the row.';
COMMENT ON COLUMN gateway_incidents.scope IS 'app: an app id at the gateway. mid: one merchant.';
COMMENT ON COLUMN gateway_incidents.key IS 'The app id or the merchant number.';
COMMENT ON COLUMN gateway_incidents.opened_at IS 'When the pause began.';
COMMENT ON COLUMN gateway_incidents.closed_at IS 'When it ended. Null: it goes on.';
COMMENT ON COLUMN gateway_incidents.cause IS 'Why, in words.';
COMMENT ON COLUMN gateway_incidents.opened_by IS 'breaker, or the person who paused.';
COMMENT ON COLUMN gateway_incidents.closed_by IS 'breaker, or the person who resumed.';
COMMENT ON COLUMN gateway_incidents.questions_lost IS 'Questions that ended without a usable answer during the incident.';

CREATE TABLE instances (
    worker       text        PRIMARY KEY,
    version      text        NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT now(),
    seen_at      timestamptz NOT NULL DEFAULT now(),
    last_pass_at timestamptz,
    trouble      text,
    settings     jsonb       NOT NULL DEFAULT '{}'
);

COMMENT ON TABLE instances IS 'The daemons that run. Each writes its row every 15 seconds. Rows that were not written for a day are removed.';
COMMENT ON COLUMN instances.worker IS 'Name of the instance, as in orders.claimed_by and order_queries.worker.';
COMMENT ON COLUMN instances.version IS 'Version of its program.';
COMMENT ON COLUMN instances.started_at IS 'When it started.';
COMMENT ON COLUMN instances.seen_at IS 'When it last wrote this row.';
COMMENT ON COLUMN instances.last_pass_at IS 'When its last pass ended.';
COMMENT ON COLUMN instances.trouble IS 'Why it does not work, such as answers that cannot be written. Null: it works.';
COMMENT ON COLUMN instances.settings IS 'Its settings, without secrets.';

CREATE TABLE webhook_deliveries (
    event_id     bigint      PRIMARY KEY, -- no foreign key: prune deletes events
    attempts     int         NOT NULL DEFAULT 0,
    next_at      timestamptz,
    last_at      timestamptz,
    last_status  int,
    last_answer  text,
    delivered_at timestamptz,
    set_aside_at timestamptz
);

CREATE INDEX webhook_deliveries_next ON webhook_deliveries (next_at, event_id) WHERE next_at IS NOT NULL;

COMMENT ON TABLE webhook_deliveries IS 'Deliveries by HTTP that were not simply done: events that were tried again, set aside or sent again.';
COMMENT ON COLUMN webhook_deliveries.event_id IS 'order_events.id.';
COMMENT ON COLUMN webhook_deliveries.attempts IS 'How many times it was sent.';
COMMENT ON COLUMN webhook_deliveries.next_at IS 'When it will be sent next. Null: it will not be sent.';
COMMENT ON COLUMN webhook_deliveries.last_at IS 'When it was last sent.';
COMMENT ON COLUMN webhook_deliveries.last_status IS 'HTTP status of the last answer. Null: no answer came.';
COMMENT ON COLUMN webhook_deliveries.last_answer IS 'Beginning of the last answer, or the trouble in words.';
COMMENT ON COLUMN webhook_deliveries.delivered_at IS 'When the application accepted it.';
COMMENT ON COLUMN webhook_deliveries.set_aside_at IS 'When the daemon stopped trying. Later events of the order go on.';

CREATE TABLE operator_actions (
    id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    actor    text        NOT NULL,
    db_user  text        NOT NULL DEFAULT session_user,
    via      text        NOT NULL CHECK (via IN ('cli', 'console')),
    action   text        NOT NULL,
    order_id bigint,
    scope    text,
    key      text,
    reason   text,
    evidence text,
    before   jsonb,
    after    jsonb
);

CREATE INDEX operator_actions_at ON operator_actions (at);
CREATE INDEX operator_actions_order ON operator_actions (order_id, id) WHERE order_id IS NOT NULL;

-- +goose StatementBegin
CREATE FUNCTION operator_actions_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'operator_actions is append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
-- +goose StatementEnd

COMMENT ON FUNCTION operator_actions_are_kept() IS 'Trigger on operator_actions. It refuses UPDATE, DELETE and TRUNCATE.';

CREATE TRIGGER operator_actions_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON operator_actions
    FOR EACH STATEMENT EXECUTE FUNCTION operator_actions_are_kept();
ALTER TABLE operator_actions ENABLE ALWAYS TRIGGER operator_actions_are_kept;

COMMENT ON TABLE operator_actions IS 'What people did, append-only. A trigger refuses UPDATE, DELETE and TRUNCATE.';
COMMENT ON COLUMN operator_actions.id IS 'Number of the row.';
COMMENT ON COLUMN operator_actions.at IS 'When it was done.';
COMMENT ON COLUMN operator_actions.actor IS 'Who did it: RECONCILER_ACTOR, or the name that logged in to the console.';
COMMENT ON COLUMN operator_actions.db_user IS 'The database user of the session.';
COMMENT ON COLUMN operator_actions.via IS 'cli or console.';
COMMENT ON COLUMN operator_actions.action IS 'What was done, such as resolve, retry, pause, resume, prune.';
COMMENT ON COLUMN operator_actions.order_id IS 'orders.id, where it was about an order.';
COMMENT ON COLUMN operator_actions.scope IS 'app or mid, where it was about a pause.';
COMMENT ON COLUMN operator_actions.key IS 'The app id or the merchant number, where it was about a pause.';
COMMENT ON COLUMN operator_actions.reason IS 'Why, in the words of the person.';
COMMENT ON COLUMN operator_actions.evidence IS 'What it was based on, such as a number on the merchant platform.';
COMMENT ON COLUMN operator_actions.before IS 'The state before.';
COMMENT ON COLUMN operator_actions.after IS 'The state after.';

-- +goose Down

DROP TABLE operator_actions;
DROP FUNCTION operator_actions_are_kept();
DROP TABLE webhook_deliveries;
DROP TABLE instances;
DROP TABLE gateway_incidents;
ALTER TABLE gateway_controls DROP COLUMN failed_order_id, DROP COLUMN failed_mid;
