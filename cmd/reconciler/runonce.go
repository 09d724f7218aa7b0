package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/schollz/progressbar/v3"

	"reconciler/internal/operator"
	"reconciler/internal/order"
	"reconciler/internal/poller"
	"reconciler/internal/store"
)

// errIncomplete ends run-once when an order could not be asked about.
var errIncomplete = errors.New("not every order could be asked about")

// errStopped ends a run-once that was stopped before it knew what it leaves unasked.
var errStopped = errors.New("stopped before the orders were asked; they stay due")

type runOnceCommand struct {
	service

	MerOrderIDs  []givenText `name:"mer-order-id" sep:"none" placeholder:"NUMBER" group:"Selection (without any: all due orders):" help:"Only this order. May be given more than once."`
	From         givenText   `name:"from" placeholder:"FILE" group:"Selection (without any: all due orders):" help:"Only the orders of a list, one number a line or a CSV with a column mer_order_id (and mid, if need be); - is stdin."`
	MID          givenText   `name:"mid" placeholder:"MID" group:"Selection (without any: all due orders):" help:"Only orders of this merchant."`
	CreatedSince *moment     `name:"created-since" placeholder:"TIME" group:"Selection (without any: all due orders):" help:"Only orders created at or after this time (RFC 3339), or of at most this age (36h, 7d)."`
	CreatedUntil *moment     `name:"created-until" placeholder:"TIME" group:"Selection (without any: all due orders):" help:"Only orders created before this time, or of at least this age."`
	All          bool        `name:"all" group:"Selection (without any: all due orders):" help:"All unresolved and NOT_FOUND orders."`
	Review       bool        `name:"review" group:"Selection (without any: all due orders):" help:"Add orders under review. Alone: only orders under review."`
	Limit        *int        `name:"limit" group:"Selection (without any: all due orders):" placeholder:"N" help:"Ask at most this many orders."`
	DespitePause bool        `name:"despite-pause" help:"Ask orders of paused merchants and app ids too. It is recorded. Where the circuit breaker paused, one question is its probe."`
	DryRun       bool        `name:"dry-run" help:"Ask and decide, but claim and write nothing. Lists the orders that would change."`
	Output       string      `name:"output" default:"text" enum:"text,json" help:"Format of the summary on stdout: text or json."`
}

// maxOrders bounds the orders that are asked; 0 = no limit.
func (c *runOnceCommand) maxOrders() int {
	if c.Limit == nil {
		return 0
	}
	return *c.Limit
}

// Run does one pass. It fails with [errIncomplete] when an order could not be asked about, also
// because of a stop.
func (c *runOnceCommand) Run(p *process) error {
	outliveReaders()
	var limitErr error
	if c.Limit != nil && *c.Limit < 1 {
		limitErr = fmt.Errorf("--limit must be at least 1, not %d", *c.Limit)
	}
	r, err := c.resolveSettings(p, limitErr)
	if err != nil {
		return err
	}
	list, err := c.namedOrders()
	if err != nil {
		return usageError{err}
	}
	orders, err := store.Open(p.ctx, c.Database.URL)
	if err != nil {
		return usageError{err}
	}
	defer orders.Close()
	defer orders.WatchLocks(p.ctx, p.tellWait)()
	named := &account{list: list, Account: operator.Account{Review: c.Review, Despite: c.DespitePause}}
	err = c.catchUp(p, r, orders, named)
	if p.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return errors.Join(c.reportUnstarted(p, named), errStopped)
	}
	return err
}

func (c *runOnceCommand) catchUp(p *process, r resolved, orders *store.Store, named *account) error {
	if err := checkDatabase(p.ctx, orders, store.ForDaemon); err != nil {
		if store.IsTransient(err) {
			return err
		}
		return usageError{err}
	}
	warnAboutRowSecurity(p.ctx, orders, p.newLogger())
	selection, err := c.readSelection(p.ctx, orders)
	if err != nil {
		return err
	}
	if len(named.list) > 0 {
		if err := named.lookUp(p.ctx, orders, selection); err != nil {
			return err
		}
	}
	if err := c.recordDespite(p, orders); err != nil {
		return err
	}
	run := poller.Run{Once: true, Selection: selection, Limit: c.maxOrders(), DryRun: c.DryRun, DespitePause: c.DespitePause}
	return c.runPass(p, r, orders, run, named)
}

// runPass runs, shows the progress and prints the summary, also of a pass that
// could not be finished.
func (c *runOnceCommand) runPass(p *process, r resolved, orders *store.Store, run poller.Run, named *account) error {
	bar := (*progressbar.ProgressBar)(nil)
	report := report{DryRun: c.DryRun}
	r.options.Observer = recordedFunc{recorded: func(out order.Outcome) {
		report.addOutcome(out)
		if named.Outcomes != nil {
			named.Outcomes[out.Order.ID] = out
		}
		if bar != nil {
			_ = bar.Add(1)
		}
	}}
	logger := p.newLogger()
	warnAboutFiles(p.ctx, logger, r.warnings)
	asker, err := r.newPoller(orders, logger)
	if err != nil {
		return err
	}
	defer r.clients.closeAll()
	count, err := asker.Count(p.ctx, run)
	if err != nil {
		return err
	}
	if isTerminal(p.stderr) {
		bar = progressbar.NewOptions(count, progressbar.OptionSetWriter(p.stderr), progressbar.OptionShowCount(),
			progressbar.OptionSetDescription("asking"), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
		defer func() { _ = bar.Finish() }()
	}
	summary, runErr := asker.RunOnce(p.ctx, run)
	report.fillFrom(summary, count)
	if len(named.list) > 0 {
		list, err := named.namedResults(p.ctx, orders, r, summary, run.Limit)
		report.Orders, runErr = list, errors.Join(runErr, err)
	}
	named.isReported = true
	if err := errors.Join(p.printResult(c.Output, &report, report.page()), runErr); err != nil {
		return err
	}
	c.tellPauses(p, orders, run, summary, named)
	left := p.ctx.Err() != nil && report.Asked < report.Selected
	if left || !summary.Complete() || named.lacksOrders() || leavesToBreaker(report.Orders) {
		return errIncomplete
	}
	return nil
}

// recordedFunc observes the answers that are written, one at a time.
type recordedFunc struct {
	poller.Unobserved

	recorded func(order.Outcome)
}

// Recorded passes the answer on.
func (f recordedFunc) Recorded(out order.Outcome) { f.recorded(out) }

// readSelection returns nil where no flag selects. Then the pass asks all due orders.
func (c *runOnceCommand) readSelection(ctx context.Context, orders *store.Store) (*store.Selection, error) {
	narrowed := len(c.MerOrderIDs) > 0 || c.From != "" || c.MID != "" || c.CreatedSince != nil || c.CreatedUntil != nil || c.All
	if !narrowed && !c.Review {
		return nil, nil
	}
	now, err := orders.Now(ctx)
	if err != nil {
		return nil, err
	}
	return &store.Selection{
		MID:          string(c.MID),
		CreatedSince: c.CreatedSince.timeBefore(now), CreatedUntil: c.CreatedUntil.timeBefore(now),
		Review: c.Review, OnlyReview: c.Review && !narrowed,
	}, nil
}

// report is the summary as it is printed.
type report struct {
	Selected   int                  `json:"selected"`
	Asked      int                  `json:"asked"`
	Settled    int                  `json:"settled"`
	Deferred   int                  `json:"deferred"`
	NotFound   int                  `json:"not_found"`
	Review     int                  `json:"review"`
	NoAnswer   int                  `json:"no_answer"`
	Refused    int                  `json:"refused"`
	Superseded int                  `json:"superseded"`
	ByStatus   map[order.Status]int `json:"by_status"`
	Seconds    float64              `json:"duration_seconds"`
	DryRun     bool                 `json:"dry_run"`
	Changes    *[]change            `json:"changes,omitempty"` // of a dry run

	Orders []operator.NamedResult `json:"orders,omitempty"` // that were named
}

// change is an order whose status or review would change.
type change struct {
	ID         int64          `json:"id"`
	MID        string         `json:"mid"`
	MerOrderID *string        `json:"mer_order_id"`
	From       order.Status   `json:"from"`
	To         order.Status   `json:"to"`
	Decision   order.Decision `json:"decision"`
	Reason     string         `json:"reason"`
}

func (r *report) addOutcome(out order.Outcome) {
	if !r.DryRun {
		return
	}
	if r.Changes == nil {
		r.Changes = &[]change{}
	}
	if !out.ChangesOrder() {
		return
	}
	*r.Changes = append(*r.Changes, change{
		ID: out.Order.ID, MID: out.Order.MID, MerOrderID: orNull(out.Order.MerOrderID),
		From: out.Order.Status, To: out.Status, Decision: out.Decision, Reason: out.Reason,
	})
}

func (r *report) fillFrom(s poller.Summary, count int) {
	if r.DryRun && r.Changes == nil {
		r.Changes = &[]change{}
	}
	r.Selected, r.Asked = max(count, s.Asked), s.Asked
	r.Settled, r.Deferred, r.NotFound = s.Decisions[order.Settled], s.Decisions[order.Deferred], s.Decisions[order.NotFound]
	r.Review, r.NoAnswer, r.Refused = s.Decisions[order.Review], s.Decisions[order.NoAnswer], s.Decisions[order.Refused]
	r.Superseded = s.Decisions[order.Superseded]
	r.ByStatus, r.Seconds = s.ByStatus, s.Duration.Seconds()
}

func (r *report) page() operator.Page {
	var rows []operator.Row
	for _, row := range []struct {
		name string
		n    int
	}{
		{"selected", r.Selected},
		{"asked", r.Asked},
		{"settled", r.Settled},
		{"deferred", r.Deferred},
		{"not_found", r.NotFound},
		{"review", r.Review},
		{"no_answer", r.NoAnswer},
		{"refused", r.Refused},
		{"superseded", r.Superseded},
	} {
		rows = append(rows, operator.RowOf(row.name, strconv.Itoa(row.n)))
	}
	for _, status := range slices.Sorted(maps.Keys(r.ByStatus)) {
		rows = append(rows, operator.RowOf("now "+string(status), strconv.Itoa(r.ByStatus[status])))
	}
	rows = append(rows, operator.RowOf("duration_seconds", fmt.Sprintf("%.3f", r.Seconds)))
	if r.Changes != nil {
		rows = append(rows, operator.RowOf("dry_run", "nothing was written; "+pluralOf(len(*r.Changes), "order would change", "orders would change")))
		rows = append(rows, changeRows(*r.Changes)...)
	}
	if r.Orders != nil {
		rows = append(rows, accountRows(r.Orders)...)
	}
	return operator.Page{Rows: rows}
}

func changeRows(changes []change) []operator.Row {
	if len(changes) == 0 {
		return nil
	}
	rows := []operator.Row{operator.RowOf(""), operator.RowOf("ID", "MID", "MER_ORDER_ID", "FROM", "TO", "DECISION", "REASON")}
	for _, c := range changes {
		rows = append(rows, operator.RowOf(strconv.FormatInt(c.ID, 10), c.MID, textOrDash(c.MerOrderID), string(c.From), string(c.To), string(c.Decision), c.Reason))
	}
	return rows
}
