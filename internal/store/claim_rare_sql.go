package store

// withoutSuspect and withSuspect come between a page's lanes and claimTake: the lane of suspects.
const withoutSuspect = `,
page AS (SELECT id, mid, rank FROM ordinary)`

// withSuspect adds one suspect, of the first of some rows in an order. Suspects are among the
// longest due: their claims did not change their due times.
func withSuspect(rows, order, condition string) string {
	return `,
page_suspect AS MATERIALIZED (
    SELECT o.id, o.mid FROM orders AS o
    WHERE o.id = (
        SELECT o.id FROM (SELECT o.* FROM orders AS o WHERE ` + rows + ` ORDER BY ` + order + ` LIMIT 2000) AS o
        WHERE ` + isSuspect + ` AND ` + isFree + ` ORDER BY ` + order + ` LIMIT 1)
      AND ` + condition + ` AND ` + isSuspect + `
    FOR UPDATE OF o SKIP LOCKED
),
page AS (
    SELECT id, mid, rank FROM (
        SELECT id, mid, 0 AS rank FROM page_suspect
        UNION ALL
        (SELECT id, mid, rank FROM ordinary)
    ) AS both_lanes ORDER BY rank LIMIT (SELECT n FROM allowed)
)`
}

// pageOfProbes is one order of each merchant that is half-open: another one than that of the
// question that failed last, where there is one. A random choice of the merchants is looked at,
// because some may have nothing due.
func pageOfProbes(rows, order string) string {
	return `
candidate AS MATERIALIZED (
    SELECT c.key AS mid, p.id
    FROM (SELECT key, failed_order_id FROM half_open WHERE (SELECT n FROM allowed) > 0 ORDER BY random() LIMIT @limit) AS c
    CROSS JOIN LATERAL (
        SELECT id FROM (
            (SELECT o.id, 0 AS preference FROM orders AS o
             WHERE ` + rows + ` AND ` + isOrdinary + ` AND o.id IS DISTINCT FROM c.failed_order_id
             ORDER BY ` + order + ` LIMIT 1)
            UNION ALL
            (SELECT o.id, 1 FROM orders AS o
             WHERE ` + rows + ` AND ` + isOrdinary + ` AND o.id = c.failed_order_id LIMIT 1)
        ) AS either ORDER BY preference LIMIT 1) AS p
),
merchant_lock AS MATERIALIZED (
    SELECT c.key FROM gateway_controls AS c
    WHERE c.scope = 'mid' AND c.key IN (SELECT mid FROM candidate) AND ` + isHalfOpen + `
    FOR UPDATE SKIP LOCKED
),
page_probes AS MATERIALIZED (
    SELECT o.id, o.mid FROM candidate JOIN orders AS o ON o.id = candidate.id AND o.mid = candidate.mid
    WHERE o.mid IN (SELECT key FROM merchant_lock) AND ` + isOpen + ` AND ` + isFree + `
    FOR UPDATE OF o SKIP LOCKED
),
page AS (SELECT id, mid, id AS rank FROM page_probes ORDER BY id LIMIT (SELECT n FROM allowed))`
}

// dueOfMerchant and selectedOfMerchant are the rows of a merchant c.key.
const (
	dueOfMerchant = isQueued + ` AND ` + isFree + `
             AND (o.mid, o.next_query_at) >= (c.key, '-infinity') AND (o.mid, o.next_query_at) <= (c.key, now())`
	selectedOfMerchant = isSelected + ` AND o.mid = c.key`
)

// pageOfOne is a single order, to find out which one of a page cannot be claimed.
func pageOfOne(condition string) string {
	return `
merchant_lock AS MATERIALIZED (
    SELECT c.key FROM gateway_controls AS c
    WHERE c.scope = 'mid' AND c.key = (SELECT o.mid FROM orders AS o WHERE o.id = @only_id) AND ` + isHalfOpen + `
    FOR UPDATE SKIP LOCKED
),
page AS MATERIALIZED (
    SELECT o.id, o.mid, o.id AS rank FROM orders AS o
    WHERE o.id = @only_id AND ` + condition + ` AND (SELECT n FROM allowed) > 0
      AND (o.mid NOT IN (SELECT key FROM half_open) OR o.mid IN (SELECT key FROM merchant_lock))
    FOR UPDATE OF o SKIP LOCKED
)`
}

// noWindow stands for head and merchant where a page is not found by merchant.
const noWindow = `,
head AS (SELECT false AS wanted, false AS capped WHERE false),
merchant AS (SELECT NULL::text AS mid WHERE false)`

// noMerchantLock stands for merchant_lock where no merchant is probed.
const noMerchantLock = `,
merchant_lock AS (SELECT NULL::text AS key WHERE false)`

// claimTake leases what is allowed of the page, and pays for it.
//
// The rows are found again by their ids: a ctid is unique in one table only, and orders may have
// partitions and children. The array keeps the planner on the primary key, whatever it expects of
// the page. A settled row is never taken, even if it has the id of a due one in another child
// table.
//
// The page's rows are locked, so only a trigger can keep one of them from being leased.
//
// The result has a row even where nothing is claimed, and says why.
const claimTake = `,
claimable AS (
    SELECT p.id
    FROM (SELECT id, mid, row_number() OVER (PARTITION BY mid ORDER BY rank, id) AS nth FROM page) AS p
    LEFT JOIN unnest(@hand_mids::text[], @hand::int[]) AS h(mid, n) ON h.mid = p.mid
    LEFT JOIN unnest(@cap_mids::text[], @caps::int[]) AS cap(mid, n) ON cap.mid = p.mid
    WHERE (@max_per_merchant = 0 OR p.nth + coalesce(h.n, 0) <= @max_per_merchant)
      AND (cap.n IS NULL OR p.nth + coalesce(h.n, 0) <= cap.n)
),
claimed AS (
    UPDATE orders AS o
    SET lease_until = now() + @lease::interval,
        claimed_by = @worker,
        claim_no = o.claim_no + 1,
        unrecorded_claims = greatest(0, least(o.unrecorded_claims, 2147483646) - ` + outlivedClaims + `) + @counted
    WHERE o.id = ANY (ARRAY(SELECT id FROM claimable)) AND ` + isOpen + ` AND ` + boundLockWait + `
    RETURNING ` + returnedColumns + `
),
probes AS (
    UPDATE gateway_controls AS c
    SET probe_until = now() + least(@lease::interval, interval '1 hour')
    FROM (
        SELECT 'app' AS scope, key FROM app_lock WHERE EXISTS (SELECT FROM claimed)
        UNION ALL
        SELECT 'mid', key FROM merchant_lock WHERE key IN (SELECT mid FROM claimed)
    ) AS probed
    WHERE c.scope = probed.scope AND c.key = probed.key
),
spent AS (
    UPDATE gateway_budgets AS b
    SET tokens = budget.tokens - (SELECT count(*) FROM claimed), refilled_at = budget.at
    FROM budget
    WHERE b.app_id = @app AND (budget.ahead OR EXISTS (SELECT FROM claimed))
),
why AS (
    SELECT EXISTS (SELECT FROM control WHERE scope = 'app' AND in_force) AS app_in_force,
           EXISTS (SELECT FROM control WHERE scope = 'app' AND probed) AS app_probed,
           EXISTS (SELECT FROM control WHERE scope = 'app' AND in_force AND set_by <> 'breaker') AS app_by_hand,
           EXISTS (SELECT FROM control WHERE scope = 'app' AND half_open) AS app_half_open,
           EXISTS (SELECT FROM app_lock) AS app_locked,
           coalesce((SELECT failed_order_id FROM control WHERE scope = 'app'), 0) AS failed_order_id,
           coalesce((SELECT failed_mid FROM control WHERE scope = 'app'), '') AS failed_mid,
           EXISTS (SELECT FROM half_open) AS merchants_half_open,
           (SELECT tokens FROM budget) AS tokens,
           (SELECT count(*) FROM page) > (SELECT count(*) FROM claimable) AS more_due,
           ARRAY(SELECT id FROM claimable EXCEPT SELECT id FROM claimed) AS dropped,
           ` + isHeadShort + ` AS head_short,
           CASE WHEN (SELECT n FROM allowed) = 0 THEN @from_mid::text
                WHEN (SELECT count(*) FROM merchant) = @window THEN (SELECT max(mid) FROM merchant)
                ELSE '' END AS last_mid
)
SELECT why.*, ` + claimedColumns + `,
       why.app_locked AND claimed.id IS NOT NULL AS app_probe,
       coalesce(claimed.mid IN (SELECT key FROM merchant_lock), false) AS merchant_probe,
       clock_timestamp() - statement_timestamp() AS took
FROM why LEFT JOIN claimed ON true`

// outlivedClaims is 1 where the process of the former claim outlived its lease. So that claim does
// not count toward poison: its answer could not be written, for example because a row was locked for
// longer. The process is this worker, or an instance that was seen after the lease. What
// [Store.UncountClaims] has taken off the count is in nobody's name. A probe, which is not counted
// itself, takes nothing off.
const outlivedClaims = `CASE WHEN @counted = 0 OR o.claimed_by IS NULL THEN 0
             WHEN o.claimed_by = @worker THEN 1
             WHEN EXISTS (SELECT FROM instances AS i WHERE i.worker = o.claimed_by AND i.seen_at > o.lease_until) THEN 1
             ELSE 0 END`

// claimedColumns are those of an [order.Order], of no order if there is none.
const claimedColumns = `
       coalesce(claimed.id, 0) AS id, coalesce(claimed.mid, '') AS mid, coalesce(claimed.tid, '') AS tid,
       coalesce(claimed.inst_mid, '') AS inst_mid, coalesce(claimed.mer_order_id, '') AS mer_order_id,
       coalesce(claimed.target_order_id, '') AS target_order_id, coalesce(claimed.order_amount, 0) AS order_amount,
       coalesce(claimed.created_at, now()) AS created_at, coalesce(claimed.expires_at, now()) AS expires_at,
       coalesce(claimed.status, '') AS status, claimed.next_query_at, coalesce(claimed.query_count, 0) AS query_count,
       claimed.last_queried_at, coalesce(claimed.review_reason, '') AS review_reason, claimed.lease_until,
       coalesce(claimed.claim_no, 0) AS claim_no, coalesce(claimed.unrecorded_claims, 0) AS unrecorded_claims,
       coalesce(claimed.claimed_at, now()) AS claimed_at`
