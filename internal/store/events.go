package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNoWebhook means that no daemon has ever delivered events by HTTP, so nothing can be sent
// again.
var ErrNoWebhook = errors.New("no daemon delivers events by HTTP: set RECONCILER_WEBHOOK_URL for run first")

// ErrNoEvent means that events that were named do not exist.
var ErrNoEvent = errors.New("no such event")

// EventDelivery is an event and what became of its delivery by HTTP.
type EventDelivery struct {
	ID         int64
	OrderID    int64
	MID        string
	MerOrderID *string
	Event      string
	CreatedAt  time.Time
	Payload    json.RawMessage
	// State is delivered, set_aside, failing (it is tried again), waiting, or not_sent: it was
	// there before the webhook, or there is none.
	State       string
	Attempts    int
	NextAt      *time.Time
	LastAt      *time.Time
	LastStatus  *int
	LastAnswer  *string
	DeliveredAt *time.Time
	SetAsideAt  *time.Time
}

// EventFilter narrows a list of events. Zero fields do not.
type EventFilter struct {
	IDs    []int64
	Failed bool // set aside, or failing
	Since  *time.Time
	MID    string
	Order  string // either order number
	Event  string // such as order.paid
	Below  int64  // only ids below this one
	Limit  int

	from int64 // only ids from this one on
}

// Events lists events, the latest first.
func (s *Store) Events(ctx context.Context, f EventFilter) (list []EventDelivery, err error) {
	err = s.readAtOnce(ctx, func(tx pgx.Tx) error {
		list, err = f.listEvents(ctx, tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the events: %w", err)
	}
	return list, nil
}

// EventPage is a part of a list of events, the latest first.
type EventPage struct {
	Events []EventDelivery
	Below  int64 // where the next page begins; 0: there is none
	// WalkedTo is when the last event was written that was looked at, where the page ended early.
	WalkedTo *time.Time
}

// EventPage is [Store.Events] for a page. It looks at no more than [maxWalk] numbers, unless only
// failed deliveries are listed: they have indexes.
func (s *Store) EventPage(ctx context.Context, f EventFilter) (p EventPage, err error) {
	err = s.readAtOnce(ctx, func(tx pgx.Tx) error {
		var first, last int64
		err := tx.QueryRow(ctx, `SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM order_events`).Scan(&first, &last)
		if err != nil {
			return err
		}
		if f.Below == 0 || f.Below > last {
			f.Below = last + 1
		}
		if !f.Failed {
			f.from = f.Below - maxWalk
		}
		limit := f.Limit
		f.Limit++ // to learn whether there are more
		if p.Events, err = f.listEvents(ctx, tx); err != nil {
			return err
		}
		if len(p.Events) > limit {
			p.Events, p.Below = p.Events[:limit], p.Events[limit-1].ID
			return nil
		}
		if f.Failed || f.from <= first {
			return nil
		}
		p.Below = f.from
		return tx.QueryRow(ctx, `SELECT e.created_at FROM order_events AS e WHERE e.id >= $1 ORDER BY e.id LIMIT 1`, f.from).Scan(&p.WalkedTo)
	})
	if err != nil {
		return EventPage{}, fmt.Errorf("read the events: %w", err)
	}
	return p, nil
}

func (f EventFilter) listEvents(ctx context.Context, tx pgx.Tx) ([]EventDelivery, error) {
	where, args, err := f.whereClause(ctx, tx)
	if err != nil {
		return nil, err
	}
	args["limit"], args["consumer"] = f.Limit, WebhookConsumer
	return collectRows[EventDelivery](ctx, tx, `
		SELECT e.id, e.order_id, e.mid, e.mer_order_id, e.event, e.created_at, e.payload,
		       CASE WHEN d.delivered_at IS NOT NULL THEN 'delivered'
		            WHEN d.set_aside_at IS NOT NULL THEN 'set_aside'
		            WHEN d.attempts > 0 THEN 'failing'
		            WHEN d.event_id IS NOT NULL OR (`+isUnread("e")+`) THEN 'waiting'
		            ELSE 'not_sent' END AS state,
		       coalesce(d.attempts, 0) AS attempts, d.next_at, d.last_at, d.last_status, d.last_answer, d.delivered_at, d.set_aside_at
		FROM order_events AS e
		LEFT JOIN webhook_deliveries AS d ON d.event_id = e.id
		LEFT JOIN event_consumers AS c ON c.name = @consumer
		WHERE `+where+`
		ORDER BY e.id DESC LIMIT @limit`, args)
}

// failedEvents are read by the partial indexes of the deliveries.
const failedEvents = `e.id IN (
	SELECT f.event_id FROM webhook_deliveries AS f WHERE f.set_aside_at IS NOT NULL
	UNION ALL
	SELECT f.event_id FROM webhook_deliveries AS f WHERE f.next_at IS NOT NULL AND f.attempts > 0)`

func (f EventFilter) whereClause(ctx context.Context, tx pgx.Tx) (string, pgx.NamedArgs, error) {
	conditions, args := []string{"true"}, pgx.NamedArgs{}
	if len(f.IDs) > 0 {
		conditions = append(conditions, "e.id = ANY (@ids)")
		args["ids"] = f.IDs
	}
	if f.Failed {
		conditions = append(conditions, failedEvents)
	}
	if f.Since != nil {
		// An event whose transaction took long has an earlier time than its neighbours.
		first, err := firstSince(ctx, tx, f.Since.Add(-time.Hour), "order_events", "created_at")
		if err != nil {
			return "", nil, err
		}
		conditions = append(conditions, "e.id >= @first AND e.created_at >= @since")
		args["first"], args["since"] = first, *f.Since
	}
	if f.Event != "" {
		conditions = append(conditions, "e.event = @event")
		args["event"] = f.Event
	}
	if f.Below != 0 {
		conditions = append(conditions, "e.id < @below")
		args["below"] = f.Below
	}
	if f.from > 0 {
		conditions = append(conditions, "e.id >= @from")
		args["from"] = f.from
	}
	if f.MID != "" {
		conditions = append(conditions, "e.mid = @mid")
		args["mid"] = f.MID
	}
	if f.Order != "" {
		conditions = append(conditions, "e.order_id IN (SELECT o.id FROM orders AS o WHERE o.mer_order_id = @order OR o.target_order_id = @order)")
		args["order"] = f.Order
	}
	return strings.Join(conditions, " AND "), args, nil
}

// ResendEvents makes deliveries due again, also of what was delivered or set aside, and records the
// action. Its After becomes what was sent again. It returns how many there were. [ErrNoEvent] means
// that nothing was done.
func (s *Store) ResendEvents(ctx context.Context, f EventFilter, a Action) (n int, err error) {
	err = s.pool.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		n, err = resendEvents(ctx, tx, f, a)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("send events again: %w", err)
	}
	return n, nil
}

// maxListedEvents bounds the ids in the record of one action.
const maxListedEvents = 1000

func resendEvents(ctx context.Context, tx pgx.Tx, f EventFilter, a Action) (int, error) {
	var exists bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM event_consumers AS c WHERE c.name = $1)`, WebhookConsumer).Scan(&exists)
	if err != nil {
		return 0, err
	}
	if !exists {
		return 0, ErrNoWebhook
	}
	where, args, err := f.whereClause(ctx, tx)
	if err != nil {
		return 0, err
	}
	ids, err := collectRows[int64](ctx, tx, `
		INSERT INTO webhook_deliveries AS d (event_id, next_at)
		SELECT e.id, now() FROM order_events AS e WHERE `+where+` ORDER BY e.id
		ON CONFLICT (event_id) DO UPDATE
		SET attempts = 0, next_at = now(), pending_since = now(), delivered_at = NULL, set_aside_at = NULL
		RETURNING d.event_id`, args)
	if err != nil {
		return 0, err
	}
	if missing := slices.DeleteFunc(slices.Clone(f.IDs), func(id int64) bool { return slices.Contains(ids, id) }); len(missing) > 0 {
		return 0, f.explainMissing(ctx, tx, missing)
	}
	if len(ids) == 0 {
		return 0, nil
	}
	after := struct {
		Count  int     `json:"count"`
		Events []int64 `json:"events"`
	}{len(ids), ids[:min(len(ids), maxListedEvents)]}
	if a.After, err = json.Marshal(after); err != nil {
		return 0, err
	}
	_, err = addAction(ctx, tx, a)
	return len(ids), err
}

// explainMissing says why events that were named cannot be sent again.
func (f EventFilter) explainMissing(ctx context.Context, tx pgx.Tx, missing []int64) error {
	others, err := collectRows[int64](ctx, tx, `SELECT id FROM order_events WHERE id = ANY ($1) ORDER BY id`, missing)
	if err != nil {
		return err
	}
	if none := slices.DeleteFunc(missing, func(id int64) bool { return slices.Contains(others, id) }); len(none) > 0 {
		return fmt.Errorf("%w: %d", ErrNoEvent, none)
	}
	why := "they have not failed"
	if f.Since != nil {
		why = "they were written before " + f.Since.Format(time.RFC3339)
		if f.Failed {
			why += ", or have not failed"
		}
	}
	return fmt.Errorf("events %d: %s", others, why)
}
