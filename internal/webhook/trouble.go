package webhook

import (
	"context"
	"log/slog"
	"time"
)

// quietFor is the time between two lines about one trouble. It is over when it has not come for as
// long.
const quietFor = time.Minute

// trouble tells of something that fails again and again: at first, then once a minute with a count,
// and when it is over.
type trouble struct {
	logger       *slog.Logger
	now          func() time.Time
	begins, ends string

	since, last, told time.Time
	count             int
	well              bool // at the last time
}

// noteFailure hears that it failed.
func (t *trouble) noteFailure(ctx context.Context, attrs ...slog.Attr) {
	now := t.now()
	if t.since.IsZero() {
		t.since = now
	}
	t.last, t.well = now, false
	t.count++
	if t.told.IsZero() || now.Sub(t.told) >= quietFor {
		t.logger.LogAttrs(ctx, slog.LevelWarn, t.begins, append(attrs, slog.Int("failures", t.count))...)
		t.told, t.count = now, 0
	}
}

// noteSuccess hears that it went well.
func (t *trouble) noteSuccess(ctx context.Context) {
	t.well = true
	t.endIfOver(ctx)
}

// endIfOver is called now and then, because nothing more may happen after the end.
func (t *trouble) endIfOver(ctx context.Context) {
	if !t.well || t.since.IsZero() || t.now().Sub(t.last) < quietFor {
		return
	}
	t.logger.LogAttrs(ctx, slog.LevelInfo, t.ends, slog.Duration("after", t.last.Sub(t.since).Round(time.Second)))
	t.since, t.told, t.count = time.Time{}, time.Time{}, 0
}
