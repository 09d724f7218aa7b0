package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"reconciler/internal/order"

	"github.com/jackc/pgx/v5"
)

// ErrChanged means that the order is not as it was shown any more. Nothing was written.
var ErrChanged = errors.New("the order has changed meanwhile")

// InFlightError means that a question about the order is in flight. Nothing was written.
type InFlightError struct {
	ClaimedBy string
	Until     time.Time
}

func (e *InFlightError) Error() string {
	return fmt.Sprintf("a question is in flight, by %s, until %s at the latest", e.ClaimedBy, e.Until.Format(time.RFC3339))
}

// Review is an order under review, with the gateway's last word.
type Review struct {
	Detail

	GatewayStatus *string
	GatewayAmount *int64 // fen; nil: none that is a plain number
	Since         *time.Time
}

// ReviewFilter narrows the list of reviews. Zero fields do not.
type ReviewFilter struct {
	Reason, MID string
	// AfterReason and AfterID are the last of the page before.
	AfterReason string
	AfterID     int64
	Limit       int
}

// Reviews lists the orders that need a person, by reason and id.
func (s *Store) Reviews(ctx context.Context, f ReviewFilter) ([]Review, error) {
	return lookRows[Review](ctx, s, "list the reviews", `
		SELECT `+detailColumns+`, answer.trade_status AS gateway_status, answer.amount AS gateway_amount,
		       coalesce(told.at, CASE WHEN o.last_queried_at`+inRange+` THEN o.last_queried_at END, `+updatedAt+`) AS since
		FROM orders AS o
		LEFT JOIN LATERAL (
		    SELECT q.trade_status, CASE WHEN q.response->>'totalAmount' ~ '^[0-9]{1,18}$' THEN (q.response->>'totalAmount')::bigint END AS amount
		    FROM order_queries AS q WHERE q.order_id = o.id AND q.trade_status IS NOT NULL ORDER BY q.id DESC LIMIT 1
		) AS answer ON true
		LEFT JOIN LATERAL (
		    SELECT e.created_at AS at FROM order_events AS e WHERE e.order_id = o.id AND e.event = 'order.review' ORDER BY e.id DESC LIMIT 1
		) AS told ON true
		WHERE `+isUnderReview+` AND ($1 = '' OR o.review_reason = $1) AND ($2 = '' OR o.mid = $2)
		  AND ($4 = '' OR (o.review_reason, o.id) > ($4, $5))
		ORDER BY o.review_reason, o.id LIMIT $3`, f.Reason, f.MID, f.Limit, f.AfterReason, f.AfterID)
}

// HandSettlement is the outcome that a person gives an order.
type HandSettlement struct {
	Shown        Detail // as the person saw it: the write is guarded by it
	Status       order.Status
	Event        string
	TotalAmount  *int64 // fen
	RefundAmount *int64
	PayTime      *time.Time
	SettleDate   *time.Time // midnight UTC of the day
	Action       Action     // its order, before and after are filled in
}

// Trace is the trace of an action about an order.
type Trace struct {
	ActionID int64
	EventID  int64 // 0: none
	Before   json.RawMessage
	After    json.RawMessage
}

// traced is the part of a row that an action may change.
const traced = `jsonb_build_object('status', o.status, 'review_reason', o.review_reason, 'tid', o.tid, 'inst_mid', o.inst_mid,
	'mer_order_id', o.mer_order_id, 'target_order_id', o.target_order_id, 'total_amount', o.total_amount, 'refund_amount', o.refund_amount,
	'pay_time', o.pay_time, 'settle_date', o.settle_date, 'settled_at', o.settled_at, 'settled_by', o.settled_by, 'next_query_at', o.next_query_at)`

// SettleByHand writes the order, its event and the action in one transaction. It returns
// [ErrChanged] or an [InFlightError] where the row is not free or not as it was shown.
func (s *Store) SettleByHand(ctx context.Context, h HandSettlement) (Trace, error) {
	var t Trace
	err := s.changeOrder(ctx, h.Shown, h.Action, &t, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			UPDATE orders AS o
			SET status = $2::text, total_amount = $3,
			    refund_amount = CASE WHEN $2::text = 'TRADE_CLOSED' THEN $4 ELSE coalesce($4, o.refund_amount) END,
			    pay_time = CASE WHEN $2::text = 'TRADE_CLOSED' THEN $5 ELSE coalesce($5, o.pay_time) END,
			    settle_date = CASE WHEN $2::text = 'TRADE_CLOSED' THEN $6::date ELSE coalesce($6::date, o.settle_date) END,
			    settled_at = now(), settled_by = 'hand', review_reason = NULL, review_note = NULL, last_error = NULL,
			    next_query_at = NULL, lease_until = NULL, claimed_by = NULL, unrecorded_claims = 0, updated_at = now()
			WHERE o.id = $1
			RETURNING `+traced, h.Shown.ID, h.Status, h.TotalAmount, h.RefundAmount, h.PayTime, h.SettleDate).Scan(&t.After)
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, `
			WITH told AS (`+insertHandEvent+` RETURNING id)
			SELECT id FROM told WHERE coalesce(pg_notify('order_events', '')::text, '') = ''`,
			h.Shown.ID, h.Shown.MID, orNull(h.Shown.MerOrderID), h.Event, string(handPayload(h)), h.Shown.SettledAt != nil).Scan(&t.EventID)
	})
	if err != nil {
		return Trace{}, fmt.Errorf("settle order %d: %w", h.Shown.ID, err)
	}
	return t, nil
}

const insertHandEvent = `INSERT INTO order_events (order_id, mid, mer_order_id, event, payload)
	VALUES ($1, $2, $3, $4, $5::jsonb || '{"settled_by": "hand"}' || CASE WHEN $6::boolean THEN '{"settled_before": true}' ELSE '{}' END::jsonb)`

// handPayload is the payload of any settlement.
func handPayload(h HandSettlement) []byte {
	return eventPayload(&order.Outcome{
		Order: h.Shown.Order, Decision: order.Settled, Status: h.Status,
		Booking: order.Booking{TotalAmount: h.TotalAmount, RefundAmount: h.RefundAmount, PayTime: h.PayTime, SettleDate: h.SettleDate},
	})
}

// Correction is what a person may set right before an order is asked again. An empty text changes
// nothing.
type Correction struct {
	TID, InstMID, MerOrderID, TargetOrderID string
}

// Retry clears the review of an order, corrects it and makes it due. It is guarded as
// [Store.SettleByHand] is.
func (s *Store) Retry(ctx context.Context, shown Detail, c Correction, a Action) (Trace, error) {
	var t Trace
	err := s.changeOrder(ctx, shown, a, &t, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `
			UPDATE orders AS o
			SET review_reason = NULL, review_note = NULL, next_query_at = now(), unrecorded_claims = 0, updated_at = now(),
			    tid = coalesce($2, o.tid), inst_mid = coalesce($3, o.inst_mid),
			    mer_order_id = coalesce($4, o.mer_order_id), target_order_id = coalesce($5, o.target_order_id)
			WHERE o.id = $1
			RETURNING `+traced, shown.ID, orNull(c.TID), orNull(c.InstMID), orNull(c.MerOrderID), orNull(c.TargetOrderID)).Scan(&t.After)
	})
	if err != nil {
		return Trace{}, fmt.Errorf("ask order %d again: %w", shown.ID, err)
	}
	return t, nil
}

// changeOrder locks an order, holds it against what was shown, lets do write it, and records the
// action. Of two people at once the second waits for the first, and then meets the changed row.
func (s *Store) changeOrder(ctx context.Context, shown Detail, a Action, t *Trace, do func(pgx.Tx) error) error {
	begin := pgx.TxOptions{BeginQuery: "BEGIN; SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '10s'"}
	return s.pool.inTx(ctx, begin, func(tx pgx.Tx) error {
		now, err := lockShown(ctx, tx, shown, t)
		if err != nil {
			return err
		}
		if now.LeaseUntil != nil {
			return &InFlightError{ClaimedBy: now.ClaimedBy, Until: *now.LeaseUntil}
		}
		if !now.isAs(shown) {
			return ErrChanged
		}
		if err := do(tx); err != nil {
			return err
		}
		a.OrderID, a.Before, a.After = &shown.ID, t.Before, t.After
		t.ActionID, err = addAction(ctx, tx, a)
		return err
	})
}

func lockShown(ctx context.Context, tx pgx.Tx, shown Detail, t *Trace) (Detail, error) {
	found, err := collectRows[Detail](ctx, tx, `SELECT `+detailColumns+` FROM orders AS o WHERE o.id = $1 FOR UPDATE`, shown.ID)
	if err != nil {
		return Detail{}, err
	}
	if len(found) == 0 {
		return Detail{}, ErrChanged // the application has deleted it
	}
	return found[0], tx.QueryRow(ctx, `SELECT `+traced+` FROM orders AS o WHERE o.id = $1`, shown.ID).Scan(&t.Before)
}

// isAs reports whether an order is as it was shown.
func (d Detail) isAs(shown Detail) bool {
	same := func(a, b *int64) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }
	sameTime := func(a, b *time.Time) bool { return (a == nil) == (b == nil) && (a == nil || a.Equal(*b)) }
	return d.Status == shown.Status && d.ReviewReason == shown.ReviewReason && d.ClaimNo == shown.ClaimNo && d.MID == shown.MID &&
		d.TID == shown.TID && d.InstMID == shown.InstMID && d.MerOrderID == shown.MerOrderID && d.TargetOrderID == shown.TargetOrderID &&
		d.OrderAmount == shown.OrderAmount && same(d.TotalAmount, shown.TotalAmount) && same(d.RefundAmount, shown.RefundAmount) &&
		sameTime(d.PayTime, shown.PayTime) && sameTime(d.SettleDate, shown.SettleDate) && d.UpdatedAt.Equal(shown.UpdatedAt)
}
