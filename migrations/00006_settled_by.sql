-- +goose Up

-- The function names no table, so it does not depend on the search_path of the writer.
-- +goose StatementBegin
CREATE FUNCTION orders_stay_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.review_reason := nullif(NEW.review_reason, '');
    IF NEW.review_reason IS NULL AND NEW.next_query_at IS NULL
        AND NEW.status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY') THEN
        NEW.next_query_at := pg_catalog.now();
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

COMMENT ON FUNCTION orders_stay_due() IS 'Trigger on orders. It makes an unresolved order due that has neither a due time nor a review reason, and stores an empty review reason as null.';

-- A check in ADD COLUMN would read the whole table under the strongest lock. The next file but one
-- validates this constraint beside the application.
ALTER TABLE orders
    ADD COLUMN settled_at timestamptz,
    ADD COLUMN settled_by text,
    ADD CONSTRAINT orders_settled_by_check CHECK (settled_by IN ('query', 'hand')) NOT VALID;

COMMENT ON COLUMN orders.settled_at IS 'When the reconciler or a person settled the order. It is never cleared. Null: the application settled it, or nobody did.';
COMMENT ON COLUMN orders.settled_by IS 'query: the reconciler asked the gateway. hand: a person used review resolve. It is never cleared. Null: the application settled it, or nobody did.';

-- The name begins with zz because triggers fire in the order of their names: what the application's
-- own triggers set is seen. No statement of the reconciler meets the condition.
CREATE TRIGGER zz_orders_stay_due BEFORE INSERT OR UPDATE ON orders FOR EACH ROW
    WHEN (NEW.review_reason = '' OR (NEW.next_query_at IS NULL AND NEW.review_reason IS NULL
          AND NEW.status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY')))
    EXECUTE FUNCTION orders_stay_due();

-- Partitions get the trigger from their parent. Tables that inherit do not.
-- +goose StatementBegin
DO $$
DECLARE
    child regclass;
BEGIN
    FOR child IN
        WITH RECURSIVE tree AS (
            SELECT inhrelid FROM pg_inherits WHERE inhparent = 'orders'::regclass
            UNION
            SELECT i.inhrelid FROM pg_inherits AS i JOIN tree ON i.inhparent = tree.inhrelid
        )
        SELECT c.oid FROM tree JOIN pg_class AS c ON c.oid = tree.inhrelid
        WHERE c.relkind = 'r' AND NOT c.relispartition
    LOOP
        EXECUTE format($trigger$
            CREATE TRIGGER zz_orders_stay_due BEFORE INSERT OR UPDATE ON %s FOR EACH ROW
            WHEN (NEW.review_reason = '' OR (NEW.next_query_at IS NULL AND NEW.review_reason IS NULL
                  AND NEW.status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY')))
            EXECUTE FUNCTION orders_stay_due()$trigger$, child);
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down

DROP FUNCTION orders_stay_due() CASCADE; -- with its triggers
ALTER TABLE orders DROP COLUMN settled_by, DROP COLUMN settled_at;
