package store_test

import (
	"testing"
	"time"

	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

// incidents are the rows of the history, the first first.
func (d database) incidents(t *testing.T) string {
	t.Helper()
	return scan[string](t, d, `SELECT coalesce(string_agg(concat_ws(' ', scope, cause, opened_by, coalesce(closed_by, 'open'), questions_lost), ', ' ORDER BY id), '') FROM gateway_incidents`)
}

// A breaker that opens again soon after its probe continues its incident. A later one is another.
func TestIncidentsOfTheBreaker(t *testing.T) {
	t.Parallel()
	d := open(t)
	ctx := t.Context()
	trip := func(cause string, lost int) {
		t.Helper()
		must(t, d.PauseByBreaker(ctx, store.BreakerPause{Scope: store.ScopeApp, Key: app, Cause: cause, For: -time.Second, QuestionsLost: lost}))
	}
	want := func(when, rows string) {
		t.Helper()
		if got := d.incidents(t); got != rows {
			t.Errorf("%s: %s\nwant %s", when, got, rows)
		}
	}
	trip("502", 5)
	trip("503", 0) // the probe failed
	want("failed again", "app 503 breaker open 6")
	d.exec(t, `UPDATE gateway_incidents SET opened_at = now() - interval '10 minutes'`)
	resumed, after, err := d.ResumeByBreaker(ctx, store.ScopeApp, app)
	if err != nil || !resumed || after < 10*time.Minute || after > 11*time.Minute {
		t.Errorf("resumed %t after %v, %v", resumed, after, err)
	}
	want("resumed", "app 503 breaker breaker 6")
	if resumed, _, err = d.ResumeByBreaker(ctx, store.ScopeApp, app); err != nil || resumed {
		t.Errorf("resumed twice: %v", err)
	}
	trip("504", 5)
	want("soon again", "app 504 breaker open 11")
	d.resume(t, store.ScopeApp, app)
	d.exec(t, `UPDATE gateway_incidents SET closed_at = now() - interval '3 minutes'`)
	trip("505", 5)
	want("later", "app 504 breaker breaker 11, app 505 breaker open 5")
}

// Pauses by people have incidents as well. The breaker leaves them alone.
func TestIncidentsOfPeople(t *testing.T) {
	t.Parallel()
	d := open(t)
	ctx := t.Context()
	trip := store.BreakerPause{Scope: store.ScopeMerchant, Key: mid, Cause: "502", For: time.Minute}
	must(t, d.PauseByBreaker(ctx, trip))
	storetest.Pause(t, d.Store, store.Control{Scope: store.ScopeMerchant, Key: mid, Reason: "maintenance", SetBy: "li"})
	must(t, d.PauseByBreaker(ctx, trip))
	if got, want := d.incidents(t), "mid 502 breaker li 1, mid maintenance li open 0"; got != want {
		t.Errorf("incidents %s\nwant      %s", got, want)
	}
	if !storetest.Resume(t, d.Store, store.ScopeMerchant, mid, "wang") {
		t.Error("there was no pause to end")
	}
	if got, want := d.incidents(t), "mid 502 breaker li 1, mid maintenance li wang 0"; got != want {
		t.Errorf("incidents %s\nwant      %s", got, want)
	}
	// A pause with an end is over by itself. The breaker may follow.
	storetest.Pause(t, d.Store, store.Control{Scope: store.ScopeMerchant, Key: mid, Reason: "again", SetBy: "li", PausedUntil: new(time.Now().Add(-time.Minute))})
	must(t, d.PauseByBreaker(ctx, trip))
	if got := scan[string](t, d, `SELECT string_agg(concat_ws(' ', opened_by, coalesce(closed_by, 'open')), ', ' ORDER BY id) FROM gateway_incidents WHERE id > 2`); got != "li li, breaker open" {
		t.Errorf("after the end: %s", got)
	}
}

// Without an order of the merchant there is no probe. Its pause and its incident end all the same.
func TestBreakerEndsWithoutOrders(t *testing.T) {
	t.Parallel()
	d := open(t)
	ctx := t.Context()
	const gone, lately, person = "898340149000004", "898340149000006", "898340149000007"
	d.insert(t, 1) // of mid
	for _, key := range []string{mid, gone, lately} {
		must(t, d.PauseByBreaker(ctx, store.BreakerPause{Scope: store.ScopeMerchant, Key: key, Cause: "502", For: time.Second}))
	}
	storetest.Pause(t, d.Store, store.Control{Scope: store.ScopeMerchant, Key: person, Reason: "maintenance", SetBy: "li"})
	d.exec(t, `UPDATE gateway_controls SET paused_until = now() - interval '2 minutes' WHERE set_by = 'breaker' AND key <> $1`, lately)
	must(t, d.Heartbeat(ctx, store.Instance{Worker: "w", Version: "v", StartedAt: time.Now()}))
	const want = mid + " open, " + lately + " open, " + person + " open"
	got := scan[string](t, d, `SELECT string_agg(c.key || ' ' || coalesce(i.closed_by, 'open'), ', ' ORDER BY c.key)
		FROM gateway_controls AS c JOIN gateway_incidents AS i ON i.scope = c.scope AND i.key = c.key AND i.closed_at IS NULL`)
	if got != want {
		t.Errorf("pauses %s\nwant   %s", got, want)
	}
	if n := scan[int](t, d, `SELECT count(*) FROM gateway_incidents WHERE closed_by = 'breaker'`); n != 1 {
		t.Errorf("%d incidents are closed, want 1", n)
	}
}

// The breaker never pauses for longer than an hour.
func TestBreakerPauseIsBounded(t *testing.T) {
	t.Parallel()
	d := open(t)
	must(t, d.PauseByBreaker(t.Context(), store.BreakerPause{Scope: store.ScopeApp, Key: app, For: 24 * time.Hour}))
	if !scan[bool](t, d, `SELECT paused_until <= now() + interval '1 hour' FROM gateway_controls`) {
		t.Error("paused for longer")
	}
	if got := d.page(t, store.Claim{App: app, Limit: 1}); !got.Paused {
		t.Errorf("not paused: %+v", got)
	}
}
