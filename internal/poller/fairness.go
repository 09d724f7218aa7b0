package poller

import (
	"context"
	"slices"
	"sync"
	"time"

	"reconciler/internal/store"
)

const (
	// refreshStats is how often the merchants with open orders are counted.
	refreshStats = time.Second
	// keepRoomFor is how long room is kept for other merchants once there were any.
	keepRoomFor = 10 * time.Minute
	// hangsAfter is how long a question is with a worker before its merchant counts as hanging.
	hangsAfter = 2 * time.Second
)

// fairness keeps one merchant from delaying the others. It has two limits, and both are needed.
//
// Workers: while several merchants have open orders, a quarter of the workers stays free of any one
// merchant, even when the others have nothing due. A merchant that hangs, because its questions take
// long or its last one timed out, has an eighth; all that hang have half. So an order of a healthy
// merchant finds a worker.
//
// Orders in hand: the same shares hold for the orders that are claimed, or the queue would fill with
// orders that may not have a worker.
type fairness struct {
	workers int

	mu           sync.Mutex
	stats        store.MerchantStats
	refreshedAt  time.Time
	severalUntil time.Time
	timedOut     map[string]bool // merchants whose last question got no answer in time
}

func newFairness(workers int) *fairness {
	return &fairness{workers: workers, timedOut: make(map[string]bool)}
}

// refresh counts the merchants once in a while, and reports whether it did.
func (f *fairness) refresh(ctx context.Context, claims Claims) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.refreshedAt) < refreshStats {
		return false, nil
	}
	stats, err := claims.MerchantStats(ctx)
	if err != nil {
		return false, err
	}
	f.stats, f.refreshedAt = stats, time.Now()
	if stats.Merchants > 1 {
		f.severalUntil = f.refreshedAt.Add(keepRoomFor)
	}
	return true, nil
}

// observe notes whether a merchant's question timed out.
func (f *fairness) observe(mid string, timedOut bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if timedOut {
		f.timedOut[mid] = true
		return
	}
	delete(f.timedOut, mid)
}

// hangs reports whether the merchant's last question timed out.
func (f *fairness) hangs(mid string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.timedOut[mid]
}

func (f *fairness) severalMerchants() bool { return time.Now().Before(f.severalUntil) && f.workers > 1 }

// questions are the orders that are with workers, by mid and order id, and since when.
type questions map[string]map[int64]time.Time

// workerLimits says how many workers a merchant may have now.
type workerLimits struct {
	unlimited       bool
	maxWorkers      int // of any merchant
	maxHanging      int // of a merchant that hangs
	maxAllHanging   int // of all merchants that hang
	workersHanging  int
	hangingMerchant map[string]bool
}

// workerLimits looks at the questions under way.
func (f *fairness) workerLimits(asking questions, now time.Time) workerLimits {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.severalMerchants() {
		return workerLimits{unlimited: true}
	}
	limits := workerLimits{
		maxWorkers: f.workers - max(1, f.workers/4), maxHanging: max(1, f.workers/8), maxAllHanging: max(1, f.workers/2),
		hangingMerchant: make(map[string]bool),
	}
	for mid := range f.timedOut {
		limits.hangingMerchant[mid] = true
	}
	for mid, orders := range asking {
		for _, since := range orders {
			if now.Sub(since) > hangsAfter {
				limits.hangingMerchant[mid] = true
			}
		}
		if limits.hangingMerchant[mid] {
			limits.workersHanging += len(orders)
		}
	}
	return limits
}

// allows reports whether a merchant that has some workers may have one more.
func (l workerLimits) allows(mid string, workers int) bool {
	switch {
	case l.unlimited:
		return true
	case l.hangingMerchant[mid]:
		return workers < l.maxHanging && l.workersHanging < l.maxAllHanging
	}
	return workers < l.maxWorkers
}

// claimLimits is the part of the fairness that a claim has to heed.
type claimLimits struct {
	merchants      int            // how many have open orders
	excluded       []string       // those that get no orders for now
	maxPerMerchant int            // orders that a merchant may have in hand; 0 = no limit
	inHand         map[string]int // orders that they have
	caps           map[string]int // smaller limits of merchants that hang
	reached        bool           // somebody is excluded because of a limit
}

// claimLimits applies the shares of the workers to maxHand orders in hand. A merchant gets orders
// again once a quarter of its own is finished, so that it is not claimed for one order at a time. A
// claim of minClaim orders of others always has room.
func (f *fairness) claimLimits(queue *queue, minClaim int) claimLimits {
	inHand, asking := queue.merchantsInHand(), queue.askingNow()
	workers := f.workerLimits(asking, time.Now())
	f.mu.Lock()
	limits := claimLimits{merchants: f.stats.Merchants, excluded: slices.Clone(f.stats.Paused)}
	f.mu.Unlock()
	if workers.unlimited {
		return limits
	}
	limits.inHand, limits.caps = inHand, make(map[string]int)
	limits.maxPerMerchant = min(workers.maxWorkers*queue.maxHand/f.workers, queue.maxHand-minClaim)
	hangingInHand := 0
	for mid := range workers.hangingMerchant {
		hangingInHand += inHand[mid]
	}
	for mid := range workers.hangingMerchant {
		limits.caps[mid] = workers.maxHanging
		if hangingInHand >= workers.maxAllHanging || inHand[mid] >= workers.maxHanging {
			limits.excluded, limits.reached = append(limits.excluded, mid), true
		}
	}
	for mid, n := range inHand {
		if !workers.hangingMerchant[mid] && 4*n > 3*limits.maxPerMerchant {
			limits.excluded, limits.reached = append(limits.excluded, mid), true
		}
	}
	return limits
}
