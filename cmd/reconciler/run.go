package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v4"

	"reconciler/internal/ops"
	"reconciler/internal/poller"
	"reconciler/internal/store"
)

// startPatience is how long the daemon waits for its database at start.
const startPatience = time.Minute

type runCommand struct {
	daemonSettings
}

// Run is the daemon: it ends with its context, or when it cannot start.
func (c *runCommand) Run(p *process) error {
	outliveReaders()
	r, err := c.resolveDaemon(p)
	if err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1) // from now on: one that comes early must not end the process
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	logger := p.newLogger()
	p.logSettings(p.ctx, logger)
	metrics := ops.NewMetrics()
	status := &ops.Status{}
	metrics.SetBuild(version, store.NewestMigration())
	metrics.WatchReady(status)
	server, err := ops.Listen(p.ctx, r.listen, c.Profiles.T, logger, status, metrics)
	if err != nil {
		return fmt.Errorf("%s cannot be used: %w", p.flagName("listen"), err)
	}
	defer server.Close()

	orders, err := c.openStore(p.ctx, logger)
	if orders == nil {
		return err // or stopped while waiting
	}
	defer orders.Close()
	defer orders.WatchLocks(p.ctx, func(blocker string) {
		logger.LogAttrs(p.ctx, slog.LevelWarn, "waiting for a lock", slog.String("blocker", blocker))
	})()
	warnAboutRowSecurity(p.ctx, orders, logger)
	r.options.Observer = metrics
	metrics.SetApps(r.options.Rate, r.clients.appIDs(), poller.AnswerClasses())
	warnAboutFiles(p.ctx, logger, r.warnings)
	asker, err := r.newPoller(orders, logger)
	if err != nil {
		return err
	}
	defer r.clients.closeAll()
	deliverer, err := c.newDeliverer(r, orders, metrics, logger)
	if err != nil {
		return err
	}
	var beside sync.WaitGroup
	beside.Go(func() { c.reloadOnHangup(p, hangups, r.resolved, asker, logger) })
	beside.Go(func() { r.newHeartbeat(p, orders, asker, logger).Run(p.ctx) })
	if deliverer != nil {
		beside.Go(func() { deliverer.Run(p.ctx) })
	}
	defer beside.Wait()
	status.Serve(orders, asker)
	metrics.Watch(orders, asker.LastPass)
	logger.LogAttrs(p.ctx, slog.LevelInfo, "started",
		slog.String("version", version), slog.String("worker", r.options.Worker),
		slog.String("gateway", c.Gateway.URL), slog.Any("app_ids", r.clients.appIDs()), slog.String("schedule", c.Schedule.Text))
	beside.Go(func() { notifyServiceManager(p.ctx, logger) })
	asker.Run(p.ctx, r.schedule)
	logger.LogAttrs(p.ctx, slog.LevelInfo, "stopped")
	return nil
}

// openStore waits for the database and refuses an old schema. Both results are
// nil when ctx ended first.
func (c *runCommand) openStore(ctx context.Context, logger *slog.Logger) (*store.Store, error) {
	orders, err := store.Open(ctx, c.Database.URL)
	if err != nil {
		return nil, usageError{err}
	}
	waits := backoff.NewExponentialBackOff(backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(startPatience))
	check := func() error { return checkSchema(ctx, orders) }
	told := func(err error, wait time.Duration) {
		logger.LogAttrs(ctx, slog.LevelWarn, "waiting for the database", slog.Any("error", err), slog.Duration("wait", wait))
	}
	err = backoff.RetryNotify(check, backoff.WithContext(waits, ctx), told)
	switch {
	case ctx.Err() != nil:
		orders.Close()
		return nil, nil
	case err != nil:
		orders.Close()
		return nil, err
	}
	return orders, nil
}

// checkSchema fails for good when the schema is old or rights are missing, and for now when the
// database cannot be reached.
func checkSchema(ctx context.Context, orders *store.Store) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := checkDatabase(ctx, orders, store.ForDaemon)
	if err != nil && !store.IsTransient(err) {
		return backoff.Permanent(usageError{err})
	}
	return err
}

// newPoller wires clients and policy together.
func (r resolved) newPoller(orders *store.Store, logger *slog.Logger) (*poller.Poller, error) {
	list, err := r.clients.useApps(r.clients.apps)
	if err != nil {
		return nil, usageError{err}
	}
	orders.UseLanguage(r.options.Rules.Lang)
	options := r.options
	if options.Concurrency > manyInFlight && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercentMany)
	}
	options.Store, options.Apps, options.Logger = orders, list, logger.With(slog.String("component", "poller"))
	p, err := poller.New(options)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	return p, nil
}

// reloadOnHangup reads the credentials again at every SIGHUP until the context ends. Credentials
// that cannot be used change nothing.
func (c *runCommand) reloadOnHangup(p *process, hangups <-chan os.Signal, r resolved, asker *poller.Poller, logger *slog.Logger) {
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-hangups:
		}
		warnings, err := c.reloadApps(p, r, asker)
		warnAboutFiles(p.ctx, logger, warnings)
		if err != nil {
			logger.LogAttrs(p.ctx, slog.LevelError, "credentials reload failed, keeping the previous ones", slog.Any("error", err))
			continue
		}
		logger.LogAttrs(p.ctx, slog.LevelInfo, "credentials reloaded", slog.Any("app_ids", r.clients.appIDs()))
	}
}

// reloadApps passes the whole new list on, so the poller also learns of merchants listed again.
func (c *runCommand) reloadApps(p *process, r resolved, asker *poller.Poller) (warnings []string, err error) {
	read, warnings, err := c.Gateway.readApps(p.getenv)
	if err != nil {
		return nil, err
	}
	apps, err := r.clients.useApps(read)
	if err != nil {
		return warnings, err
	}
	return warnings, asker.UseApps(apps)
}
