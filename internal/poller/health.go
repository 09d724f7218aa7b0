package poller

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"reconciler/internal/store"
)

// health holds what /readyz and the metrics tell about the passes.
type health struct {
	mu         sync.Mutex
	isRunning  bool
	progressAt time.Time // when a claimer last got an answer from the database
	nextAt     time.Time // when the next pass is to begin, while none is running
	failure    error     // of the last pass, until the present one gets to the database
	lastFailed bool      // the last pass did
	hasWorked  bool      // a pass has ended, or got to the database
	finishedAt time.Time // of the last pass that did not fail
	failed     int       // passes since the last line in the log
	saidAt     time.Time // when a failed pass was last logged
}

func (h *health) passBegins() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.isRunning, h.progressAt = true, time.Now()
}

// noteProgress notes that the pass works, however long its backlog is.
func (h *health) noteProgress() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.progressAt, h.hasWorked, h.failure = time.Now(), true, nil
}

// passEnded returns how many passes have failed since a failure was last logged, this one included.
// It is 0 where it is too early to log again.
func (h *health) passEnded(err error) (failedPasses int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	isNew := !h.lastFailed
	h.isRunning, h.failure, h.lastFailed, h.hasWorked = false, err, err != nil, true
	if err == nil {
		h.finishedAt, h.failed = time.Now(), 0
		return 0
	}
	h.failed++
	if !isNew && time.Since(h.saidAt) < repeatLog {
		return 0
	}
	failedPasses, h.failed, h.saidAt = h.failed, 0, time.Now()
	return failedPasses
}

func (h *health) sleepUntil(next time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nextAt = next
}

// LastPass is when the last scheduled pass ended without failure; zero: none has.
func (p *Poller) LastPass() time.Time {
	p.health.mu.Lock()
	defer p.health.mu.Unlock()
	return p.health.finishedAt
}

// LastProgress is when the scheduled passes last showed that they work: the end of a pass that did
// not fail, or the last claim of one that goes on. Beside a large backlog one goes on for hours.
func (p *Poller) LastProgress() time.Time {
	h := &p.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isRunning && h.hasWorked && h.failure == nil {
		return h.progressAt
	}
	return h.finishedAt
}

// WritingTrouble says why answers cannot be written; nil: they can.
func (p *Poller) WritingTrouble() error { return p.writing.currentTrouble() }

// Aside lists orders whose rows refuse to be written, a few where there are many. Somebody may have
// settled one meanwhile.
func (p *Poller) Aside() []store.AsideOrder { return p.aside.leftOut() }

// PassTrouble says why the passes do not work: none has got to the database yet, the last one
// failed, the present one stands still, or the next one is overdue. It is nil where they do.
func (p *Poller) PassTrouble() error {
	h := &p.health
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	switch {
	case !h.hasWorked:
		return errors.New("no pass has run yet")
	case h.failure != nil:
		return fmt.Errorf("the last pass failed: %w", h.failure)
	case h.isRunning && now.Sub(h.progressAt) > 2*p.Lease:
		return fmt.Errorf("the pass has stood still for %s", now.Sub(h.progressAt).Round(time.Second))
	case !h.isRunning && !h.nextAt.IsZero() && now.Sub(h.nextAt) > p.Lease:
		return fmt.Errorf("the pass that was due %s ago has not begun", now.Sub(h.nextAt).Round(time.Second))
	}
	return nil
}

// Ready says why the daemon does not do its work; nil: it does.
func (p *Poller) Ready() error { return errors.Join(p.PassTrouble(), p.WritingTrouble()) }

// Trouble is [Poller.Ready] without a first pass that goes on: a daemon that has just started has no
// trouble.
func (p *Poller) Trouble() error {
	p.health.mu.Lock()
	hasWorked := p.health.hasWorked
	p.health.mu.Unlock()
	if !hasWorked {
		return p.WritingTrouble()
	}
	return p.Ready()
}
