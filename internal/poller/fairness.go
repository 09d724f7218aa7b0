package poller

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"reconciler/internal/store"
)

const (
	// refreshStats is how often the merchants with open orders are counted.
	statsEvery = time.Second
	// keepRoomFor is how long room is kept for other merchants once there were any.
	keepRoomFor = 10 * time.Minute
	// hangsAfter is how long a question is with a worker before its merchant counts as hanging.
	hangsAfter = 2 * time.Second
)

// fairness keeps one merchant from delaying the others. Its limits hold while several merchants
// have open orders.
//
//   - A quarter of the workers stays free of any one merchant, even when the others have nothing
//     due.
//   - A merchant that hangs has an eighth: a question has been with a worker for long, or the last
//     one timed out. So has a new merchant, until its first answer. All that hang have half of the
//     workers, all new ones three quarters.
//
// So an order of a healthy merchant finds a worker, whatever the others do. The same shares hold
// for the orders that are claimed. Orders that are claimed and may not have a worker yet take no
// room from the others.
type fairness struct {
	workers int

	mu           sync.Mutex
	stats        store.MerchantStats
	refreshedAt  time.Time
	severalUntil time.Time
	timedOut     map[string]bool // merchants whose last question got no answer in time
	answered     map[string]bool // merchants that had an answer
}

// maxAnswered bounds the memory of the merchants that had an answer.
const maxAnswered = 100_000

func newFairness(workers int) *fairness {
	return &fairness{workers: workers, timedOut: make(map[string]bool), answered: make(map[string]bool)}
}

// refreshStats counts the merchants once in a while, and reports whether it did. The claimers call
// it in turn. The workers need the lock: it is not held meanwhile.
func (f *fairness) refreshStats(ctx context.Context, claims Claims) (bool, error) {
	f.mu.Lock()
	isFresh := time.Since(f.refreshedAt) < statsEvery
	f.mu.Unlock()
	if isFresh {
		return false, nil
	}
	stats, err := claims.MerchantStats(ctx)
	if err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats, f.refreshedAt = stats, time.Now()
	if stats.Merchants > 1 {
		f.severalUntil = f.refreshedAt.Add(keepRoomFor)
	}
	return true, nil
}

// noteQuestion notes whether a merchant's question was answered, or timed out.
func (f *fairness) noteQuestion(mid string, answered, timedOut bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case timedOut:
		f.timedOut[mid] = true
	case answered:
		delete(f.timedOut, mid)
		if len(f.answered) >= maxAnswered {
			clear(f.answered)
		}
		f.answered[mid] = true
	}
}

// isHanging reports whether the merchant's last question timed out.
func (f *fairness) isHanging(mid string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.timedOut[mid]
}

func (f *fairness) severalMerchants() bool { return time.Now().Before(f.severalUntil) && f.workers > 1 }

// questions are the orders that are with workers, by mid and order id, and since when.
type questions map[string]map[int64]time.Time

// workerLimits says how many workers a merchant may have now. It is made for one look at the queue.
type workerLimits struct {
	unlimited bool
	most      int             // workers of any merchant
	few       int             // workers of a merchant that hangs, or is new
	hanging   map[string]bool // merchants
	isNew     func(mid string) bool

	freeForHanging, freeForNew int // workers
}

// workerLimits looks at the questions under way.
func (f *fairness) workerLimits(asking questions, now time.Time) workerLimits {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.severalMerchants() {
		return workerLimits{unlimited: true}
	}
	most := f.workers - max(1, f.workers/4)
	limits := workerLimits{
		most: most, few: max(1, f.workers/8), hanging: maps.Clone(f.timedOut),
		freeForHanging: max(1, f.workers/2), freeForNew: most,
		isNew: f.isNew,
	}
	for mid, orders := range asking {
		for _, since := range orders {
			if now.Sub(since) > hangsAfter {
				limits.hanging[mid] = true
			}
		}
		switch {
		case limits.hanging[mid]:
			limits.freeForHanging -= len(orders)
		case !f.answered[mid]:
			limits.freeForNew -= len(orders)
		}
	}
	return limits
}

// isNew reports whether the merchant has had no answer yet.
func (f *fairness) isNew(mid string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.answered[mid]
}

// maxOf is how many workers a merchant may have at most.
func (l workerLimits) maxOf(mid string) int {
	switch {
	case l.unlimited:
		return math.MaxInt
	case l.hanging[mid] || l.isNew(mid):
		return l.few
	}
	return l.most
}

// allowsWorker reports whether a merchant that has some workers may have one more.
func (l workerLimits) allowsWorker(mid string, workers int) bool {
	switch {
	case l.unlimited:
		return true
	case l.hanging[mid]:
		return workers < l.few && l.freeForHanging > 0
	case l.isNew(mid):
		return workers < l.few && l.freeForNew > 0
	}
	return workers < l.most
}

// claimLimits is the part of the fairness that a claim has to heed.
type claimLimits struct {
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
	inHand, workers := queue.merchantsInHand(), f.workerLimits(queue.askingNow(), time.Now())
	f.mu.Lock()
	limits := claimLimits{excluded: slices.Clone(f.stats.Paused)}
	f.mu.Unlock()
	if workers.unlimited {
		return limits
	}
	limits.inHand, limits.caps = inHand, make(map[string]int)
	limits.maxPerMerchant = min(workers.most*queue.maxHand/f.workers, queue.maxHand-minClaim)
	for mid := range workers.hanging {
		limits.caps[mid] = workers.few
		if workers.freeForHanging <= 0 && inHand[mid] == 0 {
			limits.excludeMerchant(mid)
		}
	}
	for mid, n := range inHand {
		if most := workers.maxOf(mid); most < workers.most {
			if n >= most {
				limits.excludeMerchant(mid)
			}
		} else if 4*n > 3*limits.maxPerMerchant {
			limits.excludeMerchant(mid)
		}
	}
	return limits
}

func (l *claimLimits) excludeMerchant(mid string) {
	l.excluded, l.reached = append(l.excluded, mid), true
}
