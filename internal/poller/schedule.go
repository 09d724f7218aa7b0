package poller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
)

// Run does a pass at once and then at each time of the schedule, until ctx ends. Only Next of the cron
// library is used. Its runner would skip a job for ever after a panic.
// A pass never overlaps the last: times that it runs over are skipped. A pass
// that fails, or panics, is logged, and the next one comes as scheduled.
func (p *Poller) Run(ctx context.Context, schedule cron.Schedule) {
	for ctx.Err() == nil {
		p.scheduledPass(ctx)
		next := schedule.Next(time.Now())
		p.health.sleeping(next)
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (p *Poller) scheduledPass(ctx context.Context) {
	p.health.running()
	summary, err := p.runGuarded(ctx)
	p.health.ended(err)
	switch {
	case err != nil:
		p.Logger.LogAttrs(ctx, slog.LevelError, "pass failed", append(summary.attrs(), slog.Any("error", err))...)
	case summary.Asked > 0:
		p.Logger.LogAttrs(ctx, slog.LevelInfo, "pass finished", summary.attrs()...)
	}
}

func (p *Poller) runGuarded(ctx context.Context) (summary Summary, err error) {
	defer recovered(&err)
	return p.RunOnce(ctx, Run{})
}

// health is what the passes say of themselves.
type health struct {
	mu       sync.Mutex
	active   bool
	alive    time.Time // when the claimer last got an answer from the database
	next     time.Time // when the next pass is to begin, while none is running
	failure  error     // of the last pass
	unsaved  error     // of the last write
	finishes int
	finished time.Time // of the last pass that did not fail
}

func (h *health) running() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.active, h.alive = true, time.Now()
}

func (h *health) progress() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.alive = time.Now()
	h.finishes = max(h.finishes, 1) // it works, however long its backlog is
}

func (h *health) ended(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.active, h.failure = false, err
	h.finishes++
	if err == nil {
		h.finished = time.Now()
	}
}

// wrote keeps whether the last answers could be written.
func (h *health) wrote(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unsaved = err
}

func (h *health) sleeping(next time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next = next
}

// LastPass is when the last scheduled pass ended without failure; zero: none has.
func (p *Poller) LastPass() time.Time {
	p.health.mu.Lock()
	defer p.health.mu.Unlock()
	return p.health.finished
}

// Ready returns why the passes do not work: none has got to the database yet, the
// last failed, the present one stands still, or the next is overdue.
func (p *Poller) Ready() error {
	h := &p.health
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	switch {
	case h.finishes == 0:
		return errors.New("no pass has run yet")
	case h.failure != nil:
		return fmt.Errorf("the last pass failed: %w", h.failure)
	case h.unsaved != nil:
		return fmt.Errorf("the last answers could not be written: %w", h.unsaved)
	case h.active && now.Sub(h.alive) > 2*p.Lease:
		return fmt.Errorf("the pass has stood still since %s", h.alive.Format(time.RFC3339))
	case !h.active && !h.next.IsZero() && now.Sub(h.next) > p.Lease:
		return fmt.Errorf("the pass of %s has not begun", h.next.Format(time.RFC3339))
	}
	return nil
}
