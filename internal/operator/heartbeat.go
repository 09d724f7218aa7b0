package operator

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"reconciler/internal/store"
)

const (
	// beatEvery is the time between two heartbeats.
	beatEvery = 15 * time.Second
	// beatTimeout bounds one of them.
	beatTimeout = 10 * time.Second
)

// Pulse is what a daemon tells of itself at each heartbeat.
type Pulse struct {
	LastPassAt time.Time          // zero: none has ended yet
	Trouble    string             // why it does not work; "": it works
	Aside      []store.AsideOrder // orders whose rows refuse to be written
	Settings   json.RawMessage    // without secrets
}

// Heartbeat writes the row of a running daemon into instances, so that people on other machines can
// tell that it lives and how it is.
type Heartbeat struct {
	Beat    func(context.Context, store.Instance, ...store.AsideOrder) error // [store.Store.Heartbeat]
	Pulse   func() Pulse
	Logger  *slog.Logger
	Worker  string
	Version string
}

// Run beats at once and then every 15 seconds, until ctx ends. A failure is logged when it begins
// and when it is over.
func (h *Heartbeat) Run(ctx context.Context) {
	started := time.Now()
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	failing := false
	for ctx.Err() == nil {
		err := h.writeBeat(ctx, started)
		switch {
		case ctx.Err() != nil: // stopped, not failed
		case err != nil && !failing:
			h.Logger.LogAttrs(ctx, slog.LevelWarn, "heartbeat fails", slog.Any("error", err))
		case err == nil && failing:
			h.Logger.LogAttrs(ctx, slog.LevelInfo, "heartbeat works again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

func (h *Heartbeat) writeBeat(ctx context.Context, started time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	pulse := h.Pulse()
	i := store.Instance{Worker: h.Worker, Version: h.Version, StartedAt: started, Trouble: pulse.Trouble, Settings: pulse.Settings}
	if !pulse.LastPassAt.IsZero() {
		i.LastPassAt = &pulse.LastPassAt
	}
	return h.Beat(ctx, i, pulse.Aside...)
}
