package poller

import (
	"math"
	"time"
)

// questions are the orders that are with workers, by mid and order id, and since when.
type questions map[string]map[int64]time.Time

// standing is how far a merchant is trusted with workers; see [fairness].
type standing int

const (
	trusted standing = iota
	unknown
	watched
	hanging
)

// workerLimits says how many workers a merchant may have now. It is made for one look at the queue.
type workerLimits struct {
	fairness  *fairness
	asking    questions
	now       time.Time
	unlimited bool
	most      int // workers of a trusted merchant
	untrusted int // of all that are not trusted
	few       int // of a watched one, and orders in hand of an unknown one
	fewest    int // of all that hang

	isCounted bool // the two below are known
	ofHanging int  // workers that those have
	ofWatched int
}

// workerLimits looks at the questions under way.
func (f *fairness) workerLimits(asking questions, now time.Time) *workerLimits {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &workerLimits{
		fairness: f, asking: asking, now: now, unlimited: !f.severalMerchants(),
		most: f.workers - max(1, f.workers/4), untrusted: f.workers - max(1, f.workers/8),
		few: max(1, f.workers/8), fewest: max(1, f.workers/16),
	}
}

// standingOf looks at what is known of a merchant and at its questions under way.
func (l *workerLimits) standingOf(mid string) standing {
	l.fairness.mu.Lock()
	defer l.fairness.mu.Unlock()
	oldest := l.now
	for _, since := range l.asking[mid] {
		if since.Before(oldest) {
			oldest = since
		}
	}
	a, known := l.fairness.answered[mid]
	patience, silentFor, askedFor := l.fairness.patience(a), l.now.Sub(oldest), l.now.Sub(oldest)
	if known {
		silentFor = min(silentFor, l.now.Sub(a.lastAt))
	}
	switch {
	case l.fairness.timedOut[mid], silentFor > patience:
		return hanging
	case !known:
		return unknown
	case askedFor > max(longAfter, patience):
		return watched
	}
	return trusted
}

// countWorkers counts the workers of those that are not trusted. Most looks at the queue need not
// know.
func (l *workerLimits) countWorkers() {
	if l.isCounted {
		return
	}
	l.isCounted = true
	for mid, orders := range l.asking {
		switch l.standingOf(mid) {
		case hanging:
			l.ofHanging += len(orders)
		case unknown, watched:
			l.ofWatched += len(orders)
		case trusted:
		}
	}
}

// freeForHanging is how many more workers those that hang may have. It is negative while the
// questions that have just turned out to hang have more.
func (l *workerLimits) freeForHanging() int {
	l.countWorkers()
	return l.fewest - l.ofHanging
}

// hangingMerchants lists them, whether they have workers or not.
func (l *workerLimits) hangingMerchants() map[string]bool {
	mids := make(map[string]bool)
	for mid := range l.asking {
		if l.standingOf(mid) == hanging {
			mids[mid] = true
		}
	}
	l.fairness.mu.Lock()
	defer l.fairness.mu.Unlock()
	for mid := range l.fairness.timedOut {
		mids[mid] = true
	}
	return mids
}

// maxOf is how many workers a merchant may have at most.
func (l *workerLimits) maxOf(mid string) int {
	if l.unlimited {
		return math.MaxInt
	}
	switch l.standingOf(mid) {
	case hanging, unknown:
		return 1
	case watched:
		return l.few
	case trusted:
	}
	return l.most
}

// maxInHand is how many orders in hand a merchant may have when it gets no more of them. Those of an
// unknown merchant wait until its first answer.
func (l *workerLimits) maxInHand(mid string) int {
	if l.standingOf(mid) == unknown {
		return l.few
	}
	return l.maxOf(mid)
}

// allowsWorker reports whether a merchant may have one more worker.
func (l *workerLimits) allowsWorker(mid string) bool {
	if l.unlimited {
		return true
	}
	workers := len(l.asking[mid])
	switch l.standingOf(mid) {
	case hanging:
		return workers < 1 && l.freeForHanging() > 0
	case unknown, watched:
		l.countWorkers()
		return workers < l.maxOf(mid) && l.ofHanging+l.ofWatched < l.untrusted
	case trusted:
	}
	return workers < l.most
}

// allowsOrder reports whether an order may have a worker. The probe of an app waits for nobody that
// hangs: until it is answered, no merchant of its app is asked.
func (l *workerLimits) allowsOrder(c claimed) bool {
	if l.allowsWorker(c.MID) {
		return true
	}
	l.countWorkers()
	return c.AppProbe && l.ofHanging+l.ofWatched < l.untrusted
}

// allowsRetry reports whether a question that timed out may ask again. It keeps its worker for
// that.
func (l *workerLimits) allowsRetry() bool { return l.unlimited || l.freeForHanging() >= 0 }
