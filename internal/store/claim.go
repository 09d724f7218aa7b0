package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"reconciler/internal/order"

	"github.com/jackc/pgx/v5"
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
	// LimitedMIDs have all that they may have, and are left out as well. But the probe of an app
	// may be about them: nobody of the app is asked before it.
	LimitedMIDs []string
	// ExceptIDs are orders that wait aside and are not claimed.
	ExceptIDs []int64
	// Suspects allows one suspect, an order with two claims that count toward poison. Without it
	// none is claimed.
	Suspects bool
	// MaxPerMerchant bounds the orders of one merchant in the claimer's hands, with those in
	// InHand; 0 is no bound. MerchantCaps has smaller bounds for single merchants, such as those
	// that hang.
	MaxPerMerchant       int
	InHand, MerchantCaps map[string]int // by mid
	// Uncounted claims never count toward poison: they are probes while answers cannot be written.
	Uncounted bool
	// DespitePause claims also what is paused. Where the breaker set the pause, one order is its
	// probe.
	DespitePause bool
	// AskedBefore, when set, leaves out orders that were asked at or after it, so that a run asks
	// no order twice. What lies ahead was asked before the clock was set back.
	AskedBefore *time.Time
	// Lanes leaves a part of the claim to orders that have just become due, in the presence of a
	// backlog. Without it, the longest due come first.
	Lanes bool
	// Selection, when set, replaces "due": these orders, whatever their due time.
	Selection *Selection
	// Round is where a claim that leaves merchants out goes on in the round of the merchants.
	Round Round
	// From is where a claim of due orders begins to look; zero is the beginning. What lies before
	// has been claimed, as a rule, and its remains in the index take time to pass.
	From Cursor
	// After is where the page before ended; zero is the beginning. Only pages of a selection, and
	// pages that claim nothing, need it.
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

// Selection picks orders by hand. Its fields narrow each other; the zero value picks every order
// that is unresolved or NOT_FOUND, in flight and under review excepted.
type Selection struct {
	IDs          []int64 // nil: whatever id
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
	Refused []Refusal // rows whose own claim was refused or dropped: leave them aside
	// Unsure reports that one more order may have been claimed: the time ended meanwhile.
	Unsure bool
	// Paused reports that the app is paused, or that its probe is in flight.
	Paused        bool
	ProbeInFlight bool // Paused because of a probe, of this instance or another
	ByHand        bool // Paused by a person
	// NextToken, above 0, reports that the budget allowed no order. It is the time until the budget
	// allows about a tenth of a second's round trips.
	NextToken time.Duration
	// Round is where the next claim goes on. It is zero where the merchants behind have nothing
	// due.
	Round Round
	// At is the database's time of the claim; zero where it is not known.
	At time.Time
	// Took is the server's time for the claim: no network is in it.
	Took time.Duration
	// MoreDue reports that a limit in the claim left out something that is due. It is only a hint:
	// false does not mean that nothing was left out.
	MoreDue bool
}

// Refusal is an order whose claim the database refused because of the row itself.
type Refusal struct {
	ID  int64
	Err error
}

// Claim takes at most c.Limit orders. They are leased to c.Worker until the lease ends or their
// outcome is recorded. If the database refuses the statement because of one row, each order of the
// page is claimed alone. Those that cannot be are in [Page.Refused].
func (s *Store) Claim(ctx context.Context, c Claim) (Page, error) {
	page, err := s.claimPage(ctx, c)
	if isOfOneRow(err) {
		rest := c
		rest.Limit -= len(page.Orders)
		claimed := page.Orders // before a probe was refused
		page, err = s.claimOneByOne(ctx, rest)
		page.Orders = append(claimed, page.Orders...)
	}
	if err != nil {
		return Page{}, fmt.Errorf("claim orders: %w", err)
	}
	slices.SortFunc(page.Orders, c.compareOrders) // RETURNING promises no order
	return page, nil
}

// Peek reads the page that [Store.Claim] would take, suspects and merchants' probes included, and
// takes nothing.
func (s *Store) Peek(ctx context.Context, c Claim) (Page, error) {
	why, err := s.whyPaused(ctx, c)
	if err != nil || why.Paused {
		return why, err
	}
	sql, args := c.page()
	orders, err := s.readOrders(ctx, sql, args)
	if err != nil {
		return Page{}, fmt.Errorf("select orders: %w", err)
	}
	return Page{Orders: orders}, nil
}

// whyPaused reads the state of the app.
func (s *Store) whyPaused(ctx context.Context, c Claim) (Page, error) {
	var page Page
	err := s.pool.QueryRow(ctx, `
		SELECT coalesce(bool_or(`+isInForce+`), false), coalesce(bool_or(`+isProbed+`), false),
		       coalesce(bool_or(`+isInForce+` AND c.set_by <> 'breaker'), false)
		FROM gateway_controls AS c WHERE c.scope = 'app' AND c.key = @app`,
		pgx.NamedArgs{"app": c.App, "despite": c.DespitePause}).Scan(&page.Paused, &page.ProbeInFlight, &page.ByHand)
	if err != nil {
		return Page{}, fmt.Errorf("read the pauses: %w", err)
	}
	return page, nil
}

// Count is how many orders the pages of c would hold together, at most c.Limit.
func (s *Store) Count(ctx context.Context, c Claim) (int, error) {
	from, args := c.fromClause()
	var n int
	err := s.pool.QueryRow(ctx, "WITH "+controls+" SELECT count(*) FROM (SELECT 1 "+from+") AS page", args).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count orders: %w", err)
	}
	return n, nil
}

// CountByMerchant is how many orders the pages of c would hold together, by merchant.
func (s *Store) CountByMerchant(ctx context.Context, c Claim) (map[string]int, error) {
	from, args := c.fromClause()
	counts, err := collectRows[struct {
		MID    string
		Orders int
	}](ctx, s.pool, "WITH "+controls+" SELECT mid, count(*) AS orders FROM (SELECT o.mid "+from+") AS page GROUP BY mid", args)
	if err != nil {
		return nil, fmt.Errorf("count the orders of merchants: %w", err)
	}
	byMerchant := make(map[string]int, len(counts))
	for _, c := range counts {
		byMerchant[c.MID] = c.Orders
	}
	return byMerchant, nil
}

func (s *Store) readOrders(ctx context.Context, sql string, args pgx.NamedArgs) ([]order.Order, error) {
	return collectRows[order.Order](ctx, s.pool, sql, args)
}

// compareOrders is the order of a page. In a selection suspects come first, so that the last order
// is where the next page begins.
func (c Claim) compareOrders(a, b order.Order) int {
	if c.Selection != nil && c.isSuspect(a) != c.isSuspect(b) {
		if c.isSuspect(a) {
			return -1
		}
		return 1
	}
	if c.Selection == nil && a.NextQueryAt != nil && b.NextQueryAt != nil {
		if d := a.NextQueryAt.Compare(*b.NextQueryAt); d != 0 {
			return d
		}
	}
	return cmp.Compare(a.ID, b.ID)
}
