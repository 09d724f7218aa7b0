package poller

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"reconciler/internal/order"
)

// maxWaiting bounds the orders that wait for a worker, as a multiple of those in hand.
const maxWaiting = 4

// claimed is an order with the local times of its claim, by which the database's clock is followed
// without asking for it again. With a slow claim both times are on the safe side: no lease is
// thought longer, and no answer dated later, than it is.
type claimed struct {
	order.Order

	app     *app
	sentAt  time.Time // when the claim was sent
	takenAt time.Time // when it had come back
}

// databaseNow is the database's clock.
func (c claimed) databaseNow() time.Time { return c.ClaimedAt.Add(time.Since(c.takenAt)) }

// askDeadline is when a question about c must have ended, so that its answer can be written within
// the lease.
func (c claimed) askDeadline(lease time.Duration) time.Time {
	if c.LeaseUntil != nil {
		lease = c.LeaseUntil.Sub(c.ClaimedAt)
	}
	return c.sentAt.Add(lease - writeMargin)
}

// isSuspect reports whether two earlier claims of the order ended with their process.
func (c claimed) isSuspect() bool { return c.UnrecordedClaims > suspectClaims }

// queue holds the orders of a pass from their claim until they are finished: written, lost or given
// back. It deals them out to the workers: first come, first served, except that a merchant has at
// most as many workers as the [fairness] allows.
type queue struct {
	fairness *fairness
	maxHand  int // orders that are waiting for a worker or with one
	maxTaken int // orders of the whole pass, 0 = no limit

	mu         sync.Mutex
	wakeWorker *sync.Cond
	changed    chan struct{} // closed at the next change, for claimers; nil while none waits
	waiting    []claimed
	asking     questions                // with a worker
	inHand     map[string]int           // by mid: waiting for a worker or with one
	hand       int                      // the same of all
	unfinished map[*app]map[int64]int64 // claim numbers by order id
	suspects   int                      // of those
	taken      int                      // claimed and not given back
	closed     bool
}

func newQueue(f *fairness, maxHand, maxTaken int) *queue {
	q := &queue{
		fairness: f, maxHand: maxHand, maxTaken: maxTaken,
		asking: make(questions), inHand: make(map[string]int), unfinished: make(map[*app]map[int64]int64),
	}
	q.wakeWorker = sync.NewCond(&q.mu)
	return q
}

// pushClaimed adds claimed orders. A suspect goes first: its claim counts from now on.
func (q *queue) pushClaimed(orders []claimed) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range orders {
		q.inHand[c.MID]++
		if q.unfinished[c.app] == nil {
			q.unfinished[c.app] = make(map[int64]int64)
		}
		q.unfinished[c.app][c.ID] = c.ClaimNo
		if c.isSuspect() {
			q.suspects++
			q.waiting = slices.Insert(q.waiting, 0, c)
			continue
		}
		q.waiting = append(q.waiting, c)
	}
	q.hand += len(orders)
	q.taken += len(orders)
	q.wakeWorker.Broadcast()
}

// nextOrder waits for an order to ask about. There is none when the queue is closed and empty.
func (q *queue) nextOrder() (claimed, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		limits := q.fairness.workerLimits(q.asking, time.Now())
		for i, c := range q.waiting {
			if q.closed || limits.allowsOrder(c) {
				q.removeWaiting(i)
				q.beginQuestion(c)
				if len(q.waiting) > 0 {
					q.wakeWorker.Signal() // what allowed this one may allow more
				}
				return c, true
			}
		}
		if q.closed {
			return claimed{}, false
		}
		q.wakeWorker.Wait()
	}
}

// removeWaiting takes out an order, usually the first.
func (q *queue) removeWaiting(i int) {
	copy(q.waiting[1:i+1], q.waiting[:i])
	q.waiting[0] = claimed{}
	q.waiting = q.waiting[1:]
}

func (q *queue) beginQuestion(c claimed) {
	if q.asking[c.MID] == nil {
		q.asking[c.MID] = make(map[int64]time.Time)
	}
	q.asking[c.MID][c.ID] = time.Now()
}

// workerDone says that a worker is free of an order.
func (q *queue) workerDone(c claimed) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if delete(q.asking[c.MID], c.ID); len(q.asking[c.MID]) == 0 {
		delete(q.asking, c.MID)
	}
	countDown(q.inHand, c.MID)
	q.hand--
	if len(q.waiting) > 0 {
		q.wakeWorker.Signal()
	}
	q.announceChange()
}

// finishOrders says that orders are written or lost.
func (q *queue) finishOrders(orders ...claimed) { q.removeOrders(orders, 0) }

// returnOrders says that orders were not asked.
func (q *queue) returnOrders(orders ...claimed) { q.removeOrders(orders, len(orders)) }

func (q *queue) removeOrders(orders []claimed, untaken int) {
	if len(orders) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range orders {
		if c.isSuspect() {
			q.suspects--
		}
		if claimNo, ok := q.unfinished[c.app][c.ID]; ok && claimNo == c.ClaimNo { // else there is a newer claim
			delete(q.unfinished[c.app], c.ID)
		}
	}
	q.taken -= untaken
	q.announceChange()
}

// close ends the waiting of the workers. The rest is dealt out, to whichever merchant it belongs.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wakeWorker.Broadcast()
}

// announceChange wakes the claimers.
func (q *queue) announceChange() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// waitUntil waits until a condition on the queue holds, which is evaluated under its lock, or for
// at most a while.
func (q *queue) waitUntil(ctx context.Context, holds func() bool, atMost time.Duration) {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	for {
		q.mu.Lock()
		if holds() {
			q.mu.Unlock()
			return
		}
		if q.changed == nil {
			q.changed = make(chan struct{})
		}
		changed := q.changed
		q.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-changed:
		}
	}
}

// waitForRoom waits until there is room for a claim of at least minClaim orders, and says for how
// many there is. It is 0 when ctx has ended, or when the pass has taken all that it may take.
func (q *queue) waitForRoom(ctx context.Context, minClaim int) (free int, full bool) {
	for ctx.Err() == nil {
		q.waitUntil(ctx, func() bool {
			free, full = q.freeRoom(), q.maxTaken > 0 && q.taken >= q.maxTaken
			return free >= minClaim || full
		}, time.Second)
		if full {
			return 0, true
		}
		if free >= minClaim {
			if q.maxTaken > 0 {
				free = min(free, q.maxTaken-q.takenNow())
			}
			return free, false
		}
	}
	return 0, false
}

// freeRoom is the room for orders that can have a worker: those of merchants that have as many
// workers as they may have take none, but they are bounded too.
func (q *queue) freeRoom() int {
	if len(q.waiting) >= maxWaiting*q.maxHand {
		return 0
	}
	limits := q.fairness.workerLimits(q.asking, time.Now())
	if limits.unlimited {
		return q.maxHand - q.hand
	}
	limits.countWorkers()
	taken, ofHanging := 0, 0
	for mid, n := range q.inHand {
		most := limits.maxOf(mid)
		switch {
		case most >= limits.most:
			taken += n
		case limits.standingOf(mid) == hanging:
			ofHanging += min(n, max(most, len(q.asking[mid])))
		default:
			taken += min(n, max(most, len(q.asking[mid])))
		}
	}
	taken += min(ofHanging, max(limits.ofHanging, limits.fewest*q.maxHand/q.fairness.workers))
	return q.maxHand - taken
}

func (q *queue) takenNow() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.taken
}

// unfinishedOf counts the orders of an app that are under way.
func (q *queue) unfinishedOf(a *app) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.unfinished[a])
}

// unfinishedTotal counts the orders of all apps.
func (q *queue) unfinishedTotal() (total int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, orders := range q.unfinished {
		total += len(orders)
	}
	return total
}

// unfinishedIDs lists all orders that this pass has in its hands.
func (q *queue) unfinishedIDs() []int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	var ids []int64
	for _, orders := range q.unfinished {
		ids = slices.AppendSeq(ids, maps.Keys(orders))
	}
	return ids
}

// merchantsInHand counts the orders of each merchant that wait for a worker or are with one.
func (q *queue) merchantsInHand() map[string]int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return maps.Clone(q.inHand)
}

// askingNow copies the questions that are with workers.
func (q *queue) askingNow() questions {
	q.mu.Lock()
	defer q.mu.Unlock()
	asking := make(questions, len(q.asking))
	for mid, orders := range q.asking {
		asking[mid] = maps.Clone(orders)
	}
	return asking
}

// allowsRetry reports whether a question that has just timed out may keep its worker to ask again.
func (q *queue) allowsRetry() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fairness.workerLimits(q.asking, time.Now()).allowsRetry()
}

// wakeWorkers lets the workers look again: the limits may have changed.
func (q *queue) wakeWorkers() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wakeWorker.Broadcast()
}

func (q *queue) hasSuspect() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.suspects > 0
}

// countDown counts down; an entry at zero is removed.
func countDown(counts map[string]int, key string) {
	counts[key]--
	if counts[key] <= 0 {
		delete(counts, key)
	}
}
