package main

import (
	"context"
	"log/slog"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// notifyServiceManager tells systemd that the daemon works, and at the end that it stops. In
// between it tells that it is alive, as often as the unit's watchdog wants. It does nothing under
// another service manager.
func notifyServiceManager(ctx context.Context, logger *slog.Logger) {
	tell := func(state string) {
		if _, err := systemd.SdNotify(false, state); err != nil {
			logger.LogAttrs(ctx, slog.LevelWarn, "service manager not notified", slog.Any("error", err))
		}
	}
	tell(systemd.SdNotifyReady)
	defer tell(systemd.SdNotifyStopping)
	every, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		logger.LogAttrs(ctx, slog.LevelWarn, "watchdog of the service manager not understood", slog.Any("error", err))
	}
	if every <= 0 {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(every / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			tell(systemd.SdNotifyWatchdog)
		}
	}
}
