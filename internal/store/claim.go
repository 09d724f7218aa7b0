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
	App    string        // the app id whose pauses and budget it is under
	Rate   float64       // of that budget, round trips a second; 0 = no limit
	Worker string        // written to claimed_by
	Lease  time.Duration // from the database's present time
	Limit  int
	// PausedMIDs are merchants that are not asked for now.
	PausedMIDs []string
	// AskedBefore, when set, leaves out orders that were asked at or after it, so
	// that a run asks no order twice.
	AskedBefore *time.Time
	// Lanes leaves a part of the claim to orders that have just become due, in the
	// presence of a backlog; without, the longest due come first.
	Lanes bool
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

// isFree are orders that nobody asks about now, of merchants that may be asked for.
// The coalesce hides the list of merchants from the planner: it would take nearly
// all rows to be excluded, and sort a backlog instead of following its index.
const isFree = `(o.lease_until IS NULL OR o.lease_until <= now())
	AND coalesce(o.mid <> ALL (@paused), true)
	AND coalesce(o.mid <> ALL (ARRAY(SELECT key FROM control WHERE scope = 'mid' AND in_force)), true)
	AND (@asked_before::timestamptz IS NULL OR o.last_queried_at IS NULL OR o.last_queried_at < @asked_before)`

// controls are the pauses of the app and of merchants. A claim locks those that
// are the breaker's, so that of all instances one takes the probe.
const controls = `control AS MATERIALIZED (
    SELECT c.scope, c.key, ` + inForce + ` AS in_force,
           c.set_by = 'breaker' AND NOT ` + inForce + ` AS half_open
    FROM gateway_controls AS c
    WHERE c.scope = 'mid' OR c.key = @app`

// isDue are the orders that are due.
const isDue = `
	FROM orders o
	WHERE ` + isOpen + `
	  AND o.review_reason IS NULL
	  AND o.next_query_at <= now()
	  AND ` + isFree

// duePage is a page of them, the longest due first.
const duePage = isDue + `
	  AND (@after_id::bigint = 0 OR (o.next_query_at, o.id) > (@after_time, @after_id))
	ORDER BY o.next_query_at, o.id
	LIMIT @limit`

// duePages are the two lanes of a claim. Most of it are the orders longest due; a
// quarter is left to those that have just become due, for whom a customer may be
// waiting, so that no backlog keeps them from being asked about. Where there is
// no backlog the lanes meet.
//
// The limits are parameters: of one that comes from a subquery the planner knows
// nothing, and it then sorts the whole backlog (1 s for a million orders). What is
// locked here and not allowed in the end is free again with the statement.
const duePages = `
page_oldest AS MATERIALIZED (
    SELECT o.id, o.mid, o.next_query_at ` + isDue + `
      AND (SELECT n FROM allowed) > 0
    ORDER BY o.next_query_at, o.id
    LIMIT @limit FOR UPDATE OF o SKIP LOCKED
),
page_newest AS MATERIALIZED (
    SELECT o.id, o.mid, o.next_query_at ` + isDue + `
      AND (SELECT n FROM allowed) > 0
    ORDER BY o.next_query_at DESC, o.id DESC
    LIMIT @newest FOR UPDATE OF o SKIP LOCKED
),
page AS (
    (SELECT * FROM page_newest ORDER BY next_query_at DESC, id DESC LIMIT (SELECT newest FROM lanes))
    UNION
    (SELECT * FROM page_oldest ORDER BY next_query_at, id LIMIT (SELECT n - newest FROM lanes))
)`

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

// claimPermit is what the app's pauses and budget allow, n orders of which newest
// are for the lane of new ones.
const claimPermit = `
WITH ` + controls + `
    FOR UPDATE
),
budget AS MATERIALIZED (
    SELECT ` + tokensNow + ` AS tokens, clock_timestamp() AS at
    FROM gateway_budgets AS b
    WHERE b.app_id = @app AND @rate::float8 > 0
    FOR UPDATE
),
allowed AS MATERIALIZED (
    SELECT CASE
        WHEN EXISTS (SELECT 1 FROM control WHERE scope = 'app' AND in_force) THEN 0
        ELSE greatest(0, least(
            @limit::bigint,
            CASE WHEN EXISTS (SELECT 1 FROM control WHERE scope = 'app' AND half_open) THEN 1 END,
            CASE WHEN @rate > 0 THEN coalesce((SELECT floor(tokens)::bigint FROM budget), 0) END))
    END AS n
),
lanes AS MATERIALIZED (
    SELECT n, least(@newest::bigint, floor(n / 4.0 + random())::bigint) AS newest FROM allowed
),`

// claimTake leases what is allowed of the page, and pays for it.
const claimTake = `,
claimable AS (
    SELECT p.id
    FROM (SELECT page.*, row_number() OVER (PARTITION BY mid ORDER BY next_query_at, id) AS nth FROM page) AS p
    WHERE p.nth = 1 OR p.mid NOT IN (SELECT key FROM control WHERE scope = 'mid' AND half_open)
),
claimed AS (
    UPDATE orders AS o
    SET lease_until = now() + @lease::interval,
        claimed_by = @worker,
        claim_no = o.claim_no + 1,
        unrecorded_claims = o.unrecorded_claims + 1
    FROM claimable
    WHERE o.id = claimable.id
    RETURNING ` + orderColumns + `
),
probes AS (
    UPDATE gateway_controls AS c
    SET probe_until = now() + @lease::interval
    FROM control
    WHERE c.scope = control.scope AND c.key = control.key AND control.half_open
      AND CASE c.scope WHEN 'app' THEN EXISTS (SELECT 1 FROM claimed) ELSE c.key IN (SELECT mid FROM claimed) END
),
spent AS (
    UPDATE gateway_budgets AS b
    SET tokens = budget.tokens - (SELECT count(*) FROM claimed), refilled_at = budget.at
    FROM budget
    WHERE b.app_id = @app AND EXISTS (SELECT 1 FROM claimed)
)
SELECT claimed.*,
       EXISTS (SELECT 1 FROM control WHERE scope = 'app' AND half_open) AS app_probe,
       EXISTS (SELECT 1 FROM control WHERE scope = 'mid' AND key = claimed.mid AND half_open) AS merchant_probe
FROM claimed`

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

// statement is the whole claim: what the app's pauses and budget allow of the
// page is leased, and paid for from the budget.
// After a pause of the breaker that is one order of the app, or of the merchant.
func (c Claim) statement() (string, pgx.StrictNamedArgs) {
	page, args := c.page()
	page = `
page_selected AS MATERIALIZED (
    SELECT o.id, o.mid, o.next_query_at ` + page + ` FOR UPDATE OF o SKIP LOCKED
),
page AS (
    SELECT * FROM page_selected ORDER BY id LIMIT (SELECT n FROM allowed)
)`
	args["newest"] = 0
	if c.Selection == nil {
		page = duePages
		args["newest"] = c.newest()
		delete(args, "after_id")
		delete(args, "after_time")
	}
	args["lease"] = c.Lease
	args["worker"] = c.Worker
	args["rate"] = c.Rate
	args["burst"] = burst(c.Rate)
	return claimPermit + page + claimTake, args
}

// Peek reads the page that [Store.Claim] would take, and takes nothing.
func (s *Store) Peek(ctx context.Context, c Claim) ([]Order, error) {
	page, args := c.page()
	orders, err := s.readOrders(ctx, "WITH "+controls+") SELECT "+orderColumns+", false AS app_probe, false AS merchant_probe"+page, args)
	if err != nil {
		return nil, fmt.Errorf("select orders: %w", err)
	}
	return orders, nil
}

// Count is how many orders the pages of c would hold together, at most c.Limit.
func (s *Store) Count(ctx context.Context, c Claim) (int, error) {
	page, args := c.page()
	var n int
	err := s.pool.QueryRow(ctx, "WITH "+controls+") SELECT count(*) FROM (SELECT 1 "+page+") AS page", args).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count orders: %w", err)
	}
	return n, nil
}

// Release gives claims back that were not used: the orders are due as before.
// A claim that has been overtaken is left alone.
func (s *Store) Release(ctx context.Context, orders []Order) error {
	if err := s.unclaim(ctx, orders, "lease_until = NULL, claimed_by = NULL,"); err != nil {
		return fmt.Errorf("release claims: %w", err)
	}
	return nil
}

// Forgive takes claims off the orders' counts of unrecorded ones, whose answers
// came and could not be written for no fault of theirs. Their leases go on.
func (s *Store) Forgive(ctx context.Context, orders []Order) error {
	if err := s.unclaim(ctx, orders, ""); err != nil {
		return fmt.Errorf("forgive claims: %w", err)
	}
	return nil
}

// unclaim takes the claims that are still ours off their orders' counts, and sets
// what else is given.
func (s *Store) unclaim(ctx context.Context, orders []Order, set string) error {
	ids, claims := make([]int64, len(orders)), make([]int64, len(orders))
	for i, o := range orders {
		ids[i], claims[i] = o.ID, o.ClaimNo
	}
	_, err := s.pool.Exec(ctx, `
		UPDATE orders AS o
		SET `+set+` unrecorded_claims = greatest(0, o.unrecorded_claims - 1)
		FROM unnest($1::bigint[], $2::bigint[]) AS r(id, claim_no)
		WHERE o.id = r.id AND o.claim_no = r.claim_no`, ids, claims)
	return err
}

func (s *Store) readOrders(ctx context.Context, sql string, args pgx.StrictNamedArgs) ([]Order, error) {
	rows, err := s.pool.Query(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[Order])
}

// newest is the share of the lane of new orders. A claim of a few orders has none.
func (c Claim) newest() int {
	if !c.Lanes || c.Limit < 4 {
		return 0
	}
	return (c.Limit + 3) / 4
}

// page is the text of a page and its arguments.
func (c Claim) page() (string, pgx.StrictNamedArgs) {
	paused := c.PausedMIDs
	if paused == nil {
		paused = []string{} // null would make "not any of them" unknown
	}
	args := pgx.StrictNamedArgs{
		"app":          c.App,
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
