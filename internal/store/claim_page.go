package store

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"reconciler/internal/order"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// claimedRow is a row of a claim's result: an order, whose ID is 0 where there is none, and why.
type claimedRow struct {
	order.Order

	AppInForce, AppProbed  bool // the app's pause, and its probe in flight
	AppByHand              bool // the pause is a person's
	AppHalfOpen, AppLocked bool // the app's probe may be claimed, and by this statement
	FailedOrderID          int64
	FailedMID              string
	MerchantsHalfOpen      bool
	Tokens                 *float64 // of the budget; nil: there is none
	MoreDue                bool
	Dropped                []int64 // orders whose lease a trigger dropped
	HeadShort              bool    // the first due orders are not all, and do not fill the claim
	LastMID                string  // that was looked at; "" is the last of all
	Took                   time.Duration
}

// claimPage claims a page: due or selected orders, and the probes of merchants that are half-open.
// If the app itself is half-open, it is one probe. With an error, the page has the orders that were
// claimed before it.
func (s *Store) claimPage(ctx context.Context, c Claim) (Page, error) {
	why, orders, err := s.runClaim(ctx, c.plan())
	if err == nil && c.Rate > 0 && why.Tokens == nil {
		if err = s.OpenBudget(ctx, c.App, c.Rate); err == nil { // somebody deleted it
			why, orders, err = s.runClaim(ctx, c.plan())
		}
	}
	if err == nil && why.AppHalfOpen {
		why, orders, err = s.claimAppProbe(ctx, c, why)
	} else if err == nil && why.MerchantsHalfOpen {
		orders, err = s.claimMerchantProbes(ctx, c, orders)
	}
	if err != nil {
		return Page{Orders: orders}, err
	}
	return why.page(c, orders), nil
}

// page is the result that the statement's last row explains.
func (w claimedRow) page(c Claim, orders []order.Order) Page {
	page := Page{Orders: orders, Refused: w.droppedClaims(), MoreDue: w.MoreDue, Round: w.nextRound(c), At: w.ClaimedAt, Took: w.Took}
	switch {
	case len(orders) > 0:
	case w.AppInForce:
		page.Paused, page.ProbeInFlight, page.ByHand = true, w.AppProbed, w.AppByHand
	case w.AppHalfOpen && !w.AppLocked:
		page.Paused, page.ProbeInFlight = true, true // another instance claims it now
	case w.Tokens != nil && *w.Tokens < 1:
		page.NextToken = untilWorthwhile(*w.Tokens, c.Rate)
	}
	return page
}

func (w claimedRow) droppedClaims() []Refusal {
	var list []Refusal
	for _, id := range w.Dropped {
		list = append(list, Refusal{ID: id, Err: errDropped})
	}
	return list
}

// untilWorthwhile is the time until a budget allows about a tenth of a second's round trips.
func untilWorthwhile(tokens, rate float64) time.Duration {
	missing := max(1, math.Floor(rate/10)) - tokens
	return time.Duration(missing / rate * float64(time.Second))
}

// claimOneByOne claims what a page would hold, each order by a statement of its own.
func (s *Store) claimOneByOne(ctx context.Context, c Claim) (Page, error) {
	seen := make(map[int64]bool)
	var page Page
	suspects := c.Suspects
	for _, sql := range c.peekPlans() {
		orders, err := collectRows[peekedOrder](ctx, s.pool, sql.text, sql.args)
		if err != nil {
			return Page{}, err
		}
		for _, o := range orders {
			isSuspect := o.UnrecordedClaims >= suspectClaims
			if seen[o.ID] || len(page.Orders) >= c.Limit || isSuspect && !suspects {
				continue
			}
			seen[o.ID] = true
			plan := c.onePlan(o.ID)
			plan.limit = s.maxAlone
			why, claimed, err := s.runClaim(ctx, plan)
			switch {
			case isOfOneRow(err):
				page.Refused = append(page.Refused, Refusal{ID: o.ID, Err: nameFunction(err)})
				continue
			case err != nil && ctx.Err() != nil && len(page.Refused)+len(page.Orders) > 0:
				page.Unsure = true
				return page, nil // the time went by behind locks or triggers: the next claim goes on
			case err != nil:
				return Page{}, err
			case len(claimed) == 0 && (why.AppInForce || why.AppHalfOpen || why.Tokens != nil && *why.Tokens < 1):
				explained := why.page(c, page.Orders)
				explained.Refused = append(page.Refused, explained.Refused...)
				return explained, nil
			}
			page.Refused = append(page.Refused, why.droppedClaims()...)
			suspects = suspects && !isSuspect
			page.Orders = append(page.Orders, claimed...)
		}
	}
	return page, nil
}

// plan is the claim of a page of due or selected orders. All merchants' orders are found by their
// due times alone. If some merchants are left out, they are found by merchant as well.
func (c Claim) plan() claimPlan {
	page, suspect := pageOfAll+noWindow, withSuspect(isQueued+` AND o.next_query_at <= now()`, `o.next_query_at, o.id`, isDue)
	switch {
	case c.Selection != nil:
		page, suspect = pageOfSelection+noWindow, withSuspect(isSelected+` AND `+isSuspect, `o.id`, isSelected)
	case c.byMerchant():
		page = pageByMerchant()
	}
	if !c.Suspects || c.From != (Cursor{}) || c.After != (Cursor{}) {
		suspect = withoutSuspect
	}
	return claimPlan{
		text: c.narrowToIDs(claimPermit + page + suspect + noMerchantLock + claimTake), args: c.claimArgs(), guided: c.Selection == nil,
	}
}

// probesPlan is the claim of one order of each merchant that is half-open.
func (c Claim) probesPlan() claimPlan {
	page := pageOfProbes(dueOfMerchant, `o.mid, o.next_query_at, o.id`)
	if c.Selection != nil {
		page = pageOfProbes(selectedOfMerchant, `o.id`)
	}
	args := c.claimArgs()
	args["merchant_probes"], args["keep_room"] = true, false
	return claimPlan{text: c.narrowToIDs(claimPermit + page + noWindow + claimTake), args: args}
}

// onePlan is the claim of one order, which is a probe where its app or merchant is half-open.
func (c Claim) onePlan(id int64) claimPlan {
	condition := isDue
	if c.Selection != nil {
		condition = isSelected
	}
	args := c.claimArgs()
	args["only_id"], args["limit"], args["keep_room"] = id, 1, false
	args["app_probe"], args["merchant_probes"] = true, true
	return claimPlan{text: claimPermit + pageOfOne(condition) + noWindow + claimTake, args: args}
}

// maxRecent is the share of the lane of recent orders. A claim of a few orders has none.
func (c Claim) maxRecent() int {
	if !c.Lanes || c.Limit < 4 {
		return 0
	}
	return (c.Limit + 3) / 4
}

// suspectClaims is how many claims that count toward poison make a suspect.
const suspectClaims = 2

// isSuspect reports whether an order was a suspect before it was claimed.
func (c Claim) isSuspect(o order.Order) bool {
	return o.UnrecordedClaims-c.poisonCount() >= suspectClaims
}

// poisonCount is by how much a claim counts toward poison.
func (c Claim) poisonCount() int {
	if c.Uncounted {
		return 0
	}
	return 1
}

// claimArgs are the arguments of every claim.
func (c Claim) claimArgs() pgx.NamedArgs {
	_, args := c.fromClause()
	args["app_probe"], args["merchant_probes"], args["keep_room"] = false, false, c.keepsRoom()
	args["with_suspects"] = false
	args["max_recent"] = c.maxRecent()
	args["max_longest_due"] = c.Limit - c.maxRecent()
	args["from_time"] = pgtype.Timestamptz{Time: c.From.NextQueryAt, Valid: true}
	if c.From.ID == 0 {
		args["from_time"] = pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}
	}
	args["from_id"] = c.From.ID
	args["from_mid"], args["window"], args["per_merchant"] = c.Round.Behind, merchantWindow, c.maxPerLook()
	args["window_mids"] = c.windowMIDs()
	args["worker"] = c.Worker
	args["counted"] = c.poisonCount()
	args["rate"] = c.Rate
	args["burst"] = burstOf(c.Rate)
	args["max_per_merchant"] = c.MaxPerMerchant
	args["hand_mids"], args["hand"] = splitCounts(c.InHand)
	args["cap_mids"], args["caps"] = splitCounts(c.MerchantCaps)
	return args
}

// keepsRoom reports whether an order less is claimed for the sake of a merchant's probe. A claim of
// one order leaves it to chance.
func (c Claim) keepsRoom() bool { return c.Limit > 1 || rand.IntN(2) == 0 }

// page is the statement that reads a page.
func (c Claim) page() (string, pgx.NamedArgs) {
	from, args := c.fromClause()
	return readPage(orderColumns, from), args
}

func readPage(columns, from string) string {
	return "WITH " + controls + " SELECT " + columns + from
}

// peekedOrder is what is read of an order before it is claimed alone. No text is: in a database of
// encoding SQL_ASCII it may be what refused the claim.
type peekedOrder struct {
	ID               int64
	UnrecordedClaims int
}

const peekedColumns = `o.id, o.unrecorded_claims`

// peekPlans are the statements that read what a claim would take: from both ends of what is due.
func (c Claim) peekPlans() []claimPlan {
	from, args := c.fromClause()
	plans := []claimPlan{{text: readPage(peekedColumns, from), args: args}}
	if recent := c.maxRecent(); recent > 0 && c.Selection == nil {
		_, args := c.fromClause()
		args["limit"] = recent
		plans = append(plans, claimPlan{text: readPage(peekedColumns, recentPage), args: args})
	}
	return plans
}

// fromClause is the text of a page, from its FROM on, and its arguments.
func (c Claim) fromClause() (string, pgx.NamedArgs) {
	args := pgx.NamedArgs{
		"app":             c.App,
		"despite":         c.DespitePause,
		"lease":           c.Lease,
		"mids":            c.MIDs,
		"except":          c.ExceptMIDs,
		"paused":          nonNil(slices.Concat(c.PausedMIDs, c.LimitedMIDs)),
		"merchant_probes": true, // a page that is only read shows them as well
		"asked_before":    c.AskedBefore,
		"except_ids":      nonNil(c.ExceptIDs),
		"with_suspects":   true,
		"after_id":        c.After.ID,
		"limit":           c.Limit,
	}
	if c.Selection == nil {
		args["after_time"] = c.After.NextQueryAt
		return duePage, args
	}
	args["review"] = c.Selection.Review || c.Selection.OnlyReview
	args["only_review"] = c.Selection.OnlyReview
	args["ids"] = c.Selection.IDs
	args["mer_order_ids"] = c.Selection.MerOrderIDs
	args["mid"] = c.Selection.MID
	args["created_since"] = c.Selection.CreatedSince
	args["created_until"] = c.Selection.CreatedUntil
	return c.narrowToIDs(selectedPage), args
}

// narrowToIDs leaves the planner no choice where a selection has ids: it finds the orders by them,
// also in a plan that is made for any arguments.
func (c Claim) narrowToIDs(text string) string {
	if c.Selection == nil || c.Selection.IDs == nil {
		return text
	}
	return strings.ReplaceAll(text, isNamed, `o.id = ANY (@ids)`)
}

// splitCounts returns a map as two columns.
func splitCounts(perMerchant map[string]int) (mids []string, counts []int) {
	for mid, n := range perMerchant {
		mids, counts = append(mids, mid), append(counts, n)
	}
	return mids, counts
}

// nonNil replaces a nil list, which would be null and make "not any of them" unknown.
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
