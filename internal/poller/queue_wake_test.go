package poller

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reconciler/internal/order"
)

// A quick answer trusts a merchant again whose other question is slow. Then all workers who are
// free take its orders, not only the one who hears of the answer.
func TestAllFreeWorkersHearOfATrustedMerchant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := severalMerchants(64)
		q := newQueue(f, 320, 0)
		var dealt atomic.Int32
		for range 12 {
			go func() {
				for _, more := q.nextOrder(); more; _, more = q.nextOrder() {
					dealt.Add(1)
					if dealt.Load() > 2 {
						return // it is busy
					}
				}
			}()
		}
		push := func(id int64) claimed {
			c := claimed{Order: order.Order{ID: id, MID: "a"}, app: testApp}
			q.pushClaimed([]claimed{c})
			synctest.Wait()
			return c
		}
		push(1)
		time.Sleep(minPatience - 10*time.Millisecond)
		quick := push(2)
		time.Sleep(20 * time.Millisecond)
		for id := range int64(10) {
			push(3 + id)
		}
		if n := dealt.Load(); n != 2 {
			t.Fatalf("%d orders dealt out while the merchant is slow, want 2", n)
		}
		if f.noteAnswer("a", 20*time.Millisecond) {
			q.wakeWorkers()
		}
		q.workerDone(quick)
		synctest.Wait()
		if n := dealt.Load(); n != 12 {
			t.Errorf("%d orders dealt out once it was answered, want all 12", n)
		}
		q.close()
	})
}
