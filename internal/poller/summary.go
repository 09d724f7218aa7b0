package poller

import (
	"log/slog"
	"maps"
	"slices"
	"time"

	"reconciler/internal/order"
)

// Summary counts what a pass did.
type Summary struct {
	Asked     int // orders that were asked about
	Decisions map[order.Decision]int
	ByStatus  map[order.Status]int // status after, of the orders asked about
	Unasked   int                  // orders of a dry run that could not be asked about
	Unwritten int                  // answers that could not be written; asked again after their lease
	Duration  time.Duration
	// BreakerOpen is whether the pass ended because the gateway is not asked for now.
	BreakerOpen bool
}

func newSummary() Summary {
	return Summary{Decisions: make(map[order.Decision]int), ByStatus: make(map[order.Status]int)}
}

func (s *Summary) add(out order.Outcome) {
	s.Asked++
	s.Decisions[out.Decision]++
	s.ByStatus[out.Status]++
}

// Complete reports whether every order could be asked about and written.
func (s Summary) Complete() bool {
	return s.Decisions[order.NoAnswer] == 0 && s.Decisions[order.Refused] == 0 && s.Unwritten == 0 && s.Unasked == 0 && !s.BreakerOpen
}

// attrs are the summary for a log line.
func (s Summary) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.Int("asked", s.Asked)}
	for _, d := range slices.Sorted(maps.Keys(s.Decisions)) {
		attrs = append(attrs, slog.Int(string(d), s.Decisions[d]))
	}
	if s.Unwritten > 0 {
		attrs = append(attrs, slog.Int("unwritten", s.Unwritten))
	}
	return append(attrs, slog.Bool("breaker_open", s.BreakerOpen), slog.Float64("duration_seconds", s.Duration.Seconds()))
}
