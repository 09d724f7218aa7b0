package poller

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"reconciler/internal/order"
)

// Summary counts what a pass did.
type Summary struct {
	Asked     int // orders that were asked and recorded
	Decisions map[order.Decision]int
	ByStatus  map[order.Status]int // status after, of the orders asked
	NotAsked  int                  // orders that the database did not let be claimed, or that a dry run could not ask
	Unwritten int                  // answers that could not be written; asked again after their lease
	Duration  time.Duration
	// PausedApps are the app ids that the pass left because their breaker is open, and HeldApps those
	// that a person has paused.
	PausedApps, HeldApps []string
	// WriteFailure is why answers could not be written at some time; nil: all could.
	WriteFailure error
}

func newSummary() Summary {
	return Summary{Decisions: make(map[order.Decision]int), ByStatus: make(map[order.Status]int)}
}

func (s *Summary) addOutcome(out order.Outcome) {
	s.Asked++
	s.Decisions[out.Decision]++
	s.ByStatus[out.Status]++
}

// endedWith adds why the claimers ended.
func (s Summary) endedWith(apps []*app, ends []claimsEnd) (Summary, error) {
	var errs []error
	for i, end := range ends {
		switch {
		case end.byHand:
			s.HeldApps = append(s.HeldApps, apps[i].AppID)
		case end.paused:
			s.PausedApps = append(s.PausedApps, apps[i].AppID)
		}
		s.NotAsked += end.refused
		errs = append(errs, end.err)
	}
	return s, errors.Join(errs...)
}

// BreakerOpen reports whether the pass left an app id because its breaker is open.
func (s Summary) BreakerOpen() bool { return len(s.PausedApps) > 0 }

// Complete reports whether every order could be asked and written.
func (s Summary) Complete() bool {
	return s.Decisions[order.NoAnswer] == 0 && s.Decisions[order.Refused] == 0 && s.Unwritten == 0 && s.NotAsked == 0 && !s.BreakerOpen()
}

// logAttrs are the summary for a log line.
func (s Summary) logAttrs() []slog.Attr {
	attrs := []slog.Attr{slog.Int("asked", s.Asked)}
	for _, d := range slices.Sorted(maps.Keys(s.Decisions)) {
		attrs = append(attrs, slog.Int(string(d), s.Decisions[d]))
	}
	if s.Unwritten > 0 {
		attrs = append(attrs, slog.Int("unwritten", s.Unwritten))
	}
	return append(attrs, slog.Bool("breaker_open", s.BreakerOpen()), slog.Float64("duration_seconds", s.Duration.Seconds()))
}

// logProgress says what a long pass has done so far.
func (r *recorder) logProgress() {
	if time.Since(r.saidAt) < progressEvery {
		return
	}
	r.saidAt = time.Now()
	r.summary.Duration = time.Since(r.started)
	r.Logger.LogAttrs(context.Background(), slog.LevelInfo, "pass in progress", r.summary.logAttrs()...)
}

// logOutcome says what became of an order: ordinary decisions at debug, above it what a person may
// have to look into. Trouble of the gateway is logged by the breaker, once.
func (r *recorder) logOutcome(ctx context.Context, out order.Outcome) {
	level, message := slog.LevelDebug, "order decided"
	switch {
	case out.Decision == order.Review:
		level, message = slog.LevelWarn, "order needs a review"
	case out.Decision == order.Settled && out.LastError != "":
		level, message = slog.LevelWarn, "order settled, but part of the answer cannot be right"
	case slices.Contains(order.UnexpectedReasons(), out.Reason):
		level, message = slog.LevelWarn, "the gateway's answer is not understood"
	}
	if !r.Logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.Int64("order_id", out.Order.ID),
		slog.String("mid", out.Order.MID),
		slog.String("mer_order_id", out.Order.MerOrderID),
		slog.String("decision", string(out.Decision)),
		slog.String("reason", out.Reason),
		slog.String("status", string(out.Status)),
		slog.Int("round_trips", out.Question.RoundTrips),
		slog.Float64("duration_seconds", out.Question.Duration.Seconds()),
	}
	if out.LastError != "" {
		attrs = append(attrs, slog.String("trouble", out.LastError))
	}
	if out.NextQueryAt != nil {
		attrs = append(attrs, slog.Time("next_query_at", *out.NextQueryAt))
	}
	r.Logger.LogAttrs(ctx, level, message, attrs...)
}
