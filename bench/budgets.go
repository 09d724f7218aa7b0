package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Each of some app ids has a merchant of its own, and a budget.
const (
	budgetApps    = 20
	budgetRate    = 50
	budgetWindow  = 5 * time.Second
	budgetWarmUp  = 2 * time.Second // the burst that an idle budget allows
	budgetLatency = 20 * time.Millisecond
)

// runBudgets works off a backlog of many app ids, and measures how much of each budget is used.
func (l *lab) runBudgets(ctx context.Context, r *report) error {
	const name = "budgets"
	l.logProgress("budgets: %d app ids of %d round trips a second each", budgetApps, budgetRate)
	shares, most, err := l.budgetShares(ctx)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%d app ids, share of the budget used: ", budgetApps)
	r.addLine(name, what+"least of all", slices.Min(shares), "", atLeast(0.95))
	r.addLine(name, what+"median", medianOf(shares), "", goal{})
	r.addLine(name, what+fmt.Sprintf("most in any %v", budgetWindow), most, "", atMost(1.02))
	return nil
}

// budgetShares are the share that each app used of its budget in all, and the most that one used in
// a window.
func (l *lab) budgetShares(ctx context.Context) (shares []float64, most float64, err error) {
	lasts := l.sizes.BudgetsFor
	db, err := l.loadDatabase(ctx, dueOrdersOf(budgetApps, 0, 1, int(budgetApps*budgetRate*(lasts+budgetWindow).Seconds())))
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, db.dropDatabase(ctx)) }()
	gateway, err := l.startReplay(ctx, budgetLatency)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _, stopErr := gateway.stopChild(); err = errors.Join(err, stopErr) }()
	file, err := l.writeCredentials()
	if err != nil {
		return nil, 0, err
	}
	ch, err := startChild(ctx, command{path: l.product, args: []string{"run", "--listen", "off"}, env: []string{
		"DATABASE_URL=" + db.url, "CHINAUMS_BASE_URL=" + gateway.url, "CHINAUMS_CREDENTIALS_FILE=" + file,
		fmt.Sprintf("RECONCILER_RATE=%d", budgetRate), fmt.Sprintf("RECONCILER_CONCURRENCY=%d", usualConcurrency),
	}})
	if err != nil {
		return nil, 0, err
	}
	defer func() { _, stopErr := ch.stopChild(); err = errors.Join(err, stopErr) }()
	if err := sleepFor(ctx, lasts+budgetWarmUp+2*time.Second); err != nil {
		return nil, 0, err
	}
	return db.sharesUsed(ctx, lasts)
}

func (l *lab) writeCredentials() (string, error) {
	var text strings.Builder
	for i := range budgetApps {
		fmt.Fprintf(&text, "- {app_id: %s%d, app_key: %s, mids: [\"%s%0*d\"]}\n", appID, i, appKey, midPrefix, midDigits, i)
	}
	path := filepath.Join(l.dir, "credentials.yaml")
	return path, os.WriteFile(path, []byte(text.String()), 0o600)
}

// sharesUsed reads when the questions of each merchant began.
func (db *database) sharesUsed(ctx context.Context, lasts time.Duration) (shares []float64, most float64, err error) {
	conn, err := pgx.Connect(ctx, db.url)
	if err != nil {
		return nil, 0, fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `
		WITH asked AS (
			SELECT o.mid, q.queried_at, q.round_trips FROM order_queries AS q JOIN orders AS o ON o.id = q.order_id
			WHERE q.queried_at >= (SELECT min(queried_at) FROM order_queries) + make_interval(secs => $1)
			  AND q.queried_at < (SELECT min(queried_at) FROM order_queries) + make_interval(secs => $1 + $2)
		), windows AS (
			SELECT mid, sum(round_trips) OVER (PARTITION BY mid ORDER BY queried_at
				RANGE BETWEEN CURRENT ROW AND make_interval(secs => $3) FOLLOWING) AS in_window, round_trips
			FROM asked
		)
		SELECT sum(round_trips)::float8, max(in_window)::float8 FROM windows GROUP BY mid`,
		budgetWarmUp.Seconds(), lasts.Seconds(), budgetWindow.Seconds())
	if err != nil {
		return nil, 0, fmt.Errorf("read the ledger: %w", err)
	}
	var asked, inWindow float64
	_, err = pgx.ForEachRow(rows, []any{&asked, &inWindow}, func() error {
		shares = append(shares, asked/(budgetRate*lasts.Seconds()))
		most = max(most, inWindow/(budgetRate*budgetWindow.Seconds()))
		return nil
	})
	if err == nil && len(shares) != budgetApps {
		err = fmt.Errorf("%d of %d app ids asked", len(shares), budgetApps)
	}
	return shares, most, err
}
