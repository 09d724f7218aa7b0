-- Without a transaction: each batch is a transaction of its own.
-- +goose NO TRANSACTION
-- +goose Up

-- The trigger of 00006 makes a row due once it is written. The partial indexes find the rows.
-- +goose StatementBegin
DO $$
DECLARE
    changed bigint;
BEGIN
    LOOP
        UPDATE orders SET next_query_at = now()
        WHERE id IN (
            SELECT id FROM orders
            WHERE status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY')
              AND review_reason IS NULL AND next_query_at IS NULL
            LIMIT 1000)
          AND status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY')
          AND review_reason IS NULL AND next_query_at IS NULL;
        GET DIAGNOSTICS changed = ROW_COUNT;
        COMMIT;
        EXIT WHEN changed = 0;
    END LOOP;
    LOOP
        UPDATE orders SET review_reason = NULL
        WHERE id IN (SELECT id FROM orders WHERE review_reason = '' LIMIT 1000) AND review_reason = '';
        GET DIAGNOSTICS changed = ROW_COUNT;
        COMMIT;
        EXIT WHEN changed = 0;
    END LOOP;
END $$;
-- +goose StatementEnd

ALTER TABLE orders VALIDATE CONSTRAINT orders_settled_by_check;

-- +goose Down

-- Nothing to take back.
