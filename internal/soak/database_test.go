package soak_test

import (
	"context"
	"strings"
	"time"

	"reconciler/internal/store"
)

// trouble is one way in which the daemons' database stops to take answers.
type trouble struct {
	begin, end string
}

func (db *database) grants() string {
	return strings.Join(store.Grants(store.ForDaemon, "public", db.role), "\n")
}

func (db *database) troubles() []trouble {
	terminate := `; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '` + db.role + `'`
	return []trouble{
		{begin: `REVOKE INSERT ON order_events FROM ` + db.role, end: db.grants()},
		{begin: `REVOKE INSERT ON order_queries FROM ` + db.role, end: db.grants()},
		{begin: `REVOKE UPDATE ON orders FROM ` + db.role, end: db.grants()},
		{begin: `ALTER TABLE order_events RENAME TO order_events_away`, end: `ALTER TABLE order_events_away RENAME TO order_events`},
		{
			begin: `ALTER ROLE ` + db.role + ` SET default_transaction_read_only = on` + terminate,
			end:   `ALTER ROLE ` + db.role + ` RESET default_transaction_read_only` + terminate,
		},
		{begin: `SELECT` + terminate, end: `SELECT`},
	}
}

// breakDatabase takes away for a while what the daemons need. One trouble at a time is enough.
func (w *world) breakDatabase() {
	way, length := pick(w.rand, w.db.troubles()...), time.Duration(w.rand.Int64N(int64(800*time.Millisecond)))
	if !w.broken.TryLock() {
		return
	}
	w.byHand.Go(func() {
		defer w.broken.Unlock()
		if _, err := w.db.person.Exec(context.Background(), way.begin); err != nil {
			return // a lock: it has not begun
		}
		sleep(w.chaosOver, length)
		exec(w.t, w.db.clock, way.end)
	})
}

// loseReplies lets a process miss all that its database replies for a while, as when the only
// synchronous standby is gone: what it asks for is done.
func loseReplies(s *slot, length time.Duration) {
	if l := s.present(); l != nil {
		l.deafUntil.Store(time.Now().Add(length).UnixNano())
	}
}

// claimProbeEvery is how often one order may be asked while answers cannot be written.
const claimProbeEvery = 10 * time.Second

// writes is what a process has seen of its writes.
type writes struct {
	failingSince time.Time // zero: the last one succeeded
	pages        int       // claimed since, in full
	probes       int       // claimed since, one at a time
	asked        int       // round trips while writes failed, in all
}

// sawWrite notes how a write ended, before the poller hears of it.
func (l *life) sawWrite(recorded []store.Recorded, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if store.FailureReason(err) != "locked" && l.writes.failingSince.IsZero() {
			l.writes.failingSince = time.Now()
		}
		return
	}
	for _, r := range recorded {
		if r.State == store.Written {
			l.writes.failingSince, l.writes.pages, l.writes.probes = time.Time{}, 0, 0
		}
	}
}

// sawQuestion counts a round trip whose answer cannot be written as things are.
func (l *life) sawQuestion() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.writes.failingSince.IsZero() {
		l.writes.asked++
	}
}

// sawClaim checks a claim that was begun while writes failed. One may have been on its way when the
// first write failed; after it there are only probes.
func (l *life) sawClaim(c store.Claim, page store.Page) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(page.Orders) == 0 || l.writes.failingSince.IsZero() {
		return
	}
	if c.Limit > 1 || !c.Uncounted {
		l.writes.pages++
	} else {
		l.writes.probes++
	}
	since := time.Since(l.writes.failingSince)
	if l.writes.pages > 1 || l.writes.probes > 1+int(since/claimProbeEvery) {
		l.w.t.Errorf("%s claimed %d pages and %d probes while its writes failed for %s", l.name, l.writes.pages, l.writes.probes, since)
	}
}
