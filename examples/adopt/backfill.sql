-- The payments of the last week whose outcome is unknown. They become due over ten minutes, so that the gateway's budget is
-- left to new payments. Run it again at any time: it also passes on what missing_orders shows.
INSERT INTO reconciler.orders (mid, tid, mer_order_id, order_amount, created_at, expires_at, next_query_at)
SELECT m.mch_no, m.pos_no, m.order_sn, (m.amount_yuan * 100)::bigint,
       m.ctime AT TIME ZONE 'Asia/Shanghai', m.ctime AT TIME ZONE 'Asia/Shanghai' + interval '30 minutes',
       now() + random() * interval '10 minutes'
FROM reconciler.missing_orders AS m
WHERE m.ctime > now() AT TIME ZONE 'Asia/Shanghai' - interval '7 days'
ON CONFLICT (mid, mer_order_id) DO NOTHING;
