package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// warmUp is how long a daemon starts: the server plans each statement anew the first five times.
const warmUp = 30 * time.Second

// runRest measures what a daemon costs that has nothing to do.
func (l *lab) runRest(ctx context.Context, r *report) error {
	const name = "rest"
	l.logProgress("rest: a daemon without orders, for %v", l.sizes.Idle)
	d, err := l.startDaemon(ctx, "@every 5s", 0)
	if err != nil {
		return err
	}
	defer func() { r.wasEnded(name, d.endDaemon(ctx)) }()
	if err := sleepFor(ctx, warmUp); err != nil {
		return err
	}
	daemon, sessions, server, err := d.spent(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := sleepFor(ctx, l.sizes.Idle); err != nil {
		return err
	}
	daemonAfter, sessionsAfter, serverAfter, err := d.spent(ctx)
	if err != nil {
		return err
	}
	share := func(cpu time.Duration) float64 { return 100 * cpu.Seconds() / time.Since(began).Seconds() }
	both := daemonAfter - daemon + sessionsAfter - sessions
	r.addLine(name, "idle, looking every 5s: CPU of the daemon", share(daemonAfter-daemon), "% of a core", goal{})
	r.addLine(name, "CPU of the daemon and its sessions at the server", share(both), "% of a core", atMost(0.2))
	r.addLine(name, "CPU of the whole server, its own housekeeping included", share(serverAfter-server), "% of a core", goal{})
	return nil
}

// spent is the CPU time so far of the daemon, of its sessions at the server, and of the whole
// server.
func (d *daemon) spent(ctx context.Context) (daemon, sessions, server time.Duration, err error) {
	own, err := readStat(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	if err != nil {
		return 0, 0, 0, fmt.Errorf("CPU time of the daemon: %w", err)
	}
	rows, err := d.db.lab.admin.Query(ctx, "SELECT pid FROM pg_stat_activity WHERE datname = $1", d.db.name)
	if err != nil {
		return 0, 0, 0, fmt.Errorf("look for sessions: %w", err)
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return 0, 0, 0, fmt.Errorf("look for sessions: %w", err)
	}
	for _, pid := range pids {
		if one, err := readStat(fmt.Sprintf("/proc/%d/stat", pid)); err == nil { // else it has ended
			sessions += one.own
		}
	}
	server, err = serverTime(d.db.lab.server.PID())
	return own.own, sessions, server, err
}
