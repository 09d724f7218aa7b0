package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"reconciler/internal/order"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrUnwritable marks an outcome whose values the table refuses.
var ErrUnwritable = errors.New("the answer has a value that cannot be written")

// Record writes a group of outcomes and returns what became of each, in the same
// order: as decided, [Superseded] where the order had changed since its claim, or
// [Review] where that change contradicts the answer.
//
// Those that hold, as a rule all, are one statement: one round trip and one commit
// for orders, ledger and events together. Those that do not are another transaction.
// With an error nothing is written of the former, or of the latter. Outcomes whose
// rows somebody else holds locked come back as Locked, to be written later, and
// nobody waits for them. Writing a group again is safe: an outcome whose row is in
// the ledger already is left out.
func (s *Store) Record(ctx context.Context, group []order.Outcome) ([]order.Outcome, error) {
	written := slices.Clone(group)
	for i := range written {
		written[i].Locked = false
	}
	held, err := s.recordHeld(ctx, written)
	if err != nil {
		return nil, wrapRecord(err)
	}
	var late []*order.Outcome
	for i := range written {
		if !held[claimOf(&written[i])] {
			late = append(late, &written[i])
		}
	}
	if len(late) == 0 {
		return written, nil
	}
	// A process that is stopped in the middle must not keep the rows to itself.
	begin := pgx.TxOptions{BeginQuery: "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '10s'"}
	err = pgx.BeginTxFunc(ctx, s.pool, begin, func(tx pgx.Tx) error { return supersede(ctx, tx, late) })
	if err != nil {
		return nil, wrapRecord(err)
	}
	return written, nil
}

func wrapRecord(err error) error {
	if isUnwritable(err) {
		return fmt.Errorf("record answers: %w: %w", ErrUnwritable, err)
	}
	return fmt.Errorf("record answers: %w", err)
}

// claimKey names one claim. An order can stand twice in a group, under an old
// claim and a newer one.
type claimKey struct{ ID, ClaimNo int64 }

func claimOf(o *order.Outcome) claimKey { return claimKey{o.Order.ID, o.Order.ClaimNo} }

// recordHeld writes what holds and returns the claims that did.
func (s *Store) recordHeld(ctx context.Context, group []order.Outcome) (map[claimKey]bool, error) {
	p := s.params.Get().(*params)
	defer s.params.Put(p)
	p.reset()
	p.add(outcomeColumns(), group)
	p.add(questionColumns(), group)
	p.add(eventColumns(), withEvents(group))
	var claims []claimKey
	err := s.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) (err error) {
		claims, err = p.run(ctx, c.Conn(), s.recordSQL)
		return err
	})
	if err != nil {
		return nil, err
	}
	held := make(map[claimKey]bool, len(claims))
	for _, c := range claims {
		held[c] = true
	}
	return held, nil
}

// withEvents are those of a group that have an event: in a backlog of paid orders, all.
func withEvents(group []order.Outcome) []order.Outcome {
	silent := func(o order.Outcome) bool { return o.Event == "" }
	if !slices.ContainsFunc(group, silent) {
		return group
	}
	return slices.DeleteFunc(slices.Clone(group), silent)
}

// insertEvents precedes the rows, as e, of [eventColumns].
const insertEvents = `INSERT INTO order_events (order_id, mid, mer_order_id, event, payload)
    SELECT e.order_id, e.mid, e.mer_order_id, e.event, e.payload FROM `

// insertQuestions precedes the rows, as q, of [questionColumns].
func insertQuestions() string {
	list := make([]string, len(questionColumns()))
	for i, c := range questionColumns() {
		list[i] = c.name
	}
	return "INSERT INTO order_queries (" + strings.Join(list, ", ") + ")\n    SELECT q.* FROM "
}

// recordHeldSQL writes orders, and the ledger and the events of those that held, and
// tells whoever listens. Each CASE hides a condition from the planner, which would take
// it to leave a single row, and then compare each of a group with each.
func recordHeldSQL() string {
	outcomes, questions := len(outcomeColumns()), len(questionColumns())
	return `WITH r AS (
    SELECT * FROM ` + unnest("r", outcomeColumns(), 0) + `
),
free AS (
    SELECT o.id FROM orders AS o WHERE o.id = ANY ($1::bigint[]) FOR UPDATE SKIP LOCKED
),
held AS (` + updateOrdersSQL() + `),
ledger AS (
    ` + insertQuestions() + unnest("q", questionColumns(), outcomes) + `
    WHERE CASE WHEN (q.order_id, q.claim_no) IN (SELECT id, claim_no FROM held) THEN true ELSE false END
),
told AS (
    ` + insertEvents + unnest("e", eventColumns(), outcomes+questions) + `
    WHERE CASE WHEN (e.order_id, e.claim_no) IN (SELECT id, claim_no FROM held) THEN true ELSE false END
    RETURNING true
)
SELECT id, claim_no FROM held
WHERE coalesce((SELECT pg_notify('order_events', '')::text FROM (SELECT FROM told LIMIT 1) AS some_told), '') = ''`
}

// updateOrdersSQL is guarded by the claim, and by the status and the review that
// were read; the lease is taken away by the first write, so that writing again
// holds for none. Only a
// settlement clears a review; another outcome sets its own reason or leaves what
// stands there.
func updateOrdersSQL() string {
	var set strings.Builder
	for _, c := range settlementColumns() {
		fmt.Fprintf(&set, ",\n    %[1]s = CASE WHEN r.settles THEN r.%[1]s ELSE o.%[1]s END", c.name)
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
    updated_at = now(),
    mer_order_id = coalesce(o.mer_order_id, r.mer_order_id),
    target_order_id = coalesce(o.target_order_id, r.target_order_id)` + set.String() + `
FROM r
WHERE o.id = r.id
  AND CASE WHEN o.claim_no = r.claim_no AND o.status = r.status_read AND o.lease_until IS NOT NULL
                AND o.review_reason IS NOT DISTINCT FROM r.review_read
                AND o.id IN (SELECT id FROM free)
      THEN true ELSE false END
RETURNING r.id, r.claim_no`
}

// RecordUnwritable writes an outcome whose values were refused: nothing of the
// answer but its evidence, and a review. Why it was refused goes into the note.
func (s *Store) RecordUnwritable(ctx context.Context, o order.Outcome, cause error) (order.Outcome, error) {
	o = unwritable(o, cause)
	written, err := s.Record(ctx, []order.Outcome{o})
	if errors.Is(err, ErrUnwritable) {
		written, err = s.Record(ctx, []order.Outcome{asText(o)})
	}
	if err != nil {
		return o, err
	}
	return written[0], nil
}

func unwritable(o order.Outcome, cause error) order.Outcome {
	o.Booking = order.Booking{}
	o.Decision, o.Reason, o.ReviewReason = order.Review, order.ReviewUnwritable, order.ReviewUnwritable
	o.Status, o.NextQueryAt, o.LastError = o.Order.Status, nil, ""
	o.ReviewNote = fmt.Sprintf("The gateway answered %s, but the answer cannot be written: %s. "+
		"Nothing was booked. The answer is in the ledger (order_queries); settle the order by hand.",
		orNone(o.Question.TradeStatus), plain(cause))
	o.Event = ""
	if o.Order.ReviewReason != order.ReviewUnwritable {
		o.Event = order.EventReview
	}
	return o
}

// asText keeps the answer as a JSON string, in case that the document itself is
// what was refused.
func asText(o order.Outcome) order.Outcome {
	if text, err := json.Marshal(string(o.Question.Response)); err == nil && o.Question.Response != nil {
		o.Question.Response = text
	}
	return o
}

func orNone(s string) string {
	if s == "" {
		return "without a status"
	}
	return s
}
