package main_test

import (
	"strings"
	"testing"
	"time"
)

func TestPauseGuards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(t, mid, "319400000001")
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, status) VALUES ('`+otherMID+`', '1234', '319400000002', 1, 'TRADE_SUCCESS')`)
	w.invoke(t, "pause", "--mid=898340149000099", "--reason=typo").want(t, 1, "no order is of merchant", "--unknown")
	w.invoke(t, "pause", "--app-id=nobody", "--reason=typo").want(t, 1, "neither in the settings", "--unknown")
	w.invoke(t, "pause", "--app-id=nobody", "--reason=typo", "--unknown").want(t, 0, "paused app id nobody")
	w.invoke(t, "pause", "--mid="+otherMID, "--reason=only settled orders").want(t, 0)
	w.exec(t, `INSERT INTO instances (worker, version, settings) VALUES ('w', 'v', '{"apps": [{"app_id": "elsewhere"}]}')`)
	w.invoke(t, "pause", "--app-id=elsewhere", "--reason=an instance uses it").want(t, 0)

	w.invoke(t, "pause", "--mid="+mid, "--reason=ticket 812", "--actor=li", "--until=2099-11-30 09:00").want(t, 0, "until 2099-11-30 09:00:00", "1 order, ¥129.00 wait", "Asia/Shanghai")
	w.invoke(t, "pause", "--mid="+mid, "--reason=mine", "--actor=wang").want(t, 1, "paused already, by li", "ticket 812", "--replace")
	w.invoke(t, "pause", "--mid="+mid, "--reason=longer", "--actor=li", "--until=2099-12-01").want(t, 0, "until 2099-12-01 00:00:00")
	change := document[map[string]any](t, w, 0, "pause", "--mid="+mid, "--reason=mine", "--actor=wang", "--replace", "--until=2h")
	wantKeys(t, "pause", change, "scope", "key", "paused_until", "before", "after", "action_id", "orders", "amount_fen")
	if before := change["before"].(map[string]any); before["set_by"] != "li" || before["reason"] != "longer" {
		t.Errorf("the former pause: %v", before)
	}
	w.invoke(t, "pause", "--mid="+mid, "--reason=why", "--actor=breaker").want(t, 2, "breaker")
	list := document[map[string][]map[string]any](t, w, 0, "pauses")
	wantKeys(t, "pauses", list["pauses"][2], "scope", "key", "paused_until", "reason", "set_by", "set_at", "orders", "amount_fen")

	w.invoke(t, "resume", "--mid="+mid, "--actor=zhao", "--reason=over").want(t, 0, "resumed merchant "+mid, "1 order")
	actions := column[string](t, w, `SELECT concat_ws(' ', actor, via, action, reason, before->>'set_by', after->>'set_by') FROM operator_actions WHERE key = $1 ORDER BY id`, mid)
	want := "li cli pause ticket 812 li|li cli pause longer li li|wang cli pause mine li wang|zhao cli resume over wang"
	if got := strings.Join(actions, "|"); got != want {
		t.Errorf("actions\n%s, want\n%s", got, want)
	}
	incidents := column[string](t, w, `SELECT concat_ws(' ', cause, opened_by, closed_by) FROM gateway_incidents WHERE key = $1 ORDER BY id`, mid)
	if got, want := strings.Join(incidents, "|"), "ticket 812 li li|longer li wang|mine wang zhao"; got != want {
		t.Errorf("incidents\n%s, want\n%s", got, want)
	}
}

// A pause by hand that replaces the breaker's ends its incident.
func TestPauseOnTopOfTheBreaker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `INSERT INTO gateway_controls (scope, key, paused_until, reason, set_by) VALUES ('app', $1, now() - interval '1 second', 'timeout', 'breaker')`, appID)
	w.exec(t, `INSERT INTO gateway_incidents (scope, key, cause, opened_by) VALUES ('app', $1, 'timeout', 'breaker')`, appID)
	w.invoke(t, "pause", "--app-id="+appID, "--reason=maintenance", "--actor=li").want(t, 0)
	incidents := column[string](t, w, `SELECT concat_ws(' ', cause, opened_by, closed_by) FROM gateway_incidents ORDER BY id`)
	if got, want := strings.Join(incidents, "|"), "timeout breaker li|maintenance li"; got != want {
		t.Errorf("incidents %q, want %q", got, want)
	}
	if until := scan[*time.Time](t, w, `SELECT paused_until FROM gateway_controls`); until != nil {
		t.Errorf("paused until %v", until)
	}
}

func TestPauses(t *testing.T) {
	t.Parallel()
	w := eventful(t)
	w.goldens(t, 0, "pauses", "pauses")
	w.exec(t, `DELETE FROM gateway_controls`)
	w.invoke(t, "pauses").want(t, 0, "nothing is paused")
	if none := document[map[string][]any](t, w, 0, "pauses"); none["pauses"] == nil {
		t.Error("pauses is null, want an empty list")
	}
}

// Of two people at once one pauses, and the other is told.
func TestTwoPeoplePauseAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insert(t, mid, "319400000001")
	first := w.start(t, "pause", "--mid="+mid, "--reason=mine", "--actor=li")
	second := w.start(t, "pause", "--mid="+mid, "--reason=mine", "--actor=wang")
	if codes := first.wait(t) + second.wait(t); codes != 1 {
		t.Errorf("exit codes %d and %d, want 0 and 1", first.wait(t), second.wait(t))
	}
	if n := scan[int](t, w, `SELECT count(*) FROM gateway_incidents`); n != 1 {
		t.Errorf("%d incidents, want one", n)
	}
}
