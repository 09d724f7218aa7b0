package operator

import (
	"slices"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// Skipped says why a named order was not asked.
type Skipped string

// The kinds.
const (
	SkippedNoSuchOrder Skipped = "no_such_order"
	SkippedSettled     Skipped = "settled"
	SkippedUnderReview Skipped = "under_review"
	SkippedPaused      Skipped = "paused"
	SkippedInFlight    Skipped = "in_flight"
	SkippedLimit       Skipped = "limit"
	SkippedBreaker     Skipped = "breaker"
	SkippedStopped     Skipped = "stopped"
)

// NamedResult is what became of a named order.
type NamedResult struct {
	MID        *string       `json:"mid"`
	MerOrderID string        `json:"mer_order_id"`
	ID         *int64        `json:"id"`
	Before     *order.Status `json:"before"`
	After      *order.Status `json:"after"`

	Decision order.Decision `json:"decision,omitempty"`
	Reason   string         `json:"reason,omitempty"`
	Skipped  Skipped        `json:"skipped,omitempty"`
}

// Account is what is known of a run that was about named orders.
type Account struct {
	Named    []store.NamedState      // before the run
	Outcomes map[int64]order.Outcome // of the orders that were asked, by id
	After    map[int64]store.NamedState
	Pauses   []store.Control // in force at the end
	Apps     []InstanceApp
	// BreakerApps are app ids that the run left because of their breaker, in force at the end or not.
	BreakerApps []string

	Review  bool // --review
	Despite bool // --despite-pause
	Limit   bool // --limit was reached
	Stopped bool
}

// Results accounts for every named order.
func (a Account) Results() []NamedResult {
	list := make([]NamedResult, len(a.Named))
	for i, n := range a.Named {
		r := NamedResult{MID: nullText(n.MID), MerOrderID: n.MerOrderID}
		if n.ID == 0 {
			r.Skipped = SkippedNoSuchOrder
			list[i] = r
			continue
		}
		r.ID, r.Before, r.After = &n.ID, &n.Status, &n.Status
		if out, asked := a.Outcomes[n.ID]; asked {
			r.After, r.Decision, r.Reason = &out.Status, out.Decision, out.Reason
		} else {
			r.Skipped = a.whyNotAsked(n)
			if after, found := a.After[n.ID]; found {
				r.After = &after.Status
			}
		}
		list[i] = r
	}
	return list
}

// whyNotAsked tells why an order was not asked. What the row said before the run comes first.
func (a Account) whyNotAsked(n store.NamedState) Skipped {
	if skipped := a.reasonOfRow(n); skipped != "" {
		return skipped
	}
	p := pauseOf(a.Pauses, a.Apps, n.MID)
	switch {
	case p != nil && p.SetBy == store.Breaker:
		return SkippedBreaker
	case p != nil && !a.Despite:
		return SkippedPaused
	case slices.Contains(a.BreakerApps, appOf(a.Apps, n.MID)):
		return SkippedBreaker
	case a.Limit:
		return SkippedLimit
	case a.Stopped:
		return SkippedStopped
	}
	if skipped := a.reasonOfRow(a.After[n.ID]); skipped != "" {
		return skipped // it changed while the run went on
	}
	if p != nil {
		return SkippedBreaker // asked despite a person's pause, and in trouble
	}
	return SkippedInFlight // another process took it meanwhile
}

// reasonOfRow is the reason that the row itself gives.
func (a Account) reasonOfRow(n store.NamedState) Skipped {
	switch {
	case n.Status.Settled():
		return SkippedSettled
	case n.ReviewReason != "" && !a.Review:
		return SkippedUnderReview
	case n.InFlight:
		return SkippedInFlight
	}
	return ""
}
