package store

import (
	"context"
	"fmt"
	"time"

	"reconciler/internal/order"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// current is what the row of a superseded outcome holds now.
type current struct {
	ID           int64
	ClaimNo      int64 // of the outcome
	Status       order.Status
	NextQueryAt  *time.Time
	ReviewReason *string
	Recorded     bool // the ledger has this very question already
	Holds        bool // the guard holds after all
}

// supersede turns outcomes that came too late into what is written instead, and
// writes it; those that had been written before are left out.
func supersede(ctx context.Context, tx pgx.Tx, stale []*Recorded) error {
	rows, err := readCurrent(ctx, tx, stale)
	if err != nil {
		return err
	}
	var fresh []order.Outcome
	reasons := make(map[int64]string) // of orders that this group has set
	for _, r := range stale {
		o := &r.Outcome
		row, found := rows[claimOf(o)]
		switch {
		case found && row.Recorded:
			continue
		case found && row.Holds:
			r.State = Locked // it was, a moment ago
			continue
		case !found:
			locked, recorded, err := unseen(ctx, tx, claimOf(o))
			if err != nil {
				return err
			}
			if locked {
				r.State = Locked
			}
			if locked || recorded {
				continue
			}
		}
		if reason, set := reasons[row.ID]; set {
			row.ReviewReason = &reason // two claims of one order are one conflict
		}
		supersededBy(o, row, found)
		if o.ReviewReason != "" {
			reasons[row.ID] = o.ReviewReason
		}
		if err := updateSuperseded(ctx, tx, *o); err != nil {
			return err
		}
		fresh = append(fresh, *o)
	}
	return insertEvidence(ctx, tx, fresh)
}

func readCurrent(ctx context.Context, tx pgx.Tx, stale []*Recorded) (map[claimKey]current, error) {
	ids, claims := make([]int64, len(stale)), make([]int64, len(stale))
	statuses, reviews := make([]string, len(stale)), make([]*string, len(stale))
	for i, r := range stale {
		o := &r.Outcome
		ids[i], claims[i] = o.Order.ID, o.Order.ClaimNo
		statuses[i], reviews[i] = string(o.Order.Status), nullText(o.Order.ReviewReason)
	}
	rows, err := tx.Query(ctx, `
		SELECT o.id, r.claim_no, o.status, o.review_reason,
		       CASE WHEN isfinite(o.next_query_at) THEN o.next_query_at END AS next_query_at,
		       EXISTS (SELECT 1 FROM order_queries q
		               WHERE q.order_id = o.id AND q.claim_no = r.claim_no AND r.claim_no > 0) AS recorded,
		       o.claim_no = r.claim_no AND o.status = r.status_read AND o.lease_until IS NOT NULL
		           AND o.review_reason IS NOT DISTINCT FROM r.review_read AS holds
		FROM orders AS o
		JOIN unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) AS r(id, claim_no, status_read, review_read) ON r.id = o.id
		FOR UPDATE OF o SKIP LOCKED`, ids, claims, statuses, reviews)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[current])
	if err != nil {
		return nil, err
	}
	byClaim := make(map[claimKey]current, len(list))
	for _, row := range list {
		byClaim[claimKey{row.ID, row.ClaimNo}] = row
	}
	return byClaim, nil
}

// unseen says why an order's row could not be read: it is there and locked, or it
// is gone; and whether its question has been recorded before it went.
func unseen(ctx context.Context, tx pgx.Tx, c claimKey) (locked, recorded bool, err error) {
	err = tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT 1 FROM orders WHERE id = $1),
		       EXISTS (SELECT 1 FROM order_queries WHERE order_id = $1 AND claim_no = $2)`, c.ID, c.ClaimNo).Scan(&locked, &recorded)
	return locked, recorded && !locked, err
}

// supersededBy keeps the evidence and drops the effect. Two settlements of which
// one says paid and the other not need a person.
func supersededBy(o *order.Outcome, row current, found bool) {
	settles := o.Decision == order.Settled
	answered := o.Status
	o.Reason = "superseded after: " + o.Reason
	o.Decision, o.Status, o.NextQueryAt, o.Event = order.Superseded, row.Status, row.NextQueryAt, ""
	o.ReviewReason, o.ReviewNote, o.LastError = "", "", ""
	if !found {
		o.Status = o.Order.Status
		return
	}
	if !settles || !row.Status.Settled() || row.Status.Paid() == answered.Paid() {
		return
	}
	o.Decision, o.Reason, o.ReviewReason = order.Review, order.ReviewConflict, order.ReviewConflict
	o.ReviewNote = fmt.Sprintf("The order was settled as %s while the gateway was asked, and the gateway answered %s. "+
		"Nothing was changed. Compare both with the merchant platform and correct the order by hand.", row.Status, answered)
	if row.ReviewReason == nil || *row.ReviewReason != order.ReviewConflict {
		o.Event = order.EventReview
	}
}

// updateSuperseded notes that the order was asked about, sets a conflict's review
// and frees the row of our lease where it is still ours.
func updateSuperseded(ctx context.Context, tx pgx.Tx, o order.Outcome) error {
	_, err := tx.Exec(ctx, `
		UPDATE orders AS o
		SET review_reason = coalesce($3, o.review_reason),
		    review_note = coalesce($4, o.review_note),
		    lease_until = CASE WHEN o.claim_no = $2 THEN NULL ELSE o.lease_until END,
		    claimed_by = CASE WHEN o.claim_no = $2 THEN NULL ELSE o.claimed_by END,
		    last_queried_at = greatest(o.last_queried_at, $5),
		    unrecorded_claims = least(o.unrecorded_claims, o.claim_no - $2),
		    updated_at = CASE WHEN $3::text IS NULL THEN o.updated_at ELSE now() END
		WHERE o.id = $1`,
		o.Order.ID, o.Order.ClaimNo, nullText(o.ReviewReason), nullText(o.ReviewNote), o.Question.At)
	return err
}

// insertEvidence writes the ledger and the events, and tells whoever listens.
func insertEvidence(ctx context.Context, tx pgx.Tx, group []order.Outcome) error {
	if len(group) == 0 {
		return nil
	}
	batch := &pgconn.Batch{}
	queue(batch, insertQuestions()+unnest("q", questionColumns(), 0), questionColumns(), group)
	if events := withEvents(group); len(events) > 0 {
		queue(batch, insertEvents+unnest("e", eventColumns(), 0), eventColumns(), events)
		batch.ExecParams("NOTIFY order_events", nil, nil, nil, nil)
	}
	return tx.Conn().PgConn().ExecBatch(ctx, batch).Close()
}

// queue adds the statement that writes the rows which columns make of a group.
func queue(batch *pgconn.Batch, sql string, columns []column, group []order.Outcome) {
	var p params
	p.add(columns, group)
	batch.ExecParams(sql, p.values, p.oids, []int16{pgtype.BinaryFormatCode}, nil)
}
