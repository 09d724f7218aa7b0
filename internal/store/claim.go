package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Claim says which orders to take, for whom and for how long.
type Claim struct {
	Worker string        // written to claimed_by
	Lease  time.Duration // from the database's present time
	Limit  int
	// PausedMIDs are merchants that are not asked for now.
	PausedMIDs []string
	// AskedBefore, when set, leaves out orders that were asked at or after it, so
	// that a run asks no order twice.
	AskedBefore *time.Time
	// Selection, when set, replaces "due": these orders, whatever their due time.
	Selection *Selection
	// After is where the page before ended; zero is the beginning. Only pages of
	// a selection, and pages that claim nothing, need it.
	After Cursor
}

// Cursor is a place in the order of a page.
type Cursor struct {
	NextQueryAt time.Time
	ID          int64
}

// Next is the cursor behind the last of page, which must not be empty.
func Next(page []Order) Cursor {
	last := page[len(page)-1]
	cursor := Cursor{ID: last.ID}
	if last.NextQueryAt != nil {
		cursor.NextQueryAt = *last.NextQueryAt
	}
	return cursor
}

// Selection picks orders by hand. Its fields narrow each other; the zero value
// picks every order that is unresolved or NOT_FOUND, in flight and under review
// excepted.
type Selection struct {
	MerOrderIDs  []string
	MID          string
	CreatedSince *time.Time // inclusive
	CreatedUntil *time.Time // exclusive
	Review       bool       // those under review as well
	OnlyReview   bool       // those under review and no others
}

// isOpen repeats the predicate of the index orders_due word for word: the
// planner uses a partial index only where it can prove that it covers the query.
const isOpen = `o.status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY', 'NOT_FOUND')`

const isFree = `(o.lease_until IS NULL OR o.lease_until <= now())
	AND o.mid <> ALL (@paused)
	AND (@asked_before::timestamptz IS NULL OR o.last_queried_at IS NULL OR o.last_queried_at < @asked_before)`

// duePage is a page of the orders that are due, the oldest first.
const duePage = `
	FROM orders o
	WHERE ` + isOpen + `
	  AND o.review_reason IS NULL
	  AND o.next_query_at <= now()
	  AND ` + isFree + `
	  AND (@after_id::bigint = 0 OR (o.next_query_at, o.id) > (@after_time, @after_id))
	ORDER BY o.next_query_at, o.id
	LIMIT @limit`

// selectedPage is a page of a selection, in the order of the ids.
const selectedPage = `
	FROM orders o
	WHERE ` + isOpen + `
	  AND ` + isFree + `
	  AND (o.review_reason IS NULL OR @review)
	  AND (o.review_reason IS NOT NULL OR NOT @only_review)
	  AND (@mer_order_ids::text[] IS NULL OR o.mer_order_id = ANY (@mer_order_ids))
	  AND (@mid::text = '' OR o.mid = @mid)
	  AND (@created_since::timestamptz IS NULL OR o.created_at >= @created_since)
	  AND (@created_until::timestamptz IS NULL OR o.created_at < @created_until)
	  AND o.id > @after_id
	ORDER BY o.id
	LIMIT @limit`

// Claim takes at most c.Limit orders: they are leased to c.Worker until the
// lease ends or their outcome is recorded. Fewer than c.Limit, or none, means
// that there are no more.
func (s *Store) Claim(ctx context.Context, c Claim) ([]Order, error) {
	sql, args := c.statement()
	orders, err := s.readOrders(ctx, sql, args)
	if err != nil {
		return nil, fmt.Errorf("claim orders: %w", err)
	}
	slices.SortFunc(orders, c.before) // RETURNING promises no order
	return orders, nil
}

// statement is the whole claim.
func (c Claim) statement() (string, pgx.StrictNamedArgs) {
	page, args := c.page()
	args["lease"] = c.Lease
	args["worker"] = c.Worker
	return `
		WITH page AS (SELECT o.id ` + page + ` FOR UPDATE SKIP LOCKED)
		UPDATE orders AS o
		SET lease_until = now() + @lease::interval,
		    claimed_by = @worker,
		    claim_no = o.claim_no + 1
		FROM page
		WHERE o.id = page.id
		RETURNING ` + orderColumns, args
}

// Peek reads the page that [Store.Claim] would take, and takes nothing.
func (s *Store) Peek(ctx context.Context, c Claim) ([]Order, error) {
	page, args := c.page()
	orders, err := s.readOrders(ctx, "SELECT "+orderColumns+page, args)
	if err != nil {
		return nil, fmt.Errorf("select orders: %w", err)
	}
	return orders, nil
}

// Count is how many orders the pages of c would hold together, at most c.Limit.
func (s *Store) Count(ctx context.Context, c Claim) (int, error) {
	page, args := c.page()
	var n int
	err := s.pool.QueryRow(ctx, "SELECT count(*) FROM (SELECT 1 "+page+") AS page", args).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count orders: %w", err)
	}
	return n, nil
}

// Release gives claims back that were not used: the orders are due as before.
// A claim that has been overtaken is left alone.
func (s *Store) Release(ctx context.Context, orders []Order) error {
	ids, claims := make([]int64, len(orders)), make([]int64, len(orders))
	for i, o := range orders {
		ids[i], claims[i] = o.ID, o.ClaimNo
	}
	_, err := s.pool.Exec(ctx, `
		UPDATE orders AS o
		SET lease_until = NULL, claimed_by = NULL
		FROM unnest($1::bigint[], $2::bigint[]) AS r(id, claim_no)
		WHERE o.id = r.id AND o.claim_no = r.claim_no`, ids, claims)
	if err != nil {
		return fmt.Errorf("release claims: %w", err)
	}
	return nil
}

func (s *Store) readOrders(ctx context.Context, sql string, args pgx.StrictNamedArgs) ([]Order, error) {
	rows, err := s.pool.Query(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[Order])
}

// page is the text of the page and its arguments.
func (c Claim) page() (string, pgx.StrictNamedArgs) {
	paused := c.PausedMIDs
	if paused == nil {
		paused = []string{} // null would make "not any of them" unknown
	}
	args := pgx.StrictNamedArgs{
		"paused":       paused,
		"asked_before": c.AskedBefore,
		"after_id":     c.After.ID,
		"limit":        c.Limit,
	}
	if c.Selection == nil {
		args["after_time"] = c.After.NextQueryAt
		return duePage, args
	}
	args["review"] = c.Selection.Review || c.Selection.OnlyReview
	args["only_review"] = c.Selection.OnlyReview
	args["mer_order_ids"] = c.Selection.MerOrderIDs
	args["mid"] = c.Selection.MID
	args["created_since"] = c.Selection.CreatedSince
	args["created_until"] = c.Selection.CreatedUntil
	return selectedPage, args
}

func (c Claim) before(a, b Order) int {
	if c.Selection == nil && a.NextQueryAt != nil && b.NextQueryAt != nil {
		if d := a.NextQueryAt.Compare(*b.NextQueryAt); d != 0 {
			return d
		}
	}
	return cmp.Compare(a.ID, b.ID)
}
