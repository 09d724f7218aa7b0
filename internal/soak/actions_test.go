package soak_test

import (
	"context"
	"sync"
	"time"

	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/order"
	"reconciler/internal/poller"
	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

const (
	ordersFirst = 40
	ordersMost  = 150
)

// chaos lets two to four pollers work while the driver interferes, and stops them.
func (w *world) chaos() {
	w.t.Helper()
	w.insert(ordersFirst)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w.chaosOver = ctx
	var daemons sync.WaitGroup
	slots := make([]*slot, 2+w.rand.IntN(3))
	for i := range slots {
		slots[i] = &slot{w: w}
		daemons.Go(func() { slots[i].run(ctx) })
	}
	for began := time.Now(); !w.chaosIsOver(time.Since(began)) && !w.t.Failed(); {
		w.interfere(slots)
		w.interventions++
		sleep(ctx, time.Duration(w.rand.Int64N(int64(15*time.Millisecond))))
	}
	cancel()
	daemons.Wait()
	w.byHand.Wait()
	// A statement of a killed daemon may still be under way at the server.
	storetest.Eventually(w.t, time.Minute, "every order is as its script says", func() bool { return w.correctRightly(len(w.scripts)) == 0 })
}

// chaosIsOver gives a slow machine more time for the same interference.
func (w *world) chaosIsOver(lasted time.Duration) bool {
	return lasted > maxChaosTime || (lasted > chaosTime && w.interventions >= minInterventions)
}

// interfere does one thing that may happen at any time.
func (w *world) interfere(slots []*slot) {
	actions := []struct {
		weight int
		act    func()
	}{
		{10, func() { w.insert(1 + w.rand.IntN(4)) }},
		{12, w.applicationSettles},
		{4, w.applicationNudges},
		{3, w.applicationLocks},
		{1, func() { w.hand(w.db.application, `DELETE FROM orders WHERE id = $1`, w.someID()) }},
		{4, w.saveStaleCopy},
		{2, w.saveUnknown},
		{2, w.saveNulls},
		{2, w.clearReview},
		{3, w.correctWrongly},
		{3, func() { _ = w.correctRightly(1) }},
		{1, w.lockRows},
		{2, w.breakDatabase},
		{2, w.clockSteps},
		{1, w.refuse},
		{2, w.allow},
		{2, w.archive},
		{1, func() { w.changeMood(pick(w.rand, merchants()...), pick(w.rand, moodHangs, moodRubbish)) }},
		{2, func() { loseReplies(pick(w.rand, slots...), time.Duration(w.rand.Int64N(int64(500*time.Millisecond)))) }},
		{5, func() { w.jump(pick(w.rand, time.Second, 2*time.Second, 31*time.Second, 6*time.Minute), lockTimeout) }},
		{1, func() { w.jump(pick(w.rand, 2*time.Hour, 12*time.Hour, 25*time.Hour), lockTimeout) }},
		{5, w.leasesEnd},
		{6, func() { crash(pick(w.rand, slots...)) }},
		{4, func() { stop(pick(w.rand, slots...)) }},
		{5, w.runByHand},
		{2, w.pause},
		{4, w.resume},
		{3, w.reviewIsLifted},
		{1, w.outage},
		{3, w.calm},
		{1, func() { w.merchantFails(pick(w.rand, merchants()...)) }},
	}
	sum := 0
	for _, a := range actions {
		sum += a.weight
	}
	n := w.rand.IntN(sum)
	for _, a := range actions {
		if n -= a.weight; n < 0 {
			a.act()
			return
		}
	}
}

// insert makes orders of any age and tells the gateway of them. Some have the explicit nulls of an
// ORM.
func (w *world) insert(n int) {
	for range min(n, ordersMost-len(w.scripts)) {
		s := newScript(w.rand, len(w.scripts)+1)
		w.addOrder(s, pick(w.rand, 0, 10*time.Minute, 3*time.Hour, 30*time.Hour), w.rand.IntN(8) == 0)
	}
}

func (w *world) addOrder(s *script, age time.Duration, nulls bool) {
	w.scripts = append(w.scripts, s)
	w.byNumber[s.number] = s
	if err := w.sim.AddOrder(s.atGateway()); err != nil {
		w.t.Fatal(err)
	}
	mer, target := s.numbers()
	exec(w.t, w.db.application, `INSERT INTO orders (mid, tid, mer_order_id, target_order_id, order_amount, created_at, expires_at, next_query_at, review_reason)
		VALUES ($1, '88880001', $2, $3, $4, now() - $5::interval, now() - $5::interval + interval '30 min',
			CASE WHEN $6 THEN NULL ELSE now() END, CASE WHEN $6 THEN '' END)`, s.mid, mer, target, s.amount, age, nulls)
}

func (w *world) someID() int64 { return 1 + w.rand.Int64N(int64(len(w.scripts))) }

// applicationSettles is the plain update that is all that is asked of it: of an
// order in any state, as often as not against what the gateway says.
func (w *world) applicationSettles() {
	w.hand(w.db.application, `UPDATE orders SET status = $2 WHERE id = $1`, w.someID(),
		pick(w.rand, order.StatusTradeSuccess, order.StatusTradeRefund, order.StatusTradeClosed))
}

// applicationNudges moves an order that is not settled between open states.
func (w *world) applicationNudges() {
	w.hand(w.db.application, `UPDATE orders SET status = $2 WHERE id = $1 AND status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY')`, w.someID(),
		pick(w.rand, order.StatusUnknown, order.StatusNewOrder, order.StatusWaitBuyerPay))
}

// applicationLocks holds an order in a slow transaction, with an update or without.
func (w *world) applicationLocks() {
	id, status := w.someID(), pick(w.rand, "", "TRADE_SUCCESS", "TRADE_CLOSED")
	length := time.Duration(w.rand.Int64N(int64(300 * time.Millisecond)))
	w.byHand.Go(func() {
		w.hand(w.db.application, `WITH settled AS (
				UPDATE orders SET status = CASE WHEN $2 = '' THEN status ELSE $2 END WHERE id = $1 RETURNING id)
			SELECT pg_sleep($3) FROM settled`, id, status, length.Seconds())
	})
}

// leasesEnd ends some leases: their owners, dead or not, have taken too long.
func (w *world) leasesEnd() {
	w.hand(w.db.clock, `UPDATE orders SET lease_until = now()
		WHERE id IN (SELECT id FROM orders WHERE lease_until > now() AND id % $1 = 0 FOR UPDATE SKIP LOCKED)`, 1+w.rand.IntN(4))
}

func crash(s *slot) {
	if l := s.present(); l != nil {
		l.crash()
	}
}

func stop(s *slot) {
	if l := s.present(); l != nil {
		l.stop()
	}
}

// runByHand is a run-once beside the daemons, of any kind.
func (w *world) runByHand() {
	since := time.Now().Add(-pick(w.rand, time.Minute, 24*time.Hour))
	run := pick(w.rand,
		poller.Run{Once: true},
		poller.Run{Once: true, Limit: 1 + w.rand.IntN(20)},
		poller.Run{Once: true, Selection: &store.Selection{}},
		poller.Run{Once: true, Selection: &store.Selection{MID: pick(w.rand, merchants()...), Review: true}},
		poller.Run{Once: true, Selection: &store.Selection{OnlyReview: true}},
		poller.Run{Once: true, Selection: &store.Selection{CreatedSince: &since}},
		poller.Run{Once: true, Selection: &store.Selection{MerOrderIDs: []string{pick(w.rand, w.scripts...).mer, pick(w.rand, w.scripts...).mer}}},
		poller.Run{Once: true, Selection: &store.Selection{}, DryRun: true, Limit: 10},
	)
	role := "hand"
	if run.DryRun {
		role = "dry"
	}
	l := w.newLife(role, 6, 0.01, 0.01)
	w.byHand.Go(func() {
		defer l.end()
		l.pass(run)
	})
}

func (w *world) pause() {
	c := store.Control{Scope: store.ScopeMerchant, Key: pick(w.rand, merchants()...), Reason: "soak", SetBy: "person"}
	if w.rand.IntN(3) == 0 {
		c.Scope, c.Key = store.ScopeApp, appID
	}
	until := time.Now().Add(time.Minute)
	if w.rand.IntN(2) == 0 {
		c.PausedUntil = &until
	}
	w.hand(w.db.person, `INSERT INTO gateway_controls (scope, key, paused_until, reason, set_by) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (scope, key) DO UPDATE SET paused_until = excluded.paused_until, reason = excluded.reason, set_by = excluded.set_by,
			set_at = now(), probe_until = NULL`, c.Scope, c.Key, c.PausedUntil, c.Reason, c.SetBy)
}

func (w *world) resume() {
	if w.rand.IntN(2) == 0 {
		w.hand(w.db.person, `DELETE FROM gateway_controls`)
		return
	}
	w.hand(w.db.person, `DELETE FROM gateway_controls WHERE key = $1`, pick(w.rand, append(merchants(), appID)...))
}

// reviewIsLifted is a person who has looked at an order and wants it asked again.
func (w *world) reviewIsLifted() {
	w.hand(w.db.person, `UPDATE orders SET review_reason = NULL, review_note = NULL, next_query_at = now()
		WHERE review_reason IS NOT NULL AND status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY') AND id % 3 = $1`, w.rand.IntN(3))
}

// outage is the gateway in trouble as a whole, until calm.
func (w *world) outage() {
	step := pick(w.rand,
		simulator.Step{Code: "9200"}, simulator.Step{Fault: simulator.FaultReset}, simulator.Step{Fault: simulator.FaultHTML502},
		simulator.Step{Code: "1000"}, simulator.Step{Fault: simulator.FaultTruncated, Probability: 0.5},
		simulator.Step{Fault: simulator.FaultTwice, Probability: 0.5}, simulator.Step{Fault: simulator.FaultRawTab, Probability: 0.5},
		simulator.Step{Fault: simulator.FaultSwitching}, simulator.Step{Fault: simulator.FaultCloseAfter},
		simulator.Step{HTTPStatus: 503}, simulator.Step{Delay: 50 * time.Millisecond})
	step.For = time.Duration(w.rand.Int64N(int64(time.Second)))
	if err := w.sim.SetOutage(step); err != nil {
		w.t.Fatal(err)
	}
	w.sim.SetEntitled(appID, w.rand.IntN(8) > 0)
}

func (w *world) merchantFails(mid string) {
	state := pick(w.rand, simulator.MerchantInactive, simulator.MerchantUnknown, simulator.MerchantBadConfig)
	if err := w.sim.SetMerchant(simulator.Merchant{MID: mid, State: state}); err != nil {
		w.t.Fatal(err)
	}
}
