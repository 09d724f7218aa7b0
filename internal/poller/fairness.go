package poller

import (
	"context"
	"slices"
	"sync"
	"time"

	"reconciler/internal/store"
)

const (
	// statsEvery is how often the merchants with open orders are counted.
	statsEvery = time.Second
	// keepRoomFor is how long room is kept for other merchants once there were any.
	keepRoomFor = 10 * time.Minute
	// A question is slow after paceFactor times the time that answers usually take, but not before
	// minPatience. So nobody hangs because the whole gateway is slow.
	paceFactor  = 4
	minPatience = 100 * time.Millisecond
	// longAfter is the same while nobody was answered yet, and where answers about other orders of
	// the merchant come in.
	longAfter = 2 * time.Second
	// maxAnswered bounds the memory of the merchants that had an answer.
	maxAnswered = 100_000
)

// fairness keeps one merchant from delaying the others. Its limits hold while several merchants
// have open orders. A merchant has one of four standings:
//
//   - Trusted: it was answered. It may have three quarters of the workers.
//   - Unknown: no answer has come yet. It may have one worker, so that merchants that hang have few
//     when a process begins.
//   - Watched: one of its questions takes long while others are answered. It may have an eighth.
//   - Hanging: its last question timed out, or a slow question is under way and no answer came
//     meanwhile. It may have one worker, and all that hang a sixteenth together.
//
// Those that are not trusted leave an eighth free together. So an order of a trusted merchant finds
// a worker, whatever the others do. The same shares hold for the orders that are claimed. Orders
// that are claimed and may not have a worker yet take no room from the others.
type fairness struct {
	workers int

	mu           sync.Mutex
	stats        store.MerchantStats
	refreshedAt  time.Time
	severalUntil time.Time
	timedOut     map[string]bool // merchants whose last question got no answer in time
	answered     map[string]answers
	pace         time.Duration // of all answers
}

// answers are those about one merchant.
type answers struct {
	lastAt time.Time
	pace   time.Duration // the time that they take, of which the latest is half
}

func newFairness(workers int) *fairness {
	return &fairness{workers: workers, timedOut: make(map[string]bool), answered: make(map[string]answers)}
}

// refreshStats counts the merchants once in a while, and reports whether it did. The claimers call
// it in turn. The workers need the lock: it is not held meanwhile.
func (f *fairness) refreshStats(ctx context.Context, claims Claims) (bool, error) {
	f.mu.Lock()
	isFresh := time.Since(f.refreshedAt) < min(max(statsEvery, lookShare*f.stats.Took), maxFromStart)
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

// noteTimeout notes that a merchant's round trip timed out.
func (f *fairness) noteTimeout(mid string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.timedOut[mid] = true
}

// noteAnswer notes an answer and how long it took. It reports whether the merchant may have more
// workers now.
func (f *fairness) noteAnswer(mid string, took time.Duration) (raised bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, known := f.answered[mid]
	raised = !known || f.timedOut[mid] || took > f.patience(a)
	delete(f.timedOut, mid)
	if !known && len(f.answered) >= maxAnswered {
		clear(f.answered)
	}
	if a.pace == 0 {
		a.pace = took
	}
	if f.pace == 0 {
		f.pace = took
	}
	f.answered[mid] = answers{lastAt: time.Now(), pace: (a.pace + took) / 2}
	f.pace += (took - f.pace) / 8
	return raised
}

// patience is the time after which a merchant's question is slow.
func (f *fairness) patience(a answers) time.Duration {
	if f.pace == 0 {
		return longAfter
	}
	return max(minPatience, paceFactor*max(a.pace, f.pace))
}

// hasTimedOut reports whether the merchant's last question timed out.
func (f *fairness) hasTimedOut(mid string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.timedOut[mid]
}

func (f *fairness) severalMerchants() bool { return time.Now().Before(f.severalUntil) && f.workers > 1 }

// claimLimits is the part of the fairness that a claim has to heed.
type claimLimits struct {
	paused         []string       // those that are paused
	limited        []string       // those that have all that they may have
	maxPerMerchant int            // orders that a merchant may have in hand; 0 = no limit
	inHand         map[string]int // orders that they have
	caps           map[string]int // smaller limits of merchants that hang
}

// claimLimits applies the shares of the workers to maxHand orders in hand. A merchant gets orders
// again once a quarter of its own is finished, so that it is not claimed for one order at a time. A
// claim of minClaim orders of others always has room.
func (f *fairness) claimLimits(queue *queue, minClaim int) claimLimits {
	inHand, workers := queue.merchantsInHand(), f.workerLimits(queue.askingNow(), time.Now())
	f.mu.Lock()
	limits := claimLimits{paused: slices.Clone(f.stats.Paused)}
	f.mu.Unlock()
	if workers.unlimited {
		return limits
	}
	limits.inHand, limits.caps = inHand, make(map[string]int)
	limits.maxPerMerchant = min(workers.most*queue.maxHand/f.workers, queue.maxHand-minClaim)
	hanging, theirs := workers.hangingMerchants(), 0
	for mid := range hanging {
		theirs += inHand[mid]
	}
	hasRoom := workers.freeForHanging() > 0 && theirs < workers.fewest*queue.maxHand/f.workers
	for mid := range hanging {
		limits.caps[mid] = 1
		if !hasRoom && inHand[mid] == 0 {
			limits.excludeMerchant(mid)
		}
	}
	for mid, n := range inHand {
		if most := workers.maxInHand(mid); most < workers.most {
			if n >= most {
				limits.excludeMerchant(mid)
			}
		} else if 4*n > 3*limits.maxPerMerchant {
			limits.excludeMerchant(mid)
		}
	}
	return limits
}

func (l *claimLimits) excludeMerchant(mid string) { l.limited = append(l.limited, mid) }
