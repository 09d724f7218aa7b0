package store

// HeldPile counts the orders that a pause keeps from being asked. An order that a pause of its
// merchant and one of its app hold counts for the merchant's.
type HeldPile struct {
	Scope  Scope
	Key    string
	Orders int
	Amount int64 // fen, at most 2^53
}

// pausesCTE are the pauses in force and the merchants that each app asks for. The daemon that was
// seen last tells: an app without a list has the merchants of no other's. Where no daemon tells, a
// pause of an app counts for every merchant.
const pausesCTE = `
pause AS MATERIALIZED (
    SELECT c.scope, c.key FROM gateway_controls AS c WHERE ` + inForce + `
),
app AS MATERIALIZED (
    SELECT a.value ->> 'app_id' AS app_id, a.value -> 'mids' AS mids
    FROM (SELECT i.settings -> 'apps' AS apps FROM instances AS i
          WHERE jsonb_typeof(i.settings -> 'apps') = 'array' AND i.settings -> 'apps' <> '[]'
          ORDER BY i.seen_at DESC LIMIT 1) AS latest, jsonb_array_elements(latest.apps) AS a
),
listed AS MATERIALIZED (
    SELECT app.app_id, m.mid FROM app, jsonb_array_elements_text(CASE WHEN jsonb_typeof(app.mids) = 'array' THEN app.mids ELSE '[]' END) AS m(mid)
),
held_mid AS MATERIALIZED (
    SELECT key AS mid FROM pause WHERE scope = 'mid'
    UNION
    SELECT listed.mid FROM listed JOIN pause ON pause.scope = 'app' AND pause.key = listed.app_id
),
held_rest AS MATERIALIZED (
    SELECT p.key FROM pause AS p
    WHERE p.scope = 'app'
      AND (NOT EXISTS (SELECT FROM app)
           OR p.key IN (SELECT app_id FROM app WHERE app_id NOT IN (SELECT app_id FROM listed)))
)`

// isHeld are orders that a pause holds.
const isHeld = `(o.mid IN (SELECT mid FROM held_mid) OR (EXISTS (SELECT FROM held_rest) AND o.mid NOT IN (SELECT mid FROM listed)))`

// heldSQL counts the unresolved orders without a review that each pause holds.
const heldSQL = `
WITH ` + pausesCTE + `,
merchant AS MATERIALIZED (
    SELECT o.mid, count(*) AS orders, sum(o.order_amount) AS amount FROM orders AS o
    WHERE EXISTS (SELECT FROM pause) AND ` + isQueued + ` AND o.status <> 'NOT_FOUND' AND ` + isHeld + `
    GROUP BY o.mid
),
holder AS (
    SELECT CASE WHEN own.key IS NULL THEN 'app' ELSE 'mid' END AS scope,
           coalesce(own.key, (SELECT min(app_id) FROM listed WHERE listed.mid = m.mid), (SELECT min(key) FROM held_rest)) AS key,
           m.orders, m.amount
    FROM merchant AS m LEFT JOIN pause AS own ON own.scope = 'mid' AND own.key = m.mid
)
SELECT p.scope, p.key, coalesce(sum(h.orders), 0)::bigint AS orders, least(coalesce(sum(h.amount), 0), ` + maxSum + `)::bigint AS amount
FROM pause AS p LEFT JOIN holder AS h ON h.scope = p.scope AND h.key = p.key
GROUP BY p.scope, p.key
ORDER BY p.scope, p.key`
