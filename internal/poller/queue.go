package poller

import (
	"maps"
	"sync"
)

// queue holds the orders of a pass from their claim until they have been asked about,
// and deals them out to the workers: first come, first served, but for a merchant that
// has as many workers as it may have. It counts them until they are through.
type queue struct {
	mu      sync.Mutex
	news    *sync.Cond // an order to ask about, perhaps
	waiting []claimed
	asking  map[string]int    // by mid: with a worker
	held    map[string]int    // by mid: with a worker or waiting for one
	shares  map[*appState]int // the same by account
	inHand  int               // the same of all
	under   int               // under way: claimed, and not yet written, parked or given back
	most    int               // workers that a merchant may have
	closed  bool
}

func newQueue(workers int) *queue {
	q := &queue{asking: make(map[string]int), held: make(map[string]int), shares: make(map[*appState]int), most: workers}
	q.news = sync.NewCond(&q.mu)
	return q
}

// push adds claimed orders.
func (q *queue) push(orders []claimed) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, orders...)
	for _, c := range orders {
		q.held[c.MID]++
		q.shares[c.app]++
	}
	q.inHand += len(orders)
	q.under += len(orders)
	q.news.Broadcast()
}

// next waits for an order that may be asked about. There are no more when the queue is
// closed and empty.
func (q *queue) next() (claimed, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		for i, c := range q.waiting {
			if q.asking[c.MID] < q.most || q.closed {
				q.remove(i)
				q.asking[c.MID]++
				return c, true
			}
		}
		if q.closed {
			return claimed{}, false
		}
		q.news.Wait()
	}
}

// remove takes an order out of the waiting ones. As a rule that is the first.
func (q *queue) remove(i int) {
	copy(q.waiting[1:i+1], q.waiting[:i])
	q.waiting[0] = claimed{}
	q.waiting = q.waiting[1:]
}

// asked says that a worker is done with an order.
func (q *queue) asked(c claimed) {
	q.mu.Lock()
	defer q.mu.Unlock()
	less(q.asking, c.MID)
	less(q.held, c.MID)
	less(q.shares, c.app)
	q.inHand--
	if len(q.waiting) > 0 {
		q.news.Signal()
	}
}

// through says that orders are written, parked or given back.
func (q *queue) through(orders int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.under -= orders
}

// close ends the waiting of the workers. What is left is dealt out, whoever's it is.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.news.Broadcast()
}

// limit is how many workers a merchant may have from now on.
func (q *queue) limit(most int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.most = most
	q.news.Broadcast()
}

// counts are the orders in hand, and all that are under way.
func (q *queue) counts() (inHand, under int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.inHand, q.under
}

// of is how many orders of an account are held.
func (q *queue) of(a *appState) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.shares[a]
}

// merchants are the orders held of each.
func (q *queue) merchants() map[string]int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return maps.Clone(q.held)
}

// less counts down; what is at zero takes no room.
func less[K comparable](counts map[K]int, key K) {
	counts[key]--
	if counts[key] <= 0 {
		delete(counts, key)
	}
}
