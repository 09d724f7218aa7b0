package poller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/order"
	"reconciler/internal/store"
)

// While answers cannot be written, the gateway is asked one probe at a time and no more. Afterwards
// every order is settled and none is poison.
func TestNothingIsAskedWhileAnswersCannotBeWritten(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, breakIt, mendIt string }{
		{"a table is out of reach", `ALTER TABLE order_events RENAME TO taken_away`, `ALTER TABLE taken_away RENAME TO order_events`},
		{
			"every row is refused",
			`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
			CREATE TRIGGER refuse BEFORE INSERT ON order_events FOR EACH ROW EXECUTE FUNCTION refuse()`,
			`DROP TRIGGER refuse ON order_events`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			const orders = 120
			for i := range orders {
				w.add(t, i, isPaidStep)
			}
			w.exec(t, tt.breakIt)
			p := w.poller(t)
			p.writing.probeEvery = 200 * time.Millisecond
			pass := start(t, p, Run{})
			eventually(t, "the outage", p.writing.isFailing)
			const claimed = 5 * 4 // orders with the workers, or waiting for one
			began, asked := time.Now(), w.sim.Total()
			eventually(t, "ten probes", func() bool { return w.sim.Total() >= asked+claimed+10 })
			n, probes := w.sim.Total()-asked, int(time.Since(began)/p.writing.probeEvery)+1
			if n > claimed+probes {
				t.Errorf("%d round trips while nothing can be written, of %d orders that were claimed and at most %d probes", n, claimed, probes)
			}
			err := p.Ready()
			if err == nil {
				t.Error("ready all the same")
			} else if text := err.Error(); !strings.Contains(text, "answers cannot be written, for ") || strings.Contains(text, time.Now().Format("2006-")) {
				t.Errorf("not ready: %s; want for how long, and no time of a zone", text)
			}
			w.exec(t, tt.mendIt)
			eventually(t, "the end of the outage", func() bool { return !p.writing.isFailing() })
			pass.stop()
			<-pass.ended
			w.exec(t, `UPDATE orders SET lease_until = now() WHERE lease_until IS NOT NULL`)
			sweep(t, w.poller(t, named("another")), Run{})
			if n := one[int](t, w, `SELECT count(*)::int FROM orders WHERE status = 'TRADE_SUCCESS'`); n != orders {
				t.Errorf("%d of %d orders are settled", n, orders)
			}
			if n := one[int](t, w, `SELECT count(*)::int FROM orders WHERE review_reason IS NOT NULL`); n != 0 {
				t.Errorf("%d orders are under review", n)
			}
		})
	}
}

// The log says it once, and once that it is over.
func TestOutageIsLoggedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 60 {
		w.add(t, i, isPaidStep)
	}
	w.exec(t, `ALTER TABLE order_events RENAME TO taken_away`)
	logged := newRecords()
	p := w.poller(t, logging(logged))
	p.writing.probeEvery = 20 * time.Millisecond
	pass := start(t, p, Run{})
	eventually(t, "the outage", p.writing.isFailing)
	w.exec(t, `ALTER TABLE taken_away RENAME TO order_events`)
	wantDecisions(t, pass.wait(t), map[order.Decision]int{order.Settled: 60})
	lines := logged.all()
	for _, message := range []string{"ERROR answers cannot be written", "INFO answers are written again"} {
		n := 0
		for _, line := range lines {
			if len(line) >= len(message) && line[:len(message)] == message {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d lines %q, want 1", n, message)
		}
	}
}

// A claim whose reply is lost is given back by the next statement that succeeds, and does not
// count.
func TestClaimWhoseReplyIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 10 {
		w.add(t, i, isPaidStep)
	}
	s := &lostReplies{Store: w.Store, lost: 4}
	p := w.poller(t, into(s))
	for range 4 {
		if _, err := p.RunOnce(t.Context(), Run{}); err == nil {
			t.Fatal("the claim did not fail")
		}
	}
	wantDecisions(t, sweep(t, p, Run{}), map[order.Decision]int{order.Settled: 10})
}

// lostReplies is the real store, of which the replies to the first claims are lost.
type lostReplies struct {
	*store.Store

	lost int
}

func (s *lostReplies) Claim(ctx context.Context, c store.Claim) (store.Page, error) {
	page, err := s.Store.Claim(ctx, c)
	if s.lost--; s.lost >= 0 {
		return store.Page{}, errors.Join(err, errors.New("the reply was lost"))
	}
	return page, err
}

// A row that another session holds locked delays nobody, also where there are as many as workers.
func TestLockedRowsDelayNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const locked, others = 8, 30
	for i := range locked + others {
		w.add(t, i, isPaidStep)
	}
	tx := w.beginTx(t)
	first := make(chan struct{})
	g := w.meanwhile(func(r chinaums.Request) {
		if r.MerOrderID == mer(0) {
			if _, err := tx.Exec(context.Background(), `SELECT FROM orders WHERE mer_order_id < $1 FOR UPDATE`, mer(locked)); err != nil {
				t.Error(err)
			}
			close(first)
		}
		<-first
	})
	pass := start(t, w.poller(t, workers(locked), asking(g)), Run{})
	eventually(t, "the orders that nobody locks", func() bool {
		return one[int](t, w, `SELECT count(*)::int FROM orders WHERE status = 'TRADE_SUCCESS'`) == others
	})
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantDecisions(t, pass.wait(t), map[order.Decision]int{order.Settled: locked + others})
	if n := one[int](t, w, `SELECT count(*)::int FROM orders WHERE review_reason IS NOT NULL OR unrecorded_claims > 0`); n != 0 {
		t.Errorf("%d orders are under review or suspect", n)
	}
}

// A row whose own trigger raises goes to a person after three leases; its neighbours are written.
func TestRowThatRefusesItsWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 8 {
		w.add(t, i, isPaidStep)
	}
	w.exec(t, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$`)
	w.exec(t, `CREATE TRIGGER refuse BEFORE UPDATE ON orders FOR EACH ROW
		WHEN (new.mer_order_id = '`+mer(2)+`' AND new.total_amount IS NOT NULL) EXECUTE FUNCTION refuse()`)
	p := w.poller(t)
	for range maxRefusedLeases {
		sweep(t, p, Run{})
		for _, row := range p.aside.rows {
			row.until = time.Now() // its lease is over
		}
		w.exec(t, `UPDATE orders SET lease_until = now() - interval '1 s' WHERE lease_until IS NOT NULL`)
	}
	// The lines are those of world.state: status, review, due, count, claim, booked.
	w.wantState(t, 2, "UNKNOWN unwritable never 0 free -")
	w.wantEvents(t, 2, "order.review")
	for _, i := range []int{0, 1, 3, 7} {
		w.wantState(t, i, rowPaid)
	}
}

// Orders whose merchant nobody listed come back once it is listed.
func TestOrdersWithoutCredentialsComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, isPaidStep)
	w.addOf(t, otherMID, 1, isPaidStep)
	p := w.poller(t, func(o *Options) { o.Apps[0].MIDs = []string{testMID} })
	sweep(t, p, Run{})
	w.wantState(t, 1, "UNKNOWN no_credentials never 0 free -")
	if err := p.UseApps([]App{{AppID: credentials().AppID, Gateway: w.client, MIDs: []string{testMID, otherMID}}}); err != nil {
		t.Fatal(err)
	}
	sweep(t, p, Run{})
	w.wantState(t, 1, rowPaid)
}

// An order whose questions alone get no usable answer spends its plan like any other.
func TestTroubleOfOneOrderSpendsItsPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, simulator.Step{Raw: "{"})
	w.add(t, 1, isPaidStep)
	p := w.poller(t)
	sweep(t, p, Run{})
	w.wantState(t, 0, rowWaiting)
	w.add(t, 2, isPaidStep)
	sweep(t, p, Run{}) // another order is answered since
	w.exec(t, `UPDATE orders SET next_query_at = now() WHERE next_query_at IS NOT NULL`)
	sweep(t, p, Run{})
	w.wantState(t, 0, "UNKNOWN - later 1 free -")
	w.wantLedger(t, 0, "no_answer transient 3", "deferred unusable_answer 3")
}

// Merchants that hang leave workers to the others, who are asked meanwhile.
func TestMerchantsThatHangLeaveWorkersToOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const hanging, each, healthy = 4, 10, 60
	n := 0
	for m := range hanging {
		for range each {
			w.addOf(t, fmt.Sprintf("89834014900%04d", m), n, simulator.Step{Fault: simulator.FaultHang})
			n++
		}
	}
	for range healthy {
		w.add(t, n, isPaidStep)
		n++
	}
	soon := func(o *Options) { o.RequestTimeout = 300 * time.Millisecond } // the stop waits for so long
	pass := start(t, w.poller(t, workers(16), soon), Run{})
	eventually(t, "the healthy merchant's orders", func() bool {
		return one[int](t, w, `SELECT count(*)::int FROM orders WHERE status = 'TRADE_SUCCESS'`) == healthy
	})
	pass.stop()
	<-pass.ended
}

// Orders with two claims that ended with their process are asked one at a time, beside the others.
func TestSuspectsAreAskedOneAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const suspects, others = 6, 20
	for i := range suspects + others {
		w.add(t, i, isPaidStep)
	}
	w.exec(t, `UPDATE orders SET unrecorded_claims = 2 WHERE mer_order_id < $1`, mer(suspects))
	inFlight := make(chan int, 1)
	inFlight <- 0
	most := 0
	g := gatewayFunc(func(ctx context.Context, r chinaums.Request) (chinaums.Answer, error) {
		if r.MerOrderID >= mer(suspects) {
			return w.client.Query(ctx, r)
		}
		n := <-inFlight + 1
		most = max(most, n)
		inFlight <- n
		answer, err := w.client.Query(ctx, r)
		inFlight <- <-inFlight - 1
		return answer, err
	})
	wantDecisions(t, sweep(t, w.poller(t, workers(8), asking(g)), Run{}), map[order.Decision]int{order.Settled: suspects + others})
	if most != 1 {
		t.Errorf("%d suspects were asked at once", most)
	}
}

// An answer that could not be written does not count toward poison, also where its process ends
// within the outage.
func TestProcessThatEndsInAnOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 20 {
		w.add(t, i, isPaidStep)
	}
	w.exec(t, `ALTER TABLE order_events RENAME TO taken_away`)
	p := w.poller(t)
	p.RequestTimeout = 100 * time.Millisecond
	pass := start(t, p, Run{})
	eventually(t, "the outage", p.writing.isFailing)
	pass.stop()
	<-pass.ended
	counted := one[int](t, w, `SELECT count(*)::int FROM orders WHERE unrecorded_claims > 0 OR claimed_by IS NOT NULL`)
	claimed := one[int](t, w, `SELECT count(*)::int FROM orders WHERE claim_no > 0`)
	if counted != 0 || claimed == 0 {
		t.Errorf("the claims of %d orders count, of %d that were claimed", counted, claimed)
	}
}
