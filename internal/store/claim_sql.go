package store

// isOpen repeats the predicate of the index orders_due word for word: the
// planner uses a partial index only where it can prove that it covers the query.
const isOpen = `o.status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY', 'NOT_FOUND')`

// isFree are orders that nobody asks about now, of merchants that may be asked for.
// The CASE hides all of that from the planner: it would take the conditions to leave
// few rows, and sort a backlog instead of following its index.
const isFree = `CASE WHEN (o.lease_until IS NULL OR o.lease_until <= now())
	AND coalesce(o.mid = ANY (@mids), true)
	AND coalesce(o.mid <> ALL (@except), true)
	AND o.mid <> ALL (@paused)
	AND o.mid <> ALL (ARRAY(SELECT key FROM control WHERE scope = 'mid' AND in_force))
	AND o.id <> ALL (@except_ids)
	AND (o.unrecorded_claims < 2 OR @suspects)
	AND (@asked_before::timestamptz IS NULL OR o.last_queried_at IS NULL OR o.last_queried_at < @asked_before)
	THEN true ELSE false END`

// isProbed reports that the probe of a pause of the breaker is in flight.
const isProbed = `(c.set_by = 'breaker' AND coalesce(c.probe_until > now(), false))`

// controls are the pauses of the app and of merchants. A claim locks those that
// are the breaker's, so that of all instances one takes the probe.
const controls = `control AS MATERIALIZED (
    SELECT c.scope, c.key, CASE WHEN @despite THEN ` + isProbed + ` ELSE ` + inForce + ` END AS in_force,
           c.set_by = 'breaker' AND NOT CASE WHEN @despite THEN ` + isProbed + ` ELSE ` + inForce + ` END AS half_open
    FROM gateway_controls AS c
    WHERE c.scope = 'mid' OR c.key = @app`

// isQueued are the rows of the indexes orders_due and orders_due_by_merchant.
const isQueued = isOpen + `
	  AND o.review_reason IS NULL
	  AND o.next_query_at IS NOT NULL`

// walk steps from merchant to merchant of the queued orders, and no further than it is
// read; the last row is null.
const walk = `
walk AS (
    (SELECT o.mid FROM orders o WHERE ` + isQueued + ` ORDER BY o.mid LIMIT 1)
    UNION ALL
    SELECT (SELECT o.mid FROM orders o WHERE ` + isQueued + ` AND o.mid > walk.mid ORDER BY o.mid LIMIT 1)
    FROM walk WHERE walk.mid IS NOT NULL
)`

// isDue are the orders that are due.
const isDue = isOpen + `
	  AND o.review_reason IS NULL
	  AND o.next_query_at <= now()
	  AND ` + isFree

// duePage is a page of them, the longest due first.
const duePage = `
	FROM orders o
	WHERE ` + isDue + `
	  AND (@after_id::bigint = 0 OR (o.next_query_at, o.id) > (@after_time, @after_id))
	ORDER BY o.next_query_at, o.id
	LIMIT @limit`

// selectedPage is a page of a selection, in the order of the ids.
const selectedPage = `
	FROM orders o
	WHERE ` + isOpen + `
	  AND ` + isFree + `
	  AND (o.review_reason IS NULL OR @review)
	  AND (o.review_reason IS NOT NULL OR NOT @only_review)
	  AND (@mer_order_ids::text[] IS NULL OR o.mer_order_id = ANY (@mer_order_ids))
	  AND (@mid::text = '' OR o.mid = @mid)
	  AND (@created_since::timestamptz IS NULL OR o.created_at >= @created_since)
	  AND (@created_until::timestamptz IS NULL OR o.created_at < @created_until)
	  AND o.id > @after_id
	ORDER BY o.id
	LIMIT @limit`

// A claim's text is claimPermit, one of the pages below, and claimTake.

// claimPermit is what the app's pauses and budget allow, n orders of which recent
// are for the lane of new ones.
const claimPermit = `
WITH RECURSIVE ` + controls + `
    FOR UPDATE
),
budget AS MATERIALIZED (
    SELECT ` + tokensNow + ` AS tokens, clock_timestamp() AS at
    FROM gateway_budgets AS b
    WHERE b.app_id = @app AND @rate::float8 > 0
    FOR UPDATE
),
allowed AS MATERIALIZED (
    SELECT CASE
        WHEN EXISTS (SELECT 1 FROM control WHERE scope = 'app' AND in_force) THEN 0
        ELSE greatest(0, least(
            @limit::bigint,
            CASE WHEN EXISTS (SELECT 1 FROM control WHERE scope = 'app' AND half_open) THEN 1 END,
            CASE WHEN @rate > 0 THEN coalesce((SELECT floor(tokens)::bigint FROM budget), 0) END))
    END AS n
),
lanes AS MATERIALIZED (
    SELECT n, least(@max_recent::bigint, floor(n / 4.0 + random())::bigint) AS recent FROM allowed
),`

// pageOfSelection is the page of a selection.
const pageOfSelection = `
page_selected AS MATERIALIZED (
    SELECT o.id, o.mid ` + selectedPage + ` FOR UPDATE OF o SKIP LOCKED
),
page AS (
    SELECT id, mid, id AS rank FROM page_selected ORDER BY id LIMIT (SELECT n FROM allowed)
)`

// pageOfAll is what is due of all merchants, in two lanes. Most of it are the orders
// longest due; a quarter is left to those that have just become due, for whom a
// customer may be waiting, so that no backlog keeps them from being asked about.
// Where there is no backlog the lanes meet.
//
// Each lane locks its share and no more, for a lock is a write as well.
// The limits are parameters: of one that comes from a subquery the planner knows
// nothing, and it then sorts the whole backlog (1 s for a million orders). What is
// locked here and not allowed in the end is free again with the statement.
const pageOfAll = `
page_longest_due AS MATERIALIZED (
    SELECT o.id, o.mid, o.next_query_at FROM orders o WHERE ` + isDue + `
      AND (o.next_query_at, o.id) >= (@from_time::timestamptz, @from_id::bigint)
      AND (SELECT n FROM allowed) > 0
    ORDER BY o.next_query_at, o.id
    LIMIT @max_longest_due FOR UPDATE OF o SKIP LOCKED
),
page_recent AS MATERIALIZED (
    SELECT o.id, o.mid, o.next_query_at FROM orders o WHERE ` + isDue + `
      AND (SELECT n FROM allowed) > 0
    ORDER BY o.next_query_at DESC, o.id DESC
    LIMIT @max_recent FOR UPDATE OF o SKIP LOCKED
),` + lanesMeet

// pageByMerchant is the same for a few merchants of many, or for all but a few: merchant
// by merchant, for by their due times alone the orders of the wrong ones would be met
// at every claim (57 ms for a paused backlog of 200,000). That costs its time for each
// merchant, so that it is only for some ([fewMerchants]). The candidates are locked once
// it is known which are wanted; twice as many are looked at, so that an instance that
// claims at the same time finds some left.
//
// Merchant and due time are compared as a row, which only orders_due_by_merchant can
// serve in its order: from an equation the planner would conclude that orders_due does.
const pageByMerchant = walk + `,
merchant AS MATERIALIZED (
    SELECT m.mid
    FROM (SELECT mid FROM walk WHERE @mids::text[] IS NULL UNION ALL SELECT unnest(@mids::text[])) AS m(mid)
    WHERE m.mid <> ALL (@paused) AND coalesce(m.mid <> ALL (@except), true)
      AND m.mid NOT IN (SELECT key FROM control WHERE scope = 'mid' AND in_force)
      AND (SELECT n FROM allowed) > 0
),
longest_due AS MATERIALIZED (
    SELECT p.id FROM merchant AS m CROSS JOIN LATERAL (
        SELECT o.id, o.next_query_at FROM orders o WHERE ` + isQueued + ` AND ` + isFree + `
          AND (o.mid, o.next_query_at, o.id) >= (m.mid, @from_time::timestamptz, @from_id::bigint)
          AND (o.mid, o.next_query_at) <= (m.mid, now())
        ORDER BY o.mid, o.next_query_at, o.id LIMIT 2 * @limit) AS p
    ORDER BY p.next_query_at, p.id LIMIT 2 * @limit
),
recent AS MATERIALIZED (
    SELECT p.id FROM merchant AS m CROSS JOIN LATERAL (
        SELECT o.id, o.next_query_at FROM orders o WHERE ` + isQueued + ` AND ` + isFree + `
          AND (o.mid, o.next_query_at) >= (m.mid, '-infinity') AND (o.mid, o.next_query_at) <= (m.mid, now())
        ORDER BY o.mid DESC, o.next_query_at DESC, o.id DESC LIMIT 2 * @max_recent) AS p
    ORDER BY p.next_query_at DESC, p.id DESC LIMIT 2 * @max_recent
),
page_longest_due AS MATERIALIZED (
    SELECT o.id, o.mid, o.next_query_at FROM longest_due JOIN orders o ON o.id = longest_due.id WHERE ` + isDue + `
    ORDER BY o.next_query_at, o.id
    LIMIT @max_longest_due FOR UPDATE OF o SKIP LOCKED
),
page_recent AS MATERIALIZED (
    SELECT o.id, o.mid, o.next_query_at FROM recent JOIN orders o ON o.id = recent.id WHERE ` + isDue + `
    ORDER BY o.next_query_at DESC, o.id DESC
    LIMIT @max_recent FOR UPDATE OF o SKIP LOCKED
),` + lanesMeet

// lanesMeet puts both lanes into one page. The ranks mix the lanes, so that a merchant that may not
// have all of its orders gets some of each.
const lanesMeet = `
page AS (
    SELECT id, mid, min(rank) AS rank
    FROM (
        (SELECT id, mid, 3 * row_number() OVER (ORDER BY next_query_at DESC, id DESC) AS rank
         FROM page_recent ORDER BY rank LIMIT (SELECT recent FROM lanes))
        UNION ALL
        (SELECT id, mid, row_number() OVER (ORDER BY next_query_at, id) AS rank
         FROM page_longest_due ORDER BY rank LIMIT (SELECT n - recent FROM lanes))
    ) AS lane
    GROUP BY id, mid
)`

// claimTake leases what is allowed of the page, and pays for it. After a pause of
// the breaker that is one order of the app, or of the merchant.
//
// The rows are found again by their ids: a ctid is unique in one table only, and orders may have
// partitions and children. The array keeps the planner on the primary key, whatever it expects of
// the page. A settled row is never taken, even if it has the id of a due one in another child table.
const claimTake = `,
claimable AS (
    SELECT p.id
    FROM (SELECT id, mid, row_number() OVER (PARTITION BY mid ORDER BY rank, id) AS nth FROM page) AS p
    LEFT JOIN unnest(@hand_mids::text[], @hand::int[]) AS h(mid, n) ON h.mid = p.mid
    LEFT JOIN unnest(@cap_mids::text[], @caps::int[]) AS cap(mid, n) ON cap.mid = p.mid
    WHERE (p.nth = 1 OR p.mid NOT IN (SELECT key FROM control WHERE scope = 'mid' AND half_open))
      AND (@max_per_merchant = 0 OR p.nth + coalesce(h.n, 0) <= @max_per_merchant)
      AND (cap.n IS NULL OR p.nth + coalesce(h.n, 0) <= cap.n)
),
claimed AS (
    UPDATE orders AS o
    SET lease_until = now() + @lease::interval,
        claimed_by = @worker,
        claim_no = o.claim_no + 1,
        unrecorded_claims = o.unrecorded_claims + @counted
    WHERE o.id = ANY (ARRAY(SELECT id FROM claimable)) AND ` + isOpen + `
    RETURNING ` + orderColumns + `
),
probes AS (
    UPDATE gateway_controls AS c
    SET probe_until = now() + @lease::interval
    FROM control
    WHERE c.scope = control.scope AND c.key = control.key AND control.half_open
      AND CASE c.scope WHEN 'app' THEN EXISTS (SELECT 1 FROM claimed) ELSE c.key IN (SELECT mid FROM claimed) END
),
spent AS (
    UPDATE gateway_budgets AS b
    SET tokens = budget.tokens - (SELECT count(*) FROM claimed), refilled_at = budget.at
    FROM budget
    WHERE b.app_id = @app AND EXISTS (SELECT 1 FROM claimed)
)
SELECT claimed.*,
       EXISTS (SELECT 1 FROM control WHERE scope = 'app' AND half_open) AS app_probe,
       EXISTS (SELECT 1 FROM control WHERE scope = 'mid' AND key = claimed.mid AND half_open) AS merchant_probe
FROM claimed`
