package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"reconciler/internal/order"

	"github.com/jackc/pgx/v5"
)

// Detail is an order with what only people read.
type Detail struct {
	order.Order

	Columns      json.RawMessage // the whole row, with the times of the zone that was asked for
	ReviewNote   string
	ClaimedBy    string
	UpdatedAt    time.Time
	SettledAt    *time.Time
	SettledBy    string
	TotalAmount  *int64 // fen
	RefundAmount *int64
	PayTime      *time.Time
	SettleDate   *time.Time // midnight UTC of the day
}

const detailColumns = orderColumns + `,
	to_jsonb(o) AS columns, coalesce(o.review_note, '') AS review_note,
	coalesce(o.claimed_by, CASE WHEN ` + isInFlight + ` THEN '-' END, '') AS claimed_by, ` + updatedAt + ` AS updated_at, CASE WHEN o.settled_at` + inRange + ` THEN o.settled_at END AS settled_at,
	coalesce(o.settled_by, '') AS settled_by, o.total_amount, o.refund_amount,
	CASE WHEN o.pay_time` + inRange + ` THEN o.pay_time END AS pay_time, CASE WHEN isfinite(o.settle_date) THEN o.settle_date END AS settle_date`

// OrderName is how a person names an order.
type OrderName struct {
	ID     int64  // 0: by its number
	Number string // of the merchant or of the channel
	MID    string // "": of whatever merchant
	// References looks for the number among ref_id and seq_id as well.
	References bool
}

// FindOrders returns the orders that a name fits, at most 20, the latest first. The whole row comes
// with the times of zone. An order that the channel's number finds counts unless a merchant's
// number finds another order of the same merchant.
func (s *Store) FindOrders(ctx context.Context, name OrderName, zone *time.Location) ([]Detail, error) {
	var list []Detail
	err := s.readAtOnce(ctx, func(tx pgx.Tx) (err error) {
		list, err = findOrders(ctx, tx, name, zone)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find the order: %w", err)
	}
	return list, nil
}

func findOrders(ctx context.Context, tx pgx.Tx, name OrderName, zone *time.Location) ([]Detail, error) {
	if zone != nil {
		if _, err := tx.Exec(ctx, `SELECT set_config('TimeZone', $1, true)`, zone.String()); err != nil {
			return nil, err
		}
	}
	find := func(where string, arg any) ([]Detail, error) {
		return collectRows[Detail](ctx, tx, findSQL(where), arg, name.MID)
	}
	if name.ID != 0 {
		return find("o.id = $1", name.ID)
	}
	named, err := find(hasMerchantNumber, name.Number)
	if err != nil {
		return nil, err
	}
	channel, err := find(hasChannelNumber, name.Number)
	if err != nil {
		return nil, err
	}
	list := mergeMerchants(named, channel)
	if len(list) == 0 && name.References {
		return find(hasReference, name.Number)
	}
	return list[:min(len(list), maxFound)], nil
}

// mergeMerchants adds to the orders of named those of other merchants, the latest first.
func mergeMerchants(named, others []Detail) []Detail {
	list := slices.Clone(named)
	for _, o := range others {
		if !slices.ContainsFunc(named, func(n Detail) bool { return n.MID == o.MID }) {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b Detail) int { return cmp.Compare(b.ID, a.ID) })
	return list
}

// maxFound bounds the orders that a name finds.
const maxFound = 20

// findSQL finds few orders by a condition that has an index. The sum keeps the planner from reading
// the primary key backwards instead, up to the twentieth match.
func findSQL(where string) string {
	return `SELECT ` + detailColumns + ` FROM orders AS o WHERE ` + where + ` AND ($2 = '' OR o.mid = $2) ORDER BY o.id + 0 DESC LIMIT ` + strconv.Itoa(maxFound)
}

const (
	hasMerchantNumber = "o.mer_order_id = $1"
	hasChannelNumber  = "o.target_order_id = $1"
	hasReference      = "(o.ref_id = $1 OR o.seq_id = $1)"
)

// LedgerRow is a row of order_queries. What is null is nil.
type LedgerRow struct {
	ID          int64           `json:"id"`
	OrderID     int64           `json:"order_id"`
	ClaimNo     int64           `json:"claim_no"`
	QueriedAt   time.Time       `json:"queried_at"`
	DurationMS  int64           `json:"duration_ms" db:"duration_ms"`
	RoundTrips  int             `json:"round_trips"`
	Worker      *string         `json:"worker"`
	HTTPStatus  *int            `json:"http_status" db:"http_status"`
	ErrCode     *string         `json:"err_code"`
	ErrMsg      *string         `json:"err_msg"`
	TradeStatus *string         `json:"trade_status"`
	Decision    order.Decision  `json:"decision"`
	Reason      *string         `json:"reason"`
	NextQueryAt *time.Time      `json:"next_query_at"`
	Response    json.RawMessage `json:"response"`
}

// EventRow is a row of order_events.
type EventRow struct {
	ID        int64
	Event     string
	Payload   json.RawMessage
	CreatedAt time.Time
}

// History is what happened to an order, the oldest first, and where it stands in the queue.
type History struct {
	Questions []LedgerRow // the latest 500
	Asked     int         // all of them
	Events    []EventRow
	Actions   []Action
	// Ahead counts the due orders before it, at most 100,000.
	Ahead int
}

// History reads the history of an order.
func (s *Store) History(ctx context.Context, o order.Order) (History, error) {
	var h History
	err := s.readAtOnce(ctx, func(tx pgx.Tx) (err error) {
		h.Questions, err = collectRows[LedgerRow](ctx, tx, `
			SELECT * FROM (
			    SELECT id, order_id, claim_no, queried_at, duration_ms, round_trips, worker, http_status, err_code, err_msg,
			           trade_status, decision, reason, next_query_at, response
			    FROM order_queries WHERE order_id = $1 ORDER BY id DESC LIMIT 500) AS latest
			ORDER BY id`, o.ID)
		if err != nil {
			return err
		}
		if err = tx.QueryRow(ctx, `SELECT count(*) FROM order_queries WHERE order_id = $1`, o.ID).Scan(&h.Asked); err != nil {
			return err
		}
		h.Events, err = collectRows[EventRow](ctx, tx, `
			SELECT id, event, payload, created_at FROM order_events WHERE order_id = $1 ORDER BY id LIMIT 500`, o.ID)
		if err != nil {
			return err
		}
		h.Actions, err = collectRows[Action](ctx, tx, `
			SELECT `+actionColumns+` FROM operator_actions AS a WHERE a.order_id = $1 ORDER BY a.id LIMIT 500`, o.ID)
		if err != nil || o.NextQueryAt == nil {
			return err
		}
		return tx.QueryRow(ctx, `
			SELECT count(*) FROM (
			    SELECT 1 FROM orders AS o WHERE `+isQueued+` AND o.next_query_at <= now()
			      AND NOT `+isInFlight+` AND (o.next_query_at, o.id) < ($1, $2)
			    LIMIT 100000) AS ahead`, o.NextQueryAt, o.ID).Scan(&h.Ahead)
	})
	if err != nil {
		return History{}, fmt.Errorf("read the history of order %d: %w", o.ID, err)
	}
	return h, nil
}

// FoundAt is the time of a merchant's latest found answer at or after since. It is nil where there
// is none.
func (s *Store) FoundAt(ctx context.Context, mid string, since time.Time) (*time.Time, error) {
	at, err := lastFound(ctx, s.pool, mid, since)
	if err != nil {
		return nil, fmt.Errorf("read the ledger of merchant %s: %w", mid, err)
	}
	if at.IsZero() {
		return nil, nil
	}
	return &at, nil
}

// FallingDue lists the orders that are due before a time, the longest due first, at most limit of
// them, and counts all.
func (s *Store) FallingDue(ctx context.Context, before time.Time, limit int) (list []order.Order, total int, err error) {
	err = s.readAtOnce(ctx, func(tx pgx.Tx) error {
		const where = ` FROM orders AS o WHERE ` + isQueued + ` AND o.next_query_at < $1`
		list, err = collectRows[order.Order](ctx, tx, `SELECT `+orderColumns+where+` ORDER BY o.next_query_at, o.id LIMIT $2`, before, limit)
		if err != nil || len(list) < limit {
			total = len(list)
			return err
		}
		return tx.QueryRow(ctx, `SELECT count(*)`+where, before).Scan(&total)
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read what falls due: %w", err)
	}
	return list, total, nil
}
