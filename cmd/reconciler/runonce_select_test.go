package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
)

// The order numbers of a selection's world say what kind of order each is.
const (
	due         = "3194-due"
	dueToo      = "3194-due-too"
	later       = "3194-later"
	waiting     = "3194-waiting"
	old         = "3194-old"
	ended       = "3194-ended" // not found, its late check done
	lateCheck   = "3194-late-check"
	elsewhere   = "3194-elsewhere" // another merchant's
	inFlight    = "3194-in-flight"
	leaseOver   = "3194-lease-over"
	reviewed    = "3194-reviewed"
	reviewedToo = "3194-reviewed-elsewhere"
	reviewBusy  = "3194-reviewed-in-flight"
	conflict    = "3194-conflict" // settled, and under review
	settled     = "3194-settled"
)

// selectable are all that a person may choose from, without and with those under review.
var (
	selectable  = []string{due, dueToo, later, waiting, old, ended, lateCheck, elsewhere, leaseOver}
	underReview = []string{reviewed, reviewedToo}
)

// newSelection is a world of one order of each kind, all of which the gateway calls paid.
func newSelection(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	add := func(number, columns string) {
		t.Helper()
		whose := mid
		if number == elsewhere || number == reviewedToo {
			whose = otherMID
		}
		if err := w.AddOrder(simulator.Order{MID: whose, TID: tid, MerOrderID: number, Amount: amount, Timeline: []simulator.Step{paid()}}); err != nil {
			t.Fatal(err)
		}
		w.insert(t, whose, number)
		if columns != "" {
			w.exec(t, `UPDATE orders SET `+columns+` WHERE mer_order_id = $1`, number)
		}
	}
	const inAnHour = "next_query_at = now() + interval '1 hour'"
	add(due, "")
	add(dueToo, "")
	add(later, inAnHour)
	add(waiting, inAnHour+", status = 'WAIT_BUYER_PAY', query_count = 3")
	add(old, inAnHour+", created_at = '2026-01-31T12:00:00+08:00'")
	add(ended, "next_query_at = NULL, status = 'NOT_FOUND'")
	add(lateCheck, inAnHour+", status = 'NOT_FOUND'")
	add(elsewhere, inAnHour)
	add(inFlight, "lease_until = now() + interval '1 hour', claimed_by = 'another', claim_no = 1")
	add(leaseOver, inAnHour+", lease_until = now() - interval '1 second', claimed_by = 'another', claim_no = 1")
	add(reviewed, "next_query_at = NULL, review_reason = 'amount_missing', review_note = 'look'")
	add(reviewedToo, "next_query_at = NULL, review_reason = 'identity_mismatch'")
	add(reviewBusy, "next_query_at = NULL, review_reason = 'bad_request', lease_until = now() + interval '1 hour'")
	add(conflict, "next_query_at = NULL, review_reason = 'conflict', status = 'TRADE_CLOSED'")
	add(settled, "next_query_at = NULL, status = 'TRADE_SUCCESS'")
	return w
}

func without(list []string, gone ...string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(gone, s) })
}

func TestRunOnceSelection(t *testing.T) {
	t.Parallel()
	const created = "2026-01-31T12:00:00+08:00" // of the old order
	everything := slices.Concat(selectable, underReview)
	type selectionCase struct {
		args string
		want []string
	}
	cases := []selectionCase{
		{"", []string{due, dueToo}},
		{"--mer-order-id " + due + " --mer-order-id " + later, []string{due, later}},
		{"--mer-order-id " + ended, []string{ended}},
		{"--mer-order-id " + inFlight, nil},
		{"--mer-order-id " + leaseOver, []string{leaseOver}},
		{"--mer-order-id " + reviewed, nil},
		{"--mer-order-id " + conflict, nil},
		{"--mer-order-id " + settled, nil},
		{"--mer-order-id " + due + "," + later, nil}, // a number, not a list
		{"--mer-order-id no-such-order", nil},
		{"--mid " + otherMID, []string{elsewhere}},
		{"--mid " + mid, without(selectable, elsewhere)},
		{"--mid " + otherMID + " --mer-order-id " + due, nil},
		{"--mid 898340149000099", nil},
		{"--created-since 36h", without(selectable, old)},
		{"--created-until 36h", []string{old}},
		{"--created-since " + created, selectable}, // inclusive
		{"--created-since 2026-01-31T12:00:01+08:00", without(selectable, old)},
		{"--created-until " + created, nil}, // exclusive
		{"--created-until 2026-01-31T04:00:01Z", []string{old}},
		{"--created-since 2026-01-31T00:00:00Z --created-until 2026-02-01T00:00:00Z", []string{old}},
		{"--created-since 1h --created-until 36h", nil},
		{"--all", selectable},
		{"--all --mid " + otherMID, []string{elsewhere}},
		{"--review", underReview},
		{"--review --all", everything},
		{"--review --mid " + otherMID, []string{elsewhere, reviewedToo}},
		{"--review --mer-order-id " + reviewed, []string{reviewed}},
		{"--review --mer-order-id " + reviewed + " --mer-order-id " + due, []string{reviewed, due}},
		{"--review --mer-order-id " + reviewBusy, nil},
		{"--review --mer-order-id " + conflict, nil},
		{"--review --created-since 36h", without(everything, old)},
	}
	for list := range slices.Chunk(cases, 8) { // those of a list share a database
		t.Run("from "+list[0].args, func(t *testing.T) {
			t.Parallel()
			w := newSelection(t)
			w.exec(t, `CREATE TABLE kept AS TABLE orders`)
			for _, test := range list {
				for _, dry := range []bool{true, false} { // in this order: a dry run changes nothing for the next
					t.Run(fmt.Sprintf("%s dry %v", test.args, dry), func(t *testing.T) { w.wantSelected(t, test.args, test.want, dry) })
				}
				w.exec(t, `TRUNCATE orders, order_queries, order_events; INSERT INTO orders OVERRIDING SYSTEM VALUE TABLE kept`)
			}
		})
	}
}

// wantSelected checks which orders a run-once with some arguments asks about and writes.
func (w *world) wantSelected(t *testing.T, arguments string, selected []string, dry bool) {
	t.Helper()
	args := append([]string{"run-once"}, strings.Fields(arguments)...)
	if dry {
		args = append(args, "--dry-run")
	}
	code := 0
	if strings.Contains(arguments, ",") || strings.Contains(arguments, "no-such-order") {
		code = 1
	}
	before := w.Total()
	_, s := w.summary(t, code, args...)
	want, requests := slices.Sorted(slices.Values(selected)), w.Total()-before
	if diff := cmp.Diff(want, w.askedAfter(before)); diff != "" {
		t.Errorf("asked about (-want +got):\n%s", diff)
	}
	if s.Selected != len(want) || s.Asked != len(want) || s.Settled != len(want) || requests != len(want) {
		t.Errorf("summary = %+v in %d requests, want %d orders once each", s, requests, len(want))
	}
	wantUntouched(t, w, selected, dry)
}

// wantUntouched checks that only the selected orders were written.
func wantUntouched(t *testing.T, w *world, selected []string, dry bool) {
	t.Helper()
	want := slices.Sorted(slices.Values(selected))
	if dry {
		want = nil
	}
	got := column[string](t, w, `SELECT mer_order_id FROM orders WHERE last_queried_at IS NOT NULL ORDER BY mer_order_id COLLATE "C"`)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	if n := scan[int](t, w, `SELECT count(*) FROM orders WHERE last_queried_at IS NOT NULL AND (status <> 'TRADE_SUCCESS' OR review_reason IS NOT NULL OR review_note IS NOT NULL OR lease_until IS NOT NULL)`); n != 0 {
		t.Errorf("%d selected orders are not settled, still under review or still claimed", n)
	}
}

func TestRunOnceLimit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args string
		want int
	}{
		{"--limit 1", 1},
		{"--limit 5", 2}, // no more are due
		{"--limit 3 --all", 3},
		{"--limit 3 --all --dry-run", 3},
		{"--limit 1 --review", 1},
	} {
		t.Run(test.args, func(t *testing.T) {
			t.Parallel()
			w := newSelection(t)
			w.set("RECONCILER_CONCURRENCY=2")
			_, s := w.summary(t, 0, append([]string{"run-once"}, strings.Fields(test.args)...)...)
			if s.Asked != test.want || s.Selected != test.want || w.Total() != test.want {
				t.Errorf("selected %d, asked %d, %d requests, want %d", s.Selected, s.Asked, w.Total(), test.want)
			}
		})
	}
}

// Asked about by hand before its time, a NOT_FOUND order that is still not found keeps its late
// check.
func TestRunOnceKeepsTheLateCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, life := range []simulator.Step{{Code: "NO_ORDER"}, {Code: "9999"}, status(chinaums.StatusWaitBuyerPay)} {
		w.orders(t, 2, life)
	}
	w.exec(t, `UPDATE orders SET status = 'NOT_FOUND', created_at = now() - interval '3 hours', expires_at = now() - interval '2 hours',
		next_query_at = CASE WHEN id % 2 = 0 THEN now() + interval '20 hours' END`)
	before := scan[time.Time](t, w, `SELECT next_query_at FROM orders WHERE id = 2`)
	w.summary(t, 1, "run-once", "--all") // one code brings no answer
	after := scan[time.Time](t, w, `SELECT next_query_at FROM orders WHERE id = 2`)
	if !before.Equal(after) {
		t.Errorf("the late check moved from %v to %v", before, after)
	}
	got := column[string](t, w, `SELECT status || ' ' || coalesce((next_query_at > now() + interval '19 hours')::text, 'never') FROM orders WHERE id <= 4 ORDER BY id`)
	want := []string{"NOT_FOUND never", "NOT_FOUND true", "NOT_FOUND never", "NOT_FOUND true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status and late check (-want +got):\n%s", diff)
	}
	if n := scan[int](t, w, `SELECT count(*) FROM orders WHERE id > 4 AND status = 'WAIT_BUYER_PAY' AND next_query_at IS NOT NULL`); n != 2 {
		t.Errorf("%d of 2 orders that were found after all go on", n)
	}
	wantEvents(t, w, map[string]int{})
}

func TestRunOnceSelectionUsage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.orders(t, 1, paid())
	for _, args := range []string{
		"--limit=-1", "--limit=0", "--limit=many", "--created-since=yesterday", "--created-until=2026-01-31", "--created-since=-3h",
		"--output=xml", "--mid", "--dry-run=perhaps", "--mid=", "--from=", "--mer-order-id=", "order-1",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			r := invoke(t, w.env, "run-once", args)
			flag, _, _ := strings.Cut(args, "=")
			r.want(t, 2, flag)
			if r.stdout != "" {
				t.Errorf("stdout = %q", r.stdout)
			}
		})
	}
	t.Cleanup(func() {
		if w.Total() != 0 {
			t.Errorf("%d requests despite bad usage", w.Total())
		}
	})
}
