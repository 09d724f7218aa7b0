package store

import (
	"cmp"
	"context"
	"fmt"
	"math"
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
	// ExceptIDs are orders that wait aside and are not claimed.
	ExceptIDs []int64
	// Suspects allows one suspect, an order with two claims that count toward poison. Without it
	// none is claimed.
	Suspects bool
	// MaxPerMerchant bounds the orders of one merchant in the claimer's hands, with those in InHand;
	// 0 is no bound. MerchantCaps has smaller bounds for single merchants, such as those that hang.
	MaxPerMerchant       int
	InHand, MerchantCaps map[string]int // by mid
	// Uncounted claims never count toward poison: they are probes while answers cannot be written.
	Uncounted bool
	// DespitePause claims also what is paused. Where the breaker set the pause, one order is its probe.
	DespitePause bool
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

// Page is the result of a claim. If it has no orders, the other fields tell why; if they are zero
// as well, nothing is due.
type Page struct {
	Orders  []order.Order
	Refused []Refusal // rows whose own claim was refused: leave them aside
	// Paused reports that the app is paused, or that its probe is in flight.
	Paused        bool
	ProbeInFlight bool // Paused because of a probe, of this instance or another
	// NextToken, above 0, reports that the budget allowed no order. It is the time until the budget
	// allows about a tenth of a second's round trips.
	NextToken time.Duration
	// MoreDue reports that a limit in the claim left out something that is due. It is only a hint:
	// false does not mean that nothing was left out.
	MoreDue bool
}

// Refusal is an order whose claim the database refused because of the row itself.
type Refusal struct {
	Order order.Order // at least ID and MID
	Err   error
}

// Claim takes at most c.Limit orders. They are leased to c.Worker until the lease ends or their
// outcome is recorded.
func (s *Store) Claim(ctx context.Context, c Claim) (Page, error) {
	sql, args := c.statement()
	orders, err := s.readOrders(ctx, sql, args)
	if err != nil {
		return Page{}, fmt.Errorf("claim orders: %w", err)
	}
	slices.SortFunc(orders, c.before) // RETURNING promises no order
	if len(orders) > 0 {
		return Page{Orders: orders}, nil
	}
	return s.whyEmpty(ctx, c)
}

// whyEmpty explains a claim that brought nothing.
func (s *Store) whyEmpty(ctx context.Context, c Claim) (Page, error) {
	standing, err := s.Standing(ctx, c.App, c.Rate)
	if err != nil {
		return Page{}, err
	}
	page := Page{Paused: standing.Blocked != nil}
	if page.Paused {
		page.ProbeInFlight = standing.Blocked.SetBy == Breaker && standing.Blocked.PausedUntil != nil &&
			!standing.Blocked.PausedUntil.After(time.Now())
		page.Paused = page.ProbeInFlight || !c.DespitePause
	} else if c.Rate > 0 && standing.Tokens < 1 {
		page.NextToken = untilWorthwhile(standing.Tokens, c.Rate)
	}
	return page, nil
}

// untilWorthwhile is the time until a budget allows about a tenth of a second's round trips.
func untilWorthwhile(tokens, rate float64) time.Duration {
	missing := max(1, math.Floor(rate/10)) - tokens
	return time.Duration(missing / rate * float64(time.Second))
}

// statement is the whole claim. All merchants' orders are found by their due times
// alone; it is another matter where some merchants are left out.
func (c Claim) statement() (string, pgx.StrictNamedArgs) {
	_, args := c.page()
	page := pageOfSelection
	args["max_recent"] = 0
	if c.Selection == nil {
		page = pageOfAll
		if c.byMerchant() {
			page = pageByMerchant
		}
		args["max_recent"] = c.maxRecent()
		args["max_longest_due"] = c.Limit - c.maxRecent()
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
	args["counted"] = 1
	if c.Uncounted {
		args["counted"] = 0
	}
	args["rate"] = c.Rate
	args["burst"] = burst(c.Rate)
	args["max_per_merchant"] = c.MaxPerMerchant
	args["hand_mids"], args["hand"] = split(c.InHand)
	args["cap_mids"], args["caps"] = split(c.MerchantCaps)
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

// split returns a map as two columns.
func split(perMerchant map[string]int) (mids []string, counts []int) {
	for mid, n := range perMerchant {
		mids, counts = append(mids, mid), append(counts, n)
	}
	return mids, counts
}

// Peek reads the page that [Store.Claim] would take, and takes nothing.
func (s *Store) Peek(ctx context.Context, c Claim) (Page, error) {
	why, err := s.whyEmpty(ctx, c)
	if err != nil || why.Paused {
		return why, err
	}
	page, args := c.page()
	orders, err := s.readOrders(ctx, "WITH "+controls+") SELECT "+orderColumns+", false AS app_probe, false AS merchant_probe"+page, args)
	if err != nil {
		return Page{}, fmt.Errorf("select orders: %w", err)
	}
	return Page{Orders: orders}, nil
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

func (s *Store) readOrders(ctx context.Context, sql string, args pgx.StrictNamedArgs) ([]order.Order, error) {
	rows, err := s.pool.Query(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[order.Order])
}

// maxRecent is the share of the lane of recent orders. A claim of a few orders has none.
func (c Claim) maxRecent() int {
	if !c.Lanes || c.Limit < 4 {
		return 0
	}
	return (c.Limit + 3) / 4
}

// page is the text of a page and its arguments.
func (c Claim) page() (string, pgx.StrictNamedArgs) {
	args := pgx.StrictNamedArgs{
		"app":          c.App,
		"despite":      c.DespitePause,
		"mids":         c.MIDs,
		"except":       c.ExceptMIDs,
		"paused":       nonNil(c.PausedMIDs),
		"asked_before": c.AskedBefore,
		"except_ids":   nonNil(c.ExceptIDs),
		"suspects":     c.Suspects,
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

// nonNil replaces a nil list, which would be null and make "not any of them" unknown.
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
