package store_test

import (
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

// trigger makes a trigger of the application's, before an update of orders.
func (d database) trigger(t *testing.T, when, body string) {
	t.Helper()
	d.exec(t, `CREATE FUNCTION shop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN `+body+` END $$`)
	d.exec(t, `CREATE TRIGGER shop BEFORE UPDATE ON orders FOR EACH ROW WHEN (`+when+`) EXECUTE FUNCTION shop()`)
}

// The application's own trigger stops its row, and no other.
func TestRecordBesideATrigger(t *testing.T) {
	t.Parallel()
	const onSecond = `NEW.id = 2 AND NEW.status <> OLD.status`
	for name, tt := range map[string]struct {
		body string
		want store.RecordState
	}{
		"raises":                           {`RAISE EXCEPTION 'not today';`, store.Refused},
		"raises a code of its own":         {`RAISE EXCEPTION 'not today' USING ERRCODE = 'SHOP1';`, store.Refused},
		"raises an object's state":         {`RAISE EXCEPTION 'not today' USING ERRCODE = '55000';`, store.Refused},
		"raises a limit of the server's":   {`RAISE program_limit_exceeded USING MESSAGE = 'the queue is full';`, store.Refused},
		"raises a code of rights":          {`RAISE insufficient_privilege USING MESSAGE = 'not today';`, store.Refused},
		"has a mistake":                    {`PERFORM no_such_function(); RETURN NEW;`, store.Refused},
		"asserts":                          {`ASSERT false;`, store.Refused},
		"returns null":                     {`RETURN NULL;`, store.Dropped},
		"gives up on a lock of the shop's": {`RAISE EXCEPTION 'not now' USING ERRCODE = 'lock_not_available';`, store.Locked},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			d.insert(t, 3)
			orders := d.claim(t, 3)
			d.trigger(t, onSecond, tt.body)
			group := []order.Outcome{settled(orders[0]), settled(orders[1]), settled(orders[2])}
			recorded := d.recordAll(t, group...)
			for i, want := range []store.RecordState{store.Written, tt.want, store.Written} {
				if recorded[i].State != want {
					t.Errorf("order %d: state %d (%v), want %d", i+1, recorded[i].State, recorded[i].Err, want)
				}
			}
			if recorded[1].Err == nil {
				t.Error("no cause")
			}
			if got := scan[string](t, d, `SELECT concat_ws(' ', count(*) FILTER (WHERE status = 'TRADE_SUCCESS'), (SELECT count(*) FROM order_queries), (SELECT count(*) FROM order_events)) FROM orders`); got != "2 2 2" {
				t.Errorf("settled, questions, events: %s", got)
			}
			if again := d.recordAll(t, group...); again[0].State != store.Written || again[1].State != tt.want {
				t.Errorf("written again: states %d, %d", again[0].State, again[1].State)
			}
			// After some leases the poller gives up on the answer. This trigger lets the review
			// pass.
			alone, err := d.RecordUnwritable(t.Context(), group[1], recorded[1].Err)
			if err != nil || alone.State != store.Written {
				t.Fatalf("RecordUnwritable: state %d, %v, %v", alone.State, alone.Err, err)
			}
			if got := scan[string](t, d, `SELECT concat_ws(' ', status, review_reason) FROM orders WHERE id = 2`); got != "UNKNOWN unwritable" {
				t.Errorf("row %q", got)
			}
		})
	}
}

// An index of the shop's may have no room for a value that fits everywhere else. The code of that
// error is also the code of a server without transaction numbers.
func TestRecordBesideAnIndexWithoutRoom(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 3)
	orders := d.claim(t, 3)
	d.exec(t, `CREATE INDEX ON orders USING gin ((ARRAY[bank_info]))`)
	group := []order.Outcome{settled(orders[0]), settled(orders[1]), settled(orders[2])}
	var long strings.Builder // it cannot be compressed
	for range 200 {
		long.WriteString(rand.Text())
	}
	group[1].Booking.BankInfo = new(long.String())
	recorded := d.recordAll(t, group...)
	for i, want := range []store.RecordState{store.Written, store.Refused, store.Written} {
		if recorded[i].State != want {
			t.Errorf("order %d: state %d (%v), want %d", i+1, recorded[i].State, recorded[i].Err, want)
		}
	}
}

// A shop may keep its settled orders as they are. The evidence of a late answer is written all the
// same. A conflict that the order cannot show is no event, and is reported.
func TestRecordBesideSettledOrdersThatStay(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`RETURN NULL;`, `RAISE EXCEPTION 'settled orders stay';`} {
		d := open(t)
		d.insert(t, 3)
		orders := d.claim(t, 3)
		d.exec(t, `UPDATE orders SET status = CASE id WHEN 1 THEN 'TRADE_SUCCESS' ELSE 'TRADE_CLOSED' END WHERE id < 3`)
		d.trigger(t, `OLD.status LIKE 'TRADE%'`, body)
		recorded := d.recordAll(t, settled(orders[0]), settled(orders[1]), settled(orders[2]))
		for i, want := range []store.RecordState{store.Written, store.Unshown, store.Written} {
			if recorded[i].State != want {
				t.Errorf("%s: order %d: state %d (%v), want %d", body, i+1, recorded[i].State, recorded[i].Err, want)
			}
		}
		if got := scan[string](t, d, `SELECT string_agg(order_id || ' ' || decision, ', ' ORDER BY order_id) FROM order_queries`); got != "1 superseded, 2 review, 3 settled" {
			t.Errorf("%s: ledger %q", body, got)
		}
		if got := scan[string](t, d, `SELECT string_agg(order_id || ' ' || event, ', ') FROM order_events`); got != "3 order.paid" {
			t.Errorf("%s: events %q", body, got)
		}
	}
}

// A review that is refused as well says so.
func TestRecordUnwritableIsRefused(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	out := settled(d.claimOne(t))
	d.trigger(t, "true", `RAISE EXCEPTION 'read only';`)
	got, err := d.RecordUnwritable(t.Context(), out, errors.New("a cause"))
	if err != nil || got.State != store.Refused || !strings.Contains(got.Err.Error(), "read only") {
		t.Errorf("state %d, %v, %v", got.State, got.Err, err)
	}
}

// Whatever is refused besides the order is left out of the review.
func TestRecordReviewsWithoutWhatIsRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		prepare    func(t *testing.T, d database)
		spoil      func(*order.Outcome)
		wantEvents string
		wantLedger string
	}{
		"one event of each kind only": {
			func(t *testing.T, d database) {
				t.Helper()
				d.exec(t, `CREATE UNIQUE INDEX ON order_events (order_id, event)`)
				d.exec(t, `INSERT INTO order_events (order_id, mid, event, payload) VALUES (2, 'm', 'order.paid', '{}')`)
			}, nil, "order.paid,order.review", "review unwritable object",
		},
		"no event at all": {
			func(t *testing.T, d database) {
				t.Helper()
				d.exec(t, `ALTER TABLE order_events ADD CHECK (order_id <> 2)`)
			}, nil, "", "review unwritable object",
		},
		"the document": {
			func(*testing.T, database) {},
			func(o *order.Outcome) { o.Question.Response = []byte(`{"a":"\u0000"}`) }, "order.review", "review unwritable string",
		},
		"no row in the ledger": {
			func(t *testing.T, d database) {
				t.Helper()
				d.exec(t, `ALTER TABLE order_queries ADD CHECK (order_id <> 2)`)
			}, nil, "", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			d.insert(t, 3)
			orders := d.claim(t, 3)
			tt.prepare(t, d)
			bad := settled(orders[1])
			if tt.spoil != nil {
				tt.spoil(&bad)
			}
			written := d.record(t, settled(orders[0]), bad, settled(orders[2]))
			if written[0].Decision != order.Settled || written[1].Decision != order.Review || written[2].Decision != order.Settled {
				t.Errorf("decisions %s, %s, %s", written[0].Decision, written[1].Decision, written[2].Decision)
			}
			if got := scan[string](t, d, `SELECT concat_ws(' ', status, review_reason, next_query_at IS NULL, lease_until IS NULL) FROM orders WHERE id = 2`); got != "UNKNOWN unwritable t t" {
				t.Errorf("row %q", got)
			}
			if got := scan[string](t, d, `SELECT coalesce(string_agg(event, ',' ORDER BY id), '') FROM order_events WHERE order_id = 2`); got != tt.wantEvents {
				t.Errorf("events %q, want %q", got, tt.wantEvents)
			}
			if got := scan[string](t, d, `SELECT coalesce(string_agg(concat_ws(' ', decision, reason, jsonb_typeof(response)), ','), '') FROM order_queries WHERE order_id = 2`); got != tt.wantLedger {
				t.Errorf("ledger %q, want %q", got, tt.wantLedger)
			}
		})
	}
}

// Trouble that is not one row's is an error, and nothing is reviewed for it.
func TestRecordFailsAsAWhole(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ begin, want string }{
		"a missing right": {`SET ROLE nobody_writes`, "rights"},
		"read only":       {`SET default_transaction_read_only = on`, "read_only"},
		"a missing table": {`SET search_path = pg_catalog`, "rights"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openWith(t, "pool_max_conns", "1")
			d.insert(t, 2)
			orders := d.claim(t, 2)
			d.exec(t, `DO $$ BEGIN CREATE ROLE nobody_writes; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`)
			d.exec(t, `GRANT SELECT, UPDATE ON orders TO nobody_writes`)
			d.exec(t, `GRANT SELECT, INSERT ON order_queries TO nobody_writes`)
			if err := d.Exec(t.Context(), tt.begin); err != nil {
				t.Fatal(err)
			}
			_, err := d.Record(t.Context(), []order.Outcome{settled(orders[0]), settled(orders[1])})
			if got := store.FailureReason(err); got != tt.want {
				t.Errorf("reason %q (%v), want %q", got, err, tt.want)
			}
			if n := scan[int](t, d, `SELECT count(*) FROM orders WHERE review_reason IS NOT NULL OR status <> 'UNKNOWN'`); n != 0 {
				t.Errorf("%d orders changed", n)
			}
		})
	}
}

// A policy that refuses one row is no missing right: neither its claim nor its write stops another.
func TestPolicyThatRefusesOneRow(t *testing.T) {
	t.Parallel()
	asOwner := open(t)
	asOwner.insert(t, 4)
	d := asOwner
	d.Store, _ = asOwner.as(t, store.ForDaemon)
	asOwner.exec(t, `ALTER TABLE orders ENABLE ROW LEVEL SECURITY`)
	asOwner.exec(t, `CREATE POLICY shop ON orders USING (true) WITH CHECK (id <> 4 AND (id <> 2 OR status = 'UNKNOWN'))`)
	page := d.page(t, store.Claim{Limit: 4})
	if len(page.Orders) != 3 || len(page.Refused) != 1 || page.Refused[0].ID != 4 {
		t.Fatalf("claimed %v, refused %v", ids(page.Orders), page.Refused)
	}
	group := []order.Outcome{settled(page.Orders[0]), settled(page.Orders[1]), settled(page.Orders[2])}
	for i, want := range []store.RecordState{store.Written, store.Refused, store.Written} {
		if recorded := d.recordAll(t, group...); recorded[i].State != want {
			t.Errorf("order %d: state %d (%v), want %d", i+1, recorded[i].State, recorded[i].Err, want)
		}
	}
}

// A trigger of the shop's waits for a lock that another session holds: only its row waits.
func TestLockBehindATrigger(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"TRIGGER shop BEFORE UPDATE ON orders", "CONSTRAINT TRIGGER shop AFTER UPDATE ON orders DEFERRABLE INITIALLY DEFERRED"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			lockBehindATrigger(t, kind)
		})
	}
}

func lockBehindATrigger(t *testing.T, kind string) {
	t.Helper()
	d := open(t)
	d.insert(t, 4)
	d.exec(t, `CREATE TABLE stock (id bigint PRIMARY KEY); INSERT INTO stock VALUES (2), (4)`)
	const take = `PERFORM FROM stock WHERE stock.id = NEW.id FOR UPDATE; RETURN NEW;`
	d.exec(t, `CREATE FUNCTION shop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN `+take+` END $$`)
	d.exec(t, `CREATE `+kind+` FOR EACH ROW WHEN (NEW.id = 4 OR NEW.status <> OLD.status) EXECUTE FUNCTION shop()`)
	d.exec(t, `BEGIN; SELECT FROM stock FOR UPDATE`)
	page := d.page(t, store.Claim{Limit: 4})
	if len(page.Orders) != 3 || len(page.Refused) != 1 || store.FailureReason(page.Refused[0].Err) != "locked" {
		t.Fatalf("claimed %v, refused %v", ids(page.Orders), page.Refused)
	}
	group := []order.Outcome{settled(page.Orders[0]), settled(page.Orders[1]), settled(page.Orders[2])}
	recorded := d.recordAll(t, group...)
	for i, want := range []store.RecordState{store.Written, store.Locked, store.Written} {
		if recorded[i].State != want {
			t.Errorf("order %d: state %d (%v), want %d", i+1, recorded[i].State, recorded[i].Err, want)
		}
	}
	d.exec(t, `ROLLBACK`)
	d.record(t, group[1])
	if got := scan[int](t, d, `SELECT count(*) FROM orders WHERE status = 'TRADE_SUCCESS'`); got != 3 {
		t.Errorf("%d orders are settled, want 3", got)
	}
}

// A trigger of the shop's hangs, in an HTTP request for example: only its row waits.
func TestSlowTrigger(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 5)
	orders := d.claim(t, 5)
	d.LimitTimes(time.Second, 3*time.Second) // a healthy row alone must be written in time
	d.trigger(t, "NEW.id = 4 OR NEW.id = 2 AND NEW.status <> OLD.status", `PERFORM pg_sleep(600); RETURN NEW;`)
	group := []order.Outcome{settled(orders[0]), settled(orders[1]), settled(orders[2])}
	recorded := d.recordAll(t, group...)
	for i, want := range []store.RecordState{store.Written, store.Refused, store.Written} {
		if recorded[i].State != want {
			t.Errorf("order %d: state %d (%v), want %d", i+1, recorded[i].State, recorded[i].Err, want)
		}
	}
	if cause := recorded[1].Err; cause == nil || !strings.Contains(cause.Error(), "function shop()") {
		t.Errorf("the cause %v does not name the trigger", cause)
	}
	if n, err := d.ReleaseStray(t.Context(), "test", []int64{2}); err != nil || n != 1 {
		t.Errorf("released %d beside a trigger that hangs, %v; want 1", n, err)
	}
	d.exec(t, `SET session_replication_role = replica; UPDATE orders SET lease_until = NULL; RESET session_replication_role`)
	page := d.page(t, store.Claim{Limit: 5})
	if got := ids(page.Orders); !slices.Equal(got, []int64{2, 5}) || len(page.Refused) != 1 || page.Refused[0].ID != 4 {
		t.Errorf("claimed %v, refused %v; want 2 and 5, 4", got, page.Refused)
	}
}

// A lock that no row is about, such as that of the listeners' queue, is waited for: the commits of
// others take as long as their standby. A check that takes an advisory lock stands for it here.
func TestLockOfNoRow(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	claimed := d.claim(t, 1)
	d.exec(t, `ALTER TABLE order_events ADD CHECK (pg_advisory_xact_lock_shared(7)::text = '')`)
	d.exec(t, `SELECT pg_advisory_lock(7)`)
	recorded := make(chan store.Recorded)
	go func() {
		defer close(recorded)
		list, err := d.Record(t.Context(), []order.Outcome{settled(claimed[0])})
		if err != nil {
			t.Error(err)
			return
		}
		recorded <- list[0]
	}()
	storetest.Eventually(t, time.Minute, "the write waits longer than for a row's lock", func() bool {
		return scan[bool](t, d, `SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
			AND wait_event_type = 'Lock' AND clock_timestamp() > query_start + interval '300 ms')`)
	})
	d.exec(t, `SELECT pg_advisory_unlock(7)`)
	if r := <-recorded; r.State != store.Written {
		t.Errorf("state %d (%v), want it written", r.State, r.Err)
	}
}
