package poller

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// An outage that has just begun has no length yet: a run-once said "for 1s by now" of its own.
func TestTroubleTellsHowLongItLasts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWriting(slog.New(slog.DiscardHandler), Unobserved{})
		w.noteFailure(t.Context(), errors.New("no room"), 1)
		for _, step := range []struct {
			wait time.Duration
			want string
		}{
			{time.Second, "answers cannot be written: no room"},
			{claimProbeEvery, "answers cannot be written, for 11s by now: no room"},
		} {
			time.Sleep(step.wait)
			if got := w.currentTrouble().Error(); got != step.want {
				t.Errorf("after %s more: %q, want %q", step.wait, got, step.want)
			}
		}
	})
}
