package main_test

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"reconciler/internal/chinaums/simulator"
)

const strangerMID = "898340149000007"

// credentials writes a credentials file and makes the settings name it instead of one app id.
func (w *world) credentials(t *testing.T, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "credentials.yaml")
	w.rewrite(t, path, content)
	w.unset("CHINAUMS_APP_ID", "CHINAUMS_APP_KEY")
	w.set("CHINAUMS_CREDENTIALS_FILE=" + path)
	return path
}

func (w *world) rewrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func entry(app, mid string) string {
	return "- app_id: " + app + "\n  app_key: " + appKey + "\n  mids: [" + mid + "]\n"
}

// askedWith lists the app ids with which the gateway was asked about orders of a merchant.
func (w *world) askedWith(mid string) []string {
	var apps []string
	for _, r := range w.Requests() {
		if r.MID == mid {
			apps = append(apps, r.AppID)
		}
	}
	slices.Sort(apps)
	return slices.Compact(apps)
}

// The mid decides with which credentials an order is asked about. One of nobody is set aside, and
// asked about once somebody has it.
func TestSeveralMerchants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.credentials(t, entry(appID, mid)+entry(otherAppID, otherMID))
	w.orders(t, 5, paid())
	for _, m := range []string{otherMID, strangerMID} {
		w.insert(t, m, w.register(t, m, 5, paid())...)
	}
	p := w.start(t, "run")
	w.awaitPaid(t, 10)
	eventually(t, "the stranger's orders are set aside", func() bool {
		return scan[int](t, w, `SELECT count(*) FROM orders WHERE review_reason = 'no_credentials' AND review_note LIKE '%credentials file%' AND lease_until IS NULL`) == 5
	})
	for m, app := range map[string]string{mid: appID, otherMID: otherAppID} {
		if got := w.askedWith(m); !slices.Equal(got, []string{app}) {
			t.Errorf("%s was asked for with %q, want %s", m, got, app)
		}
	}
	if got := w.askedWith(strangerMID); got != nil {
		t.Errorf("the stranger was asked for with %q", got)
	}
	if n := scan[int](t, w, `SELECT count(*) FROM order_events e JOIN order_queries q USING (order_id)
		WHERE e.event = 'order.review' AND q.decision = 'review' AND q.reason = 'no_credentials' AND q.round_trips = 0`); n != 5 {
		t.Errorf("%d of 5 reviews have their event and their row in the ledger", n)
	}

	w.rewrite(t, path, entry(appID, mid)+"  password: "+appKey+"\n")
	p.signal(t, syscall.SIGHUP)
	p.awaitLog(t, "keeping the previous ones")
	w.rewrite(t, path, entry(appID, mid)+entry(otherAppID, otherMID+", "+strangerMID))
	p.signal(t, syscall.SIGHUP)
	p.awaitLog(t, "credentials reloaded")
	w.awaitPaid(t, 15) // the stranger's orders come back by themselves
	p.stop(t)
}

// An order with a wrong merchant comes back in the way that its note tells.
func TestWrongMerchantIsCorrected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.credentials(t, entry(appID, mid))
	w.insert(t, strangerMID, w.register(t, mid, 1, paid())...)
	p := w.start(t, "run")
	eventually(t, "the order is set aside", func() bool {
		return scan[int](t, w, `SELECT count(*) FROM orders WHERE review_note LIKE '%Correct the order''s mid and ask again with review retry.%'`) == 1
	})
	w.exec(t, `UPDATE orders SET mid = $1`, mid)
	w.invoke(t, "review", "retry", "#1", "--reason=the shop wrote another merchant").want(t, 0)
	w.awaitPaid(t, 1)
	p.stop(t)
}

// What the credentials file lacks is found at start; `query` and `run-once` choose by it as well.
func TestCredentialsFileOfTheCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.credentials(t, entry(appID, mid)+entry(otherAppID, otherMID))
	w.insert(t, strangerMID, w.register(t, strangerMID, 2, paid())...)
	number := w.register(t, otherMID, 1, paid())[0]
	w.insert(t, otherMID, number)
	w.invoke(t, "query", "--mid", otherMID, "--tid", tid, "--mer-order-id", number).want(t, 0, "TRADE_SUCCESS")
	w.invoke(t, "query", "--mid", strangerMID, "--tid", tid, "--mer-order-id", number).want(t, 2, strangerMID, path)
	w.invoke(t, "run-once", "--dry-run", "--output=json").want(t, 0, `"selected": 3`, `"reason": "no_credentials"`, `"settled": 1`)
	w.invoke(t, "run-once", "--all", "--output=json").want(t, 0, `"selected": 3`, `"review": 2`, `"settled": 1`)

	for mode, code := range map[os.FileMode]int{0o644: 0, 0o666: 2} { // a warning; a refusal
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		w.invoke(t, "run-once").want(t, code, path, "by others")
	}
	w.set("CHINAUMS_APP_ID=" + appID)
	w.invoke(t, "run-once").want(t, 2, "CHINAUMS_CREDENTIALS_FILE", "CHINAUMS_APP_ID")
}

// Refused credentials are the trouble of their app alone.
func TestOneAppsTroubleIsNotAnothers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.credentials(t, entry("app-that-nobody-knows", mid)+entry(otherAppID, otherMID))
	w.orders(t, 50, paid())
	w.insert(t, otherMID, w.register(t, otherMID, 50, paid())...)
	w.set("RECONCILER_CONCURRENCY=4")
	w.invoke(t, "run-once", "--output=json").want(t, 1, `"settled": 50`)
	if n := len(w.askedFor(mid)); n > 4 {
		t.Errorf("the gateway was asked %d times with credentials that it refuses, want as many as were in flight at most", n)
	}
}

func (w *world) askedFor(mid string) []simulator.Request {
	return slices.DeleteFunc(w.Requests(), func(r simulator.Request) bool { return r.MID != mid })
}

// A merchant whose orders hang takes no more than its share of the workers.
func TestOneMerchantCannotTakeAllWorkers(t *testing.T) {
	t.Parallel()
	for _, rate := range []string{"0", "200"} {
		t.Run("rate "+rate, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set("RECONCILER_CONCURRENCY=8", "RECONCILER_RATE="+rate)
			slow := w.orders(t, 100, paid())
			hold := w.hold(slow...)
			w.insert(t, otherMID, w.register(t, otherMID, 20, paid())...)
			p := w.start(t, "run")
			w.awaitPaid(t, 20)
			hold.await(t, 1)
			w.insert(t, otherMID, w.register(t, otherMID, 20, paid())...)
			w.awaitPaid(t, 40)
			if n := hold.count(); n != 1 {
				t.Errorf("%d questions of the merchant who hangs are in flight, want 1 of 8", n)
			}
			hold.release()
			w.awaitPaid(t, 140)
			p.stop(t)
		})
	}
}

// A customer who has just paid does not wait for the backlog: a quarter of each claim is for new
// orders. The store's tests see that a claim costs the same beside any number of orders.
func TestNewOrdersBesideABacklog(t *testing.T) {
	t.Parallel()
	const backlog = 2000
	w := newWorld(t)
	w.set("RECONCILER_CONCURRENCY=8")
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, created_at, expires_at, next_query_at)
		SELECT $1, $2, 'old' || lpad(i::text, 8, '0'), $3, now() - interval '1 day', now() - interval '23 hours', now() - interval '1 day' + i * interval '1 ms'
		FROM generate_series(1, $4::int) i`, mid, tid, amount, backlog)
	hold := w.hold()
	p := w.start(t, "run")
	hold.await(t, 1)
	numbers := w.orders(t, 10, paid())
	hold.release()
	w.awaitPaid(t, len(numbers))
	p.stop(t)
	last := 0
	for i, r := range w.Requests() {
		if slices.Contains(numbers, r.MerOrderID) {
			last = i + 1
		}
	}
	if last > backlog/10 {
		t.Errorf("the last of the new orders was question %d, want it among the first %d", last, backlog/10)
	}
}
