package store

import (
	"context"
	"errors"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store/arrays"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// current is the row of a stale outcome as it is now.
type current struct {
	ID           int64
	ClaimNo      int64 // of the outcome
	Status       order.Status
	ReviewReason string
	NextQueryAt  *time.Time
	Recorded     bool // the ledger has this very question already
	Matches      bool // the guard holds after all
}

// handleStale handles the outcomes that the first statement did not write. It writes those whose
// rows were only locked, and leaves out those that had been written before. Of those that came too
// late it keeps the evidence.
func (w *answerWriter) handleStale(ctx context.Context, tx pgx.Tx, stale []*Recorded) error {
	rows, err := readCurrent(ctx, tx, stale)
	if err != nil {
		return err
	}
	var late, matching []*Recorded
	for _, r := range stale {
		row, found := rows[claimOf(&r.Outcome)]
		switch {
		case found && row.Recorded:
		case found && row.Matches:
			matching = append(matching, r)
		case found:
			late = append(late, r)
		default:
			gone, err := r.whyUnseen(ctx, tx)
			if err != nil {
				return err
			}
			if gone {
				late = append(late, r)
			}
		}
	}
	if err := w.recordLocked(ctx, tx, matching); err != nil {
		return err
	}
	return w.writeSuperseded(ctx, tx, late, rows)
}

func outcomesOf(list []*Recorded) []order.Outcome {
	outcomes := make([]order.Outcome, len(list))
	for i, r := range list {
		outcomes[i] = r.Outcome
	}
	return outcomes
}

// recordLocked writes outcomes whose rows the transaction has locked and whose guard holds. Only a
// trigger can prevent that.
func (w *answerWriter) recordLocked(ctx context.Context, tx pgx.Tx, group []*Recorded) error {
	if len(group) == 0 {
		return nil
	}
	outcomes := outcomesOf(group)
	written, err := w.runRecord(ctx, tx.Conn(), w.statements()[usualWait], outcomes, outcomes)
	if err != nil {
		return err
	}
	for _, r := range group {
		if !written[claimOf(&r.Outcome)] {
			r.State, r.Err = Dropped, errDropped
		}
	}
	return nil
}

// writeSuperseded writes what is left of late outcomes. A trigger of the shop's may keep settled
// orders as they are. The evidence is written all the same; a conflict that the order cannot show
// is no event.
func (w *answerWriter) writeSuperseded(ctx context.Context, tx pgx.Tx, late []*Recorded, rows map[claimKey]current) error {
	reasons := make(map[int64]string) // reviews that this group has set, by order
	for _, r := range late {
		o := &r.Outcome
		row, found := rows[claimOf(o)]
		if reason, set := reasons[row.ID]; set {
			row.ReviewReason = reason // two claims of one order are one conflict
		}
		w.supersededBy(o, row, found)
		if !found {
			continue
		}
		err := updateSuperseded(ctx, tx, *o)
		switch {
		case isLockTimeout(err) || err != nil && !isOfOneRow(err) && !errors.Is(err, errDropped):
			return err
		case o.ReviewReason == "":
		case err != nil:
			r.State, r.Err, o.Event = Unshown, err, ""
		default:
			reasons[row.ID] = o.ReviewReason
		}
	}
	return insertEvidence(ctx, tx, outcomesOf(late))
}

// readCurrent locks the rows that nobody else holds.
func readCurrent(ctx context.Context, tx pgx.Tx, stale []*Recorded) (map[claimKey]current, error) {
	var p arrays.Params
	// A claim number alone does not name a question: an ORM that saves a stale copy of the row
	// lowers it.
	columns := append(guardColumns(), newColumn("asked_at", arrays.Timestamptz(), func(o *order.Outcome) time.Time { return o.Question.At }))
	arrays.Add(&p, columns, outcomesOf(stale))
	list, err := arrays.QueryOnce[current](ctx, tx.Conn(), &p, `
		SELECT o.id, r.claim_no, o.status, coalesce(o.review_reason, ''),
		       CASE WHEN o.next_query_at`+inRange+` THEN o.next_query_at END,
		       EXISTS (SELECT 1 FROM order_queries q
		               WHERE q.order_id = o.id AND q.claim_no = r.claim_no AND r.claim_no > 0 AND q.queried_at = r.asked_at),
		       `+guardHolds+`
		FROM orders AS o
		JOIN `+arrays.Unnest("r", columns, 0)+` ON r.id = o.id
		FOR UPDATE OF o SKIP LOCKED`)
	if err != nil {
		return nil, err
	}
	byClaim := make(map[claimKey]current, len(list))
	for _, row := range list {
		byClaim[claimKey{row.ID, row.ClaimNo}] = row
	}
	return byClaim, nil
}

// whyUnseen says why an order's row could not be read: it is there and locked, or it is gone. It
// reports a row that is gone and whose question had not been recorded before.
func (r *Recorded) whyUnseen(ctx context.Context, tx pgx.Tx) (gone bool, err error) {
	var locked, recorded bool
	c := claimOf(&r.Outcome)
	err = tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT 1 FROM orders WHERE id = $1),
		       EXISTS (SELECT 1 FROM order_queries WHERE order_id = $1 AND claim_no = $2 AND queried_at = $3)`,
		c.ID, c.ClaimNo, r.Outcome.Question.At).Scan(&locked, &recorded)
	if locked {
		r.State = Locked
	}
	return !locked && !recorded, err
}

// supersededBy keeps the evidence and drops the effect. Two settlements of which
// one says paid and the other not need a person.
func (w *answerWriter) supersededBy(o *order.Outcome, row current, found bool) {
	answered := settlementOf(*o)
	o.Reason = "superseded after: " + o.Reason
	o.Decision, o.Status, o.NextQueryAt, o.Event = order.Superseded, row.Status, row.NextQueryAt, ""
	o.ReviewReason, o.ReviewNote, o.LastError = "", "", ""
	if !found {
		o.Status = o.Order.Status
		return
	}
	if answered == "" || !row.Status.Settled() || row.Status.Paid() == answered.Paid() {
		return
	}
	o.Decision, o.Reason, o.ReviewReason = order.Review, order.ReviewConflict, order.ReviewConflict
	o.ReviewNote = w.notes.conflictNote(row.Status, answered)
	if row.ReviewReason != order.ReviewConflict {
		o.Event = order.EventReview
	}
}

// settlementOf is the settlement that the answer named, "" where it named none. An answer about the
// right order that says paid is one also where its amount kept it from being booked.
func settlementOf(o order.Outcome) order.Status {
	switch {
	case o.Decision == order.Settled:
		return o.Status
	case o.Reason == order.ReviewAmountMissing || o.Reason == order.ReviewAmountMismatch:
		return order.Status(o.Question.TradeStatus)
	}
	return ""
}

// updateSuperseded notes that the order was asked about, sets a conflict's review and frees the row
// of our lease where it is still ours. If the row refuses that, the transaction goes on.
func updateSuperseded(ctx context.Context, tx pgx.Tx, o order.Outcome) error {
	return pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
		tag, err := savepoint.Exec(ctx, `
			UPDATE orders AS o
			SET review_reason = coalesce(nullif($3, ''), o.review_reason),
			    review_note = coalesce(nullif($4, ''), o.review_note),
			    lease_until = CASE WHEN o.claim_no = $2 THEN NULL ELSE o.lease_until END,
			    claimed_by = CASE WHEN o.claim_no = $2 THEN NULL ELSE o.claimed_by END,
			    last_queried_at = greatest(o.last_queried_at, $5),
			    unrecorded_claims = CASE WHEN o.claim_no > $2 THEN least(o.unrecorded_claims, o.claim_no - $2) ELSE 0 END,
			    updated_at = CASE WHEN $3 = '' THEN o.updated_at ELSE now() END
			WHERE o.id = $1`,
			o.Order.ID, o.Order.ClaimNo, o.ReviewReason, o.ReviewNote, o.Question.At)
		if err == nil && tag.RowsAffected() == 0 {
			return errDropped
		}
		return err
	})
}

// insertEvidence writes the ledger and the events, and tells the listeners.
func insertEvidence(ctx context.Context, tx pgx.Tx, group []order.Outcome) error {
	if len(group) == 0 {
		return nil
	}
	batch := &pgconn.Batch{}
	queueRows(batch, insertQuestions()+arrays.Unnest("q", questionColumns(), 0), questionColumns(), group)
	if events := withEvents(group); len(events) > 0 {
		settled := "SELECT o.id FROM orders AS o WHERE o.id = e.order_id AND o.settled_at IS NOT NULL"
		queueRows(batch, insertEvents(settled)+arrays.Unnest("e", eventColumns(), 0), eventColumns(), events)
		batch.ExecParams("NOTIFY order_events", nil, nil, nil, nil)
	}
	return tx.Conn().PgConn().ExecBatch(ctx, batch).Close()
}

// queueRows adds the statement that writes the rows which columns make of a group.
func queueRows(batch *pgconn.Batch, sql string, columns []column, group []order.Outcome) {
	var p arrays.Params
	arrays.Add(&p, columns, group)
	p.Queue(batch, sql)
}
