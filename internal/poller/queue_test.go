package poller

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"reconciler/internal/order"
)

func claims(mids ...string) []claimed {
	list := make([]claimed, len(mids))
	for i, mid := range mids {
		list[i] = claimed{Order: order.Order{ID: int64(i + 1), MID: mid}}
	}
	return list
}

// First come, first served, but for a merchant that has as many workers as it may.
func TestQueueKeepsWorkersFree(t *testing.T) {
	t.Parallel()
	q := newQueue(3)
	q.limit(2)
	q.push(claims("a", "a", "a", "b", "a", "b"))
	var taken []int64
	var first claimed
	for range 4 {
		c, more := q.next()
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
	q.asked(first)
	if c, _ := q.next(); c.ID != 3 {
		t.Errorf("dealt out %d once a worker of its merchant was done, want 3", c.ID)
	}
	inHand, under := q.counts()
	if got := q.merchants(); inHand != 5 || under != 6 || got["a"] != 3 || got["b"] != 2 {
		t.Errorf("%d in hand of %d under way, %v; want 5 of 6, 3 of a and 2 of b", inHand, under, got)
	}
	q.through(6)
	if _, under := q.counts(); under != 0 {
		t.Errorf("%d under way when all are through", under)
	}
}

// Workers who wait hear of an order, of a worker who is done, of a new limit and of the end.
func TestQueueWakesItsWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		var mu sync.Mutex
		var taken []claimed
		ended := 0
		for range 4 {
			go func() {
				for {
					c, more := q.next()
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
		q.push(claims("a", "a", "a", "a", "a"))
		check("one at a time", 1)
		q.asked(taken[0])
		check("the next", 2)
		q.limit(2)
		check("two at a time", 3)
		q.close()
		check("the rest, and the end of four", 9)
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
		{"none", nil, "an account is needed"},
		{"without a gateway", []App{{AppID: "a"}}, "a gateway"},
		{"two, one of all merchants", []App{{"a", g, nil}, {"b", g, []string{testMID}}}, "a has no merchants"},
		{"a merchant of two", []App{{"a", g, []string{testMID}}, {"b", g, []string{otherMID, testMID}}}, testMID + " has two accounts"},
	} {
		p := newScheduled(t, slog.New(slog.DiscardHandler), nil)
		before := p.apps.Load()
		err := p.Use(tt.apps)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		if p.apps.Load() != before {
			t.Errorf("%s: the accounts in use have changed", tt.name)
		}
	}
}
