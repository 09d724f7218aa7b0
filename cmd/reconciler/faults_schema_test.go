package main_test

import (
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/operator"
)

// A publication that cannot tell the rows of orders apart stops every claim, from the first one on.
// That is no row's fault: status says what to do, and all orders are asked as soon as it is done.
func TestPublicationWithoutIdentity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 20
	w.orders(t, n, simulator.Step{Status: chinaums.StatusTradeSuccess})
	w.exec(t, `ALTER TABLE orders REPLICA IDENTITY NOTHING; CREATE PUBLICATION shop FOR TABLE orders`)
	p := w.start(t, "run")
	eventually(t, "status names the cause", func() bool {
		r := w.invoke(t, "status")
		return r.code == 4 && strings.Contains(r.stdout, "REPLICA IDENTITY")
	})
	w.exec(t, `ALTER TABLE orders REPLICA IDENTITY DEFAULT`)
	w.awaitPaid(t, n)
	w.wantOneEventEach(t)
	if log := p.stderr.String(); strings.Contains(log, "waits aside") {
		t.Error("an order waited aside")
	}
	p.stop(t)
}

// A role that only reads is told of before a daemon needs to write. A viewer may be one.
func TestDoctorOfARoleThatOnlyReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `ALTER DATABASE `+scan[string](t, w, `SELECT current_database()`)+` SET default_transaction_read_only = on`)
	wantFinding(t, findings(t, w, 1), "database", operator.StateFail, "default_transaction_read_only")
	wantFinding(t, findings(t, w, 0, "--for=viewer"), "database", operator.StateOK)
}

// A program that was rolled back works with the newer schema, and says so.
func TestNewerSchemaIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `INSERT INTO reconciler_migrations (version_id, is_applied) VALUES (9001, true)`)
	const want = "newer than this program, which works with it: migration 9001"
	wantFinding(t, findings(t, w, 0), "schema", operator.StateOK, want)
	w.invoke(t, "status").want(t, 4, want) // no daemon runs
}

// A synchronous standby that is gone lets every commit wait. doctor says so, and the daemon goes on
// by itself once the standby is not waited for.
func TestSynchronousStandbyThatIsGone(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	w := newWorld(t)
	w.moveTo(t, c.URL("postgres"))
	w.exec(t, `SET synchronous_commit = local`)
	w.exec(t, `ALTER SYSTEM SET synchronous_standby_names = 'gone'`)
	w.exec(t, `SELECT pg_reload_conf()`)
	const n = 5
	w.orders(t, n, simulator.Step{Status: chinaums.StatusTradeSuccess})
	p := w.start(t, "run")
	eventually(t, "doctor names the cause", func() bool {
		return strings.Contains(w.invoke(t, "doctor").stdout, "wait for a synchronous standby")
	})
	w.exec(t, `ALTER SYSTEM RESET synchronous_standby_names`)
	w.exec(t, `SELECT pg_reload_conf()`)
	w.awaitPaid(t, n)
	w.wantOneEventEach(t)
	p.stop(t)
}

// A server that has no transaction numbers left can write nothing. That is an outage and no order's
// fault, although its code is that of a value too large.
func TestServerWithoutTransactionNumbers(t *testing.T) {
	t.Parallel()
	const prepared = "max_prepared_transactions=1"
	c := newCluster(t, prepared)
	w := newWorld(t)
	w.moveTo(t, c.URL("postgres"))
	const n = 12
	w.orders(t, n, simulator.Step{Status: chinaums.StatusTradeSuccess})
	c.exhaustNumbers(t, w, prepared)
	w.reconnect(t)
	p := w.start(t, "run")
	p.awaitLog(t, "pg_prepared_xacts")
	w.exec(t, `ROLLBACK PREPARED 'forgotten'`)
	w.exec(t, `VACUUM ancient`)
	w.awaitPaid(t, n)
	w.wantOneEventEach(t)
	if log := p.stderr.String(); strings.Contains(log, "waits aside") {
		t.Error("an order waited aside")
	}
	p.stop(t)
}

// exhaustNumbers starts the server again with a table that looks two billion transactions old: the
// server gives no further number out. A prepared transaction keeps that table from every vacuum.
func (c *cluster) exhaustNumbers(t *testing.T, w *world, settings ...string) {
	t.Helper()
	const left = 2_000_000 // too few: the server keeps the last three million
	next := scan[int64](t, w, `SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint`)
	oldest := strconv.FormatInt(next+left-(1<<31)+(1<<32), 10) // the numbers go round
	w.exec(t, `CREATE TABLE ancient ()`)
	w.exec(t, `UPDATE pg_class SET relfrozenxid = '`+oldest+`' WHERE relname = 'ancient'`)
	w.exec(t, `UPDATE pg_database SET datfrozenxid = '`+oldest+`' WHERE datname = current_database()`)
	w.exec(t, `BEGIN`)
	w.exec(t, `LOCK TABLE ancient IN SHARE UPDATE EXCLUSIVE MODE`)
	w.exec(t, `PREPARE TRANSACTION 'forgotten'`)
	if err := syscall.Kill(c.PID(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server has ended", func() bool { return syscall.Kill(c.PID(), 0) == syscall.ESRCH })
	reset := c.command(t, "pg_resetwal", "-u", oldest, "-D", filepath.Join(c.Dir(), "data"))
	if said, err := reset.CombinedOutput(); err != nil {
		t.Fatalf("pg_resetwal: %v\n%s", err, said)
	}
	c.serverOn(t, "data", "5432", settings...)
}
