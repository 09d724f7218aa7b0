package main_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
)

// everyDecision makes one order for each decision that a gateway alone can bring about; their ids
// are from 1, in the order of the lines. A superseded answer needs an application as well.
func everyDecision(t *testing.T, w *world) {
	t.Helper()
	w.orders(t, 1, paid())
	w.orders(t, 1, status(chinaums.StatusTradeClosed))
	w.orders(t, 1, status(chinaums.StatusWaitBuyerPay))
	notFound := w.orders(t, 1, simulator.Step{Code: "NO_ORDER"})
	w.orders(t, 1, paid(simulator.MutationOtherOrder))
	w.orders(t, 1, simulator.Step{Fault: simulator.FaultHTML502})
	refused := w.register(t, otherMID, 1, paid())
	w.insert(t, otherMID, refused...)
	if err := w.SetMerchant(simulator.Merchant{MID: otherMID, State: simulator.MerchantInactive}); err != nil {
		t.Fatal(err)
	}
	// Old enough, expired, twice not found before, and the merchant's other orders are found.
	w.exec(t, `UPDATE orders SET created_at = now() - interval '3 hours', expires_at = now() - interval '2 hours' WHERE mer_order_id = $1`, notFound[0])
	w.exec(t, `INSERT INTO order_queries (order_id, claim_no, err_code, decision) SELECT id, 0, 'NO_ORDER', 'deferred' FROM orders, generate_series(1, 2) WHERE mer_order_id = $1`, notFound[0])
	w.exec(t, `INSERT INTO order_queries (order_id, claim_no, err_code, trade_status, decision) VALUES (1, 0, 'SUCCESS', 'WAIT_BUYER_PAY', 'deferred')`)
}

func TestRunOnceCountsEveryDecision(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_PLAN_INITIAL=1m", "RECONCILER_PLAN_MAX=1m")
	everyDecision(t, w)
	overtaken := w.orders(t, 1, status(chinaums.StatusWaitBuyerPay))
	hold := w.hold(overtaken...)
	p := w.start(t, "run-once", "--output", "json")
	hold.await(t, 1)
	w.exec(t, `UPDATE orders SET status = 'TRADE_REFUND' WHERE mer_order_id = $1`, overtaken[0])
	hold.release()
	if code := p.wait(t); code != 1 { // one order had no answer, one was refused
		t.Errorf("exit code %d, want 1", code)
	}
	want := summary{
		Selected: 8, Asked: 8, Settled: 2, Deferred: 1, NotFound: 1, Review: 1, NoAnswer: 1, Refused: 1, Superseded: 1,
		ByStatus: map[string]int{"TRADE_SUCCESS": 1, "TRADE_CLOSED": 1, "WAIT_BUYER_PAY": 1, "NOT_FOUND": 1, "UNKNOWN": 3, "TRADE_REFUND": 1},
	}
	got := readSummary(t, p.stdout.String())
	if got.Seconds <= 0 {
		t.Errorf("duration_seconds = %v", got.Seconds)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(summary{}, "Seconds")); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want.ByStatus, w.statuses(t)); diff != "" {
		t.Errorf("orders by status (-want +got):\n%s", diff)
	}
}

func TestRunOnceSummaryHasTheContractsKeys(t *testing.T) {
	t.Parallel()
	keys := []string{
		"selected", "asked", "settled", "deferred", "not_found", "review", "no_answer", "refused", "superseded",
		"by_status", "duration_seconds", "dry_run",
	}
	for _, test := range []struct {
		name   string
		orders int
		args   []string
		want   []string
	}{
		{"orders", 1, nil, keys},
		{"nothing to do", 0, nil, keys},
		{"dry run", 1, []string{"--dry-run"}, append(slices.Clone(keys), "changes")},
		{"dry run with nothing to do", 0, []string{"--dry-run"}, append(slices.Clone(keys), "changes")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.orders(t, test.orders, paid())
			r, _ := w.summary(t, 0, append([]string{"run-once"}, test.args...)...)
			var got map[string]any
			if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(slices.Sorted(slices.Values(test.want)), slices.Sorted(maps.Keys(got))); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			for _, key := range test.want {
				if got[key] == nil {
					t.Errorf("%s is null", key)
				}
			}
			if changes, _ := got["changes"].([]any); len(changes) > 0 {
				want := []string{"decision", "from", "id", "mer_order_id", "mid", "reason", "to"}
				change, _ := changes[0].(map[string]any)
				if diff := cmp.Diff(want, slices.Sorted(maps.Keys(change))); diff != "" {
					t.Errorf("keys of a change (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestRunOnceGoesOnUntilNothingIsDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_CONCURRENCY=3")
	numbers := w.orders(t, 100, paid())
	w.orders(t, 10, paid())
	w.exec(t, `UPDATE orders SET next_query_at = now() + interval '1 hour' WHERE id > 100`)
	_, s := w.summary(t, 0, "run-once")
	want := summary{Selected: 100, Asked: 100, Settled: 100, ByStatus: map[string]int{"TRADE_SUCCESS": 100}}
	if diff := cmp.Diff(want, s, cmpopts.IgnoreFields(summary{}, "Seconds")); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	w.wantAskedOnce(t, numbers)
	w.wantOneEventEach(t)
	if w.Total() != 100 {
		t.Errorf("%d requests, want 100", w.Total())
	}
}

// An order whose next time comes while the pass runs is left for the next one.
func TestRunOnceAsksNoOrderTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_PLAN_INITIAL=1ms", "RECONCILER_PLAN_MAX=1ms", "RECONCILER_CONCURRENCY=2")
	numbers := w.orders(t, 50, status(chinaums.StatusWaitBuyerPay))
	slow := w.orders(t, 1, simulator.Step{Status: chinaums.StatusWaitBuyerPay})
	hold := w.hold(slow...)
	p := w.start(t, "run-once", "--output=json")
	eventually(t, "the others have been asked about", func() bool { return scan[int](t, w, `SELECT count(*) FROM order_queries`) == 50 })
	hold.await(t, 1)
	hold.release()
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	w.wantAskedOnce(t, append(numbers, slow...))
}

func TestRunOnceText(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	everyDecision(t, w)
	r := w.invoke(t, "run-once")
	r.want(t, 1)
	goldenOf(t, "run-once.en.text", r.stdout)
	figures := map[string]string{
		"selected": "7", "asked": "7", "settled": "2", "deferred": "1", "not_found": "1", "review": "1",
		"no_answer": "1", "refused": "1", "superseded": "0",
	}
	for name, figure := range figures {
		if !regexp.MustCompile(`(?m)^` + name + ` +` + figure + `$`).MatchString(r.stdout) {
			t.Errorf("the table has no line %q with %s", name, figure)
		}
	}
	for _, text := range []string{"TRADE_SUCCESS", "WAIT_BUYER_PAY", "NOT_FOUND", "duration_seconds"} {
		if !strings.Contains(r.stdout, text) {
			t.Errorf("the table does not say %s", text)
		}
	}
	if strings.Contains(r.stdout, `"level"`) || strings.Contains(r.stderr, "selected  ") {
		t.Errorf("logs and summary are mixed up:\n%s\n%s", r.stdout, r.stderr)
	}
}

func TestRunOnceStopped(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"due": nil, "selected": {"--all"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set("RECONCILER_CONCURRENCY=2")
			numbers := w.orders(t, 50, paid())
			hold := w.hold()
			p := w.start(t, append([]string{"run-once", "--output=json"}, args...)...)
			hold.await(t, 2)
			p.signal(t, syscall.SIGTERM)
			hold.release()
			if code := p.wait(t); code != 1 { // it left selected orders
				t.Errorf("exit code %d, want 1", code)
			}
			wantStopped(t, w, numbers)
			if s := readSummary(t, p.stdout.String()); s.Settled != len(w.asked()) || s.Selected != 50 {
				t.Errorf("the summary says %+v, but %d orders were asked about", s, len(w.asked()))
			}
		})
	}
}

// A stop ends a question after one round trip. An order without an answer could not be asked.
func TestRunOnceStoppedWithoutAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.orders(t, 1, simulator.Step{Code: "9200"})
	hold := w.hold()
	p := w.start(t, "run-once", "--output=json")
	hold.await(t, 1)
	p.signal(t, syscall.SIGTERM)
	hold.release()
	if code, s := p.wait(t), readSummary(t, p.stdout.String()); code != 1 || s.NoAnswer != 1 {
		t.Errorf("exit code %d with %+v, want 1 with an order without an answer", code, s)
	}
}

// A stop before the orders are even counted leaves them all. What holds them up is said before.
func TestRunOnceStoppedEarly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.orders(t, 1, paid())
	w.exec(t, `BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE`)
	p := w.start(t, "run-once")
	eventually(t, "run-once waits for the lock", func() bool {
		return scan[bool](t, w, `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE relation = 'orders'::regclass AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`)
	})
	doctor := w.start(t, "doctor")
	w.invoke(t, "plan").want(t, 1, "holds the lock", "another session holds a lock, a trigger hangs, or the server is overloaded")
	p.awaitLog(t, "holds the lock")
	doctor.awaitLog(t, "holds the lock")
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}
