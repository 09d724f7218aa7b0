package poller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/order"
	"reconciler/internal/store"
)

// Two writers, one truth. The application's notification settles an order while the gateway is
// asked about it, in every way that they can agree or contradict each other. Two instances ask
// about the same orders at once. The first answer stands, a late one is kept as evidence, nobody
// fails, nothing is told twice.
func TestLesson6TwoWritersOneTruth(t *testing.T) {
	t.Parallel()
	settled := []chinaums.Status{"TRADE_SUCCESS", "TRADE_REFUND", "TRADE_CLOSED"}
	t.Run("the application", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		first := make(map[string]chinaums.Status) // by order: what the notification said
		var answers []chinaums.Status
		for _, notified := range settled {
			for _, answered := range settled {
				n := len(answers)
				w.add(t, n, says(answered))
				first[mer(n)], answers = notified, append(answers, answered)
			}
		}
		g := w.meanwhile(func(r chinaums.Request) {
			w.exec(t, `UPDATE orders SET status = $2 WHERE mer_order_id = $1`, r.MerOrderID, first[r.MerOrderID])
		})
		summary := sweep(t, w.poller(t, asking(g)), Run{})
		wantDecisions(t, summary, map[order.Decision]int{order.Superseded: 5, order.Review: 4})
		for n, answered := range answers {
			notified := first[mer(n)]
			review, ledger, events := "-", "superseded superseded after: "+strings.ToLower(string(answered))+" 1", []string(nil)
			if (notified == chinaums.StatusTradeClosed) != (answered == chinaums.StatusTradeClosed) {
				review, ledger, events = "conflict", "review conflict 1", []string{"order.review"}
			}
			w.wantState(t, n, fmt.Sprintf("%s %s due 0 free -", notified, review))
			w.wantLedger(t, n, ledger)
			w.wantEvents(t, n, events...)
			if got := one[string](t, w, `SELECT trade_status FROM order_queries q JOIN orders o ON o.id = q.order_id WHERE o.mer_order_id = $1`, mer(n)); got != string(answered) {
				t.Errorf("order %d: the evidence says %s, the answer was %s", n, got, answered)
			}
		}
		if again := sweep(t, w.poller(t), Run{}); again.Asked != 0 {
			t.Errorf("%d settled orders are asked about again", again.Asked)
		}
	})
	t.Run("two instances", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		const orders = 12
		for i := range orders {
			w.add(t, i, isPaidStep)
		}
		g, holding, letGo := w.held()
		slow := start(t, w.poller(t, workers(orders), asking(g), named("slow")), Run{Limit: orders})
		for range orders {
			<-holding // it has all the answers, and has written none
		}
		w.exec(t, `UPDATE orders SET lease_until = now() - interval '1 s'`)
		wantDecisions(t, sweep(t, w.poller(t, named("quick")), Run{}), map[order.Decision]int{order.Settled: orders})
		after := w.orders(t)
		close(letGo)
		wantDecisions(t, slow.wait(t), map[order.Decision]int{order.Superseded: orders})
		for i := range orders {
			w.wantState(t, i, rowPaid)
			w.wantLedger(t, i, "settled trade_success 1", "superseded superseded after: trade_success 1")
			w.wantEvents(t, i, "order.paid")
		}
		if diff := cmp.Diff(after, w.orders(t)); diff != "" {
			t.Errorf("the late instance changed the orders (-before +after):\n%s", diff)
		}
	})
}

// orders is all that the table holds of them, row by row.
func (w *world) orders(t *testing.T) []string {
	t.Helper()
	return rows[string](t, w, `SELECT to_jsonb(o)::text FROM orders AS o ORDER BY id`)
}

// No lock and no transaction is held while the gateway is asked.
func TestLesson7NothingHeldWhileAsking(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 10 {
		w.add(t, i, isPaidStep)
	}
	g, holding, letGo := w.held()
	pass := start(t, w.poller(t, asking(g)), Run{})
	for range 4 {
		<-holding
	}
	if busy := rows[string](t, w, `SELECT concat_ws(' ', state, query) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND state <> 'active'`); len(busy) > 0 {
		t.Errorf("open transactions:\n%s", strings.Join(busy, "\n"))
	}
	w.exec(t, `UPDATE orders SET updated_at = now()`) // every row, at once
	close(letGo)
	pass.wait(t)
	if n := one[int](t, w, `SELECT count(*)::int FROM orders WHERE status = 'TRADE_SUCCESS'`); n != 10 {
		t.Errorf("%d settled, want 10", n)
	}
}

// A backlog of many pages, with the same due time and with any: nothing is skipped,
// nothing asked twice, and the oldest come first.
func TestLesson8Backlog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const orders = 120
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at)
		SELECT $1, $2, '3194' || lpad(i::text, 8, '0'), $3, now() - CASE WHEN i % 2 = 0 THEN interval '1 hour' ELSE i * interval '1 s' END
		FROM generate_series(0, $4 - 1) i`, testMID, testTID, testAmount, orders)
	for i := range orders {
		w.script(t, testMID, i, says("WAIT_BUYER_PAY"))
	}
	for _, run := range []Run{{DryRun: true}, {}, {Selection: &store.Selection{}}} {
		g := &asked{w: w}
		summary := sweep(t, w.poller(t, workers(3), asking(g)), run)
		if got := g.sorted(); summary.Asked != orders || len(got) != orders {
			t.Errorf("%+v: asked %d times about %d orders, want %d", run, len(got), summary.Asked, orders)
		} else {
			for i := range orders {
				if got[i] != mer(i) {
					t.Fatalf("%+v: order %d is missing or came twice", run, i)
				}
			}
		}
	}
}

// The right status in the wrong field, with the wrong amount, of the wrong merchant or
// order books nothing.
func TestLesson9RightStatusWrongOrder(t *testing.T) {
	t.Parallel()
	const (
		// The lines are those of world.state: status, review, due, count, claim, booked.
		other    = "UNKNOWN identity_mismatch never 0 free -"
		noAmount = "UNKNOWN amount_missing never 0 free -"
		wrong    = "UNKNOWN amount_mismatch never 0 free -"
		open     = "UNKNOWN - later 1 free -"
	)
	w := newWorld(t)
	var want []string
	add := func(row string, steps ...simulator.Step) {
		for _, step := range steps {
			w.add(t, len(want), step)
			want = append(want, row)
		}
	}
	bent := func(row string, status chinaums.Status, mutations ...simulator.Mutation) {
		for _, m := range mutations {
			add(row, says(status, m))
		}
	}
	for _, status := range []chinaums.Status{"TRADE_SUCCESS", "TRADE_REFUND", "TRADE_CLOSED"} {
		bent(other, status, simulator.MutationOtherOrder, simulator.MutationOtherMID, simulator.MutationNoMID, simulator.MutationNoOrderNumber)
	}
	for _, status := range []chinaums.Status{"WAIT_BUYER_PAY", "TRADE_FINISHED"} {
		bent(other, status, simulator.MutationOtherOrder, simulator.MutationOtherMID)
		bent(open, status, simulator.MutationNoMID, simulator.MutationNoOrderNumber) // contradicts nothing
	}
	for _, status := range []chinaums.Status{"TRADE_SUCCESS", "TRADE_REFUND"} {
		for _, amount := range []int64{0, 1, testAmount / 100, testAmount - 1, testAmount + 1, testAmount * 100} {
			add(wrong, simulator.Step{Status: status, Amount: new(amount)})
		}
		bent(noAmount, status, simulator.MutationTotalFraction, simulator.MutationTotalFractionText, simulator.MutationTotalNull,
			simulator.MutationTotalMissing, simulator.MutationTotalNegative, simulator.MutationTotalTooBig, simulator.MutationTotalWord,
			simulator.MutationTotalTwiceDifferent)
		// The same number otherwise written, and another document's beside it.
		bent(string(status)+" - never 0 free 1000", status, simulator.MutationTotalText, simulator.MutationTotalDecimal, simulator.MutationTotalDecimalText,
			simulator.MutationTotalExponent, simulator.MutationTotalTwice, simulator.MutationBillPaymentObject, simulator.MutationBillPaymentText)
		// SUCCESS says the envelope, SUCCESS the channel (targetStatus), a payTime is there: but no
		// trade status.
		bent(open, status, simulator.MutationStatusEmpty, simulator.MutationStatusMissing, simulator.MutationStatusNull, simulator.MutationStatusNumber,
			simulator.MutationStatusUnknown, simulator.MutationStatusTwiceDifferent)
	}
	understood := len(want)
	add(open, says("SUCCESS"), says("PAID"), says("trade_success"), says("TRADE_FINISHED"))
	unknown := 0
	p := w.poller(t, func(o *Options) {
		observing(func(out order.Outcome) {
			if slices.Contains(order.UnexpectedReasons(), out.Reason) && out.Order.MerOrderID >= mer(understood) {
				unknown++
			}
		})(o)
	})
	sweep(t, p, Run{})
	for n := range want {
		w.wantState(t, n, want[n])
	}
	if unknown != len(want)-understood {
		t.Errorf("%d unknown words were counted, want %d", unknown, len(want)-understood)
	}
	if booked := rows[string](t, w, `SELECT concat_ws(' ', substr(mer_order_id, 5)::int, review_reason, pay_time, seq_id) FROM orders
		WHERE status = 'UNKNOWN' AND num_nonnulls(total_amount, buyer_pay_amount, receipt_amount, pay_time, settle_date, seq_id, target_status, target_order_id) > 0`); len(booked) > 0 {
		t.Errorf("booked all the same:\n%s", strings.Join(booked, "\n"))
	}
}

// The gateway's times are China's, whatever zone the machines are in; what it said
// word for word is in the ledger.
func TestLesson9WrongTimeZone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'America/New_York'); END $$`)
	paid := time.Date(2026, 6, 1, 0, 30, 0, 0, chinaums.China()) // in May everywhere to the west
	w.add(t, 0, simulator.Step{Status: "TRADE_SUCCESS", PayTime: &paid})
	w.pool.Reset()
	s, err := store.Open(t.Context(), w.pool.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sweep(t, w.poller(t, into(s)), Run{})
	w.wantState(t, 0, rowPaid)
	if zone := one[string](t, w, `SELECT current_setting('timezone')`); zone != "America/New_York" {
		t.Errorf("the session is in %s", zone)
	}
	if got := one[time.Time](t, w, `SELECT pay_time FROM orders`); !got.Equal(paid) {
		t.Errorf("paid at %s, want %s", got, paid)
	}
	if got := one[string](t, w, `SELECT settle_date::text FROM orders`); got != "2026-06-01" {
		t.Errorf("settled on %s", got)
	}
	if got := one[string](t, w, `SELECT response ->> 'payTime' FROM order_queries`); got != "2026-06-01 00:30:00" {
		t.Errorf("the ledger says %q", got)
	}
}
