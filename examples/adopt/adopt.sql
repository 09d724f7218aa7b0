-- Keeps the shop's pay_order and the reconciler's orders in step, by triggers in both directions. Run it as the owner of
-- both, after `reconciler migrate up`. The functions have their owner's rights, so the shop's role and the daemon's role
-- need no right on each other's tables.

-- From the shop to the reconciler: a new payment, and an outcome that the shop's callback learned.
-- A trouble here must not stop the shop from taking a payment, so it becomes a warning. missing_orders shows what it left out.
CREATE FUNCTION reconciler.from_pay_order() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = reconciler, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO reconciler.orders (mid, tid, mer_order_id, order_amount, created_at, next_query_at)
        SELECT NEW.mch_no, NEW.pos_no, NEW.order_sn, (NEW.amount_yuan * 100)::bigint,
               NEW.ctime AT TIME ZONE 'Asia/Shanghai',
               now() + interval '2 minutes' -- a head start for the callback
        WHERE NEW.pay_state = 0
        ON CONFLICT (mid, mer_order_id) DO NOTHING;
    ELSE
        UPDATE reconciler.orders
        SET status = CASE NEW.pay_state WHEN 1 THEN 'TRADE_SUCCESS' WHEN 2 THEN 'TRADE_CLOSED' WHEN 3 THEN 'TRADE_REFUND' END,
            updated_at = now()
        WHERE mid = NEW.mch_no AND mer_order_id = NEW.order_sn AND NEW.pay_state IN (1, 2, 3)
          AND status NOT IN ('TRADE_SUCCESS', 'TRADE_REFUND', 'TRADE_CLOSED');
    END IF;
    RETURN NULL;
EXCEPTION WHEN others THEN
    RAISE WARNING 'reconciler: pay_order % is not passed on: %', NEW.id, SQLERRM;
    RETURN NULL;
END $$;

CREATE TRIGGER to_reconciler_insert AFTER INSERT ON pay_order
    FOR EACH ROW EXECUTE FUNCTION reconciler.from_pay_order();
CREATE TRIGGER to_reconciler_update AFTER UPDATE ON pay_order
    FOR EACH ROW WHEN (NEW.pay_state <> OLD.pay_state) EXECUTE FUNCTION reconciler.from_pay_order();

-- An ORM that saves whole rows writes an old copy back. It must not undo an outcome.
CREATE FUNCTION keep_outcome() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.pay_state := OLD.pay_state;
    NEW.paid_at := OLD.paid_at;
    RETURN NEW;
END $$;

CREATE TRIGGER keep_outcome BEFORE UPDATE ON pay_order
    FOR EACH ROW WHEN (OLD.pay_state IN (1, 2, 3) AND NEW.pay_state = 0) EXECUTE FUNCTION keep_outcome();

-- From the reconciler to the shop: one event. It can be applied any number of times.
CREATE FUNCTION reconciler.apply_to_shop(e reconciler.order_events) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE public.pay_order
    SET pay_state = CASE e.event WHEN 'order.paid' THEN 1 WHEN 'order.closed' THEN 2 WHEN 'order.refunded' THEN 3 END,
        paid_at = coalesce((e.payload ->> 'pay_time')::timestamptz AT TIME ZONE 'Asia/Shanghai', paid_at)
    WHERE mch_no = e.mid AND order_sn = e.mer_order_id
      AND e.event IN ('order.paid', 'order.closed', 'order.refunded')
      AND (pay_state = 0 OR (pay_state = 1 AND e.event = 'order.refunded'));
$$;

-- At once, in the transaction that settles the order. It waits half a second for a row that the shop has locked, and never
-- fails: an error here would keep the reconciler from writing answers. What it leaves out, catch_up applies.
CREATE FUNCTION reconciler.to_pay_order() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = reconciler, pg_temp SET lock_timeout = '500ms' AS $$
BEGIN
    PERFORM reconciler.apply_to_shop(NEW);
    RETURN NULL;
EXCEPTION WHEN others THEN
    RAISE WARNING 'reconciler: event % is not applied yet: %', NEW.id, SQLERRM;
    RETURN NULL;
END $$;

CREATE TRIGGER to_pay_order AFTER INSERT ON reconciler.order_events
    FOR EACH ROW EXECUTE FUNCTION reconciler.to_pay_order();

-- Run it every minute, as consumer.sql shows: it reads events as the consumer pay_order, and misses none.
CREATE FUNCTION reconciler.catch_up() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = reconciler, pg_temp AS $$
DECLARE
    e reconciler.order_events;
    n int := 0;
BEGIN
    FOR e IN SELECT * FROM reconciler.next_order_events('pay_order', 1000) LOOP
        PERFORM reconciler.apply_to_shop(e);
        PERFORM reconciler.ack_order_events('pay_order', e.xact, e.id);
        n := n + 1;
    END LOOP;
    RETURN n;
END $$;

SELECT reconciler.register_order_events('pay_order', true);

-- Payments that the reconciler does not know. There should be none that is older than the last minute.
CREATE VIEW reconciler.missing_orders AS
    SELECT p.id, p.mch_no, p.pos_no, p.order_sn, p.amount_yuan, p.ctime
    FROM public.pay_order AS p
    WHERE p.pay_state = 0
      AND NOT EXISTS (SELECT FROM reconciler.orders AS o WHERE o.mid = p.mch_no AND o.mer_order_id = p.order_sn);

REVOKE ALL ON FUNCTION reconciler.from_pay_order(), reconciler.apply_to_shop(reconciler.order_events),
    reconciler.to_pay_order(), reconciler.catch_up() FROM PUBLIC;
