package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"reconciler/internal/order"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrUnwritable marks an outcome whose values the table refuses. Record no longer returns it.
var ErrUnwritable = errors.New("the answer has a value that cannot be written")

// RecordState tells what became of one outcome of a group.
type RecordState int

// The states.
const (
	Written RecordState = iota
	// Locked: another session holds the row. The outcome can be written later.
	Locked
	// Refused: the database refused the write of this row alone, for example by a trigger that raises.
	// Recorded.Err says why.
	Refused
	// Dropped: a trigger returned NULL. The write vanished although its guard holds.
	Dropped
)

// Recorded is an outcome and what became of it.
type Recorded struct {
	Outcome order.Outcome // as written, if it is
	State   RecordState
	Err     error // why it was refused
}

// Record writes a group of outcomes and returns what became of each, in the same order. A written
// outcome is as decided, or [order.Superseded] where the order had changed since its claim, or the
// review [order.ReviewConflict] where that change contradicts the answer.
//
// A group is usually one statement: one commit for orders, ledger and events. If the database
// refuses the group because of one of its rows, each outcome is written alone. One whose values are
// refused becomes the review [order.ReviewUnwritable]. Nobody waits for rows that others hold
// locked.
//
// An error means trouble that is not one row's, such as missing rights or a lost connection
// ([FailureReason]). Then parts of the group may be written. Writing a group again is safe: an
// outcome whose row is in the ledger already is left out.
func (s *Store) Record(ctx context.Context, group []order.Outcome) ([]Recorded, error) {
	written, err := s.recordTogether(ctx, group)
	switch {
	case err == nil:
		return written, nil
	case !isOfOneRow(err):
		return nil, fmt.Errorf("record answers: %w", err)
	case len(group) == 1:
		alone, err := s.recordRefused(ctx, group[0], err)
		if err != nil {
			return nil, fmt.Errorf("record answers: %w", err)
		}
		return []Recorded{alone}, nil
	}
	written = make([]Recorded, 0, len(group))
	for i := range group {
		alone, err := s.Record(ctx, group[i:i+1])
		if err != nil {
			return nil, err
		}
		written = append(written, alone...)
	}
	return written, nil
}

// recordRefused handles an outcome whose own write was refused.
func (s *Store) recordRefused(ctx context.Context, o order.Outcome, cause error) (Recorded, error) {
	switch {
	case isLockTimeout(cause):
		return Recorded{Outcome: o, State: Locked, Err: cause}, nil
	case isValueError(cause):
		return s.recordUnwritable(ctx, o, cause)
	}
	return Recorded{Outcome: o, State: Refused, Err: cause}, nil
}

// recordTogether writes a group, all or nothing of what matches, and all or nothing of the rest.
func (s *Store) recordTogether(ctx context.Context, group []order.Outcome) ([]Recorded, error) {
	matching, err := s.recordMatching(ctx, group)
	if err != nil {
		return nil, err
	}
	written := make([]Recorded, len(group))
	var stale []*Recorded
	for i := range group {
		written[i].Outcome = group[i]
		written[i].Outcome.Locked = false
		if !matching[claimOf(&group[i])] {
			stale = append(stale, &written[i])
		}
	}
	if len(stale) == 0 {
		return written, nil
	}
	// A process that is stopped in the middle must not keep the rows to itself.
	begin := pgx.TxOptions{BeginQuery: "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '10s'"}
	err = pgx.BeginTxFunc(ctx, s.pool, begin, func(tx pgx.Tx) error { return supersede(ctx, tx, stale) })
	return written, err
}

// claimKey names one claim. An order can stand twice in a group, under an old
// claim and a newer one.
type claimKey struct{ ID, ClaimNo int64 }

func claimOf(o *order.Outcome) claimKey { return claimKey{o.Order.ID, o.Order.ClaimNo} }

// recordMatching writes the outcomes whose guard holds and returns their claims.
func (s *Store) recordMatching(ctx context.Context, group []order.Outcome) (map[claimKey]bool, error) {
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
	matching := make(map[claimKey]bool, len(claims))
	for _, c := range claims {
		matching[c] = true
	}
	return matching, nil
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

// recordMatchingSQL writes orders, and the ledger and the events of those that held, and
// tells whoever listens. Each CASE hides a condition from the planner, which would take
// it to leave a single row, and then compare each of a group with each.
func recordMatchingSQL() string {
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
