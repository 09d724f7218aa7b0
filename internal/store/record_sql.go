package store

import (
	"fmt"
	"strings"

	"reconciler/internal/store/arrays"
)

// insertEvents precedes the rows, as e, of [eventColumns]. The payload says whether the order had
// been settled before; its row o is locked.
func insertEvents(settledBefore string) string {
	return `INSERT INTO order_events (order_id, mid, mer_order_id, event, payload)
    SELECT e.order_id, e.mid, e.mer_order_id, e.event,
           CASE WHEN e.order_id IN (` + settledBefore + `) THEN e.payload || '{"settled_before": true}' ELSE e.payload END
    FROM `
}

// insertQuestions precedes the rows, as q, of [questionColumns].
func insertQuestions() string {
	list := make([]string, len(questionColumns()))
	for i, c := range questionColumns() {
		list[i] = c.Name
	}
	return "INSERT INTO order_queries (" + strings.Join(list, ", ") + ")\n    SELECT q.* FROM "
}

// recordSQL writes the orders whose guard holds, with their ledger rows and events, and notifies
// the listeners. Each CASE hides a condition from the planner. It would expect the condition to
// leave a single row, and then compare each row of a group with each other. It waits for locks as
// long as wait says.
func recordSQL(wait lockWait) string {
	outcomes, questions := len(outcomeColumns()), len(questionColumns())
	return `WITH r AS (
    SELECT * FROM ` + arrays.Unnest("r", outcomeColumns(), 0) + `
),
free AS (
    SELECT o.id, o.settled_at IS NOT NULL AS settled_before
    FROM orders AS o WHERE o.id = ANY ($1::bigint[]) AND ` + wait.condition() + ` FOR UPDATE SKIP LOCKED
),
matching AS (` + updateOrdersSQL() + `),
ledger AS (
    ` + insertQuestions() + arrays.Unnest("q", questionColumns(), outcomes) + `
    WHERE CASE WHEN (q.order_id, q.claim_no) IN (SELECT id, claim_no FROM matching) THEN true ELSE false END
),
events AS (
    ` + insertEvents("SELECT id FROM free WHERE settled_before") + arrays.Unnest("e", eventColumns(), outcomes+questions) + `
    WHERE CASE WHEN (e.order_id, e.claim_no) IN (SELECT id, claim_no FROM matching) THEN true ELSE false END
    RETURNING true
)
SELECT id, claim_no FROM matching
WHERE coalesce((SELECT pg_notify('order_events', '')::text FROM (SELECT FROM events LIMIT 1) AS some_event), '') = ''`
}

// updateOrdersSQL writes orders. The first write takes the lease away, so that the guard of a
// second one fails. Only a settlement clears a review; another outcome sets its own reason or
// leaves the present one.
func updateOrdersSQL() string {
	var set strings.Builder
	for _, c := range bookedColumns() {
		fmt.Fprintf(&set, ",\n    %[1]s = CASE WHEN r.settles THEN r.%[1]s ELSE o.%[1]s END", c.Name)
	}
	return `
UPDATE orders AS o
SET status = r.status,
    next_query_at = r.next_query_at,
    query_count = o.query_count + r.spent,
    last_queried_at = r.queried_at,
    last_error = r.last_error,
    review_reason = CASE WHEN r.resolves THEN r.review_reason ELSE coalesce(r.review_reason, o.review_reason) END,
    review_note = CASE WHEN r.resolves OR r.review_reason IS NOT NULL THEN r.review_note ELSE o.review_note END,
    lease_until = NULL,
    claimed_by = NULL,
    unrecorded_claims = 0,
    settled_at = CASE WHEN r.settles THEN now() ELSE o.settled_at END,
    settled_by = CASE WHEN r.settles THEN '` + settledByQuery + `' ELSE o.settled_by END,
    updated_at = now(),
    mer_order_id = coalesce(o.mer_order_id, r.mer_order_id),
    target_order_id = coalesce(o.target_order_id, r.target_order_id)` + set.String() + `
FROM r
WHERE o.id = r.id
  AND CASE WHEN ` + guardHolds + ` AND o.id IN (SELECT id FROM free) THEN true ELSE false END
RETURNING r.id, r.claim_no`
}
