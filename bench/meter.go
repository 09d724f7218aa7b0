package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc/PID/stat, the same on all Linux systems.
const tick = 10 * time.Millisecond

// reading is what the server has spent so far.
type reading struct {
	cpu       time.Duration
	commits   int64 // in one database
	deadlocks int64 // in it
	wal       int64 // bytes, of the whole server
}

func (r reading) differenceTo(before reading) reading {
	return reading{r.cpu - before.cpu, r.commits - before.commits, r.deadlocks - before.deadlocks, r.wal - before.wal}
}

// readMeter waits until nobody is connected to the database any more, and reads what was spent. A
// session brings in its counts when it ends.
func (db *database) readMeter(ctx context.Context) (reading, error) {
	if err := db.awaitSilence(ctx); err != nil {
		return reading{}, err
	}
	var r reading
	err := db.lab.admin.QueryRow(ctx, `
		SELECT xact_commit, deadlocks, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint
		FROM pg_stat_database WHERE datname = $1`, db.name).Scan(&r.commits, &r.deadlocks, &r.wal)
	if err != nil {
		return r, fmt.Errorf("read the server's counts: %w", err)
	}
	r.cpu, err = serverTime(db.lab.server.PID())
	return r, err
}

func (db *database) awaitSilence(ctx context.Context) error {
	const patience = 10 * time.Second
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var sessions int
		err := db.lab.admin.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'", db.name).Scan(&sessions)
		if err != nil {
			return fmt.Errorf("look for sessions: %w", err)
		}
		if sessions == 0 {
			return nil
		}
	}
	return fmt.Errorf("somebody is still connected to %s", db.name)
}

// serverTime is the CPU time of a server's first process, of its children that live, and of those
// that it has waited for.
func serverTime(pid int) (time.Duration, error) {
	path := filepath.Join("/proc", strconv.Itoa(pid), "stat")
	for {
		before, err := readStat(path)
		if err != nil {
			return 0, fmt.Errorf("CPU time of the server (needs Linux's /proc): %w", err)
		}
		living, err := childrenTime(pid)
		if err != nil {
			return 0, err
		}
		after, err := readStat(path)
		if err == nil && before.children == after.children { // or else a child has ended meanwhile, and may be counted nowhere
			return after.own + after.children + living, nil
		}
	}
}

// childrenTime is the time of the children that live.
func childrenTime(pid int) (time.Duration, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	total := time.Duration(0)
	for _, path := range paths {
		process, err := readStat(path)
		if err == nil && process.parent == pid {
			total += process.own
		}
	}
	return total, nil
}

// stat is what we need of a /proc/PID/stat.
type stat struct {
	parent        int
	own, children time.Duration
}

func readStat(path string) (stat, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return stat{}, err
	}
	return parseStat(string(text))
}

// parseStat reads the fields behind the name, which may itself hold spaces and brackets.
func parseStat(text string) (stat, error) {
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	const parent, user, last = 1, 11, 14 // state is the first behind the name
	if len(fields) <= last {
		return stat{}, fmt.Errorf("not a process's stat: %.40q", text)
	}
	var s stat
	var errs [5]error
	s.parent, errs[0] = strconv.Atoi(fields[parent])
	var ticks [4]int64 // utime, stime, cutime, cstime
	for i := range ticks {
		ticks[i], errs[i+1] = strconv.ParseInt(fields[user+i], 10, 64)
	}
	s.own = time.Duration(ticks[0]+ticks[1]) * tick
	s.children = time.Duration(ticks[2]+ticks[3]) * tick
	return s, errors.Join(errs[:]...)
}
