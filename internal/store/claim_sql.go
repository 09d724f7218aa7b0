package store

// isOpen are the rows of the index orders_open. It repeats the predicate word for word: the planner
// uses a partial index only where it can prove that it covers the query.
const isOpen = `o.status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY', 'NOT_FOUND')`

// isUnresolved are the orders whose outcome is unknown.
const isUnresolved = `o.status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY')`

// isQueued are the rows of the indexes orders_due and orders_due_by_merchant.
const isQueued = isOpen + `
	  AND o.review_reason IS NULL
	  AND o.next_query_at IS NOT NULL`

// maxLease is how far ahead a lease can end. The clock may have been set back: one that ends later
// than that has ended.
const maxLease = `greatest(@lease::interval, interval '1 hour')`

// isInFlight are orders that somebody asks about now, as people are told. A lease that ends more
// than a day ahead has ended: the clock may have been set back, or another hand wrote it.
const isInFlight = `coalesce(o.lease_until > now() AND o.lease_until <= now() + interval '1 day', false)`

// isFree are orders that nobody asks about now, and whose merchants may be asked for. The CASE
// hides all of that from the planner. It would expect the conditions to leave few rows, and sort a
// backlog instead of following its index.
const isFree = `CASE WHEN (o.lease_until IS NULL OR o.lease_until <= now() OR o.lease_until > now() + ` + maxLease + `)
	AND coalesce(o.mid = ANY (@mids), true)
	AND coalesce(o.mid <> ALL (@except), true)
	AND o.mid <> ALL (@paused)
	AND o.mid <> ALL (ARRAY(SELECT key FROM control WHERE scope = 'mid' AND (in_force OR half_open AND NOT @merchant_probes)))
	AND o.id <> ALL (@except_ids)
	AND (@asked_before::timestamptz IS NULL OR o.last_queried_at IS NULL OR o.last_queried_at NOT BETWEEN @asked_before AND now())
	THEN true ELSE false END`

// isSuspect are orders with two claims that count toward poison.
const isSuspect = `o.unrecorded_claims >= 2`

// isOrdinary leaves the suspects to a lane of their own, unless the page is only read.
const isOrdinary = `CASE WHEN @with_suspects OR NOT ` + isSuspect + ` THEN true ELSE false END`

// isDue are the orders that are due.
const isDue = isQueued + `
	  AND o.next_query_at <= now()
	  AND ` + isFree

// isSelected are the orders of a selection.
const isSelected = isOpen + `
	  AND ` + isFree + `
	  AND (o.review_reason IS NULL OR @review)
	  AND (o.review_reason IS NOT NULL OR NOT @only_review)
	  AND ` + isNamed + `
	  AND (@mer_order_ids::text[] IS NULL OR o.mer_order_id = ANY (@mer_order_ids))
	  AND (@mid::text = '' OR o.mid = @mid)
	  AND (@created_since::timestamptz IS NULL OR o.created_at >= @created_since)
	  AND (@created_until::timestamptz IS NULL OR o.created_at < @created_until)`

// isNamed narrows a selection to ids, if it has any. See [Claim.narrowToIDs].
const isNamed = `(@ids::bigint[] IS NULL OR o.id = ANY (@ids))`

// duePage is a page of due orders, the longest due first, and recentPage one from the other end.
const (
	duePage = `
	FROM orders o
	WHERE ` + isDue + ` AND ` + isOrdinary + `
	  AND (@after_id::bigint = 0 OR (o.next_query_at, o.id) > (@after_time, @after_id))
	ORDER BY o.next_query_at, o.id
	LIMIT @limit`
	recentPage = `
	FROM orders o
	WHERE ` + isDue + ` AND ` + isOrdinary + `
	ORDER BY o.next_query_at DESC, o.id DESC
	LIMIT @limit`
)

// selectedPage is a page of a selection, in the order of the ids.
const selectedPage = `
	FROM orders o
	WHERE ` + isSelected + ` AND ` + isOrdinary + `
	  AND o.id > @after_id
	ORDER BY o.id
	LIMIT @limit`

// walkBehind steps from merchant to merchant of the queued orders, behind one, and no further than
// it is read; the last row is null.
func walkBehind(mid string) string {
	return `
walk AS (
    (SELECT o.mid FROM orders o WHERE ` + isQueued + ` AND o.mid > ` + mid + ` ORDER BY o.mid LIMIT 1)
    UNION ALL
    SELECT (SELECT o.mid FROM orders o WHERE ` + isQueued + ` AND o.mid > walk.mid ORDER BY o.mid LIMIT 1)
    FROM walk WHERE walk.mid IS NOT NULL
)`
}

// controls are the pauses of the app and of merchants. They are read without a lock: an open
// transaction on one of them stops nobody.
const controls = `control AS MATERIALIZED (
    SELECT c.scope, c.key, ` + isInForce + ` AS in_force, ` + isHalfOpen + ` AS half_open, ` + isProbed + ` AS probed,
           c.set_by, c.failed_order_id, c.failed_mid
    FROM gateway_controls AS c
    WHERE c.scope = 'mid' OR c.key = @app
)`

// A claim's text is claimPermit, one of the pages below, and claimTake.

// claimPermit is what the app's pauses and budget allow: n orders, of which recent are for the lane
// of recent ones. Only a probe is allowed where the app is half-open: app_lock is that of the one
// instance that asks it. While merchants are half-open, one order less leaves room for a probe.
const claimPermit = `
WITH RECURSIVE ` + controls + `,
app_lock AS MATERIALIZED (
    SELECT c.key FROM gateway_controls AS c
    WHERE @app_probe AND c.scope = 'app' AND c.key = @app AND ` + isHalfOpen + `
    FOR UPDATE SKIP LOCKED
),
half_open AS MATERIALIZED (
    SELECT c.key, c.failed_order_id FROM control AS c
    WHERE c.scope = 'mid' AND c.half_open
      AND coalesce(c.key = ANY (@mids), true) AND coalesce(c.key <> ALL (@except), true) AND c.key <> ALL (@paused)
),
budget AS MATERIALIZED (
    SELECT ` + tokensNow + ` AS tokens, clock_timestamp() AS at, b.refilled_at > clock_timestamp() AS ahead
    FROM gateway_budgets AS b
    WHERE b.app_id = @app AND @rate::float8 > 0
    FOR UPDATE
),
allowed AS MATERIALIZED (
    SELECT CASE
        WHEN EXISTS (SELECT FROM control WHERE scope = 'app' AND in_force) THEN 0
        WHEN EXISTS (SELECT FROM control WHERE scope = 'app' AND half_open) AND NOT EXISTS (SELECT FROM app_lock) THEN 0
        ELSE greatest(0, least(
            @limit::bigint - CASE WHEN @keep_room AND EXISTS (SELECT FROM half_open) THEN 1 ELSE 0 END,
            CASE WHEN EXISTS (SELECT FROM app_lock) THEN 1 END,
            CASE WHEN @rate > 0 THEN coalesce((SELECT floor(tokens)::bigint FROM budget), 0) END))
    END AS n
),
lanes AS MATERIALIZED (
    SELECT n, least(@max_recent::bigint, floor(CASE WHEN @app_probe THEN 0.5 ELSE n / 4.0 END + random())::bigint) AS recent FROM allowed
),`

// pageOfSelection is the page of a selection.
const pageOfSelection = `
page_ordinary AS MATERIALIZED (
    SELECT o.id, o.mid ` + selectedPage + ` FOR UPDATE OF o SKIP LOCKED
),
ordinary AS (
    SELECT id, mid, id AS rank FROM page_ordinary ORDER BY id LIMIT (SELECT n FROM allowed)
)`

// pageOfAll is what is due of all merchants, in two lanes. Most of it are the orders
// longest due. A quarter is left to those that have just become due: a customer may be
// waiting, and no backlog may delay them. Where there is no backlog the lanes meet.
//
// Each lane locks its share and no more, because a lock is a write as well.
// The limits are parameters. Of a limit that comes from a subquery the planner knows
// nothing, and it then sorts the whole backlog (1 s for a million orders). What is
// locked here and not allowed in the end is free again with the statement.
const pageOfAll = `
page_longest_due AS MATERIALIZED (
    SELECT o.id, o.mid, o.next_query_at, 0 AS turn FROM orders o WHERE ` + isDue + ` AND ` + isOrdinary + `
      AND (o.next_query_at, o.id) >= (@from_time::timestamptz, @from_id::bigint)
      AND (SELECT n FROM allowed) > 0
    ORDER BY o.next_query_at, o.id
    LIMIT @max_longest_due FOR UPDATE OF o SKIP LOCKED
),
page_recent AS MATERIALIZED (
    SELECT o.id, o.mid, o.next_query_at FROM orders o WHERE ` + isDue + ` AND ` + isOrdinary + `
      AND (o.next_query_at, o.id) >= (@from_time::timestamptz, @from_id::bigint)
      AND (SELECT n FROM allowed) > 0
    ORDER BY o.next_query_at DESC, o.id DESC
    LIMIT @max_recent FOR UPDATE OF o SKIP LOCKED
),` + lanesMeet

// pageByMerchant is the same where merchants are left out: paused, at their limits, or another
// app's. By their due times alone the orders of the wrong ones would be met at every claim (95 ms
// for 50,000).
//
// So a claim looks at the first queued orders ([headRows]) by their due times. If those are neither
// all that is due nor enough, it looks at the next merchants of a round ([merchantWindow]) as well.
// Each of these gets its share of the page first. The rest goes to the longest due. The cost of a
// claim does not depend on the number of merchants, nor on what the wrong ones have.
//
// The candidates are locked once it is known which are wanted. Twice as many are looked at, so that
// an instance that claims at the same time finds some left.
//
// Merchant and due time are compared as a row, which only orders_due_by_merchant can
// serve in its order: from an equation the planner would conclude that orders_due does.
func pageByMerchant() string {
	return `
head AS MATERIALIZED (
    SELECT o.id, o.next_query_at, ` + isFree + ` AND ` + isOrdinary + ` AS wanted,
           coalesce(o.mid = ANY (@cap_mids::text[]), false) AS capped
    FROM orders o WHERE ` + isQueued + ` AND o.next_query_at <= now()
      AND (o.next_query_at, o.id) >= (@from_time::timestamptz, @from_id::bigint)
      AND (SELECT n FROM allowed) > 0
    ORDER BY o.next_query_at, o.id LIMIT ` + headRows + `
),` + walkBehind("@from_mid") + `,
merchant AS MATERIALIZED (
    SELECT m.mid
    FROM (SELECT mid FROM walk WHERE @mids::text[] IS NULL UNION ALL SELECT unnest(@window_mids::text[])) AS m(mid)
    WHERE ` + isHeadShort + `
      AND m.mid <> ALL (@paused) AND coalesce(m.mid <> ALL (@except), true)
      AND m.mid NOT IN (SELECT key FROM control WHERE scope = 'mid' AND (in_force OR half_open))
    LIMIT @window
),
longest_due AS MATERIALIZED (
    SELECT id, min(turn) AS turn FROM (
        SELECT id, next_query_at, 1 AS turn FROM head WHERE wanted
        UNION ALL
        SELECT p.id, p.next_query_at, CASE WHEN p.nth * (SELECT count(*) FROM merchant) <= @limit::bigint OR p.nth = 1 THEN 0 ELSE 1 END
        FROM merchant AS m CROSS JOIN LATERAL (
            SELECT o.id, o.next_query_at, row_number() OVER (ORDER BY o.next_query_at, o.id) AS nth FROM (
                SELECT o.id, o.next_query_at FROM orders o WHERE ` + isQueued + ` AND ` + isFree + ` AND ` + isOrdinary + `
                  AND (o.mid, o.next_query_at, o.id) >= (m.mid, @from_time::timestamptz, @from_id::bigint)
                  AND (o.mid, o.next_query_at) <= (m.mid, now())
                ORDER BY o.mid, o.next_query_at, o.id LIMIT @per_merchant) AS o) AS p
    ) AS found
    GROUP BY id ORDER BY min(turn), min(next_query_at), id LIMIT 2 * @limit
),
recent AS MATERIALIZED (
    SELECT o.id FROM (
        SELECT o.* FROM orders o WHERE ` + isQueued + ` AND o.next_query_at <= now()
          AND (o.next_query_at, o.id) >= (@from_time::timestamptz, @from_id::bigint)
          AND (SELECT n FROM allowed) > 0
        ORDER BY o.next_query_at DESC, o.id DESC LIMIT ` + tailRows + `) AS o
    WHERE ` + isFree + ` AND ` + isOrdinary + ` LIMIT 2 * @max_recent
),
page_longest_due AS MATERIALIZED (
    SELECT o.id, o.mid, o.next_query_at, l.turn FROM longest_due AS l JOIN orders o ON o.id = l.id WHERE ` + isDue + `
    ORDER BY l.turn, o.next_query_at, o.id
    LIMIT @max_longest_due FOR UPDATE OF o SKIP LOCKED
),
page_recent AS MATERIALIZED (
    SELECT o.id, o.mid, o.next_query_at FROM recent JOIN orders o ON o.id = recent.id WHERE ` + isDue + `
      AND (o.next_query_at, o.id) >= (@from_time::timestamptz, @from_id::bigint)
    ORDER BY o.next_query_at DESC, o.id DESC
    LIMIT @max_recent FOR UPDATE OF o SKIP LOCKED
),` + lanesMeet
}

// What a claim looks at where merchants are left out: queued orders from either end, and merchants.
const (
	headRows       = "600"
	tailRows       = "1000"
	merchantWindow = 64
)

// isHeadShort reports that more is due than the first orders, and that these do not fill the claim.
// Those of merchants that may have one order at a time do not count.
const isHeadShort = `((SELECT count(*) FROM head) = ` + headRows + `
      AND (SELECT count(*) FROM head WHERE wanted AND NOT capped) < @limit::bigint)`

// lanesMeet puts both lanes into one page. The ranks mix the lanes, so that a merchant that may not
// have all of its orders gets some of each.
const lanesMeet = `
ordinary AS (
    SELECT id, mid, min(rank) AS rank
    FROM (
        (SELECT id, mid, 3 * row_number() OVER (ORDER BY next_query_at DESC, id DESC) AS rank
         FROM page_recent ORDER BY rank LIMIT (SELECT recent FROM lanes))
        UNION ALL
        (SELECT id, mid, row_number() OVER (ORDER BY turn, next_query_at, id) AS rank
         FROM page_longest_due ORDER BY rank LIMIT (SELECT n - recent FROM lanes))
    ) AS lane
    GROUP BY id, mid
)`
