package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// claimMark is a word that only the product's claim has.
const claimMark = "claimable AS"

// flatLatency leaves the cores time between the claims, so that they do not wait for each other.
const flatLatency = 100 * time.Millisecond

// runFlat measures claims beside ever more settled orders, which must cost nothing: once with the
// due orders together, the latest of all, as after an outage, and once scattered among the latest
// settled ones, as where some notifications are lost. The times are the server's own, from its log.
func (l *lab) runFlat(ctx context.Context, r *report) (err error) {
	const name = "flat"
	if err := l.logStatements(ctx, true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.logStatements(context.WithoutCancel(ctx), false)) }()
	var together, scattered []float64
	for _, settled := range l.sizes.FlatSettled {
		l.logProgress("flat: %d due beside %d settled orders", l.sizes.FlatDue, settled)
		a, b, err := l.flatTimes(ctx, r, settled)
		if err != nil {
			return err
		}
		together, scattered = append(together, a), append(scattered, b)
		r.addLine(name, fmt.Sprintf("claim beside %d settled orders", settled), a, "ms", goal{})
		r.addLine(name, fmt.Sprintf("the same, scattered among %d", settled), b, "ms", goal{})
	}
	for i, settled := range l.sizes.FlatSettled[1:] {
		what := fmt.Sprintf("beside %d to beside %d", settled, l.sizes.FlatSettled[0])
		r.addLine(name, "claim "+what, together[i+1]/together[0], "×", atMost(1.2))
		r.addLine(name, "claim, scattered, "+what, scattered[i+1]/scattered[0], "×", atMost(1.2))
	}
	return nil
}

// logStatements switches the server's log of all statements with their times.
func (l *lab) logStatements(ctx context.Context, on bool) error {
	if !on {
		return l.execSQL(ctx, "ALTER SYSTEM RESET log_min_duration_statement", "ALTER SYSTEM RESET log_parameter_max_length", "SELECT pg_reload_conf()")
	}
	return l.execSQL(ctx, "ALTER SYSTEM SET log_min_duration_statement = 0", "ALTER SYSTEM SET log_parameter_max_length = 0", "SELECT pg_reload_conf()")
}

// settledOrders are inserted as the product leaves them.
func settledOrders(orders int) string {
	return fmt.Sprintf(`
		INSERT INTO orders (mid, tid, mer_order_id, order_amount, created_at, status, next_query_at, claim_no, last_queried_at,
			total_amount, buyer_pay_amount, receipt_amount, invoice_amount, coupon_amount, pay_time, settle_date,
			target_order_id, seq_id, ref_id, settle_ref_id, target_sys, target_status, target_mid, buyer_id, bank_info, bill_funds)
		SELECT '%s', '%s', '3194' || lpad(i::text, 20, '0'), 1, now() - interval '1 day', 'TRADE_SUCCESS', NULL, 1, now(),
			1, 1, 1, 1, 0, now(), current_date,
			'4200' || lpad(i::text, 24, '0'), lpad(i::text, 12, '0'), lpad(i::text, 12, '0') || 'N', lpad(i::text, 20, '0'),
			'WXPay', 'SUCCESS', '1900000109', 'oUpF8uMuAJO_M2pxb1Q9zNjWeS6o', '零钱', '现金:1'
		FROM generate_series(1, %d) AS i`, mid, tid, orders)
}

// scatteredOneIn of the latest settled orders one is due: more than fit into a page, so that each due
// order has one of its own.
const scatteredOneIn = 10

// readDue brings the pages of the due orders into the server's memory, where those of orders are
// that were inserted minutes ago; the update that reopens them leaves them on the disk.
const readDue = `SELECT sum(order_amount) FROM orders
	WHERE status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY', 'NOT_FOUND') AND review_reason IS NULL AND next_query_at IS NOT NULL`

// flatTimes are the medians of the claims' times, in milliseconds, with the due orders together and
// scattered.
func (l *lab) flatTimes(ctx context.Context, r *report, settled int) (together, scattered float64, err error) {
	db, err := l.newDatabase(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, db.dropDatabase(ctx)) }()
	due := dueOrders(settled+1, l.sizes.FlatDue)
	if err := db.execSQL(ctx, settledOrders(settled), due, "VACUUM (ANALYZE) orders", "CHECKPOINT"); err != nil {
		return 0, 0, err
	}
	if together, err = l.claimTime(ctx, r, db); err != nil {
		return 0, 0, err
	}
	every := min(settled/l.sizes.FlatDue, scatteredOneIn)
	reopen := fmt.Sprintf(`UPDATE orders SET status = 'UNKNOWN', target_order_id = NULL,
		next_query_at = now() - interval '1 hour' + id * interval '1 microsecond'
		WHERE id > %[1]d - %[2]d AND id <= %[1]d AND id %% %[3]d = 0`, settled, every*l.sizes.FlatDue, every)
	if err := db.execSQL(ctx, reopen, "VACUUM (ANALYZE) orders", "CHECKPOINT", readDue); err != nil {
		return 0, 0, err
	}
	scattered, err = l.claimTime(ctx, r, db)
	return together, scattered, err
}

// claimTime lets the product work and reads the times of its claims.
func (l *lab) claimTime(ctx context.Context, r *report, db *database) (float64, error) {
	times, err := l.logOfClaims(func() error {
		one, err := l.tryOn(ctx, db, trial{who: productEntrant(), orders: l.sizes.FlatDue, latency: flatLatency, concurrency: usualConcurrency})
		if err == nil {
			r.addNote("flat", one)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return medianOf(times["bind"]) + medianOf(times["execute"]), nil // the plan is made with bind
}

// statementTimes reads from a server's log the times, in milliseconds, of the statements that hold
// mark, by the phase that took them (parse, bind, execute).
func statementTimes(log io.Reader, mark string) (map[string][]float64, error) {
	begins := regexp.MustCompile(`LOG:  duration: ([0-9.]+) ms  (parse|bind|execute|statement)`)
	times := map[string][]float64{}
	phase, took, found := "", 0.0, false
	flush := func() {
		if found {
			times[phase] = append(times[phase], took)
		}
		phase, found = "", false
	}
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		line := lines.Text()
		if !strings.HasPrefix(line, "\t") { // a statement goes on in lines that are indented
			flush()
			if match := begins.FindStringSubmatch(line); match != nil {
				phase = match[2]
				took, _ = strconv.ParseFloat(match[1], 64) // as the pattern says
			}
		}
		found = found || phase != "" && strings.Contains(line, mark)
	}
	flush()
	return times, lines.Err()
}
