package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"reconciler/internal/store/storetest"
)

// The server crashes under load and stays away for some seconds, twice. Answers that come meanwhile
// are kept and written, or asked for again; nobody has to do anything.
func TestPostgresRestartedHard(t *testing.T) {
	t.Parallel()
	const away = 3 * time.Second
	c := newCluster(t)
	w := newWorld(t)
	w.moveTo(t, c.URL("postgres"))
	network := throughProxy(t, w)
	network.restore()
	w.set("RECONCILER_LISTEN=127.0.0.1:0", "RECONCILER_CONCURRENCY=8", shortTimeout, shortLease)
	b := w.backlog(t, 600, 20*time.Millisecond)
	p := w.start(t, "run")
	address := healthAddress(t, p)
	awaitReady(t, address, http.StatusOK)

	crash := func() { c.crash(t) }
	for round := range 2 {
		w.awaitMoment(t, p, b)
		hold := w.hold()
		hold.await(t, 4)
		crash()
		crashed := time.Now()
		network.cut()
		answered := w.Total()
		hold.release() // these answers come while there is nowhere to write them
		eventually(t, "the server has been away for a while, and /readyz says so", func() bool {
			if live := get(t, address, "/healthz"); live.code != http.StatusOK {
				t.Fatalf("/healthz = %+v", live)
			}
			ready := get(t, address, "/readyz")
			return time.Since(crashed) > away && ready.code == http.StatusServiceUnavailable
		})
		t.Logf("crash %d: %d answers came while the server was away", round+1, w.Total()-answered)

		server := c.serverOn(t, "data", "5432")
		crash = func() {
			server.signal(t, syscall.SIGQUIT)
			server.wait(t)
		}
		w.reconnect(t)
		back := time.Now()
		network.restore()
		awaitReady(t, address, http.StatusOK)
		t.Logf("crash %d: ready again %v after the server's return", round+1, time.Since(back).Round(10*time.Millisecond))
	}
	b.await(t, w)
	p.stop(t)
	b.check(t, w)
}

// The primary dies under load and a standby is promoted. Replication is asynchronous: the standby
// may lack the last commits.
func TestFailover(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	w := newWorld(t)
	w.moveTo(t, c.URL("postgres"))
	copied, err := c.command(t, "pg_basebackup", "-h", c.Dir(), "-p", "5432", "-U", "postgres", "-D", c.Dir()+"/standby",
		"-R", "-X", "stream", "-c", "fast").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, copied)
	}
	c.serverOn(t, "standby", "5433")
	eventually(t, "the standby follows", func() bool {
		return scan[int](t, w, `SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'`) == 1
	})
	w.set("DATABASE_URL="+c.hosts("5432", "5433"), "RECONCILER_CONCURRENCY=8", shortTimeout, shortLease, "RECONCILER_LISTEN=127.0.0.1:0")
	b := w.backlog(t, 600, 20*time.Millisecond)
	eventually(t, "the standby has the orders", func() bool {
		return scan[bool](t, w, `SELECT coalesce(replay_lsn >= pg_current_wal_lsn(), false) FROM pg_stat_replication`)
	})
	p := w.start(t, "run")
	address := healthAddress(t, p)
	w.awaitMoment(t, p, b)
	hold := w.hold()
	hold.await(t, 4)
	c.crash(t)
	hold.release()
	awaitReady(t, address, http.StatusServiceUnavailable)

	w.url = strings.Replace(w.url, "5432", "5433", 1)
	w.reconnect(t)
	died := time.Now()
	w.exec(t, `SELECT pg_promote()`)
	awaitReady(t, address, http.StatusOK)
	t.Logf("ready %v after the promotion began", time.Since(died).Round(10*time.Millisecond))
	b.await(t, w)
	p.stop(t)
	b.check(t, w)
}

// refuse makes the database refuse writes: those of a table, or only some of its rows, with a
// SQLSTATE. The function that is returned ends it.
func (w *world) refuse(t *testing.T, event, table, when, state string) (end func()) {
	t.Helper()
	w.exec(t, fmt.Sprintf(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
		AS $$BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '%s'; END$$`, state))
	w.exec(t, fmt.Sprintf(`CREATE TRIGGER refuse BEFORE %s ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION refuse()`, event, table, when))
	return func() {
		t.Helper()
		w.exec(t, `DROP FUNCTION refuse CASCADE`)
	}
}

// Nothing can be written for a while, neither claims nor answers.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(shortTimeout, shortLease, "RECONCILER_CONCURRENCY=8", "RECONCILER_LISTEN=127.0.0.1:0")
	b := w.backlog(t, 300, 20*time.Millisecond)
	p := w.start(t, "run")
	address := healthAddress(t, p)
	w.awaitMoment(t, p, b)
	hold := w.hold()
	hold.await(t, 4)
	end := w.refuse(t, "UPDATE", "orders", "true", "53100")
	hold.release()
	p.awaitLog(t, "pass failed") // its next claim is refused as well
	awaitReady(t, address, http.StatusServiceUnavailable)
	end()
	awaitReady(t, address, http.StatusOK)
	b.await(t, w)
	p.stop(t)
	b.check(t, w)
}

// Some orders cannot be written: their neighbours are, in the meantime, and they themselves are
// asked about again.
func TestSomeWritesRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, state string }{
		{"by a trigger", "P0001"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set(shortTimeout, shortLease, "RECONCILER_CONCURRENCY=8")
			b := w.backlog(t, 100, time.Millisecond)
			end := sync.OnceFunc(w.refuse(t, "UPDATE", "orders", "OLD.id % 5 = 0 AND OLD.lease_until IS NOT NULL AND NEW.lease_until IS NULL", test.state))
			p := w.start(t, "run")
			began := time.Now()
			eventually(t, "the neighbours are written", func() bool {
				return scan[int](t, w, `SELECT count(*) FROM orders WHERE id % 5 <> 0 AND review_reason IS NULL
					AND status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY')`) == 0
			})
			t.Logf("the neighbours are written after %v", time.Since(began).Round(10*time.Millisecond))
			if n := scan[int](t, w, `SELECT count(*) FROM orders WHERE id % 5 = 0 AND (query_count > 0 OR status <> 'UNKNOWN')`); n != 0 {
				t.Errorf("%d orders were written all the same", n)
			}
			end()
			b.await(t, w)
			p.stop(t)
			b.check(t, w)
		})
	}
}

// The ledger's disk is full for longer than the three leases after which an order counts as what
// ended its worker. The worker has never ended: when there is room again, all goes on by itself.
func TestDiskFullForLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_REQUEST_TIMEOUT=400ms", "RECONCILER_LEASE=7400ms", "RECONCILER_CONCURRENCY=8")
	end := w.refuse(t, "INSERT", "order_queries", "true", "53100")
	b := w.backlog(t, 10, time.Millisecond)
	p := w.start(t, "run")
	storetest.Eventually(t, patience, "two probes beside the first claims", func() bool {
		return scan[int](t, w, `SELECT sum(claim_no) FROM orders`) >= 12
	})
	end()
	b.await(t, w)
	p.stop(t)
	b.check(t, w)
}

// The application keeps one order's row locked for a long time: its neighbours are written
// nevertheless.
func TestLockedRowHoldsUpNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(shortTimeout, shortLease, "RECONCILER_CONCURRENCY=8")
	b := w.backlog(t, 100, time.Millisecond)
	hold := w.hold()
	p := w.start(t, "run")
	hold.await(t, 8)
	application := storetest.Connect(t, w.url)
	if _, err := application.Exec(t.Context(), `BEGIN`); err != nil {
		t.Fatal(err)
	}
	const inFlight = `SELECT mer_order_id FROM orders WHERE lease_until IS NOT NULL ORDER BY next_query_at, id LIMIT 1 FOR UPDATE`
	var locked string
	if err := application.QueryRow(t.Context(), inFlight).Scan(&locked); err != nil {
		t.Fatal(err)
	}
	hold.release()
	began := time.Now()
	storetest.Eventually(t, patience, "the neighbours are written", func() bool {
		return scan[int](t, w, `SELECT count(*) FROM orders WHERE mer_order_id <> $1 AND review_reason IS NULL
			AND status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY')`, locked) == 0
	})
	t.Logf("the neighbours are written after %v", time.Since(began).Round(10*time.Millisecond))
	if _, err := application.Exec(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	b.await(t, w)
	p.stop(t)
	b.check(t, w)
}
