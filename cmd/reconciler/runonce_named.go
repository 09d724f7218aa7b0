package main

import (
	"context"
	"fmt"
	"slices"

	"reconciler/internal/operator"
	"reconciler/internal/order"
	"reconciler/internal/poller"
	"reconciler/internal/store"
)

// namedOrders are the orders that --mer-order-id and --from name, each once. A number without its
// merchant may still be the order of another name: see [store.Store.LookUp].
func (c *runOnceCommand) namedOrders() ([]store.NamedOrder, error) {
	var list []store.NamedOrder
	for _, number := range c.MerOrderIDs {
		list = append(list, store.NamedOrder{MerOrderID: string(number)})
	}
	if c.From == "" {
		return operator.Distinct(list), nil
	}
	more, err := readList(string(c.From))
	return operator.Distinct(append(list, more...)), err
}

// account keeps what is needed to account for every named order.
type account struct {
	operator.Account

	list       []store.NamedOrder
	selection  store.Selection
	isReported bool
}

// reportUnstarted accounts for named orders where a stop came before they were looked up.
func (c *runOnceCommand) reportUnstarted(p *process, named *account) error {
	if len(named.list) == 0 || named.isReported {
		return nil
	}
	stopped := report{DryRun: c.DryRun, Selected: len(named.list), ByStatus: map[order.Status]int{}}
	for _, n := range named.list {
		stopped.Orders = append(stopped.Orders, operator.NamedResult{MID: orNull(n.MID), MerOrderID: n.MerOrderID, Skipped: operator.SkippedStopped})
	}
	return p.printResult(c.Output, &stopped, stopped.page())
}

// lookUp finds the named orders and narrows the selection to them.
func (a *account) lookUp(ctx context.Context, orders *store.Store, selection *store.Selection) (err error) {
	a.selection = *selection
	if a.Named, err = orders.LookUp(ctx, a.list, a.selection); err != nil {
		return err
	}
	selection.IDs = []int64{}
	for _, n := range a.Named {
		if n.ID != 0 {
			selection.IDs = append(selection.IDs, n.ID)
		}
	}
	a.Outcomes = make(map[int64]order.Outcome, len(a.Named))
	return nil
}

// lacksOrders reports whether a named order does not exist. One that another flag leaves out does.
func (a *account) lacksOrders() bool {
	return slices.ContainsFunc(a.Named, func(n store.NamedState) bool { return !n.Known })
}

// leavesToBreaker reports whether a named order could not be asked because of the circuit breaker:
// that of its app id, or the pause that it has set for the merchant.
func leavesToBreaker(list []operator.NamedResult) bool {
	return slices.ContainsFunc(list, func(r operator.NamedResult) bool { return r.Skipped == operator.SkippedBreaker })
}

// namedResults accounts for every named order once the run is over, however it ended.
func (a *account) namedResults(ctx context.Context, orders *store.Store, r resolved, summary poller.Summary, limit int) ([]operator.NamedResult, error) {
	a.Stopped = ctx.Err() != nil
	ctx = context.WithoutCancel(ctx)
	after, err := orders.LookUp(ctx, a.list, a.selection)
	if err != nil {
		return nil, err
	}
	a.After = make(map[int64]store.NamedState, len(after))
	for _, n := range after {
		a.After[n.ID] = n
	}
	if a.Pauses, err = orders.Controls(ctx); err != nil {
		return nil, err
	}
	for _, app := range r.clients.listApps() {
		a.Apps = append(a.Apps, operator.InstanceApp{AppID: app.AppID, MIDs: app.MIDs})
	}
	a.BreakerApps = summary.PausedApps
	a.Limit = limit > 0 && summary.Asked >= limit
	return a.Results(), nil
}

// accountRows are the account, and a sentence for each kind that was left out.
func accountRows(list []operator.NamedResult) []operator.Row {
	rows := []operator.Row{operator.RowOf(""), operator.RowOf("MID", "MER_ORDER_ID", "ID", "BEFORE", "AFTER", "DECISION", "REASON")}
	counts := make(map[operator.Skipped]int)
	for _, r := range list {
		decision, id := string(r.Decision), "-"
		if r.Skipped != "" {
			decision = "skipped: " + string(r.Skipped)
			counts[r.Skipped]++
		}
		if r.ID != nil {
			id = fmt.Sprint(*r.ID)
		}
		rows = append(rows, operator.RowOf(textOrDash(r.MID), r.MerOrderID, id, textOrDash(r.Before), textOrDash(r.After), decision, r.Reason))
	}
	rows = append(rows, operator.RowOf(""))
	for _, left := range []struct {
		kind operator.Skipped
		text string
	}{
		{operator.SkippedNoSuchOrder, "not in the table, or not within the other flags"},
		{operator.SkippedSettled, "settled already"},
		{operator.SkippedUnderReview, "under review: --review asks them too"},
		{operator.SkippedPaused, "of a paused merchant or app id: --despite-pause asks them too"},
		{operator.SkippedBreaker, "kept back by the circuit breaker: run again when the gateway answers; --despite-pause sends one as the probe"},
		{operator.SkippedInFlight, "in flight: another process is asking; run again if they stay open"},
		{operator.SkippedLimit, "beyond --limit: raise it, or run again"},
		{operator.SkippedStopped, "not reached before the stop: run again"},
	} {
		if n := counts[left.kind]; n > 0 {
			rows = append(rows, operator.RowOf(pluralOf(n, "order", "orders")+" "+left.text))
		}
	}
	return rows
}

func textOrDash[T ~string](text *T) string {
	if text == nil {
		return "-"
	}
	return string(*text)
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
