package poller

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/order"
	"reconciler/internal/store"
)

// meanwhile is the gateway with something that happens to the orders while it is asked.
func (w *world) meanwhile(do func(r chinaums.Request)) Gateway {
	return gatewayFunc(func(ctx context.Context, r chinaums.Request) (chinaums.Answer, error) {
		answer, err := w.client.Query(ctx, r)
		do(r)
		return answer, err
	})
}

// The application, or a person, changes an order while the gateway is asked about it.
func TestOrderChangesInFlight(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, change string
		answer       simulator.Step
		row, ledger  string
		events       []string
	}{
		// The lines are those of world.state: status, review, due, count, claim, booked.
		{"both say paid", `status = 'TRADE_SUCCESS'`, isPaidStep, "TRADE_SUCCESS - due 0 free -", "superseded superseded after: trade_success 1", nil},
		{"paid, refunded since", `status = 'TRADE_SUCCESS'`, says("TRADE_REFUND"), "TRADE_SUCCESS - due 0 free -", "superseded superseded after: trade_refund 1", nil},
		{"both say closed", `status = 'TRADE_CLOSED'`, says("TRADE_CLOSED"), "TRADE_CLOSED - due 0 free -", "superseded superseded after: trade_closed 1", nil},
		{"closed, answered paid", `status = 'TRADE_CLOSED'`, isPaidStep, "TRADE_CLOSED conflict due 0 free -", "review conflict 1", []string{"order.review"}},
		{"closed, answered refunded", `status = 'TRADE_CLOSED'`, says("TRADE_REFUND"), "TRADE_CLOSED conflict due 0 free -", "review conflict 1", []string{"order.review"}},
		{"paid, answered closed", `status = 'TRADE_SUCCESS'`, says("TRADE_CLOSED"), "TRADE_SUCCESS conflict due 0 free -", "review conflict 1", []string{"order.review"}},
		{"refunded, answered closed", `status = 'TRADE_REFUND'`, says("TRADE_CLOSED"), "TRADE_REFUND conflict due 0 free -", "review conflict 1", []string{"order.review"}},
		{"paid, answered not yet", `status = 'TRADE_SUCCESS'`, says("WAIT_BUYER_PAY"), "TRADE_SUCCESS - due 0 free -", "superseded superseded after: unresolved 1", nil},
		{"paid, answered wrong amount", `status = 'TRADE_SUCCESS'`, simulator.Step{Status: "TRADE_SUCCESS", Amount: new(int64(1))}, "TRADE_SUCCESS - due 0 free -", "superseded superseded after: amount_mismatch 1", nil},
		{"paid, answered NO_ORDER", `status = 'TRADE_SUCCESS'`, codes("NO_ORDER"), "TRADE_SUCCESS - due 0 free -", "superseded superseded after: no_order 1", nil},
		{"another unresolved status", `status = 'NEW_ORDER'`, isPaidStep, "NEW_ORDER - due 0 free -", "superseded superseded after: trade_success 1", nil},
		{"claimed by another", `claim_no = claim_no + 1, claimed_by = 'another'`, isPaidStep, "UNKNOWN - due 0 in flight -", "superseded superseded after: trade_success 1", nil},
		{"already in conflict", `status = 'TRADE_CLOSED', review_reason = 'conflict', review_note = 'before'`, isPaidStep, "TRADE_CLOSED conflict due 0 free -", "review conflict 1", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.add(t, 0, tt.answer)
			w.add(t, 1, isPaidStep) // a neighbour, of the same group perhaps
			g := w.meanwhile(func(r chinaums.Request) {
				if r.MerOrderID == mer(0) {
					w.exec(t, `UPDATE orders SET `+tt.change+` WHERE mer_order_id = $1`, mer(0))
				}
			})
			// One order of a selection: it is not met again while it stays unresolved.
			sweep(t, w.poller(t, asking(g)), Run{Selection: &store.Selection{}})
			w.wantState(t, 0, tt.row)
			w.wantLedger(t, 0, tt.ledger)
			w.wantEvents(t, 0, tt.events...)
			w.wantState(t, 1, rowPaid)
			if n := one[int](t, w, `SELECT count(*)::int FROM order_queries WHERE trade_status IS NOT NULL OR err_code = 'NO_ORDER'`); n != 2 {
				t.Errorf("%d answers kept as evidence, want 2", n)
			}
		})
	}
}

func TestOrderDeletedInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, isPaidStep)
	g := w.meanwhile(func(chinaums.Request) { w.exec(t, `DELETE FROM orders`) })
	wantDecisions(t, sweep(t, w.poller(t, asking(g)), Run{}), map[order.Decision]int{order.Superseded: 1})
	if got := one[string](t, w, `SELECT decision || ' ' || trade_status FROM order_queries`); got != "superseded TRADE_SUCCESS" {
		t.Errorf("the ledger holds %q", got)
	}
	if n := one[int](t, w, `SELECT count(*)::int FROM order_events`); n != 0 {
		t.Errorf("%d events about an order that is gone", n)
	}
}

// An answer that comes after the lease was lost to another instance changes nothing;
// what the other found stands.
func TestLateAnswerAfterATakeover(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		late, other simulator.Step
		row         string
		ledger      []string
		events      []string
	}{
		{"both paid", isPaidStep, isPaidStep, rowPaid, []string{"settled trade_success 1", "superseded superseded after: trade_success 1"}, []string{"order.paid"}},
		{"late: paid, other: not yet", isPaidStep, says("WAIT_BUYER_PAY"), "WAIT_BUYER_PAY - later 1 free -", []string{"deferred unresolved 1", "superseded superseded after: trade_success 1"}, nil},
		{"late: not yet, other: paid", says("WAIT_BUYER_PAY"), isPaidStep, rowPaid, []string{"settled trade_success 1", "superseded superseded after: unresolved 1"}, []string{"order.paid"}},
		{"late: closed, other: paid", says("TRADE_CLOSED"), isPaidStep, "TRADE_SUCCESS conflict never 0 free 1000", []string{"settled trade_success 1", "review conflict 1"}, []string{"order.paid", "order.review"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.add(t, 0, tt.late)
			answered, release := make(chan struct{}), make(chan struct{})
			g := w.meanwhile(func(chinaums.Request) {
				close(answered)
				<-release
			})
			late := start(t, w.poller(t, asking(g), named("late")), Run{Limit: 1})
			<-answered
			w.exec(t, `UPDATE orders SET lease_until = now() - interval '1 s'`)
			w.script(t, testMID, 0, tt.other)
			if s := sweep(t, w.poller(t, named("other")), Run{}); s.Asked != 1 {
				t.Errorf("the other asked %d times", s.Asked)
			}
			close(release)
			late.wait(t)
			w.wantState(t, 0, tt.row)
			w.wantLedger(t, 0, tt.ledger...)
			w.wantEvents(t, 0, tt.events...)
		})
	}
}

// An answer that the table refuses must not take its neighbours along: they are
// settled, and it ends in review.
func TestUnwritableAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		answer simulator.Step
	}{
		{"NUL in a booked column", says("TRADE_SUCCESS", simulator.MutationNUL)},
		// The platform's word is not bounded, the column is.
		{"a number that a constraint refuses", refusedNumber(5)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			const orders, culprit = 12, 5
			for i := range orders {
				step := isPaidStep
				if i == culprit {
					step = tt.answer
				}
				w.add(t, i, step)
			}
			// All answers come at once, so that they are written as one group.
			arrived := make(chan struct{})
			var n atomic.Int64
			g := w.meanwhile(func(chinaums.Request) {
				if n.Add(1) == orders {
					close(arrived)
				}
				<-arrived
			})
			logged := newRecords()
			summary := sweep(t, w.poller(t, workers(orders), asking(g), logging(logged)), Run{})
			wantDecisions(t, summary, map[order.Decision]int{order.Settled: orders - 1, order.Review: 1})
			if !summary.Complete() {
				t.Error("not complete, though each order was asked about and written")
			}
			for i := range orders {
				if i != culprit {
					w.wantState(t, i, rowPaid)
					w.wantLedger(t, i, "settled trade_success 1")
					continue
				}
				w.wantState(t, i, "UNKNOWN unwritable never 0 free -")
				w.wantLedger(t, i, "review unwritable 1")
				w.wantEvents(t, i, "order.review")
			}
			evidence := one[string](t, w, `SELECT response::text FROM order_queries WHERE decision = 'review'`)
			if !strings.Contains(evidence, "TRADE_SUCCESS") {
				t.Errorf("the answer is not kept: %s", evidence)
			}
			if !logged.find("WARN", "review", "unwritable") {
				t.Error("no word of it in the log")
			}
		})
	}
}

// Strange texts that can be written are, with U+FFFD where there is no character.
func TestStrangeTextsAreWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, says("TRADE_SUCCESS", simulator.MutationInvalidUTF8))
	w.add(t, 1, says("TRADE_SUCCESS", simulator.MutationLoneSurrogate))
	// A NUL in what is not booked (the status says "not yet") is no reason for a review.
	w.add(t, 2, says("WAIT_BUYER_PAY", simulator.MutationNUL))
	w.add(t, 3, simulator.Step{Code: "TARGET_FAIL", Message: "bad\x00message\xff"})
	w.add(t, 4, says("\x00"))
	sweep(t, w.poller(t), Run{})
	for i, want := range []string{
		rowPaid, rowPaid, "WAIT_BUYER_PAY - later 1 free -", "UNKNOWN - later 1 free -", "UNKNOWN - later 1 free -",
	} {
		w.wantState(t, i, want)
	}
	for _, bank := range rows[string](t, w, `SELECT bank_info FROM orders WHERE status = 'TRADE_SUCCESS'`) {
		if !strings.Contains(bank, "\uFFFD") {
			t.Errorf("bank_info %q", bank)
		}
	}
}

// The database goes away while answers wait to be written, and comes back: they are
// written, once, and the gateway is not asked again.
func TestConnectionLostAtTheWrite(t *testing.T) {
	t.Parallel()
	lost := errors.New("unexpected EOF")
	for _, tt := range []struct {
		name              string
		record, committed func(int) error
	}{
		{"before it", func(n int) error {
			if n <= 2 {
				return lost
			}
			return nil
		}, nil},
		{"after it, before its acknowledgement", nil, func(n int) error {
			if n == 1 {
				return lost
			}
			return nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for i := range 10 {
				w.add(t, i, isPaidStep)
			}
			s := &brokenStore{Store: w.Store, record: tt.record, committed: tt.committed}
			summary := sweep(t, w.poller(t, into(s)), Run{})
			wantDecisions(t, summary, map[order.Decision]int{order.Settled: 10})
			if summary.Unwritten != 0 || w.sim.Total() != 10 {
				t.Errorf("unwritten %d, round trips %d", summary.Unwritten, w.sim.Total())
			}
			for i := range 10 {
				w.wantState(t, i, rowPaid)
				w.wantLedger(t, i, "settled trade_success 1")
				w.wantEvents(t, i, "order.paid")
			}
		})
	}
}

// The same with a server that really ends all connections while the gateway is asked.
func TestConnectionsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 20 {
		w.add(t, i, isPaidStep)
	}
	g, holding, letGo := w.held()
	pass := start(t, w.poller(t, asking(g)), Run{})
	for range 4 {
		<-holding
	}
	w.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'reconciler'`)
	close(letGo)
	<-pass.ended // a claim may fail, but answers are written
	for i := range 20 {
		if n := len(w.ledger(t, i)); n != w.sim.Count(mer(i)) {
			t.Errorf("order %d: asked %d times, %d rows in the ledger", i, w.sim.Count(mer(i)), n)
		}
	}
	sweep(t, w.poller(t), Run{})
	for i := range 20 {
		w.wantState(t, i, rowPaid)
		w.wantLedger(t, i, "settled trade_success 1")
	}
}

// What a server that is there refuses for other reasons than the answer's values is
// not tried for ever: the orders keep their leases and are asked about again.
func TestWriteRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		w.add(t, i, isPaidStep)
	}
	w.exec(t, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$`)
	w.exec(t, `CREATE TRIGGER refuse BEFORE UPDATE ON orders FOR EACH ROW
		WHEN (new.mer_order_id = '`+mer(2)+`' AND new.status <> old.status) EXECUTE FUNCTION refuse()`)
	logged := newRecords()
	summary := sweep(t, w.poller(t, logging(logged)), Run{})
	wantDecisions(t, summary, map[order.Decision]int{order.Settled: 4})
	if summary.Unwritten != 1 || summary.Complete() {
		t.Errorf("unwritten %d, complete %t; want 1, false", summary.Unwritten, summary.Complete())
	}
	w.wantState(t, 2, "UNKNOWN - due 0 in flight -")
	if !logged.find("ERROR", "not today") {
		t.Error("no word of it in the log")
	}
	w.exec(t, `DROP TRIGGER refuse ON orders`)
	w.exec(t, `UPDATE orders SET lease_until = now() - interval '1 s' WHERE lease_until IS NOT NULL`)
	sweep(t, w.poller(t), Run{})
	w.wantState(t, 2, rowPaid)
	w.wantLedger(t, 2, "settled trade_success 1")
}

// A row whose trigger refuses or drops its very claim waits aside, and the rows behind it are
// asked.
func TestClaimRefused(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"raises": `RAISE EXCEPTION 'not today';`, "drops": `RETURN NULL;`} {
		for kind, run := range map[string]Run{"due": {}, "once": {Once: true}, "selected": {Once: true, Selection: &store.Selection{}}} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				for i := range 5 {
					w.add(t, i, isPaidStep)
				}
				w.exec(t, `UPDATE orders SET next_query_at = now() - (10 - id) * interval '1 minute'`)
				w.exec(t, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN `+body+` END $$`)
				w.exec(t, `CREATE TRIGGER refuse BEFORE UPDATE ON orders FOR EACH ROW WHEN (old.id <= 3) EXECUTE FUNCTION refuse()`)
				logged := newRecords()
				p := w.poller(t, logging(logged), workers(1))
				summary := sweep(t, p, run)
				wantDecisions(t, summary, map[order.Decision]int{order.Settled: 2})
				if list := p.Aside(); len(list) != 3 || list[0].ID != 1 || list[0].Cause == "" {
					t.Errorf("aside: %+v, want the three", list)
				}
				if summary.NotAsked != 3 || summary.Complete() {
					t.Errorf("not asked %d, complete %t; want 3, false", summary.NotAsked, summary.Complete())
				}
				if !logged.find("ERROR", "an order cannot be written and waits aside") {
					t.Error("no word of it in the log")
				}
			})
		}
	}
}

// lockBehindATrigger makes the writes of the first order that meet a condition wait for a row of
// the shop's. That row is locked until the returned function is called.
func (w *world) lockBehindATrigger(t *testing.T, condition string) (unlock func()) {
	t.Helper()
	w.exec(t, `CREATE TABLE stock (id bigint PRIMARY KEY); INSERT INTO stock VALUES (1)`)
	w.exec(t, `CREATE FUNCTION take() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM FROM stock FOR UPDATE; RETURN NEW; END $$`)
	w.exec(t, `CREATE TRIGGER take BEFORE UPDATE ON orders FOR EACH ROW WHEN (old.id = 1 AND `+condition+`) EXECUTE FUNCTION take()`)
	tx := w.beginTx(t)
	if _, err := tx.Exec(t.Context(), `SELECT FROM stock FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	return func() { _ = tx.Rollback(context.Background()) }
}

// A row whose trigger waits for a lock at its claim waits aside as well, for one lease and not as a
// refusal.
func TestClaimBehindALock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 {
		w.add(t, i, isPaidStep)
	}
	w.lockBehindATrigger(t, `true`)
	logged := newRecords()
	p := w.poller(t, logging(logged))
	summary := sweep(t, p, Run{Once: true})
	wantDecisions(t, summary, map[order.Decision]int{order.Settled: 2})
	if list := p.Aside(); len(list) != 0 || summary.NotAsked != 1 {
		t.Errorf("refused: %+v, not asked: %d; want none, 1", list, summary.NotAsked)
	}
	if !logged.find("WARN", "an order waits aside for a lock") {
		t.Error("no word of it in the log")
	}
}

// An answer that waits for a lock behind a trigger is tried apart from the others: they go on
// sharing their commits.
func TestWriteBehindALock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const orders = 200
	for i := range orders {
		w.add(t, i, isPaidStep)
	}
	unlock := w.lockBehindATrigger(t, `new.status <> old.status`)
	p := w.poller(t, workers(32))
	swept := make(chan Summary, 1)
	go func() {
		summary, err := p.RunOnce(t.Context(), Run{})
		if err != nil {
			t.Error(err)
		}
		swept <- summary
	}()
	eventually(t, "the others are settled", func() bool {
		return one[int](t, w, `SELECT count(*)::int FROM orders WHERE status = 'TRADE_SUCCESS'`) == orders-1
	})
	if n := one[int](t, w, `SELECT count(DISTINCT xmin::text)::int FROM order_queries`); n > orders*3/4 {
		t.Errorf("%d commits for %d answers", n, orders-1)
	}
	unlock()
	wantDecisions(t, <-swept, map[order.Decision]int{order.Settled: orders})
}

// A write that panics is tried again like one that was lost.
func TestPanicAtTheWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 10 {
		w.add(t, i, isPaidStep)
	}
	s := &brokenStore{Store: w.Store, record: func(n int) error {
		if n == 2 {
			panic("a bug")
		}
		return nil
	}}
	logged := newRecords()
	summary := sweep(t, w.poller(t, workers(1), into(s), logging(logged)), Run{})
	wantDecisions(t, summary, map[order.Decision]int{order.Settled: 10})
	if !logged.find("ERROR", "panic: a bug") {
		t.Error("no word of it in the log")
	}
}
