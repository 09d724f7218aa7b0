package main_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPauseOfAMerchant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paused := w.register(t, otherMID, 3, paid())
	w.insert(t, otherMID, paused...)
	numbers := w.orders(t, 3, paid())
	r := w.invoke(t, "pause", "--mid", otherMID, "--reason", "contract ended", "--by", "an operator", "--until", "2h")
	r.want(t, 0, "paused", otherMID)
	w.invoke(t, "run-once")
	if diff := cmp.Diff(numbers, w.asked()); diff != "" {
		t.Errorf("asked about during the pause (-want +got):\n%s", diff)
	}
	w.invoke(t, "resume", "--mid", otherMID).want(t, 0, "resumed", otherMID)
	w.summary(t, 0, "run-once")
	if diff := cmp.Diff(slices.Sorted(slices.Values(slices.Concat(paused, numbers))), w.asked()); diff != "" {
		t.Errorf("asked about after the pause (-want +got):\n%s", diff)
	}
	w.invoke(t, "resume", "--mid", otherMID).want(t, 1, "nothing to resume")
}

func TestPauseOfEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	numbers := w.orders(t, 3, paid())
	w.invoke(t, "pause", "--app-id", appID, "--reason", "maintenance").want(t, 0, "paused", appID)
	if _, s := w.summary(t, 0, "run-once"); s.Asked != 0 || s.Selected != len(numbers) {
		t.Errorf("summary during the pause = %+v", s)
	}
	p := w.start(t, "run")
	p.awaitLog(t, `"msg":"started"`)
	w.invoke(t, "resume", "--app-id", appID).want(t, 0, "resumed", appID)
	w.awaitPaid(t, len(numbers))
	p.stop(t)
	w.wantAskedOnce(t, numbers)
}

func TestPauseUsage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, args := range []string{
		"pause --reason why",
		"pause --mid 898340149000005",
		"pause --mid 898340149000005 --app-id a --reason why",
		"pause --mid 898340149000005 --reason why --until yesterday",
		"pause --mid 898340149000005 --reason why --until 2026-01-31T00:00:00Z",
		"pause --mid= --reason why --unknown",
		"pause --app-id= --reason why --unknown",
		"pause --mid 898340149000005 --reason why --unknown --until=",
		"resume",
		"resume --mid=",
		"resume --mid 898340149000005 --app-id a",
		"prune",
		"prune --older-than 0d",
		"prune --older-than -3d",
		"prune --older-than month",
	} {
		if r := w.invoke(t, strings.Fields(args)...); r.code != 2 || r.stdout != "" || r.stderr == "" {
			t.Errorf("%s = %+v, want 2 and a reason", args, r)
		}
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.orders(t, 4, paid())                   // 1 to 3 are old, 4 is recent
	w.orders(t, 1, paid("other-order"))      // 5: under review
	w.orders(t, 1, status("WAIT_BUYER_PAY")) // 6: goes on
	w.orders(t, 1, status("TRADE_CLOSED"))   // 7: deleted by the application
	w.summary(t, 0, "run-once")
	w.exec(t, `UPDATE order_queries SET queried_at = now() - interval '91 days' WHERE order_id <> 4`)
	w.exec(t, `UPDATE order_events SET created_at = now() - interval '91 days' WHERE order_id <> 4`)
	w.exec(t, `DELETE FROM orders WHERE id = 7`)
	w.invoke(t, "prune", "--older-than", "90d").want(t, 0, "4 questions", "4 events")
	if diff := cmp.Diff([]int64{4, 5, 6}, column[int64](t, w, `SELECT order_id FROM order_queries ORDER BY 1`)); diff != "" {
		t.Errorf("questions that are left (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{4, 5}, column[int64](t, w, `SELECT order_id FROM order_events ORDER BY 1`)); diff != "" {
		t.Errorf("events that are left (-want +got):\n%s", diff)
	}
	w.invoke(t, "prune", "--older-than", "90d").want(t, 0, "0 questions", "0 events")
}
