package poller

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

const usualPace = 20 * time.Millisecond

// under starts questions of merchants, each with an order of its own.
func under(q *queue, mids ...string) {
	for i, mid := range mids {
		q.beginQuestion(claimed{Order: order.Order{MID: mid, ID: int64(len(q.asking[mid])*1000 + i)}})
	}
}

// look is the limits that hold now.
func look(q *queue) *workerLimits { return q.fairness.workerLimits(q.asking, time.Now()) }

func wantStanding(t *testing.T, q *queue, what string, mid string, want standing) {
	t.Helper()
	if got := look(q).standingOf(mid); got != want {
		t.Errorf("%s: %s has standing %d, want %d", what, mid, got, want)
	}
}

// A merchant gets no second worker while its question takes much longer than is usual, and is
// trusted again with its answer.
func TestSlowMerchantGetsNoMoreWorkers(t *testing.T) {
	t.Parallel()
	for mid, before := range map[string]standing{"a": trusted, "new": unknown} {
		synctest.Test(t, func(t *testing.T) {
			f := severalMerchants(64)
			q := newQueue(f, 320, 0)
			under(q, mid)
			time.Sleep(minPatience)
			wantStanding(t, q, "in time", mid, before)
			if look(q).allowsWorker(mid) != (before == trusted) {
				t.Errorf("%s may have a second worker in time: %t", mid, before != trusted)
			}
			time.Sleep(time.Millisecond)
			wantStanding(t, q, "slow", mid, hanging)
			if look(q).allowsWorker(mid) {
				t.Errorf("%s is slow and may have a second worker", mid)
			}
			if !f.noteAnswer(mid, minPatience+time.Millisecond) {
				t.Errorf("an answer about %s wakes nobody", mid)
			}
			wantStanding(t, q, "answered", mid, trusted)
		})
	}
}

// One slow question says little about a merchant whose other questions are answered.
func TestOneSlowQuestionAmongAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := severalMerchants(64)
		q := newQueue(f, 320, 0)
		under(q, "a")
		for {
			time.Sleep(usualPace)
			f.noteAnswer("a", usualPace)
			if asked := look(q).now.Sub(q.asking["a"][0]); asked > longAfter {
				break
			}
			wantStanding(t, q, "others are answered", "a", trusted)
		}
		wantStanding(t, q, "after long", "a", watched)
	})
}

// A merchant that always takes long does not hang, and nobody does while the whole gateway is slow.
func TestUsualPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := severalMerchants(64)
		q := newQueue(f, 320, 0)
		f.noteAnswer("slow", 2*time.Second)
		f.noteAnswer("a", usualPace)
		for range 50 {
			f.noteAnswer("b", usualPace)
		}
		under(q, "slow", "a")
		time.Sleep(3 * time.Second)
		wantStanding(t, q, "as slow as ever", "slow", trusted)
		wantStanding(t, q, "slower than ever", "a", hanging)
		for range 50 {
			f.noteAnswer("b", 2*time.Second)
		}
		wantStanding(t, q, "the whole gateway is slow", "a", trusted)
	})
}

// After a timeout a merchant has one worker until it is answered, and those that hang have a
// sixteenth together. A new merchant has one too, but not of theirs.
func TestWorkersOfMerchantsThatHang(t *testing.T) {
	t.Parallel()
	f := severalMerchants(64)
	q := newQueue(f, 320, 0)
	hung := make([]string, 10)
	for i := range hung {
		hung[i] = fmt.Sprint("hangs", i)
		f.noteTimeout(hung[i])
	}
	dealt := 0
	for range 2 {
		for _, mid := range hung {
			if look(q).allowsWorker(mid) {
				under(q, mid)
				dealt++
			}
		}
	}
	if limits := look(q); dealt != 4 || !limits.allowsWorker("a") || !limits.allowsWorker("new") || !limits.allowsRetry() {
		t.Errorf("dealt out %d workers to merchants that hang, want 4, and the others their own", dealt)
	}
	f.noteAnswer(hung[0], usualPace)
	under(q, hung[0], hung[0])
	wantStanding(t, q, "answered again", hung[0], trusted)
	under(q, "new")
	if limits := look(q); limits.allowsWorker("new") || !limits.allowsWorker("newer") {
		t.Error("a new merchant has a second worker before its first answer, or takes that of another")
	}
}

// Of ten questions that have timed out at once, none keeps its worker for a retry; one alone does.
func TestRetriesOfMerchantsThatHang(t *testing.T) {
	t.Parallel()
	for hung, want := range map[int]bool{1: true, 4: true, 5: false, 10: false} {
		f := severalMerchants(64)
		q := newQueue(f, 320, 0)
		for i := range hung {
			under(q, fmt.Sprint("hangs", i))
			f.noteTimeout(fmt.Sprint("hangs", i))
		}
		if got := q.allowsRetry(); got != want {
			t.Errorf("%d timed out: a retry is allowed %t, want %t", hung, got, want)
		}
	}
}

// Orders of merchants that hang take little room, however many such merchants there are, and no
// more of them are claimed.
func TestRoomBesideMerchantsThatHang(t *testing.T) {
	t.Parallel()
	f := severalMerchants(64)
	q := newQueue(f, 320, 0)
	var mids []string
	for i := range 300 {
		mids = append(mids, fmt.Sprint("hangs", i))
		f.noteTimeout(mids[i])
	}
	f.noteTimeout("another")
	q.pushClaimed(claims(mids...))
	if free := q.freeRoom(); free != 300 {
		t.Errorf("room for %d orders beside 300 of merchants that hang, want 300", free)
	}
	limits := f.claimLimits(q, 48)
	if len(limits.limited) != 301 || limits.caps["another"] != 1 {
		t.Errorf("a claim leaves out %d merchants, want all that hang", len(limits.limited))
	}
}

// The probe of an app whose merchants have timed out does not wait for those of another app that
// hang: until it is answered, nobody of its app is asked.
func TestProbeOfAnAppBesideMerchantsThatHang(t *testing.T) {
	t.Parallel()
	f := severalMerchants(64)
	q := newQueue(f, 320, 0)
	for i := range 5 {
		mid := fmt.Sprint("hangs", i)
		f.noteTimeout(mid)
		under(q, mid)
	}
	f.noteTimeout("probed")
	probe := order.Order{ID: 1, MID: "probed"}
	if look(q).allowsOrder(claimed{Order: probe}) {
		t.Error("an order of a merchant that hangs has a worker beside the share")
	}
	probe.AppProbe = true
	if !look(q).allowsOrder(claimed{Order: probe}) {
		t.Error("the probe waits for a merchant that hangs")
	}
	for i := range 51 {
		under(q, fmt.Sprint("new", i))
	}
	if look(q).allowsOrder(claimed{Order: probe}) {
		t.Error("probes leave no worker to the others")
	}
}

// farStore counts merchants over a slow network.
type farStore struct {
	dueStore
}

func (farStore) MerchantStats(context.Context) (store.MerchantStats, error) {
	time.Sleep(time.Second)
	return store.MerchantStats{Took: time.Millisecond}, nil
}

// A merchant that is resumed is seen within a second, however slow the network is. Only a count that
// costs the server much is repeated less often.
func TestMerchantsAreCountedOverASlowNetwork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, far := newFairness(64), &farStore{}
		for range 3 {
			if refreshed, err := f.refreshStats(t.Context(), far); !refreshed || err != nil {
				t.Errorf("counted %t, %v", refreshed, err)
			}
			time.Sleep(statsEvery)
		}
	})
}
