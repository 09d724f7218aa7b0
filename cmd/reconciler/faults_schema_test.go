package main_test

import (
	"strings"
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
