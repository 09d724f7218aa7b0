package store

import (
	"context"
	"fmt"
	"math"
	"time"

	"reconciler/internal/order"

	"github.com/jackc/pgx/v5"
)

// StatusOpen filters the unresolved orders, whichever of the three statuses they have.
const StatusOpen order.Status = "open"

// AnyReview filters the orders under review, whatever the reason.
const AnyReview = "any"

// maxWalk bounds the rows that one page of a list reads. Most filters have no index: the page then
// ends early, and the next one goes on where it ended.
const maxWalk = 50_000

// OrderFilter narrows a list of orders. Zero fields do not.
type OrderFilter struct {
	MID           string
	Status        order.Status // or [StatusOpen]
	Review        string       // a reason, or [AnyReview]
	CreatedAfter  *time.Time
	CreatedBefore *time.Time // or at that time
	Below         int64      // only ids below this one; 0: from the latest order on
	Limit         int
}

// OrderRow is an order in a list.
type OrderRow struct {
	ID            int64
	MID           string
	MerOrderID    string
	TargetOrderID string
	OrderAmount   int64 // fen
	TotalAmount   *int64
	Status        order.Status
	ReviewReason  string
	CreatedAt     time.Time
	NextQueryAt   *time.Time
	LastQueriedAt *time.Time
	SettledAt     *time.Time
	SettledBy     string
	LastError     string
	InFlight      bool
}

// OrderPage is a part of a list of orders, the latest first.
type OrderPage struct {
	Orders []OrderRow
	Below  int64 // where the next page begins; 0: there is none
	// WalkedTo is when the last order was created that was looked at, where the page ended early.
	WalkedTo *time.Time
}

const listedColumns = `o.id, o.mid, coalesce(o.mer_order_id, '') AS mer_order_id, coalesce(o.target_order_id, '') AS target_order_id,
	o.order_amount, o.total_amount, o.status, coalesce(o.review_reason, '') AS review_reason,
	CASE WHEN o.created_at` + inRange + ` THEN o.created_at ELSE '0001-01-01Z' END AS created_at,
	CASE WHEN o.next_query_at` + inRange + ` THEN o.next_query_at END AS next_query_at,
	CASE WHEN o.last_queried_at` + inRange + ` THEN o.last_queried_at END AS last_queried_at,
	CASE WHEN o.settled_at` + inRange + ` THEN o.settled_at END AS settled_at, coalesce(o.settled_by, '') AS settled_by,
	coalesce(o.last_error, '') AS last_error, ` + isInFlight + ` AS in_flight`

const isListed = `o.id < @below
	AND (@mid = '' OR o.mid = @mid)
	AND (@status = '' OR o.status = @status OR (@status = 'open' AND ` + isUnresolved + `))
	AND (@review = '' OR (` + isUnderReview + ` AND (@review = 'any' OR o.review_reason = @review)))
	AND (@after::timestamptz IS NULL OR o.created_at > @after)
	AND (@before::timestamptz IS NULL OR o.created_at <= @before)`

// Orders lists orders, the latest first. It pages by id and counts nothing. What is open or under
// review is found by the partial indexes. Everything else is found by walking down the ids.
func (s *Store) Orders(ctx context.Context, f OrderFilter) (OrderPage, error) {
	if f.Below <= 0 {
		f.Below = math.MaxInt64
	}
	var p OrderPage
	err := s.readAtOnce(ctx, func(tx pgx.Tx) (err error) {
		if source := f.sourceOf(); source != "" {
			p, err = f.readPage(ctx, tx, source)
			return err
		}
		p, err = f.walkPage(ctx, tx)
		if err != nil || len(p.Orders) > 0 || p.WalkedTo == nil || f.CreatedBefore == nil {
			return err
		}
		// All that was looked at is too young: begin where that age begins.
		first, err := firstSince(ctx, tx, f.CreatedBefore.Add(time.Hour), "orders", "created_at")
		if err != nil || first >= p.Below {
			return err
		}
		f.Below = first
		p, err = f.walkPage(ctx, tx)
		return err
	})
	if err != nil {
		return OrderPage{}, fmt.Errorf("list the orders: %w", err)
	}
	return p, nil
}

// sourceOf is the part of the table in which the partial indexes find all that the filter lets
// through; "" where none does.
func (f OrderFilter) sourceOf() string {
	const (
		reviewed = `SELECT o.* FROM orders AS o WHERE ` + isUnderReview
		open     = `SELECT o.* FROM orders AS o WHERE ` + isUnresolved + ` AND `
	)
	switch {
	case f.Review != "":
		return reviewed
	case f.Status == StatusOpen || (f.Status != "" && !f.Status.Settled() && f.Status != order.StatusNotFound):
		return `SELECT o.* FROM orders AS o WHERE ` + isQueued + ` AND (@mid = '' OR o.mid = @mid)
			UNION ALL ` + open + `o.review_reason IS NOT NULL
			UNION ALL SELECT o.* FROM orders AS o WHERE ` + isOrphan
	}
	return ""
}

func (f OrderFilter) filterArgs() pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{
		"below": f.Below, "mid": f.MID, "status": string(f.Status), "review": f.Review, "after": f.CreatedAfter, "before": f.CreatedBefore,
		"limit": f.Limit + 1,
	}
}

// readPage reads one row more than is shown, to learn whether there are more.
func (f OrderFilter) readPage(ctx context.Context, tx pgx.Tx, source string) (OrderPage, error) {
	list, err := collectRows[OrderRow](ctx, tx, `
		SELECT `+listedColumns+` FROM (`+source+`) AS o WHERE `+isListed+` ORDER BY o.id DESC LIMIT @limit`, f.filterArgs())
	p := OrderPage{Orders: list}
	if len(list) > f.Limit {
		p.Orders, p.Below = list[:f.Limit], list[f.Limit-1].ID
	}
	return p, err
}

// walkPage reads at most [maxWalk] rows.
func (f OrderFilter) walkPage(ctx context.Context, tx pgx.Tx) (OrderPage, error) {
	below := fmt.Sprintf(`o.id < @below ORDER BY o.id DESC LIMIT %d`, maxWalk)
	p, err := f.readPage(ctx, tx, `SELECT o.* FROM orders AS o WHERE `+below)
	if err != nil || p.Below != 0 {
		return p, err
	}
	var walked int
	var lowest int64
	err = tx.QueryRow(ctx, `SELECT count(*), coalesce(min(w.id), 0) FROM (SELECT o.id FROM orders AS o WHERE `+below+`) AS w`,
		pgx.StrictNamedArgs{"below": f.Below}).Scan(&walked, &lowest)
	if err != nil || walked < maxWalk {
		return p, err
	}
	p.Below = lowest
	err = tx.QueryRow(ctx, `SELECT CASE WHEN o.created_at`+inRange+` THEN o.created_at ELSE now() END FROM orders AS o WHERE o.id = $1`, lowest).Scan(&p.WalkedTo)
	return p, err
}

// firstSince is about the first id of a table whose row was written at or after a time. Ids grow
// with time as a rule. It halves the range of the ids, in one statement. A table of ours is named,
// never a foreign text.
func firstSince(ctx context.Context, tx pgx.Tx, since time.Time, table, column string) (first int64, err error) {
	err = tx.QueryRow(ctx, `
		WITH RECURSIVE half AS (
		    SELECT coalesce(min(id), 0) AS low, coalesce(max(id), 0) + 1 AS high FROM `+table+`
		    UNION ALL
		    SELECT CASE WHEN found.older THEN found.id + 1 ELSE half.low END, CASE WHEN found.older THEN half.high ELSE middle.id END
		    FROM half
		    CROSS JOIN LATERAL (SELECT half.low + (half.high - half.low) / 2 AS id) AS middle
		    LEFT JOIN LATERAL (
		        SELECT t.id, t.`+column+` < $1 AS older FROM `+table+` AS t WHERE t.id >= middle.id ORDER BY t.id LIMIT 1
		    ) AS found ON true
		    WHERE half.low < half.high
		)
		SELECT max(low) FROM half`, since).Scan(&first)
	return first, err
}
