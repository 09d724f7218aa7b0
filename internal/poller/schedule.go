package poller

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/robfig/cron/v3"
)

// Run does a pass at once and then at each time of the schedule, until ctx ends. A pass never
// overlaps the last: times that it runs over are skipped. A pass that fails, or panics, is logged
// once and then once a minute while passes go on failing. The next one comes as scheduled.
//
// Only Next of the cron library is used. Its runner would skip a job for ever after a panic.
func (p *Poller) Run(ctx context.Context, schedule cron.Schedule) {
	for ctx.Err() == nil {
		p.scheduledPass(ctx, schedule)
		next := schedule.Next(time.Now())
		p.health.sleepUntil(next)
		sleepFor(ctx, time.Until(next))
	}
}

func (p *Poller) scheduledPass(ctx context.Context, schedule cron.Schedule) {
	p.health.passBegins()
	summary, err := p.runGuarded(ctx, schedule)
	if ctx.Err() != nil && summary.Asked == 0 && errors.Is(err, context.Canceled) {
		err = nil // stopped before it claimed anything
	}
	passes := p.health.passEnded(err)
	switch {
	case err != nil && passes > 0:
		p.Logger.LogAttrs(ctx, slog.LevelError, "pass failed",
			append(summary.logAttrs(), slog.Int("failed_passes", passes), slog.Any("error", err))...)
	case summary.Asked > 0:
		p.Logger.LogAttrs(ctx, slog.LevelInfo, "pass finished", summary.logAttrs()...)
	}
}

func (p *Poller) runGuarded(ctx context.Context, schedule cron.Schedule) (summary Summary, err error) {
	defer recoverAs(&err)
	return p.RunOnce(ctx, Run{schedule: schedule})
}
