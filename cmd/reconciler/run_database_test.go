package main_test

import (
	"syscall"
	"testing"
)

func TestRunWaitsForItsDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	network := throughProxy(t, w)
	numbers := w.orders(t, 3, paid())
	p := w.start(t, "run")
	p.awaitLog(t, "waiting for the database")
	network.restore()
	w.awaitPaid(t, len(numbers))
	p.stop(t)
}

func TestRunIsStoppedWhileItWaitsForItsDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("DATABASE_URL=postgres://somebody:pass-that-nobody-may-see@" + closedPort(t) + "/orders")
	p := w.start(t, "run")
	p.awaitLog(t, "waiting for the database")
	p.stop(t)
	result{stderr: p.stderr.String()}.lacks(t, "pass-that-nobody-may-see")
}

// The answers come while the database is away. They are written when it is back, not asked for
// again.
func TestRunOutlivesItsDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	network := throughProxy(t, w)
	network.restore()
	numbers := w.orders(t, 5, paid())
	hold := w.hold()
	p := w.start(t, "run")
	hold.await(t, len(numbers))
	network.cut()
	hold.release()
	eventually(t, "the gateway has answered", func() bool { return w.Total() == len(numbers) })
	network.restore()
	w.awaitPaid(t, len(numbers))

	numbers = append(numbers, w.orders(t, 5, paid())...)
	w.awaitPaid(t, len(numbers))
	p.stop(t)
	w.wantAskedOnce(t, numbers)
	w.wantOneEventEach(t)
}

func TestRunOutlivesItsConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	numbers := w.orders(t, 5, paid())
	hold := w.hold()
	p := w.start(t, "run")
	for range 3 {
		hold.await(t, 5)
		w.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	}
	hold.release()
	w.awaitPaid(t, len(numbers))
	numbers = append(numbers, w.orders(t, 5, paid())...)
	w.awaitPaid(t, len(numbers))
	p.stop(t)
	w.wantAskedOnce(t, numbers)
	w.wantOneEventEach(t)
}

// The signal comes after the database has made the claim and before the process has heard of it.
func TestStopGivesBackTheClaimUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	network := throughProxy(t, w)
	network.restore()
	// Every write of an order waits for the test: so it is known when the claim has been made.
	const lock = 1
	w.exec(t, `CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END'`)
	w.exec(t, `CREATE TRIGGER wait BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION wait()`)
	w.exec(t, `SELECT pg_advisory_lock($1)`, lock)
	w.orders(t, 3, paid())
	p := w.start(t, "run")
	eventually(t, "the claim is under way", func() bool {
		return scan[bool](t, w, `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`)
	})
	network.pause()
	w.exec(t, `SELECT pg_advisory_unlock($1)`, lock)
	eventually(t, "the orders are claimed", func() bool { return scan[int](t, w, `SELECT count(*) FROM orders WHERE lease_until > now()`) == 3 })
	p.signal(t, syscall.SIGTERM)
	network.resume()
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if n := scan[int](t, w, `SELECT count(*) FROM orders WHERE lease_until IS NOT NULL`); n != 0 {
		t.Errorf("%d orders are still claimed", n)
	}
	w.wantOneEventEach(t)
}

func TestRunRefusesAnOldSchema(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.invoke(t, "migrate", "down").want(t, 0)
	for _, command := range []string{"run", "run-once"} {
		w.invoke(t, command).want(t, 2, "migrate up")
	}
	if w.Total() != 0 {
		t.Errorf("the gateway was asked %d times", w.Total())
	}
}
