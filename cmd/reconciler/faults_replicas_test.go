package main_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// claim is one of the claims that the table's history knows.
type claim struct {
	Number  string
	ClaimNo int64
	Worker  string
	Begun   time.Time
	Until   time.Time
	Freed   *time.Time // by a record or by giving it back
}

// watchClaims keeps a history of all claims.
func (w *world) watchClaims(t *testing.T) {
	t.Helper()
	w.exec(t, `CREATE TABLE claims (
		number text, claim_no bigint, worker text, begun timestamptz, until timestamptz, freed timestamptz, PRIMARY KEY (number, claim_no))`)
	w.exec(t, `CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.claim_no > OLD.claim_no THEN
				INSERT INTO claims VALUES (NEW.mer_order_id, NEW.claim_no, NEW.claimed_by, clock_timestamp(), NEW.lease_until);
			ELSIF NEW.lease_until IS NULL AND OLD.lease_until IS NOT NULL THEN
				UPDATE claims SET freed = clock_timestamp() WHERE number = NEW.mer_order_id AND claim_no = NEW.claim_no;
			END IF;
			RETURN NULL;
		END$$`)
	w.exec(t, `CREATE TRIGGER watch AFTER UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION watch()`)
}

// claims returns the history by order, the oldest claim first.
func (w *world) claims(t *testing.T) map[string][]claim {
	t.Helper()
	rows, err := w.conn.Query(t.Context(), `SELECT number, claim_no, worker, begun, until, freed FROM claims ORDER BY number, claim_no`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[claim])
	if err != nil {
		t.Fatal(err)
	}
	byOrder := make(map[string][]claim)
	for _, c := range list {
		byOrder[c.Number] = append(byOrder[c.Number], c)
	}
	return byOrder
}

// wantUnderLease checks that no claim began while another one was alive, and that every round trip
// fell into a claim of its own. Two kinds may arrive late. The stopped worker looks at the lease,
// is stopped, and sends when it goes on. A slow gateway reads a request that the worker has given
// up.
func (w *world) wantUnderLease(t *testing.T, stopped string) {
	t.Helper()
	history := w.claims(t)
	for number, claims := range history {
		for i := 1; i < len(claims); i++ {
			before, next := claims[i-1], claims[i]
			if alive := before.Freed == nil || before.Freed.After(next.Begun); alive && next.Begun.Before(before.Until) {
				t.Errorf("%s: %+v was claimed although %+v was alive", number, next, before)
			}
		}
	}
	questions := w.questions(t)
	asked := make(map[claimKey]int)
	for _, r := range w.Requests() {
		i := slices.IndexFunc(history[r.MerOrderID], func(c claim) bool {
			key := claimKey{c.Number, c.ClaimNo}
			q, recorded := questions[key]
			underLease := !r.Time.Before(c.Begun) && !r.Time.After(c.Until) && (c.Freed == nil || !r.Time.After(*c.Freed))
			late := (c.Worker == stopped && q.RoundTrips == 1 || q.Decision == "no_answer") && recorded && q.QueriedAt.Before(c.Until)
			return (underLease || late) && asked[key] < max(1, q.RoundTrips)
		})
		if i < 0 {
			t.Errorf("%s was asked about at %v, under no lease or once too often: the claims were %+v", r.MerOrderID, r.Time, history[r.MerOrderID])
			continue
		}
		asked[claimKey{r.MerOrderID, history[r.MerOrderID][i].ClaimNo}]++
	}
}

// claimKey names a claim.
type claimKey struct {
	Number  string
	ClaimNo int64
}

// question is the ledger's row of a claim.
type question struct {
	claimKey
	RoundTrips int
	QueriedAt  time.Time
	Decision   string
}

func (w *world) questions(t *testing.T) map[claimKey]question {
	t.Helper()
	rows, err := w.conn.Query(t.Context(), `SELECT o.mer_order_id AS number, q.claim_no, q.round_trips, q.queried_at, q.decision
		FROM order_queries q JOIN orders o ON o.id = q.order_id`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[question])
	if err != nil {
		t.Fatal(err)
	}
	byClaim := make(map[claimKey]question)
	for _, q := range list {
		byClaim[q.claimKey] = q
	}
	return byClaim
}

// explain says where an order stands, when the test has failed.
func (w *world) explain(t *testing.T, number string) {
	if !t.Failed() {
		return
	}
	conn, err := pgx.Connect(context.Background(), w.url)
	if err != nil {
		t.Log(err)
		return
	}
	defer conn.Close(context.Background())
	var text string
	err = conn.QueryRow(context.Background(), `
		SELECT jsonb_build_object(
			'order', (SELECT to_jsonb(o) FROM orders o WHERE mer_order_id = $1),
			'claims', (SELECT jsonb_agg(c) FROM claims c WHERE number = $1),
			'ledger', (SELECT jsonb_agg(q) FROM order_queries q JOIN orders o ON o.id = q.order_id WHERE o.mer_order_id = $1),
			'pauses', (SELECT jsonb_agg(c) FROM gateway_controls c),
			'transactions', (SELECT jsonb_agg(a) FROM pg_stat_activity a WHERE datname = current_database() AND xact_start < now()))::text`,
		number).Scan(&text)
	t.Log(text, err)
}

// Four daemons share a backlog and a rate. One of them is stopped past its lease, with a question
// in flight, and goes on: its late answer changes nothing.
func TestFourDaemonsOneStopped(t *testing.T) {
	t.Parallel()
	const rate = 40
	w := newWorld(t)
	w.watchClaims(t)
	w.set("RECONCILER_REQUEST_TIMEOUT=4s", "RECONCILER_LEASE=18200ms", fmt.Sprintf("RECONCILER_RATE=%d", rate))
	b := w.backlog(t, 600, 20*time.Millisecond)
	var daemons []*process
	for range 4 {
		daemons = append(daemons, w.start(t, "run"))
	}
	eventually(t, "all four are at work", func() bool {
		return scan[int](t, w, `SELECT count(DISTINCT worker) FROM order_queries`) == 4
	})

	held := w.register(t, mid, 1, paid())[0]
	b.numbers, b.truth[held] = append(b.numbers, held), "TRADE_SUCCESS/"
	hold := w.hold(held)
	w.insert(t, mid, held)
	hold.await(t, 1)
	worker := scan[string](t, w, `SELECT claimed_by FROM orders WHERE mer_order_id = $1`, held)
	stopped := slices.IndexFunc(daemons, func(p *process) bool { return strings.Contains(worker, fmt.Sprintf("/%d-", p.cmd.Process.Pid)) })
	if stopped < 0 {
		t.Fatalf("%s is none of the daemons", worker)
	}
	daemons[stopped].signal(t, syscall.SIGSTOP)
	claimed := w.leases(t)
	hold.release() // its answer comes to a process that does not read it
	t.Cleanup(func() { w.explain(t, held) })
	eventually(t, "another daemon has asked about the order of the one that is stopped", func() bool {
		return scan[string](t, w, `SELECT status FROM orders WHERE mer_order_id = $1`, held) == "TRADE_SUCCESS"
	})
	daemons[stopped].signal(t, syscall.SIGCONT)
	eventually(t, "the late answer is superseded", func() bool {
		return scan[bool](t, w, `
			SELECT EXISTS (SELECT 1 FROM order_queries q JOIN orders o ON o.id = q.order_id
			               WHERE o.mer_order_id = $1 AND q.decision = 'superseded' AND q.worker = $2 AND q.claim_no < o.claim_no)`, held, worker)
	})
	b.await(t, w)
	for _, p := range daemons {
		p.stop(t)
	}
	b.check(t, w)
	w.wantUnderLease(t, worker)
	t.Logf("%d orders were claimed when one of four was stopped; %d answers were superseded", claimed,
		scan[int](t, w, `SELECT count(*) FROM order_queries WHERE decision = 'superseded'`))
	wantRate(t, w.Requests(), rate, 4*32)
}

// A daemon is stopped, or its machine vanishes, between two statements of a write: its transaction
// must not keep the orders from the others for longer than its leases would.
func TestStoppedInTheMiddleOfAWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(shortTimeout, shortLease)
	const lock = 1
	w.exec(t, `CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END'`)
	w.exec(t, `CREATE TRIGGER wait BEFORE INSERT ON order_queries FOR EACH ROW EXECUTE FUNCTION wait()`)
	w.exec(t, `SELECT pg_advisory_lock($1)`, lock)
	b := w.backlog(t, 10, time.Millisecond)
	stopped := w.start(t, "run")
	eventually(t, "answers are being written", func() bool {
		return scan[bool](t, w, `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`)
	})
	stopped.signal(t, syscall.SIGSTOP)
	w.exec(t, `SELECT pg_advisory_unlock($1)`, lock)
	p := w.start(t, "run")
	b.await(t, w)
	stopped.signal(t, syscall.SIGCONT)
	stopped.stop(t)
	p.stop(t)
	b.check(t, w)
}
