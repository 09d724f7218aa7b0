package poller

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reconciler/internal/order"
)

// severalMerchants is the fairness while several merchants have open orders.
func severalMerchants(workers int) *fairness {
	f := newFairness(workers)
	f.severalUntil = time.Now().Add(time.Hour)
	for _, mid := range []string{"a", "b", "c"} { // they are not new: each had an answer
		f.noteAnswer(mid, 20*time.Millisecond)
	}
	return f
}

func claims(mids ...string) []claimed {
	list := make([]claimed, len(mids))
	for i, mid := range mids {
		list[i] = claimed{Order: order.Order{ID: int64(i + 1), MID: mid}, app: testApp}
	}
	return list
}

// First come, first served, except for a merchant that has as many workers as it may.
func TestQueueKeepsWorkersFree(t *testing.T) {
	t.Parallel()
	q := newQueue(severalMerchants(3), 6, 0)
	all := claims("a", "a", "a", "b", "a", "b")
	q.pushClaimed(all)
	var taken []int64
	var first claimed
	for range 4 {
		c, more := q.nextOrder()
		if !more {
			t.Fatal("there are no more")
		}
		if len(taken) == 0 {
			first = c
		}
		taken = append(taken, c.ID)
	}
	if want := []int64{1, 2, 4, 6}; !slices.Equal(taken, want) {
		t.Errorf("dealt out %v, want %v", taken, want)
	}
	q.workerDone(first)
	if c, _ := q.nextOrder(); c.ID != 3 {
		t.Errorf("dealt out %d once a worker of its merchant was done, want 3", c.ID)
	}
	if got := q.merchantsInHand(); q.unfinishedTotal() != 6 || got["a"] != 3 || got["b"] != 2 {
		t.Errorf("%d unfinished, in hand %v; want 6, 3 of a and 2 of b", q.unfinishedTotal(), got)
	}
	q.finishOrders(all...)
	if n := q.unfinishedTotal(); n != 0 {
		t.Errorf("%d unfinished when all are finished", n)
	}
}

// Workers who wait hear of an order, of a worker who is done, of a new limit and of the end.
func TestQueueWakesItsWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := severalMerchants(2)
		q := newQueue(f, 10, 0)
		var mu sync.Mutex
		var taken []claimed
		ended := 0
		for range 4 {
			go func() {
				for {
					c, more := q.nextOrder()
					mu.Lock()
					if taken = append(taken, c); !more {
						ended++
					}
					mu.Unlock()
					if !more {
						return
					}
				}
			}()
		}
		check := func(what string, want int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(taken) != want {
				t.Errorf("%s: %d dealt out, want %d", what, len(taken), want)
			}
		}
		check("empty", 0)
		q.pushClaimed(claims("a", "a", "a", "a", "a"))
		check("one at a time", 1)
		q.workerDone(taken[0])
		check("the next", 2)
		f.severalUntil = time.Time{}
		q.wakeWorkers()
		check("all at once", 5)
		q.close()
		check("the end of four", 9)
		if ended != 4 {
			t.Errorf("%d workers ended, want 4", ended)
		}
	})
}

func TestUseRefusesAccountsAtOdds(t *testing.T) {
	t.Parallel()
	g := gatewayFunc(nil)
	for _, tt := range []struct {
		name string
		apps []App
		want string
	}{
		{"none", nil, "an app is needed"},
		{"without a gateway", []App{{AppID: "a"}}, "a gateway"},
		{"two, one of all merchants", []App{{"a", g, nil}, {"b", g, []string{testMID}}}, "a has no merchants"},
		{"a merchant of two", []App{{"a", g, []string{testMID}}, {"b", g, []string{otherMID, testMID}}}, testMID + " has two apps"},
	} {
		p := newScheduled(t, slog.New(slog.DiscardHandler), nil)
		before := p.apps.Load()
		err := p.UseApps(tt.apps)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		if p.apps.Load() != before {
			t.Errorf("%s: the accounts in use have changed", tt.name)
		}
	}
}
