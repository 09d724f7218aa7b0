-- +goose Up

-- An ORM that saves an old copy of a whole row reopens a settled order, and clears settled_at with it.
-- The event of the second settlement would then lack settled_before, and the goods be shipped twice.
-- +goose StatementBegin
CREATE FUNCTION orders_stay_settled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.settled_at := coalesce(NEW.settled_at, OLD.settled_at);
    NEW.settled_by := coalesce(NEW.settled_by, OLD.settled_by);
    RETURN NEW;
END $$;
-- +goose StatementEnd

COMMENT ON FUNCTION orders_stay_settled() IS 'Trigger on orders. It keeps settled_at and settled_by from being cleared, so that a second settlement is known as one.';

-- Its name is as that of zz_orders_stay_due, and no statement of the reconciler meets its condition either.
-- +goose StatementBegin
DO $$
DECLARE
    orders_table regclass;
BEGIN
    -- Partitions get the trigger from their parent. Tables that inherit do not.
    FOR orders_table IN
        WITH RECURSIVE tree AS (
            SELECT 'orders'::regclass::oid AS oid
            UNION
            SELECT i.inhrelid FROM pg_inherits AS i JOIN tree ON i.inhparent = tree.oid
        )
        SELECT c.oid FROM tree JOIN pg_class AS c ON c.oid = tree.oid
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
    LOOP
        EXECUTE format($trigger$
            CREATE TRIGGER zz_orders_stay_settled BEFORE UPDATE ON %s FOR EACH ROW
            WHEN ((OLD.settled_at IS NOT NULL AND NEW.settled_at IS NULL) OR (OLD.settled_by IS NOT NULL AND NEW.settled_by IS NULL))
            EXECUTE FUNCTION orders_stay_settled()$trigger$, orders_table);
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down

DROP FUNCTION orders_stay_settled() CASCADE; -- with its triggers
