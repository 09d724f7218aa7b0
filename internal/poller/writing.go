package poller

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"reconciler/internal/store"
)

const (
	// claimProbeEvery is how often one order is claimed while answers cannot be written.
	claimProbeEvery = 10 * time.Second
	// repeatLog is how often a trouble that goes on is logged again.
	repeatLog = time.Minute
)

// writing knows whether answers can be written. While they cannot, nothing is claimed but one order
// every ten seconds, as a probe: to ask the gateway and throw the answer away helps nobody.
//
// A missing right, a read-only server, no room and no connection count at once. A row's own refusal
// counts once two different orders were refused in a row. A locked row never counts.
type writing struct {
	logger     *slog.Logger
	observer   Observer
	probeEvery time.Duration

	mu        sync.Mutex
	since     time.Time // zero: answers can be written
	cause     error
	answers   int // that wait to be written, or were refused since the last line in the log
	saidAt    time.Time
	probedAt  time.Time
	refusedID int64 // the order whose write was refused last; 0: none since the last success
	strays    bool  // claims may be in our name and not in our hands
}

func newWriting(logger *slog.Logger, observer Observer) *writing {
	return &writing{logger: logger, observer: observer, probeEvery: claimProbeEvery}
}

// noteFailure notes a failure that is no single row's.
func (w *writing) noteFailure(ctx context.Context, cause error, answers int) {
	reason := store.FailureReason(cause)
	w.observer.WriteFailed(reason)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers = answers
	if reason != "locked" {
		w.markOutage(ctx, reason, cause)
	}
}

// noteRefusal notes that a row refused its own write, and reports whether answers count as not
// writable because of it.
func (w *writing) noteRefusal(ctx context.Context, orderID int64, cause error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers++
	if w.refusedID != 0 && w.refusedID != orderID {
		w.markOutage(ctx, "refused", cause)
	}
	w.refusedID = orderID
	return !w.since.IsZero()
}

func (w *writing) markOutage(ctx context.Context, reason string, cause error) {
	now := time.Now()
	w.cause = cause
	if !w.since.IsZero() && now.Sub(w.saidAt) < repeatLog {
		return
	}
	if w.since.IsZero() {
		w.since, w.probedAt = now, now
	}
	w.logger.LogAttrs(ctx, slog.LevelError, "answers cannot be written", slog.String("reason", reason),
		slog.Int("answers", w.answers), slog.Time("since", w.since), slog.Any("error", cause))
	w.saidAt, w.answers = now, 0
}

// noteSuccess notes that an answer was written.
func (w *writing) noteSuccess(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refusedID, w.answers = 0, 0
	if w.since.IsZero() {
		return
	}
	w.logger.LogAttrs(ctx, slog.LevelInfo, "answers are written again", slog.Duration("after", time.Since(w.since)))
	w.since, w.cause, w.strays = time.Time{}, nil, true
}

// currentTrouble says why answers cannot be written; nil: they can. It is shown to people of any
// zone, so it names no time.
func (w *writing) currentTrouble() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.since.IsZero() {
		return nil
	}
	lasted := time.Since(w.since).Round(time.Second)
	if lasted < w.probeEvery {
		return fmt.Errorf("answers cannot be written: %w", w.cause) // it has just begun
	}
	return fmt.Errorf("answers cannot be written, for %s by now: %w", lasted, w.cause)
}

func (w *writing) isFailing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.since.IsZero()
}

// probeIn is how long the next claim has to wait while answers cannot be written. A result of 0
// takes the probe.
func (w *writing) probeIn() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.since.IsZero() {
		return 0
	}
	if wait := w.probeEvery - time.Since(w.probedAt); wait > 0 {
		return wait
	}
	w.probedAt = time.Now()
	return 0
}

// leaveStray notes that claims may be in our name and not in our hands: a reply of the database was
// lost, or a claim could not be given back.
func (w *writing) leaveStray() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.strays = true
}

// takeStray reports whether there may be such claims, once.
func (w *writing) takeStray() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	strays := w.strays
	w.strays = false
	return strays
}
