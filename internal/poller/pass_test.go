package poller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/order"
	"reconciler/internal/store"
)

func TestPassSettlesAllThatIsDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const each = 20
	fates := []struct {
		step   simulator.Step
		row    string
		ledger string
		events []string
	}{
		{isPaidStep, rowPaid, "settled trade_success 1", []string{"order.paid"}},
		// The lines are those of world.state: status, review, due, count, claim, booked.
		{says("TRADE_REFUND"), "TRADE_REFUND - never 0 free 1000", "settled trade_refund 1", []string{"order.refunded"}},
		{says("TRADE_CLOSED"), "TRADE_CLOSED - never 0 free -", "settled trade_closed 1", []string{"order.closed"}},
		{says("WAIT_BUYER_PAY"), "WAIT_BUYER_PAY - later 1 free -", "deferred unresolved 1", nil},
		{codes("NO_ORDER"), "UNKNOWN - later 1 free -", "deferred no_order 1", nil},
		{says("TRADE_SUCCESS", simulator.MutationOtherOrder), "UNKNOWN identity_mismatch never 0 free -", "review identity_mismatch 2", []string{"order.review"}},
	}
	for i := range each * len(fates) {
		w.add(t, i, fates[i%len(fates)].step)
	}
	var observed []order.Outcome
	p := w.poller(t, observing(func(out order.Outcome) { observed = append(observed, out) }))
	if n, err := p.Count(t.Context(), Run{}); err != nil || n != each*len(fates) {
		t.Errorf("Count = %d, %v; want %d", n, err, each*len(fates))
	}
	summary := sweep(t, p, Run{})
	wantDecisions(t, summary, map[order.Decision]int{order.Settled: 3 * each, order.Deferred: 2 * each, order.Review: each})
	byStatus := map[order.Status]int{
		order.StatusTradeSuccess: each, order.StatusTradeRefund: each, order.StatusTradeClosed: each,
		order.StatusWaitBuyerPay: each, order.StatusUnknown: 2 * each,
	}
	if diff := cmp.Diff(byStatus, summary.ByStatus); diff != "" {
		t.Errorf("by status (-want +got):\n%s", diff)
	}
	if !summary.Complete() || summary.Duration <= 0 || len(observed) != summary.Asked {
		t.Errorf("complete %t, duration %s, observed %d", summary.Complete(), summary.Duration, len(observed))
	}
	for i := range each * len(fates) {
		fate := fates[i%len(fates)]
		w.wantState(t, i, fate.row)
		w.wantLedger(t, i, fate.ledger)
		w.wantEvents(t, i, fate.events...)
	}
	if again := sweep(t, p, Run{}); again.Asked != 0 || w.sim.Total() != each*(len(fates)+1) { // mismatches are asked twice
		t.Errorf("a second run asked %d times; round trips in all %d", again.Asked, w.sim.Total())
	}
}

func TestPassLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, change := range []string{
		`next_query_at = now() + interval '1 hour'`,
		`next_query_at = NULL, review_reason = 'poison'`,
		`review_reason = 'amount_mismatch'`,
		`status = 'TRADE_CLOSED'`, // as the application settles: nothing else is asked of it
		`lease_until = now() + interval '1 min', claimed_by = 'another', claim_no = 1`,
		`status = 'NOT_FOUND', next_query_at = now() + interval '1 hour'`,
	} {
		w.add(t, i, isPaidStep)
		w.exec(t, `UPDATE orders SET `+change+` WHERE mer_order_id = $1`, mer(i))
	}
	before := w.dump(t)
	if summary := sweep(t, w.poller(t), Run{}); summary.Asked != 0 || w.sim.Total() != 0 {
		t.Errorf("asked %d, round trips %d, want none", summary.Asked, w.sim.Total())
	}
	if diff := cmp.Diff(before, w.dump(t)); diff != "" {
		t.Errorf("changed (-before +after):\n%s", diff)
	}
}

// An expired lease needs nobody to clear it: the order is due again.
func TestExpiredLeaseIsDueAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, isPaidStep)
	w.exec(t, `UPDATE orders SET lease_until = now() - interval '1 s', claimed_by = 'crashed', claim_no = 41`)
	wantDecisions(t, sweep(t, w.poller(t), Run{}), map[order.Decision]int{order.Settled: 1})
	w.wantState(t, 0, rowPaid)
	if got := one[int64](t, w, `SELECT claim_no FROM order_queries`); got != 42 {
		t.Errorf("claim number %d, want 42", got)
	}
}

// A plan so short that every order is due again at once: run-once still asks once.
func TestRunOnceAsksNoOrderTwice(t *testing.T) {
	t.Parallel()
	hurried := func(o *Options) { o.Rules.Plan.Initial, o.Rules.Plan.Max = 1, 1 }
	t.Run("deferred", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		for i := range 30 {
			w.add(t, i, says("WAIT_BUYER_PAY"))
		}
		wantDecisions(t, sweep(t, w.poller(t, hurried), Run{Once: true}), map[order.Decision]int{order.Deferred: 30})
		if w.sim.Total() != 30 {
			t.Errorf("%d round trips for 30 orders", w.sim.Total())
		}
	})
	t.Run("no answer", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.add(t, 0, codes("TIMEOUT"))
		wantDecisions(t, sweep(t, w.poller(t, hurried), Run{Once: true}), map[order.Decision]int{order.NoAnswer: 1})
	})
	// The order changed while it was asked about, but is as due as before. A second one
	// keeps the run going until the first is written, and due for all to see.
	t.Run("superseded", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.add(t, 0, says("WAIT_BUYER_PAY"))
		w.add(t, 1, says("WAIT_BUYER_PAY"))
		var asked atomic.Int64
		g := w.meanwhile(func(r chinaums.Request) {
			if r.MerOrderID != mer(0) {
				eventually(t, "the first order's answer to be written", func() bool { return len(w.ledger(t, 0)) > 0 })
				return
			}
			if asked.Add(1) == 1 {
				w.exec(t, `UPDATE orders SET status = 'NEW_ORDER' WHERE mer_order_id = $1`, mer(0))
			}
		})
		sweep(t, w.poller(t, hurried, asking(g)), Run{Once: true})
		if asked.Load() != 1 {
			t.Errorf("asked %d times, the last time with %q", asked.Load(), w.ledger(t, 0))
		}
	})
}

// A claim that was long in coming does not make the next run leave its orders out: what
// a run has asked about before is known by the database's clock alone.
func TestRunOnceBehindASlowClaim(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, says("WAIT_BUYER_PAY"))
	s := &brokenStore{Store: w.Store, claim: func(n int) error {
		if n == 1 { // as it would wait for a connection
			until := one[time.Time](t, w, `SELECT now() + interval '1 s'`)
			eventually(t, "a second of the database's clock", func() bool { return one[bool](t, w, `SELECT now() > $1`, until) })
		}
		return nil
	}}
	sweep(t, w.poller(t, into(s)), Run{Once: true})
	if future := rows[time.Time](t, w, `SELECT queried_at FROM order_queries WHERE queried_at > now()`); len(future) > 0 {
		t.Errorf("a question is dated in the future, %s", future[0])
	}
	if again := sweep(t, w.poller(t), Run{Once: true, Selection: &store.Selection{}}); again.Asked != 1 {
		t.Errorf("the run behind it asked %d, want 1", again.Asked)
	}
}

// As many questions as there are workers are in flight, and never more.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const most = 5
	for i := range 4 * most {
		w.add(t, i, isPaidStep)
	}
	var mu sync.Mutex
	inFlight, peak := 0, 0
	full := make(chan struct{})
	count := func(d int) {
		mu.Lock()
		defer mu.Unlock()
		inFlight += d
		if peak = max(peak, inFlight); peak == most && d > 0 {
			select {
			case <-full:
			default:
				close(full)
			}
		}
	}
	g := gatewayFunc(func(ctx context.Context, r chinaums.Request) (chinaums.Answer, error) {
		count(+1)
		defer count(-1)
		select {
		case <-full: // nobody goes on before all workers are busy
		case <-ctx.Done():
			t.Error("the workers are never all busy")
		}
		return w.client.Query(ctx, r)
	})
	wantDecisions(t, sweep(t, w.poller(t, workers(most), asking(g)), Run{}), map[order.Decision]int{order.Settled: 4 * most})
	if peak != most {
		t.Errorf("%d questions at once, want %d", peak, most)
	}
}

// One order that hangs holds up its own worker and nothing else: all others, and
// those that come meanwhile, are asked about and written while it hangs.
func TestHangingOrderHoldsUpNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 40 {
		w.add(t, i, isPaidStep)
	}
	release := make(chan struct{})
	g := gatewayFunc(func(ctx context.Context, r chinaums.Request) (chinaums.Answer, error) {
		if r.MerOrderID == mer(0) {
			<-release
		}
		return w.client.Query(ctx, r)
	})
	pass := start(t, w.poller(t, workers(2), asking(g)), Run{})
	defer pass.wait(t)
	defer close(release)
	settled := func() int { return one[int](t, w, `SELECT count(*)::int FROM orders WHERE status = 'TRADE_SUCCESS'`) }
	eventually(t, "the other orders", func() bool { return settled() == 39 })
	w.add(t, 100, isPaidStep)
	eventually(t, "an order that came meanwhile", func() bool { return settled() == 40 })
}

// A panic in one order leaves its row in the ledger and the others untouched, and
// says nothing of the gateway.
func TestPanicStaysInItsOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const orders = 30
	for i := range orders {
		w.add(t, i, isPaidStep)
	}
	g := gatewayFunc(func(ctx context.Context, r chinaums.Request) (chinaums.Answer, error) {
		var n int
		if _, _ = fmt.Sscanf(r.MerOrderID, "3194%d", &n); n%3 == 0 {
			panic("a bug")
		}
		return w.client.Query(ctx, r)
	})
	logged := newRecords()
	summary := sweep(t, w.poller(t, asking(g), logging(logged)), Run{})
	wantDecisions(t, summary, map[order.Decision]int{order.Settled: 20, order.NoAnswer: 10})
	if summary.BreakerOpen() || summary.Complete() {
		t.Errorf("breaker open %t, complete %t; want neither", summary.BreakerOpen(), summary.Complete())
	}
	for i := range orders {
		if i%3 != 0 {
			w.wantState(t, i, rowPaid)
			continue
		}
		w.wantState(t, i, rowWaiting)
		w.wantLedger(t, i, "no_answer panic 1")
	}
	if !logged.find("ERROR", "panic", "a bug") {
		t.Error("no word of the panic in the log")
	}
}

// What the gateway says of the envelope and of the payment is kept, whichever of them decides.
func TestLedgerKeepsWhatWasAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, says("TRADE_SUCCESS", simulator.MutationPersonalData))
	w.add(t, 1, simulator.Step{Code: "1000"})
	sweep(t, w.poller(t, workers(1), named("instance 7")), Run{})
	type row struct {
		Worker, ErrCode, TradeStatus, Decision string
		HTTP                                   int
		Dated, Answered                        bool
		Card                                   string
	}
	list := rows[map[string]any](t, w, `SELECT jsonb_build_object(
		'Worker', worker, 'ErrCode', err_code, 'TradeStatus', coalesce(trade_status, ''), 'Decision', decision, 'HTTP', http_status,
		'Dated', queried_at BETWEEN now() - interval '1 min' AND now() + interval '1 s', 'Answered', jsonb_typeof(response) = 'object',
		'Card', coalesce(response ->> 'bankCardNo', '')) FROM order_queries ORDER BY order_id`)
	var got []row
	for _, m := range list {
		got = append(got, row{
			m["Worker"].(string), m["ErrCode"].(string), m["TradeStatus"].(string), m["Decision"].(string),
			int(m["HTTP"].(float64)), m["Dated"].(bool), m["Answered"].(bool), m["Card"].(string),
		})
	}
	if len(got) == 2 && len(got[0].Card) > 2 {
		card := got[0].Card
		if stars := slices.Contains([]byte(card), '*'); stars {
			got[0].Card = "masked"
		}
	}
	want := []row{
		{"instance 7", "SUCCESS", "TRADE_SUCCESS", "settled", 200, true, true, "masked"},
		{"instance 7", "1000", "", "refused", 412, true, true, ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
}

// A pass whose claims fail says so and keeps what it has done.
func TestPassReportsAFailingDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 20 {
		w.add(t, i, isPaidStep)
	}
	s := &brokenStore{Store: w.Store}
	s.claim = func(n int) error {
		if n == 3 {
			return errors.New("connection refused")
		}
		return nil
	}
	summary, err := w.poller(t, workers(2), into(s)).RunOnce(t.Context(), Run{})
	if err == nil || summary.Asked == 0 {
		t.Errorf("err = %v, asked = %d; want the failure and what was done before it", err, summary.Asked)
	}
	if n := one[int](t, w, `SELECT count(*)::int FROM orders WHERE lease_until IS NOT NULL`); n != 0 {
		t.Errorf("%d orders are left in flight", n)
	}
}
