-- +goose Up

ALTER TABLE orders ADD COLUMN unrecorded_claims int NOT NULL DEFAULT 0;

COMMENT ON COLUMN orders.unrecorded_claims IS 'Claims since the last recorded question. An order that takes its worker down again and again is set aside for review (poison).';

-- +goose Down

ALTER TABLE orders DROP COLUMN unrecorded_claims;
