package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// runMerchants drains orders of many merchants and as many of one, in turns.
func (l *lab) runMerchants(ctx context.Context, r *report) error {
	const name = "merchants"
	one, many := productEntrant(), productEntrant()
	many.name = fmt.Sprintf("of %d merchants", l.sizes.Merchants)
	for round := range min(3, l.sizes.Rounds) {
		for _, who := range inTurn(round, []contestant{one, many}) {
			t := trial{who: who, round: round, orders: l.sizes.OfMerchants, concurrency: usualConcurrency}
			if who.name == many.name {
				t.merchants = l.sizes.Merchants
			}
			result, err := l.tryOnce(ctx, t, nil)
			if err != nil {
				return err
			}
			r.addNote(name, result)
		}
	}
	to := func(measure func(trialResult) float64) float64 {
		return ratioOf(r.linesOf(name, many.name, measure), r.linesOf(name, one.name, measure))
	}
	what := fmt.Sprintf("%d orders %s to those of one: ", l.sizes.OfMerchants, many.name)
	r.addLine(name, what+"orders/s", to(perSecond), "×", atLeast(0.9))
	r.addLine(name, "peak memory "+many.name, medianOf(r.linesOf(name, many.name, peakMB)), "MB", atMost(64))
	r.addLine(name, what+"Go CPU", to(goCPU), "×", goal{})
	r.addLine(name, what+"Postgres CPU", to(serverCPU), "×", goal{})
	return nil
}

// pausedMerchants have orders that are longer due than all others.
const pausedMerchants = 50

// runPaused measures claims of the orders of many merchants, without and with others that are
// paused and have their orders at the head.
func (l *lab) runPaused(ctx context.Context, r *report) (err error) {
	const name = "paused"
	if err := l.logStatements(ctx, true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.logStatements(context.WithoutCancel(ctx), false)) }()
	var times [2]claimTimes
	for i, paused := range []int{0, pausedMerchants} {
		l.logProgress("paused: claims of %d merchants beside %d paused ones", l.sizes.Merchants, paused)
		if times[i], err = l.pausedClaims(ctx, paused); err != nil {
			return err
		}
	}
	r.addLine(name, fmt.Sprintf("claim of %d merchants' orders, median", l.sizes.Merchants), times[0].median, "ms", goal{})
	with := fmt.Sprintf("the same beside %d paused ones with %d due orders each at the head", pausedMerchants, l.sizes.PausedEach)
	r.addLine(name, with, times[1].median, "ms", goal{})
	r.addLine(name, "median to that without", times[1].median/times[0].median, "×", atMost(1.5))
	r.addLine(name, "sum of all claims to that without", times[1].total/times[0].total, "×", goal{})
	return nil
}

// claimTimes are those of one run, in milliseconds.
type claimTimes struct{ median, total float64 }

func (l *lab) pausedClaims(ctx context.Context, paused int) (times claimTimes, err error) {
	db, err := l.newDatabase(ctx)
	if err != nil {
		return times, err
	}
	defer func() { err = errors.Join(err, db.dropDatabase(ctx)) }()
	head, due := paused*l.sizes.PausedEach, l.sizes.FlatDue
	statements := []string{dueOrdersOf(l.sizes.Merchants, pausedMerchants, head+1, due)}
	if paused > 0 {
		statements = append(statements, dueOrdersOf(paused, 0, 1, head), fmt.Sprintf(`
			INSERT INTO gateway_controls (scope, key, set_by, reason)
			SELECT 'mid', '%s' || lpad(i::text, %d, '0'), 'bench', 'bench' FROM generate_series(0, %d) AS i`, midPrefix, midDigits, paused-1))
	}
	if err := db.execSQL(ctx, append(statements, "VACUUM (ANALYZE) orders", "CHECKPOINT")...); err != nil {
		return times, err
	}
	gateway, err := l.startReplay(ctx, flatLatency)
	if err != nil {
		return times, err
	}
	defer func() { _, stopErr := gateway.stopChild(); err = errors.Join(err, stopErr) }()
	list, err := l.logOfClaims(func() error {
		c := productEntrant().command(l, trial{concurrency: usualConcurrency}, db.url, gateway.url)
		_, _, err := executeChild(ctx, c)
		return err
	})
	if err != nil {
		return times, err
	}
	var settled int
	if err := db.queryValue(ctx, "SELECT count(*) FROM orders WHERE status = 'TRADE_SUCCESS'", &settled); err != nil || settled != due {
		return times, errors.Join(err, fmt.Errorf("settled %d of %d orders", settled, due))
	}
	for _, phase := range []string{"bind", "execute"} { // the plan is made with bind
		times.median += medianOf(list[phase])
		for _, took := range list[phase] {
			times.total += took
		}
	}
	return times, nil
}

// logOfClaims reads from the server's log the times of the claims that do makes.
func (l *lab) logOfClaims(do func() error) (map[string][]float64, error) {
	path := filepath.Join(l.server.Dir(), "log")
	before, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("the server's log: %w", err)
	}
	if err := do(); err != nil {
		return nil, err
	}
	log, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the server's log: %w", err)
	}
	defer log.Close()
	if _, err := log.Seek(before.Size(), io.SeekStart); err != nil {
		return nil, fmt.Errorf("the server's log: %w", err)
	}
	times, err := statementTimes(log, claimMark)
	if err == nil && len(times["execute"]) == 0 {
		err = errors.New("it has no claims")
	}
	if err != nil {
		return nil, fmt.Errorf("the server's log: %w", err)
	}
	return times, nil
}
