-- +goose Up

CREATE TABLE gateway_controls (
    scope        text        NOT NULL CHECK (scope IN ('app', 'mid')),
    key          text        NOT NULL,
    paused_until timestamptz,
    reason       text        NOT NULL DEFAULT '',
    set_by       text        NOT NULL,
    set_at       timestamptz NOT NULL DEFAULT now(),
    probe_until  timestamptz,
    PRIMARY KEY (scope, key)
);

COMMENT ON TABLE gateway_controls IS 'What is not asked about for now: one row per app id or merchant. The breaker and people write it, all instances obey it.';
COMMENT ON COLUMN gateway_controls.scope IS 'app: an app id at the gateway; mid: one merchant.';
COMMENT ON COLUMN gateway_controls.key IS 'The app id or the merchant number.';
COMMENT ON COLUMN gateway_controls.paused_until IS 'No question until then. Null: until somebody resumes.';
COMMENT ON COLUMN gateway_controls.reason IS 'Why.';
COMMENT ON COLUMN gateway_controls.set_by IS 'breaker, or the person who paused it. A pause by a person never ends by the breaker.';
COMMENT ON COLUMN gateway_controls.set_at IS 'When it was set.';
COMMENT ON COLUMN gateway_controls.probe_until IS 'After a pause by the breaker one question goes through as a probe: it is in flight until then at the latest.';

CREATE TABLE gateway_budgets (
    app_id      text             PRIMARY KEY,
    tokens      double precision NOT NULL,
    refilled_at timestamptz      NOT NULL
);

COMMENT ON TABLE gateway_budgets IS 'The round trips that all instances together may begin: a token bucket per app id. Safe to delete from: it starts anew.';
COMMENT ON COLUMN gateway_budgets.app_id IS 'The app id at the gateway.';
COMMENT ON COLUMN gateway_budgets.tokens IS 'Round trips that were allowed at refilled_at; below 0 while retries wait for theirs.';
COMMENT ON COLUMN gateway_budgets.refilled_at IS 'When tokens was counted.';

-- +goose Down

DROP TABLE gateway_budgets;
DROP TABLE gateway_controls;
