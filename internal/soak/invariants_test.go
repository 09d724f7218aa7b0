package soak_test

import (
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// invariant is a query that finds what must not be: orders, by id, with some words.
// In it, :ours are the changes that the reconciler made, h; :settled, :open and
// :bookkeeping stand for lists of statuses and of columns.
type invariant struct {
	name, sql string
}

// invariants hold of every history, whatever was done to the orders.
func invariants() []invariant {
	return []invariant{
		{"a settled order is never changed", `
			SELECT id, concat_ws(' ', 'from', (o).status, 'to', (n).status) FROM :ours
			WHERE (o).status IN :settled
			  AND to_jsonb(o) - :bookkeeping - '{review_reason,review_note,updated_at}'::text[]
			      <> to_jsonb(n) - :bookkeeping - '{review_reason,review_note,updated_at}'::text[]`},
		{"what the application wrote of the payment stays", `
			SELECT id, 'changed' FROM :ours
			WHERE ((o).id, (o).mid, (o).tid, (o).inst_mid, (o).order_amount, (o).created_at, (o).expires_at)
			      <> ((n).id, (n).mid, (n).tid, (n).inst_mid, (n).order_amount, (n).created_at, (n).expires_at)
			   OR (o).mer_order_id <> (n).mer_order_id OR (o).target_order_id <> (n).target_order_id`},
		{"the reconciler neither inserts nor deletes orders", `
			SELECT id, 'inserted or deleted' FROM :ours WHERE (o).id IS NULL OR (n).id IS NULL`},
		{"a settlement is proved by its own ledger row: right order, right words, right amount", `
			SELECT id, (n).status FROM :ours
			WHERE (n).status IN :settled AND (o).status <> (n).status AND NOT EXISTS (
				SELECT 1 FROM order_queries q
				WHERE q.order_id = h.id AND q.soak_xid = h.xid AND q.claim_no = (n).claim_no AND q.decision = 'settled'
				  AND q.http_status = 200 AND q.err_code = 'SUCCESS' AND q.trade_status = (n).status
				  AND (jsonb_typeof(q.response) = 'string' OR q.response->>'errCode' = 'SUCCESS' AND q.response->>'status' = (n).status AND q.response->>'mid' = (n).mid
				  AND coalesce(q.response->>'merOrderId' = (o).mer_order_id, true) AND coalesce(q.response->>'targetOrderId' = (o).target_order_id, true)
				  AND (coalesce(q.response->>'merOrderId' = (o).mer_order_id, false) OR coalesce(q.response->>'targetOrderId' = (o).target_order_id, false))
				  AND ((n).status = 'TRADE_CLOSED' OR (q.response->>'totalAmount')::numeric = (n).order_amount)))`},
		{"an amount is booked only with the right total", `
			SELECT id, concat_ws(' ', (n).status, (n).total_amount, 'of', (n).order_amount) FROM :ours
			WHERE ((n).status IN ('TRADE_SUCCESS', 'TRADE_REFUND') AND (o).status <> (n).status AND (n).total_amount IS DISTINCT FROM (n).order_amount)
			   OR ((n).total_amount <> (n).order_amount AND (o).total_amount IS DISTINCT FROM (n).total_amount)
			   OR ((n).status NOT IN :settled AND coalesce((n).total_amount, (n).buyer_pay_amount, (n).receipt_amount, (n).refund_amount) IS NOT NULL
			       AND (o).status = (n).status AND (o).total_amount IS DISTINCT FROM (n).total_amount)`},
		{"a settled order is not asked again", `
			SELECT id, 'due ' || (n).next_query_at FROM :ours
			WHERE (n).status IN :settled AND (o).status <> (n).status AND ((n).next_query_at IS NOT NULL OR (n).review_reason IS NOT NULL)`},
		{"one event for each transition, in its transaction, and none without", `
			WITH transition AS (
				SELECT id, xid, CASE (n).status WHEN 'TRADE_SUCCESS' THEN 'order.paid' WHEN 'TRADE_REFUND' THEN 'order.refunded'
					WHEN 'TRADE_CLOSED' THEN 'order.closed' ELSE 'order.not_found' END AS event
				FROM :ours WHERE (n).status <> (o).status AND ((n).status IN :settled OR (n).status = 'NOT_FOUND')
				UNION ALL
				SELECT id, xid, 'order.review' FROM :ours WHERE (n).review_reason IS NOT NULL AND (n).review_reason IS DISTINCT FROM (o).review_reason
			), told AS (
				SELECT id, xid, event, count(*) AS n FROM transition GROUP BY 1, 2, 3
			), heard AS (
				SELECT order_id AS id, soak_xid AS xid, event, count(*) AS n FROM order_events GROUP BY 1, 2, 3
			)
			SELECT id, concat_ws(' ', event, 'tx', xid, 'transitions', coalesce(told.n, 0), 'events', coalesce(heard.n, 0))
			FROM told FULL JOIN heard USING (id, xid, event) WHERE told.n IS DISTINCT FROM heard.n`},
		{"no claim has two ledger rows", `
			SELECT order_id, 'claim ' || claim_no FROM order_queries
			WHERE order_id NOT IN (SELECT id FROM :rewound) GROUP BY order_id, claim_no HAVING count(*) > 1`},
		{"a change has its ledger row, in its transaction", `
			SELECT id, concat_ws(' ', 'tx', xid, 'to', (n).status) FROM :ours
			WHERE to_jsonb(o) - :bookkeeping <> to_jsonb(n) - :bookkeeping AND NOT EXISTS (
				SELECT 1 FROM order_queries q WHERE q.order_id = h.id AND q.soak_xid = h.xid
				  AND (q.claim_no = (n).claim_no OR (o).status IN :settled))`},
		{"a ledger row that decided has its change", `
			SELECT q.order_id, concat_ws(' ', 'claim', q.claim_no, q.decision, q.reason) FROM order_queries q
			WHERE q.decision <> 'superseded' AND q.reason <> 'conflict' AND NOT EXISTS (
				SELECT 1 FROM :ours WHERE h.id = q.order_id AND h.xid = q.soak_xid AND (n).claim_no = q.claim_no
				  AND (o).lease_until IS NOT NULL AND (n).lease_until IS NULL
				  AND (n).query_count - (o).query_count = CASE q.decision WHEN 'deferred' THEN 1 ELSE 0 END)`},
		{"a claim was made for each question", `
			SELECT q.order_id, 'claim ' || q.claim_no FROM order_queries q
			WHERE NOT EXISTS (SELECT 1 FROM :ours WHERE h.id = q.order_id AND (n).claim_no = q.claim_no AND (o).claim_no = q.claim_no - 1 AND (n).claimed_by = q.worker)
			  AND q.reason NOT LIKE '%poison'`},
		{"no unresolved order without a time or a review", `
			SELECT id, (n).status FROM soak_history h
			WHERE (n).status IN :open AND (n).next_query_at IS NULL AND (n).review_reason IS NULL`},
		{"no order under review has a time", `
			SELECT id, (n).review_reason FROM :ours
			WHERE (n).status IN :open AND (n).next_query_at IS NOT NULL AND (n).review_reason IS NOT NULL
			  AND ((o).review_reason IS NULL OR (n).next_query_at IS DISTINCT FROM (o).next_query_at)`}, // an ORM may have left both
		{"the claim number never falls", `
			SELECT id, concat_ws(' ', (o).claim_no, 'to', (n).claim_no) FROM :ours WHERE (n).claim_no < (o).claim_no`},
		{"a claim takes what is free, one number up, for a while and in a name", `
			SELECT id, concat_ws(' ', 'claim', (n).claim_no, 'by', (n).claimed_by, 'lease was', (o).lease_until - tx_at, 'is', (n).lease_until - tx_at) FROM soak_history h
			WHERE (n).claim_no <> (o).claim_no AND who <> 'orm'
			  AND (who <> 'reconciler' OR (n).claim_no <> (o).claim_no + 1 OR ((o).lease_until > tx_at AND (o).lease_until < tx_at + interval '1 hour') OR (n).claimed_by IS NULL
			       OR coalesce((n).lease_until <= tx_at, true) OR (n).lease_until > tx_at + interval '10 seconds'
			       OR (o).status NOT IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY', 'NOT_FOUND')
			       OR to_jsonb(o) - :bookkeeping <> to_jsonb(n) - :bookkeeping)`},
		{"a daemon claims what is due, and not under review", `
			SELECT id, concat_ws(' ', (n).claimed_by, (n).review_reason, (o).next_query_at - tx_at) FROM :ours
			WHERE (n).claim_no <> (o).claim_no AND (n).claimed_by LIKE 'daemon%'
			  AND ((o).review_reason IS NOT NULL OR coalesce((o).next_query_at > tx_at, true))`},
		{"nothing is claimed against a person's pause", `
			SELECT id, (n).claimed_by FROM :ours WHERE paused`},
		{"a lease begins with a claim only", `
			SELECT id, concat_ws(' ', (o).lease_until, 'to', (n).lease_until) FROM :ours
			WHERE (n).lease_until IS NOT NULL AND (n).claim_no = (o).claim_no AND (n).lease_until IS DISTINCT FROM (o).lease_until`},
		{"a lease is ended by its owner's answer or by its owner", `
			SELECT id, concat_ws(' ', 'claim', (n).claim_no, (o).claimed_by) FROM :ours
			WHERE (o).lease_until IS NOT NULL AND (n).lease_until IS NULL
			  AND EXISTS (SELECT 1 FROM order_queries q WHERE q.order_id = h.id AND q.soak_xid = h.xid)
			  AND NOT EXISTS (SELECT 1 FROM order_queries q WHERE q.order_id = h.id AND q.soak_xid = h.xid AND q.claim_no = (o).claim_no)`},
		{"NOT_FOUND only of an old and expired order, at the third NO_ORDER, of a merchant that others were found of", `
			SELECT id, concat_ws(' ', 'age', at - (n).created_at) FROM :ours
			WHERE (n).status = 'NOT_FOUND' AND (o).status <> 'NOT_FOUND'
			  AND ((n).created_at > at - interval '2 hours' OR (n).expires_at > at OR (n).next_query_at IS NULL OR (n).review_reason IS NOT NULL
			       OR (SELECT count(*) FROM order_queries q WHERE q.order_id = h.id AND q.err_code = 'NO_ORDER' AND q.soak_xid <= h.xid) < 3
			       OR NOT EXISTS (SELECT 1 FROM order_queries q JOIN soak_history m ON m.id = q.order_id AND (m.n).mid = (h.n).mid
			                      WHERE q.trade_status IS NOT NULL AND q.soak_xid < h.xid))`},
		{"a review for age is for age, and after no settlement", `
			SELECT id, concat_ws(' ', (n).review_reason, 'age', at - (n).created_at) FROM :ours
			WHERE (n).review_reason IN ('query_window_over', 'not_found_unconfirmed') AND (n).review_reason IS DISTINCT FROM (o).review_reason
			  AND ((n).created_at > at - interval '168 hours' OR EXISTS (
				SELECT 1 FROM order_queries q WHERE q.order_id = h.id AND q.soak_xid = h.xid
				  AND ((n).review_reason = 'not_found_unconfirmed' AND q.err_code IS DISTINCT FROM 'NO_ORDER')))`},
		{"poison only after three claims of which none was recorded while it stood", `
			SELECT id, 'claim ' || (n).claim_no FROM :ours
			WHERE (n).review_reason = 'poison' AND (o).review_reason IS DISTINCT FROM 'poison' AND id NOT IN (SELECT id FROM :rewound) AND EXISTS (
				SELECT 1 FROM order_queries q WHERE q.order_id = h.id AND q.claim_no BETWEEN (n).claim_no - 3 AND (n).claim_no - 1
				  AND EXISTS (SELECT 1 FROM soak_history r WHERE r.id = h.id AND r.xid = q.soak_xid AND (r.n).claim_no = q.claim_no)
				  AND q.soak_xid < (SELECT c.xid FROM soak_history c WHERE c.id = h.id AND (c.n).claim_no = (h.n).claim_no AND (c.o).claim_no < (h.n).claim_no))`},
		{"a conflict is between paid and not paid", `
			SELECT id, (n).status FROM :ours
			WHERE (n).review_reason = 'conflict' AND (o).review_reason IS DISTINCT FROM 'conflict' AND NOT EXISTS (
				SELECT 1 FROM order_queries q WHERE q.order_id = h.id AND q.soak_xid = h.xid AND q.reason = 'conflict'
				  AND q.trade_status IN :settled AND (q.trade_status = 'TRADE_CLOSED') <> ((o).status = 'TRADE_CLOSED'))`},
		{"a decision was made from what the row still says", `
			SELECT h.id, concat_ws(' ', 'claim', q.claim_no, q.decision, q.reason) FROM :ours
			JOIN order_queries q ON q.order_id = h.id AND q.soak_xid = h.xid AND q.claim_no = (h.n).claim_no AND q.decision <> 'superseded' AND q.reason <> 'conflict'
			CROSS JOIN LATERAL (
				SELECT c.n AS read FROM soak_history c
				WHERE c.id = h.id AND c.seq < h.seq AND c.who = 'reconciler' AND (c.n).claim_no = q.claim_no AND (c.o).claim_no < q.claim_no
				ORDER BY c.seq DESC LIMIT 1) AS claim
			WHERE ((o).mid, (o).mer_order_id, (o).target_order_id, (o).order_amount, (o).status, coalesce((o).review_reason, ''))
			      IS DISTINCT FROM ((read).mid, (read).mer_order_id, (read).target_order_id, (read).order_amount, (read).status, coalesce((read).review_reason, ''))`},
		{"an order that was settled once stays known as such", `
			SELECT id, concat_ws(' ', (o).settled_at, (o).settled_by, 'to', (n).settled_at, (n).settled_by) FROM :ours
			WHERE (o).settled_at IS NOT NULL AND ((n).settled_at IS NULL OR (n).settled_by IS NULL)
			   OR (o).settled_at IS DISTINCT FROM (n).settled_at AND NOT ((n).status IN :settled AND (o).status NOT IN :settled)
			   OR (n).status IN :settled AND (o).status NOT IN :settled AND ((n).settled_by IS DISTINCT FROM 'query' OR (n).settled_at IS DISTINCT FROM tx_at)`},
		{"the event of a second settlement says so, and no other does", `
			SELECT h.id, e.payload::text FROM :ours JOIN order_events e ON e.order_id = h.id AND e.soak_xid = h.xid
			WHERE coalesce((e.payload->>'settled_before')::boolean, false) <> ((o).settled_at IS NOT NULL)`},
		{"a dry run writes nothing", `
			SELECT id, (n).claimed_by FROM :ours WHERE (n).claimed_by LIKE 'dry%'
			UNION ALL SELECT order_id, worker FROM order_queries WHERE worker LIKE 'dry%'`},
	}
}

// checkHistory looks for what must not be.
func (w *world) checkHistory() {
	w.t.Helper()
	words := strings.NewReplacer(
		":ours", "(SELECT * FROM soak_history WHERE who = 'reconciler') AS h",
		":rewound", "(SELECT id FROM soak_history WHERE who = 'orm' AND (n).claim_no < (o).claim_no) AS r",
		":settled", "('TRADE_SUCCESS', 'TRADE_REFUND', 'TRADE_CLOSED')",
		":open", "('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY')",
		":bookkeeping", "'{lease_until,claimed_by,claim_no,unrecorded_claims,last_queried_at}'::text[]",
	)
	type finding struct {
		ID    int64
		Words *string
	}
	exec(w.t, w.db.clock, `ANALYZE soak_history, order_queries, order_events`)
	for _, i := range invariants() {
		found := rows(w.t, w.db.clock, pgx.RowToStructByPos[finding], words.Replace(i.sql))
		for n, f := range found {
			if n == 3 {
				break
			}
			said := ""
			if f.Words != nil {
				said = *f.Words
			}
			w.report(w.numberByID(f.ID), "%s: %s;", i.name, said)
		}
	}
}

// numberByID is the number of an order that may be gone.
func (w *world) numberByID(id int64) string {
	return one[string](w.t, w.db.clock, `SELECT number FROM soak_history WHERE id = $1 LIMIT 1`, id)
}

// checkQuestions looks at the round trips themselves.
func (w *world) checkQuestions() {
	w.t.Helper()
	w.checkOverlaps()
	w.checkLedgerComplete()
}

// checkOverlaps finds two questions about one order at the same time. That may be only where the
// clock has ended their lease before its time, as a poller that stands still would find it. Or an
// ORM has saved a row without it. The fencing is there for both.
func (w *world) checkOverlaps() {
	w.t.Helper()
	byNumber := map[string][]*trip{}
	for _, t := range w.trips {
		if !strings.HasPrefix(t.life.name, "dry") {
			byNumber[t.number] = append(byNumber[t.number], t)
		}
	}
	for number, trips := range byNumber {
		slices.SortFunc(trips, func(a, b *trip) int { return a.began.Compare(b.began) })
		for i, later := range trips {
			for _, earlier := range trips[:i] {
				if !earlier.end.After(later.began) {
					continue
				}
				excused := one[bool](w.t, w.db.clock, `
					SELECT EXISTS (
						SELECT 1 FROM soak_history h
						WHERE number = $1 AND at <= $2
						  AND (who = 'clock' AND ((o).lease_until > (n).lease_until AND (n).lease_until <= $2 OR (n).lease_until > (o).lease_until)
						       OR who = 'orm' AND (o).lease_until > at AND ((n).lease_until IS NULL OR (n).lease_until <= $2))
						  AND at >= (SELECT min(c.at) FROM soak_history c WHERE c.id = h.id AND c.at BETWEEN $2 - interval '4 seconds' AND $2
						               AND (c.n).claim_no > (c.o).claim_no AND (c.n).claimed_by IN ($3, $4)))`,
					number, later.began, earlier.life.name, later.life.name)
				if !excused {
					w.report(number, "two questions at once: %s at %s and %s at %s;", earlier.life.name, earlier.began.Format("05.000000"),
						later.life.name, later.began.Format("05.000000"))
				}
			}
		}
	}
}

// checkLedgerComplete compares the round trips that were made with those that are
// in the ledger: none there that was not made; and none missing without a crash.
func (w *world) checkLedgerComplete() {
	w.t.Helper()
	type count struct {
		Worker, Number string
		Trips          int
	}
	type place struct{ worker, number string }
	recorded, made := map[place]int{}, map[place]int{}
	for _, c := range rows(w.t, w.db.clock, pgx.RowToStructByPos[count], `
		SELECT q.worker, h.number, sum(q.round_trips)
		FROM order_queries q JOIN (SELECT DISTINCT id, number FROM soak_history) AS h ON h.id = q.order_id
		WHERE q.worker IS NOT NULL
		GROUP BY 1, 2`) {
		recorded[place{c.Worker, c.Number}] = c.Trips
	}
	excused := map[string]bool{}
	for _, l := range w.lives {
		excused[l.name] = l.crashed() || l.lost.Load() > 0 || strings.HasPrefix(l.name, "dry")
	}
	for _, t := range w.trips {
		made[place{t.life.name, t.number}]++
	}
	for p, n := range recorded {
		if n > made[p] && !excused[p.worker] {
			w.report(p.number, "%s recorded %d round trips but made %d;", p.worker, n, made[p])
		}
	}
	for p, n := range made {
		if n > recorded[p] && !excused[p.worker] {
			w.report(p.number, "%s made %d round trips but recorded %d;", p.worker, n, recorded[p])
		}
	}
}
