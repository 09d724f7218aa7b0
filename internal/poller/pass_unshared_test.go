package poller

import (
	"context"
	"errors"
	"testing"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/store"
)

const sickMID = "898340149000077"

// unsharedStore is the real store, into which no pause can be written.
type unsharedStore struct{ *store.Store }

func (unsharedStore) PauseByBreaker(context.Context, store.BreakerPause) error {
	return errors.New("no pause can be written")
}

// Found by SOAKSEED=180562477: a merchant was paused in one process alone. Its orders were claimed
// and given back some hundred times a second.
func TestUnsharedPauseOfAMerchantEndsItsClaims(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.sim.SetMerchant(simulator.Merchant{MID: sickMID, State: simulator.MerchantInactive}); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		w.add(t, i, isPaidStep)
		w.addOf(t, sickMID, 100+i, isPaidStep)
	}
	for _, run := range []Run{{}, {Once: true}, {Selection: &store.Selection{}}} {
		sweep(t, w.poller(t, into(unsharedStore{w.Store})), run)
	}
	// Each pass may claim an order a second time: by the claim that is under way when the pause
	// begins.
	if most := one[int](t, w, `SELECT max(claim_no)::int FROM orders`); most > 6 {
		t.Errorf("an order was claimed %d times in three passes", most)
	}
}

// A question whose time is over still tells the other instances what it has shown.
func TestPauseIsSharedAfterTheQuestionsTime(t *testing.T) {
	t.Parallel()
	const timeout = 100 * time.Millisecond
	w := newWorld(t)
	w.addOf(t, sickMID, 1, isPaidStep)
	if err := w.sim.SetMerchant(simulator.Merchant{MID: sickMID, State: simulator.MerchantInactive}); err != nil {
		t.Fatal(err)
	}
	late := gatewayFunc(func(ctx context.Context, r chinaums.Request) (chinaums.Answer, error) {
		<-ctx.Done()
		return w.client.Query(context.WithoutCancel(ctx), r)
	})
	sweep(t, w.poller(t, asking(late), func(o *Options) { o.RequestTimeout, o.Lease = timeout, MinLease(timeout) }), Run{Once: true})
	if got := w.pauses(t); len(got) != 1 {
		t.Errorf("the pauses are %v, want one", got)
	}
}
