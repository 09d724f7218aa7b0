package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// lockPoll is how often a migration's sessions are looked at; a wait for a lock lasts two
	// seconds.
	lockPoll = 400 * time.Millisecond
	// blockerRetold is after how long a blocker that is still there is named again.
	blockerRetold = 30 * time.Second
	// longWait is how long another statement waits for a lock before its blocker is named, and how
	// often that is looked for.
	longWait = 2 * time.Second
)

// WatchLocks looks every two seconds, while a statement is under way, and tells who holds the
// locks. They are the locks that statements of our role and our application name wait for. It ends
// when stop is called.
func (s *Store) WatchLocks(ctx context.Context, tell func(blocker string)) (stop func()) {
	w := &lockWatch{store: s, tell: tell}
	return w.startLooking(ctx, longWait, func(ctx context.Context) ([]int32, error) {
		if s.pool.Stat().AcquiredConns() == 0 {
			return nil, nil // no statement is under way: a daemon at rest costs nothing
		}
		return collectRows[int32](ctx, s.pool, `
			SELECT pid FROM pg_stat_activity
			WHERE datname = current_database() AND usename = session_user AND application_name = current_setting('application_name')
			  AND wait_event_type = 'Lock' AND query_start < clock_timestamp() - make_interval(secs => $1)`, longWait.Seconds())
	})
}

// blocker is a session that holds a lock which one of ours waits for.
type blocker struct {
	PID         int
	Application string
	User        string
	State       string
	WaitsFor    string     // "" where it waits for nothing
	Since       *time.Time // its transaction's beginning; nil where our role may not see it
}

func (b blocker) String() string {
	if b.PID == 0 {
		return "a prepared transaction holds the lock (see pg_prepared_xacts)"
	}
	since := "unknown"
	if b.Since != nil {
		since = b.Since.UTC().Format(time.RFC3339)
	}
	words := fmt.Sprintf("pid %d (application %q, user %s, %s) holds the lock, in a transaction since %s",
		b.PID, b.Application, b.User, cmp.Or(b.State, "state unknown"), since)
	if b.WaitsFor == "SyncRep" {
		words += ", and its commit waits for a synchronous standby: see synchronous_standby_names"
	}
	return words
}

// lockWatch looks from a second connection at who blocks sessions of ours.
type lockWatch struct {
	store *Store
	tell  func(string)

	mu       sync.Mutex
	sessions []int32 // of a migration
	told     map[int]time.Time
	latest   string
}

func (w *lockWatch) addSession(pid uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(w.sessions, int32(pid)) {
		w.sessions = append(w.sessions, int32(pid))
	}
}

// lastBlocker names who was in the way last.
func (w *lockWatch) lastBlocker() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return cmp.Or(w.latest, "another session held the lock for a moment")
}

// addedSessions are the sessions of a migration.
func (w *lockWatch) addedSessions(context.Context) ([]int32, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.sessions), nil
}

// startLooking looks again and again at those who may wait, until the function that it returns is
// called.
func (w *lockWatch) startLooking(ctx context.Context, every time.Duration, waiting func(context.Context) ([]int32, error)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		ticks := time.NewTicker(every)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
				if sessions, err := waiting(ctx); err == nil && len(sessions) > 0 {
					w.lookOnce(ctx, sessions)
				}
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// lookOnce tells and no more: where it fails, the one who waits says what matters.
func (w *lockWatch) lookOnce(ctx context.Context, sessions []int32) {
	blockers, err := collectRows[blocker](ctx, w.store.pool, `
		SELECT DISTINCT b.pid, coalesce(a.application_name, '') AS application, coalesce(a.usename::text, '') AS "user",
		       coalesce(a.state, '') AS state, coalesce(a.wait_event, '') AS waits_for, a.xact_start AS since
		FROM unnest($1::int[]) AS waiting(pid), unnest(pg_blocking_pids(waiting.pid)) AS b(pid)
		LEFT JOIN pg_stat_activity AS a ON a.pid = b.pid
		ORDER BY b.pid`, sessions)
	if err != nil || len(blockers) == 0 {
		return
	}
	w.reportBlockers(blockers, time.Now())
}

func (w *lockWatch) reportBlockers(blockers []blocker, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told == nil {
		w.told = make(map[int]time.Time)
	}
	words := make([]string, len(blockers))
	for i, b := range blockers {
		words[i] = b.String()
		if last, told := w.told[b.PID]; w.tell != nil && (!told || now.Sub(last) >= blockerRetold) {
			w.told[b.PID] = now
			w.tell(words[i])
		}
	}
	w.latest = strings.Join(words, "; ")
}
