package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"reconciler/internal/order"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Claim says which orders to take, for whom and for how long.
type Claim struct {
	App    string        // the app id whose pauses and budget it is under
	Rate   float64       // of that budget, round trips a second; 0 = no limit
	Worker string        // written to claimed_by
	Lease  time.Duration // from the database's present time
	Limit  int
	// MIDs are the only merchants it is about; nil is all.
	MIDs []string
	// ExceptMIDs are merchants that it is not about, and PausedMIDs are not asked for now.
	ExceptMIDs, PausedMIDs []string
	// Merchants is how many have open orders, as [Crowd] has it.
	Merchants int
	// MerchantMost bounds the orders that one merchant may have in the claimer's hands,
	// those in Held included; 0 is no bound.
	MerchantMost int
	Held         map[string]int // by mid
	// AskedBefore, when set, leaves out orders that were asked at or after it, so
	// that a run asks no order twice.
	AskedBefore *time.Time
	// Lanes leaves a part of the claim to orders that have just become due, in the
	// presence of a backlog; without, the longest due come first.
	Lanes bool
	// Selection, when set, replaces "due": these orders, whatever their due time.
	Selection *Selection
	// From is where a claim of due orders begins to look; zero is the beginning. What lies
	// before has been claimed, as a rule, and its remains in the index take time to pass.
	From Cursor
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
func Next(page []order.Order) Cursor { return At(page[len(page)-1]) }

// At is the cursor at an order.
func At(o order.Order) Cursor {
	cursor := Cursor{ID: o.ID}
	if o.NextQueryAt != nil {
		cursor.NextQueryAt = *o.NextQueryAt
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

// Claim takes at most c.Limit orders: they are leased to c.Worker until the
// lease ends or their outcome is recorded. Fewer than c.Limit, or none, means
// that there are no more.
func (s *Store) Claim(ctx context.Context, c Claim) ([]order.Order, error) {
	sql, args := c.statement()
	orders, err := s.readOrders(ctx, sql, args)
	if err != nil {
		return nil, fmt.Errorf("claim orders: %w", err)
	}
	slices.SortFunc(orders, c.before) // RETURNING promises no order
	return orders, nil
}

// statement is the whole claim. All merchants' orders are found by their due times
// alone; it is another matter where some merchants are left out.
func (c Claim) statement() (string, pgx.StrictNamedArgs) {
	_, args := c.page()
	page := pageOfSelection
	args["newest"] = 0
	if c.Selection == nil {
		page = pageOfAll
		if c.byMerchant() {
			page = pageByMerchant
		}
		args["newest"] = c.newest()
		args["oldest"] = c.Limit - c.newest()
		args["from_time"] = pgtype.Timestamptz{Time: c.From.NextQueryAt, Valid: true}
		if c.From.ID == 0 {
			args["from_time"] = pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}
		}
		args["from_id"] = c.From.ID
		delete(args, "after_id")
		delete(args, "after_time")
	}
	args["lease"] = c.Lease
	args["worker"] = c.Worker
	args["rate"] = c.Rate
	args["burst"] = burst(c.Rate)
	args["merchant_most"] = c.MerchantMost
	args["held_mids"], args["held"] = c.held()
	return claimPermit + page + claimTake, args
}

// byMerchant reports whether the orders are better found merchant by merchant.
func (c Claim) byMerchant() bool {
	switch {
	case c.ExceptMIDs != nil:
		return true
	case c.MIDs != nil:
		return len(c.MIDs) <= fewMerchants
	}
	return len(c.PausedMIDs) > 0 && c.Merchants <= fewMerchants
}

// held are the columns of c.Held.
func (c Claim) held() (mids []string, counts []int) {
	for mid, n := range c.Held {
		mids, counts = append(mids, mid), append(counts, n)
	}
	return mids, counts
}

// Peek reads the page that [Store.Claim] would take, and takes nothing.
func (s *Store) Peek(ctx context.Context, c Claim) ([]order.Order, error) {
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
func (s *Store) Release(ctx context.Context, orders []order.Order) error {
	if err := s.unclaim(ctx, orders, "lease_until = NULL, claimed_by = NULL,"); err != nil {
		return fmt.Errorf("release claims: %w", err)
	}
	return nil
}

// Forgive takes claims off the orders' counts of unrecorded ones, whose answers
// came and could not be written for no fault of theirs. Their leases go on.
func (s *Store) Forgive(ctx context.Context, orders []order.Order) error {
	if err := s.unclaim(ctx, orders, ""); err != nil {
		return fmt.Errorf("forgive claims: %w", err)
	}
	return nil
}

// unclaim takes the claims that are still ours off their orders' counts, and sets
// what else is given.
func (s *Store) unclaim(ctx context.Context, orders []order.Order, set string) error {
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

func (s *Store) readOrders(ctx context.Context, sql string, args pgx.StrictNamedArgs) ([]order.Order, error) {
	rows, err := s.pool.Query(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[order.Order])
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
		"mids":         c.MIDs,
		"except":       c.ExceptMIDs,
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

func (c Claim) before(a, b order.Order) int {
	if c.Selection == nil && a.NextQueryAt != nil && b.NextQueryAt != nil {
		if d := a.NextQueryAt.Compare(*b.NextQueryAt); d != 0 {
			return d
		}
	}
	return cmp.Compare(a.ID, b.ID)
}
