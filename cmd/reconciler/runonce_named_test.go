package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func listFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// fates tells what became of each named order, in the order of the list.
func fates(s summary) []string {
	var list []string
	for _, o := range s.Orders {
		list = append(list, o.MerOrderID+" "+o.Decision+o.Skipped)
	}
	return list
}

func TestRunOnceAccountsForEveryNamedOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	numbers := w.orders(t, 6, paid()) // 3194…1 to 6
	paused := w.register(t, otherMID, 1, paid())
	w.insert(t, otherMID, paused...)
	w.exec(t, `UPDATE orders SET status = 'TRADE_CLOSED' WHERE id = 2`)
	w.exec(t, `UPDATE orders SET review_reason = 'poison', next_query_at = NULL WHERE id = 3`)
	w.exec(t, `UPDATE orders SET lease_until = now() + interval '1 hour' WHERE id = 4`)
	w.exec(t, `UPDATE orders SET next_query_at = now() + interval '1 day' WHERE id = 5`)
	w.exec(t, `INSERT INTO gateway_controls (scope, key, reason, set_by) VALUES ('mid', '`+otherMID+`', 'ticket', 'li')`)
	list := "\xef\xbb\xbf" + numbers[0] + "\r\n\n" + strings.Join(numbers[1:5], "\n") + "\n" + paused[0] + "\n319499999999\n" + numbers[0] + "\n"
	r, s := w.summary(t, 1, "run-once", "--from", listFile(t, list))
	want := []string{
		numbers[0] + " settled", numbers[1] + " settled", numbers[2] + " under_review", numbers[3] + " in_flight",
		numbers[4] + " settled", paused[0] + " paused", "319499999999 no_such_order",
	}
	if diff := cmp.Diff(want, fates(s)); diff != "" {
		t.Errorf("orders (-want +got):\n%s", diff)
	}
	if o := s.Orders[0]; *o.MID != mid || *o.ID != 1 || *o.Before != "UNKNOWN" || *o.After != "TRADE_SUCCESS" || o.Reason != "trade_success" {
		t.Errorf("the asked one: %+v", o)
	}
	if o := s.Orders[1]; o.Skipped != "settled" || *o.Before != "TRADE_CLOSED" || *o.After != "TRADE_CLOSED" {
		t.Errorf("the settled one: %+v", o)
	}
	if o := s.Orders[6]; o.ID != nil || o.MID != nil || o.Before != nil {
		t.Errorf("the absent one: %+v", o)
	}
	goldenOf(t, "run-once-account.en.json", r.stdout)
	if strings.Contains(r.stdout, `"decision": ""`) || strings.Contains(r.stdout, `"skipped": ""`) {
		t.Errorf("an entry has an empty decision beside skipped:\n%s", r.stdout)
	}

	text := w.invoke(t, append([]string{"run-once"}, numberFlags(numbers[1], numbers[2], numbers[3], paused[0], "319499999999")...)...)
	goldenOf(t, "run-once-account.en.text", text.stdout)
	text.want(t, 1, "skipped: under_review", "1 order under review: --review", "--despite-pause", "in flight", "settled already", "not in the table")

	_, s = w.summary(t, 0, append([]string{"run-once", "--review", "--despite-pause", "--actor=wang"}, numberFlags(numbers[2], paused[0])...)...)
	if diff := cmp.Diff([]string{numbers[2] + " settled", paused[0] + " settled"}, fates(s)); diff != "" {
		t.Errorf("orders with the flags (-want +got):\n%s", diff)
	}
	if got := scan[string](t, w, `SELECT concat_ws(' ', actor, action, before->0->>'key', after->>'review') FROM operator_actions`); got != "wang run-once --despite-pause "+otherMID+" true" {
		t.Errorf("action %q", got)
	}
}

// However often and in whatever way an order is named, it counts once.
func TestRunOnceCountsAnOrderOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	numbers := w.orders(t, 2, paid())
	list := "\xef\xbb\xbfmer_order_id,mid\r\n" + numbers[0] + "," + mid + "\r\n\"" + numbers[0] + "\",\r\n" + numbers[1] + ",\r\n"
	args := append([]string{"run-once", "--from", listFile(t, list)}, numberFlags(numbers[0], numbers[0])...)
	_, s := w.summary(t, 0, args...)
	if diff := cmp.Diff([]string{numbers[0] + " settled", numbers[1] + " settled"}, fates(s)); diff != "" || s.Selected != 2 || s.Asked != 2 {
		t.Errorf("selected %d, asked %d; orders (-want +got):\n%s", s.Selected, s.Asked, diff)
	}
}

// What a person has paused is left alone, as by the daemon. That is no failure of the gateway.
func TestRunOnceLeavesWhatAPersonPaused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	numbers := w.orders(t, 1, paid())
	w.exec(t, `INSERT INTO gateway_controls (scope, key, reason, set_by) VALUES ('app', '`+appID+`', 'ticket', 'li')`)
	for _, args := range [][]string{nil, {"--dry-run"}, numberFlags(numbers...)} {
		r, s := w.summary(t, 0, append([]string{"run-once"}, args...)...)
		if s.Asked != 0 || !strings.Contains(r.stderr, "app id "+appID+" is paused by a person") || strings.Contains(r.stderr, "gateway fails") {
			t.Errorf("%v: asked %d, stderr %q", args, s.Asked, r.stderr)
		}
	}

	w.exec(t, `UPDATE gateway_controls SET scope = 'mid', key = '`+mid+`'`)
	const told = "merchant " + mid + " is paused by a person; its open orders (1) wait"
	for _, args := range [][]string{nil, {"--all"}, {"--mid=" + mid}} {
		r, s := w.summary(t, 0, append([]string{"run-once"}, args...)...)
		if s.Asked != 0 || !strings.Contains(r.stderr, told) {
			t.Errorf("%v: asked %d, stderr %q", args, s.Asked, r.stderr)
		}
	}
	if r, _ := w.summary(t, 0, "run-once", "--mid=898340149000099"); strings.Contains(r.stderr, "paused") {
		t.Errorf("of another merchant: %q", r.stderr)
	}
	w.exec(t, `UPDATE gateway_controls SET set_by = 'breaker', paused_until = now() + interval '10 minutes'`)
	if r, _ := w.summary(t, 0, "run-once", "--all"); !strings.Contains(r.stderr, "is paused by the circuit breaker") {
		t.Errorf("by the breaker: %q", r.stderr)
	}
}

// A pause that keeps back no order of the run is none of its business.
func TestRunOnceMeetsOnlyThePausesOfItsOrders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	numbers := w.orders(t, 1, paid())
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount) VALUES ($1, $2, '319400000099', 1)`, otherMID, tid)
	w.credentials(t, entry(appID, mid)+entry(otherAppID, otherMID))
	for _, pause := range []string{"'app', '" + otherAppID + "', NULL, 'li'", "'mid', '" + otherMID + "', NULL, 'li'", "'app', '" + otherAppID + "', now() + interval '10 minutes', 'breaker'"} {
		w.exec(t, `DELETE FROM gateway_controls`)
		w.exec(t, `INSERT INTO gateway_controls (scope, key, paused_until, set_by, reason) VALUES (`+pause+`, 'ticket')`)
		for _, args := range [][]string{{"--mid=" + mid, "--dry-run"}, {"--created-until=24h"}, {"--review"}, append(numberFlags(numbers...), "--dry-run")} {
			if r, _ := w.summary(t, 0, append([]string{"run-once"}, args...)...); strings.Contains(r.stderr, "of app id "+otherAppID) || strings.Contains(r.stderr, "paused") {
				t.Errorf("%s: %v: stderr %q", pause, args, r.stderr)
			}
		}
		code := 0
		if strings.Contains(pause, "breaker") {
			code = 1
		}
		if r, _ := w.summary(t, code, "run-once", "--all", "--dry-run"); !strings.Contains(r.stderr, "paused") {
			t.Errorf("%s: of a run about its order: stderr %q", pause, r.stderr)
		}
	}
}

func numberFlags(numbers ...string) []string {
	var flags []string
	for _, n := range numbers {
		flags = append(flags, "--mer-order-id="+n)
	}
	return flags
}

func TestRunOnceLimitAndBreaker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	numbers := w.orders(t, 3, paid())
	_, s := w.summary(t, 0, append([]string{"run-once", "--limit=1"}, numberFlags(numbers...)...)...)
	if diff := cmp.Diff([]string{numbers[0] + " settled", numbers[1] + " limit", numbers[2] + " limit"}, fates(s)); diff != "" {
		t.Errorf("orders (-want +got):\n%s", diff)
	}
	for _, paused := range []string{"'mid', '" + mid + "'", "'app', '" + appID + "'"} {
		w.exec(t, `INSERT INTO gateway_controls (scope, key, paused_until, reason, set_by) VALUES (`+paused+`, now() + interval '10 minutes', 'timeout', 'breaker')`)
		_, s = w.summary(t, 1, append([]string{"run-once"}, numberFlags(numbers[1:]...)...)...)
		if diff := cmp.Diff([]string{numbers[1] + " breaker", numbers[2] + " breaker"}, fates(s)); diff != "" {
			t.Errorf("%s: orders (-want +got):\n%s", paused, diff)
		}
	}
	w.exec(t, `DELETE FROM gateway_controls WHERE scope = 'mid'`)
	_, s = w.summary(t, 0, append([]string{"run-once", "--despite-pause"}, numberFlags(numbers[1:]...)...)...)
	if s.Settled != 2 {
		t.Errorf("despite the breaker's pause: %+v", s)
	}
}

func TestRunOnceStoppedAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_CONCURRENCY=1")
	numbers := w.orders(t, 3, paid())
	hold := w.hold()
	p := w.start(t, append([]string{"run-once", "--output=json"}, numberFlags(numbers...)...)...)
	hold.await(t, 1)
	p.signal(t, syscall.SIGTERM)
	hold.release()
	if code := p.wait(t); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if diff := cmp.Diff([]string{numbers[0] + " settled", numbers[1] + " stopped", numbers[2] + " stopped"}, fates(readSummary(t, p.stdout.String()))); diff != "" {
		t.Errorf("orders (-want +got):\n%s", diff)
	}
}

// A stop before the orders were looked up leaves none of them out of the report.
func TestRunOnceStoppedBeforeItsOrdersAreKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	numbers := w.orders(t, 2, paid())
	line := throughProxy(t, w)
	line.restore()
	line.pause()
	p := w.start(t, append([]string{"run-once", "--output=json"}, numberFlags(numbers...)...)...)
	eventually(t, "it waits for the database", func() bool { return line.count() > 0 })
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	s := readSummary(t, p.stdout.String())
	if diff := cmp.Diff([]string{numbers[0] + " stopped", numbers[1] + " stopped"}, fates(s)); diff != "" || s.Selected != 2 || s.Asked != 0 {
		t.Errorf("%+v; orders (-want +got):\n%s", s, diff)
	}
}

func TestRunOnceFromCSV(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	numbers := w.orders(t, 2, paid())
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount) VALUES ($1, $2, $3, 1)`, otherMID, tid, numbers[0])
	_, s := w.summary(t, 0, "run-once", "--from", listFile(t, "MID,note,Mer_Order_ID\n"+mid+",\"a, b\n\","+numbers[0]+"\n,,"+numbers[1]+"\n"))
	if diff := cmp.Diff([]string{numbers[0] + " settled", numbers[1] + " settled"}, fates(s)); diff != "" || *s.Orders[0].MID != mid {
		t.Errorf("orders (-want +got):\n%s", diff)
	}
	for text, want := range map[string]string{
		"":                                       "empty",
		"\n \n":                                  "empty",
		"mer_order_id\n":                         "empty",
		"319400000001\n3194\n":                   "line 2",
		"319400000001\n31940000000中\n":           "line 2",
		"319400000001\n\n319400000\xff01\n":      "line 3",
		"mid,number\n1,2\n":                      "line 1: the CSV has no column mer_order_id",
		"mid,mer_order_id\na,319400000001\nb":    "line 3",
		"mid,mer_order_id\na,\"3194\n":           "line",
		"mid,mer_order_id\na\x00,319400000001\n": "line 2",
		"mer_order_id,mer_order_id\n1,2\n":       "two columns",
		"319400000001;898340149000005\n":         "line 1: the CSV has no column mer_order_id; commas separate",
		"number;mid\n319400000001;a\n":           "line 1: the CSV has no column mer_order_id; commas separate",
		"mid;mer_order_id\na;319400000001\n":     "line 1: the CSV has no column mer_order_id; commas separate",
		strings.Repeat("9", 1<<20):               `9" is no order number`,
	} {
		if r := w.invoke(t, "run-once", "--from", listFile(t, text)); r.code != 2 || !strings.Contains(r.stderr, want) {
			t.Errorf("list %q: %d, %s; want 2 and %q", text, r.code, r.stderr, want)
		}
	}
	w.invoke(t, "run-once", "--from", "/no/such/file").want(t, 2, "no such file")
}
