package poller

import (
	"time"

	"reconciler/internal/order"
)

const (
	// maxBatch and maxBatchBytes bound the answers of one transaction, and their bodies.
	maxBatch      = 500
	maxBatchBytes = 4 << 20
	// minLarge is far above the size of real answers. A worker with a larger one, which can have
	// some megabytes, waits until it is written: the questions in flight bound the memory, and
	// several times as many answers wait for the recorder.
	minLarge = 64 << 10
	// gatherFor is how long a few answers wait for others to share their commit with.
	gatherFor = 20 * time.Millisecond
)

// batch holds the results that are recorded together.
type batch struct {
	answers  []result
	returned []claimed       // not asked
	blocked  []chan struct{} // of the workers that wait
	bytes    int             // of all bodies
}

func (b *batch) addResult(r result) {
	if r.givenBack {
		b.returned = append(b.returned, r.claimed)
		return
	}
	b.answers = append(b.answers, r)
	b.bytes += len(r.outcome.Question.Response)
	if r.release != nil {
		b.blocked = append(b.blocked, r.release)
	}
}

// reset keeps the room of a batch, and none of its answers.
func (b *batch) reset() batch {
	clear(b.answers[:cap(b.answers)])
	return batch{answers: b.answers[:0]}
}

func (b *batch) len() int { return len(b.answers) + len(b.returned) }

func (b *batch) isFull() bool { return b.len() >= maxBatch || b.bytes >= maxBatchBytes }

func isLarge(o order.Outcome) bool { return len(o.Question.Response) > minLarge }

// nextBatch waits for a result and takes what else is there, or comes within [gatherFor] while it
// is little. While answers are pending it waits only until they are tried again: soon where there
// are no results to hold up. While too many are pending, it takes no results.
func (r *recorder) nextBatch(results <-chan result, isOpen bool, b batch) (filled batch, stillOpen bool) {
	wait := time.Until(r.retryAt)
	if !isOpen || len(r.pending) >= maxPending*r.Concurrency {
		results = nil
		wait = min(wait, r.retryWait(0))
	}
	retry := (<-chan time.Time)(nil)
	if len(r.pending) > 0 {
		retry = time.After(wait)
	}
	var next result
	select {
	case next, isOpen = <-results:
	case <-retry:
		return b, isOpen
	}
	deadline := time.After(gatherFor)
	for isOpen {
		b.addResult(next)
		if b.isFull() || len(results) == 0 && r.worthCommitting(b) {
			break
		}
		select {
		case next, isOpen = <-results:
		case <-deadline:
			return b, isOpen
		}
	}
	return b, isOpen
}

// worthCommitting reports whether a batch has as many results as can be in flight, or all that are.
func (r *recorder) worthCommitting(b batch) bool {
	return b.len() >= r.queue.unfinishedTotal()-len(r.pending) || b.len() >= r.Concurrency
}
