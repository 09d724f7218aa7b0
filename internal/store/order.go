package store

// createdAt, expiresAt and updatedAt are the times of order o within the range that JSON can hold,
// with room for a plan: Postgres knows infinity and years beyond it.
const (
	createdAt = `least(greatest(o.created_at, '0001-01-01Z'), '9990-01-01Z')`
	expiresAt = `least(greatest(o.expires_at, '0001-01-01Z'), '9990-01-01Z')`
	updatedAt = `least(greatest(o.updated_at, '0001-01-01Z'), '9990-01-01Z')`
)

// inRange follows a time that is null where it is beyond that range.
const inRange = ` BETWEEN '0001-01-01Z' AND '9990-01-01Z'`

// orderColumns is the select list of an [order.Order] that is no probe; o is the orders table.
const orderColumns = returnedColumns + `, false AS app_probe, false AS merchant_probe`

// returnedColumns are what a claim returns of an order. Postgres also knows infinity: times are
// kept within the range of a Go time, so that one such row does not make its whole page unreadable.
// A lease that has ended is left out.
const returnedColumns = `
	o.id, o.mid, o.tid, o.inst_mid,
	coalesce(o.mer_order_id, '') AS mer_order_id,
	coalesce(o.target_order_id, '') AS target_order_id,
	o.order_amount,
	` + createdAt + ` AS created_at,
	` + expiresAt + ` AS expires_at,
	o.status,
	CASE WHEN o.next_query_at` + inRange + ` THEN o.next_query_at END AS next_query_at,
	o.query_count, CASE WHEN o.last_queried_at` + inRange + ` THEN o.last_queried_at END AS last_queried_at,
	coalesce(o.review_reason, '') AS review_reason,
	CASE WHEN ` + isInFlight + ` THEN o.lease_until END AS lease_until, o.claim_no, o.unrecorded_claims, now() AS claimed_at`
