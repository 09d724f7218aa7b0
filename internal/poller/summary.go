package poller

import (
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
	// PausedApps are the app ids that the pass left because their breaker is open, and HeldApps
	// those that a person has paused.
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
