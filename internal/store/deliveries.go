package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// WebhookConsumer is the name under which events are read for delivery by HTTP.
const WebhookConsumer = "webhook"

// Delivery is an event that is to be sent to the application.
type Delivery struct {
	EventID      int64
	OrderID      int64
	Event        string
	Payload      string // JSON
	CreatedAt    time.Time
	Attempts     int // since PendingSince
	PendingSince time.Time
	PendingFor   time.Duration // by the database's clock, when it was read
}

// Attempt is what became of one sending of a delivery.
type Attempt struct {
	Delivery

	Status    int    // HTTP status; 0: no answer came
	Answer    string // the beginning of the answer, or the trouble in words
	Delivered bool
	// RetryAfter is the time to the next attempt of what was not delivered; 0 sets the event aside.
	RetryAfter time.Duration
}

// HoldDeliveries makes holder the only one that delivers, for a lease from now, unless somebody
// else is. It reports whether holder is. The first call registers the consumer at the end of the
// existing events. A lease in a row works behind a pooler, where an advisory lock of a session does
// not.
func (s *Store) HoldDeliveries(ctx context.Context, holder string, lease time.Duration) (bool, error) {
	_, err := s.pool.Exec(ctx, `
		SELECT register_order_events($1, false)
		WHERE NOT EXISTS (SELECT FROM event_consumers AS c WHERE c.name = $1)`, WebhookConsumer)
	if err != nil {
		return false, fmt.Errorf("register the webhook: %w", err)
	}
	// A lease that ends later than leases do is of a clock that was set back. A statement that had
	// to wait for the row may meet a lease that began after its own now().
	tag, err := s.pool.Exec(ctx, `
		UPDATE event_consumers SET held_by = $2, held_until = clock_timestamp() + $3::interval
		WHERE name = $1
		  AND (held_by = $2 OR held_until IS NULL OR held_until NOT BETWEEN clock_timestamp() AND clock_timestamp() + $3::interval)`,
		WebhookConsumer, holder, lease)
	if err != nil {
		return false, fmt.Errorf("hold the webhook: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// ReleaseDeliveries lets another instance deliver at once.
func (s *Store) ReleaseDeliveries(ctx context.Context, holder string) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE event_consumers SET held_by = NULL, held_until = NULL WHERE name = $1 AND held_by = $2`, WebhookConsumer, holder)
	if err != nil {
		return fmt.Errorf("release the webhook: %w", err)
	}
	return nil
}

// EnlistDeliveries turns up to limit unread events into deliveries and acknowledges them, in one
// transaction. From then on the deliveries are the queue, so that an event that cannot be delivered
// holds up no other. An event of an order that has an older delivery waits for that one. It returns
// how many there were, none where holder does not hold the deliveries.
func (s *Store) EnlistDeliveries(ctx context.Context, holder string, limit int) (n int, err error) {
	begin := pgx.TxOptions{BeginQuery: "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '10s'"}
	err = s.pool.inTx(ctx, begin, func(tx pgx.Tx) error {
		n, err = enlistEvents(ctx, tx, holder, limit)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read events for the webhook: %w", err)
	}
	return n, nil
}

func enlistEvents(ctx context.Context, tx pgx.Tx, holder string, limit int) (int, error) {
	type position struct {
		ID   int64
		Xact string
	}
	events, err := collectRows[position](ctx, tx, `
		SELECT n.id, n.xact::text AS xact FROM next_order_events($1, $3) AS n
		WHERE EXISTS (SELECT FROM event_consumers AS c WHERE c.name = $1 AND c.held_by = $2 AND c.held_until > now())`,
		WebhookConsumer, holder, limit)
	if err != nil || len(events) == 0 {
		return 0, err
	}
	ids := make([]int64, len(events))
	for i, e := range events {
		ids[i] = e.ID
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO webhook_deliveries (event_id, next_at)
		SELECT e.id, greatest(now(), (
		    SELECT max(d.next_at) FROM order_events AS older JOIN webhook_deliveries AS d ON d.event_id = older.id
		    WHERE older.order_id = e.order_id AND older.id < e.id))
		FROM order_events AS e
		WHERE e.id = ANY ($1)
		ON CONFLICT (event_id) DO NOTHING`, ids)
	if err != nil {
		return 0, err
	}
	last := events[len(events)-1]
	_, err = tx.Exec(ctx, `SELECT ack_order_events($1, $2::text::xid8, $3)`, WebhookConsumer, last.Xact, last.ID)
	return len(events), err
}

// dueDeliveries precedes the condition and the limit of one lane. Of each order only the oldest
// delivery is due.
const dueDeliveries = `
	SELECT e.id AS event_id, e.order_id, e.event, e.payload::text AS payload, e.created_at,
	       d.attempts, d.pending_since, now() - d.pending_since AS pending_for
	FROM webhook_deliveries AS d JOIN order_events AS e ON e.id = d.event_id
	WHERE d.next_at <= now()
	  AND e.order_id <> ALL (@busy)
	  AND NOT EXISTS (
	      SELECT FROM order_events AS older JOIN webhook_deliveries AS w ON w.event_id = older.id
	      WHERE older.order_id = e.order_id AND older.id < e.id AND w.next_at IS NOT NULL)
	  AND `

// DueDeliveries reads the deliveries whose time has come, the longest due first: up to fresh that
// were never sent, and up to retried that were. Orders that are busy are left out.
func (s *Store) DueDeliveries(ctx context.Context, fresh, retried int, busy []int64) ([]Delivery, error) {
	due, err := collectRows[Delivery](ctx, s.pool, `
		(`+dueDeliveries+`d.attempts = 0 ORDER BY d.next_at, d.event_id LIMIT @fresh)
		UNION ALL
		(`+dueDeliveries+`d.attempts > 0 ORDER BY d.next_at, d.event_id LIMIT @retried)`,
		pgx.StrictNamedArgs{"fresh": fresh, "retried": retried, "busy": nonNil(busy)})
	if err != nil {
		return nil, fmt.Errorf("read the due deliveries: %w", err)
	}
	return due, nil
}

// RecordAttempt writes what became of a sending. The order's next delivery becomes due, or waits as
// long as this one. Where the delivery has been attempted or asked for again meanwhile, nothing is
// written.
func (s *Store) RecordAttempt(ctx context.Context, a Attempt) error {
	_, err := s.pool.Exec(ctx, `
		WITH sent AS (
		    UPDATE webhook_deliveries
		    SET attempts = attempts + 1,
		        last_at = now(),
		        last_status = @status,
		        last_answer = @answer,
		        delivered_at = CASE WHEN @delivered THEN now() END,
		        set_aside_at = CASE WHEN NOT @delivered AND @retry_after::interval = '0' THEN now() END,
		        next_at = CASE WHEN NOT @delivered AND @retry_after::interval > '0' THEN now() + @retry_after::interval END
		    WHERE event_id = @event_id AND next_at IS NOT NULL AND attempts = @attempts AND pending_since = @pending_since
		    RETURNING next_at
		)
		UPDATE webhook_deliveries AS d SET next_at = coalesce(sent.next_at, now())
		FROM sent, order_events AS e
		WHERE e.order_id = @order_id AND e.id > @event_id AND d.event_id = e.id AND d.next_at IS NOT NULL`,
		pgx.StrictNamedArgs{
			"event_id": a.EventID, "order_id": a.OrderID, "attempts": a.Attempts, "pending_since": a.PendingSince,
			"status": orNull(int64(a.Status)), "answer": orNull(validText(a.Answer)), "delivered": a.Delivered, "retry_after": a.RetryAfter,
		})
	if err != nil {
		return fmt.Errorf("record the delivery of event %d: %w", a.EventID, err)
	}
	return nil
}
