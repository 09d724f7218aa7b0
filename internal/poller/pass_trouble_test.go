package poller

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/order"
	"reconciler/internal/store"
)

var errAway = errors.New("the database is away")

// awayStore is the real store, of which one method fails.
type awayStore struct {
	*store.Store

	method string
}

func (s awayStore) err(method string) error {
	if s.method == method {
		return errAway
	}
	return nil
}

func (s awayStore) Now(ctx context.Context) (time.Time, error) {
	if err := s.err("Now"); err != nil {
		return time.Time{}, err
	}
	return s.Store.Now(ctx)
}

func (s awayStore) OpenBudget(ctx context.Context, app string, rate float64) error {
	return errors.Join(s.err("OpenBudget"), s.Store.OpenBudget(ctx, app, rate))
}

func (s awayStore) Reserve(ctx context.Context, app string, rate float64) (time.Duration, error) {
	wait, err := s.Store.Reserve(ctx, app, rate)
	return wait, errors.Join(s.err("Reserve"), err)
}

func (s awayStore) PauseByBreaker(ctx context.Context, p store.BreakerPause) error {
	if err := s.err("PauseByBreaker"); err != nil {
		return err
	}
	return s.Store.PauseByBreaker(ctx, p)
}

func (s awayStore) Release(ctx context.Context, orders []order.Order) error {
	if err := s.err("Release"); err != nil {
		return err
	}
	return s.Store.Release(ctx, orders)
}

func (s awayStore) NotFoundEvidence(ctx context.Context, o order.Order, since time.Time) (order.Evidence, error) {
	e, err := s.Store.NotFoundEvidence(ctx, o, since)
	return e, errors.Join(s.err("NotFoundEvidence"), err)
}

func TestPassThatCannotBegin(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Now", "OpenBudget"} {
		w := newWorld(t)
		w.add(t, 0, isPaidStep)
		p := w.poller(t, into(awayStore{w.Store, method}), at(10))
		p.retryFor = 300 * time.Millisecond
		if summary, err := p.RunOnce(t.Context(), Run{Once: true}); !errors.Is(err, errAway) || summary.Asked != 0 {
			t.Errorf("%s: asked %d, %v", method, summary.Asked, err)
		}
		w.wantState(t, 0, rowUntouched)
	}
}

// Where the ledger cannot be read, NO_ORDER is not believed: the order waits.
func TestEvidenceUnreadable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addLost(t)
	w.exec(t, `UPDATE orders SET created_at = now() - interval '8 days'`)
	logged := newRecords()
	sweep(t, w.poller(t, into(awayStore{w.Store, "NotFoundEvidence"}), logging(logged)), Run{})
	// The lines are those of world.state: status, review, due, count, claim, booked.
	w.wantState(t, 0, "UNKNOWN - later 1 free -")
	if !logged.find("ERROR", "ledger", errAway.Error()) {
		t.Error("no word of it in the log")
	}
}

// A retry for which no budget can be had is not made.
func TestReserveFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, codes("SYSTEM_BUSY"))
	sweep(t, w.poller(t, into(awayStore{w.Store, "Reserve"}), at(10)), Run{})
	w.wantLedger(t, 0, "no_answer transient 1")
	w.wantState(t, 0, rowWaiting)
}

// A pause that cannot be shared holds in this instance all the same.
func TestPauseByBreakerFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 20 {
		w.add(t, i, codes("1000"))
	}
	logged := newRecords()
	summary := sweep(t, w.poller(t, into(awayStore{w.Store, "PauseByBreaker"}), logging(logged)), Run{})
	if !summary.BreakerOpen() || summary.Asked > 4 {
		t.Errorf("asked %d, breaker open %t", summary.Asked, summary.BreakerOpen())
	}
	if !logged.find("WARN", "pause", errAway.Error()) {
		t.Error("no word of it in the log")
	}
}

// Claims that cannot be given back are due again with the end of their leases.
func TestReleaseFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 20 {
		w.add(t, i, isPaidStep)
	}
	g, holding, letGo := w.held()
	logged := newRecords()
	p := w.poller(t, into(awayStore{w.Store, "Release"}), asking(g), logging(logged))
	p.retryFor = 300 * time.Millisecond
	pass := start(t, p, Run{})
	for range 4 {
		<-holding
	}
	pass.stop()
	close(letGo)
	wantDecisions(t, pass.wait(t), map[order.Decision]int{order.Settled: 4})
	if !logged.find("WARN", "given back", errAway.Error()) {
		t.Error("no word of it in the log")
	}
	w.exec(t, `UPDATE orders SET lease_until = now() - interval '1 s' WHERE lease_until IS NOT NULL`)
	wantDecisions(t, sweep(t, w.poller(t), Run{}), map[order.Decision]int{order.Settled: 16})
}

// An order that waited behind slow ones may have a lease too short for another question. It is
// given back and asked about under a new claim.
func TestShortLeaseIsGivenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, isPaidStep)
	first := true
	s := &brokenStore{Store: w.Store, claimed: func(orders []order.Order) {
		if first && len(orders) > 0 {
			*orders[0].LeaseUntil = orders[0].ClaimedAt.Add(writeMargin + 9*time.Second)
			first = false
		}
	}}
	var leases []int64
	g := gatewayFunc(func(ctx context.Context, r chinaums.Request) (chinaums.Answer, error) {
		leases = append(leases, one[int64](t, w, `SELECT claim_no FROM orders`))
		return w.client.Query(ctx, r)
	})
	p := w.poller(t, into(s), asking(g))
	for range 2 { // the claim may be given back after the first pass has looked for more
		sweep(t, p, Run{})
	}
	if len(leases) != 1 || leases[0] != 2 {
		t.Errorf("asked under claims %v, want the second alone", leases)
	}
	w.wantState(t, 0, rowPaid)
}

// The daemon's first pass comes at once; what it did is in the log.
func TestRunWithARealDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, isPaidStep)
	logged := newRecords()
	p := w.poller(t, logging(logged))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	schedule := every(t, "@every 1s")
	go func() {
		defer close(ended)
		p.Run(ctx, schedule)
	}()
	eventually(t, "the order of the first pass", func() bool { return w.state(t, 0) == rowPaid })
	w.add(t, 1, isPaidStep)
	eventually(t, "the order of a later pass", func() bool { return w.state(t, 1) == rowPaid })
	eventually(t, "readiness", func() bool { return p.Ready() == nil })
	stop()
	<-ended
	if !logged.find("INFO pass finished", "settled=") {
		t.Error("no word of what a pass did in the log")
	}
}

// How loud an outcome is: what someone may have to look into is above debug.
func TestLogLevels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, step := range []simulator.Step{
		isPaidStep, says("WAIT_BUYER_PAY"), says("TRADE_SUCCESS", simulator.MutationBadPayTime), codes("TARGET_FAIL"),
		says("TRADE_SUCCESS", simulator.MutationStatusUnknown), says("TRADE_SUCCESS", simulator.MutationTotalMissing),
	} {
		w.add(t, i, step)
	}
	logged := newRecords()
	sweep(t, w.poller(t, logging(logged)), Run{})
	lines := logged.all()
	for i, want := range []string{"DEBUG", "DEBUG", "WARN", "WARN", "WARN", "WARN"} {
		found := 0
		for _, line := range lines {
			if !strings.Contains(line, "mer_order_id="+mer(i)) {
				continue
			}
			if found++; !strings.HasPrefix(line, want) {
				t.Errorf("order %d: %s, want %s", i, line, want)
			}
		}
		if found != 1 {
			t.Errorf("order %d: %d lines, want 1", i, found)
		}
	}
}
