package store_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

// Each filter narrows the list, and several narrow each other.
func TestIncidentFilter(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `INSERT INTO gateway_incidents (scope, key, opened_at, closed_at, cause, opened_by, closed_by, questions_lost) VALUES
		('app', 'app-1', now() - interval '9 days', now() - interval '8 days', 'long ago', 'breaker', 'breaker', 5),
		('app', 'app-1', now() - interval '8 days', now() - interval '6 days', 'into the week', 'breaker', 'li', 6),
		('app', 'app-2', now() - interval '8 days', NULL, 'all the time', 'breaker', NULL, 7),
		('mid', $1, now() - interval '2 days', now() - interval '1 day', 'maintenance', 'li', 'wang', 0),
		('mid', $1, now() - interval '1 hour', NULL, 'NO_MERCHANT', 'breaker', NULL, 8),
		('mid', $2, now() - interval '1 minute', NULL, 'audit', 'li', NULL, 0)`, mid, otherMID)
	for name, tt := range map[string]struct {
		filter store.IncidentFilter
		want   []int64
	}{
		"all":                          {store.IncidentFilter{}, []int64{6, 5, 4, 3, 2, 1}},
		"the latest two":               {store.IncidentFilter{Limit: 2}, []int64{6, 5}},
		"that went on within the week": {store.IncidentFilter{Since: new(time.Now().Add(-7 * 24 * time.Hour))}, []int64{6, 5, 4, 3, 2}},
		"of apps":                      {store.IncidentFilter{Scope: store.ScopeApp}, []int64{3, 2, 1}},
		"of an app":                    {store.IncidentFilter{Scope: store.ScopeApp, Key: "app-2"}, []int64{3}},
		"of a key":                     {store.IncidentFilter{Key: mid}, []int64{5, 4}},
		"of the breaker":               {store.IncidentFilter{OpenedBy: store.Breaker}, []int64{5, 3, 2, 1}},
		"of a person":                  {store.IncidentFilter{OpenedBy: "li"}, []int64{6, 4}},
		"that go on":                   {store.IncidentFilter{OnlyOpen: true}, []int64{6, 5, 3}},
		"for a merchant":               {store.IncidentFilter{ForMID: mid}, []int64{5, 4}},
		"for a merchant and its app":   {store.IncidentFilter{ForMID: mid, ForAppIDs: []string{"app-2"}}, []int64{5, 4, 3}},
		"the breaker's of a merchant":  {store.IncidentFilter{Scope: store.ScopeMerchant, Key: mid, OpenedBy: store.Breaker, OnlyOpen: true}, []int64{5}},
	} {
		if tt.filter.Limit == 0 {
			tt.filter.Limit = 100
		}
		list, err := d.Incidents(t.Context(), tt.filter)
		must(t, err)
		var got []int64
		for _, i := range list {
			got = append(got, i.ID)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	list, err := d.Incidents(t.Context(), store.IncidentFilter{Limit: 100, Key: "app-1"})
	must(t, err)
	opened, closed := list[0].OpenedAt, list[0].ClosedAt
	want := store.Incident{ID: 2, Scope: store.ScopeApp, Key: "app-1", OpenedAt: opened, ClosedAt: closed, Cause: "into the week", OpenedBy: "breaker", ClosedBy: "li", QuestionsLost: 6}
	if diff := cmp.Diff(want, list[0]); diff != "" || closed == nil || closed.Sub(opened) != 48*time.Hour {
		t.Errorf("incident (-want +got):\n%s", diff)
	}
}

// A person's pause with an end is over then, before an instance has noticed. A breaker's is not.
func TestIncidentsEndWithTheirPauses(t *testing.T) {
	t.Parallel()
	d := open(t)
	const over, lasting, breaker = "898340149000001", "898340149000002", "898340149000003"
	d.exec(t, `INSERT INTO gateway_incidents (scope, key, opened_at, cause, opened_by)
		SELECT 'mid', key, now() - interval '3 hours', '', set_by FROM unnest($1::text[], $2::text[]) AS p(key, set_by)`,
		[]string{over, lasting, breaker}, []string{"li", "li", "breaker"})
	d.exec(t, `INSERT INTO gateway_controls (scope, key, set_by, paused_until)
		SELECT scope, key, opened_by, CASE WHEN key = $1 THEN now() + interval '1 hour' ELSE now() - interval '1 hour' END FROM gateway_incidents`, lasting)
	d.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount) VALUES ($1, $2, '319400000001', 100)`, breaker, tid) // to probe it with
	ended := func(f store.IncidentFilter) (keys []string) {
		t.Helper()
		f.Limit = 10
		list, err := d.Incidents(t.Context(), f)
		must(t, err)
		for _, i := range list {
			if (i.ClosedAt == nil) != (i.ClosedBy == "") {
				t.Errorf("incident %+v", i)
			}
			if i.ClosedAt == nil {
				continue
			}
			keys = append(keys, i.Key)
			if i.ClosedBy != "li" || i.ClosedAt.Sub(i.OpenedAt).Round(time.Minute) != 2*time.Hour {
				t.Errorf("incident %+v", i)
			}
		}
		return keys
	}
	want := func(when string, f store.IncidentFilter, want ...string) {
		t.Helper()
		if got := ended(f); !slices.Equal(got, want) {
			t.Errorf("%s: the incidents of %v have ended, want %v", when, got, want)
		}
	}
	want("of all", store.IncidentFilter{}, over)
	want("of those that go on", store.IncidentFilter{OnlyOpen: true})
	want("lately", store.IncidentFilter{Since: new(time.Now().Add(-30 * time.Minute))})
	if n := scan[int](t, d, `SELECT count(closed_at) FROM gateway_incidents`); n != 0 {
		t.Errorf("a list ended %d incidents", n)
	}
	must(t, d.Heartbeat(t.Context(), store.Instance{Worker: "w", Version: "v", StartedAt: time.Now()}))
	want("after a heartbeat", store.IncidentFilter{Since: new(time.Now().Add(-2 * time.Hour))}, over)
	if n := scan[int](t, d, `SELECT count(closed_at) FROM gateway_incidents WHERE key <> $1`, breaker); n != 1 {
		t.Errorf("a heartbeat ended %d incidents of people, want 1", n)
	}
}

// An incident whose pause somebody has deleted does not go on for ever. One that has just begun may
// have a pause that is about to be seen.
func TestIncidentsWithoutAPauseEnd(t *testing.T) {
	t.Parallel()
	d := open(t)
	const gone, young, paused = "898340149000001", "898340149000002", "898340149000003"
	for _, key := range []string{gone, young, paused} {
		must(t, d.PauseByBreaker(t.Context(), store.BreakerPause{Scope: store.ScopeApp, Key: key, Cause: "502", For: time.Minute}))
	}
	d.exec(t, `UPDATE gateway_incidents SET opened_at = now() - interval '3 minutes' WHERE key <> $1`, young)
	d.exec(t, `DELETE FROM gateway_controls WHERE key <> $1`, paused)
	must(t, d.Heartbeat(t.Context(), store.Instance{Worker: "w", Version: "v", StartedAt: time.Now()}))
	const want = gone + " breaker, " + young + " open, " + paused + " open"
	if got := scan[string](t, d, `SELECT string_agg(key || ' ' || coalesce(closed_by, 'open'), ', ' ORDER BY key) FROM gateway_incidents`); got != want {
		t.Errorf("incidents %s\nwant      %s", got, want)
	}
}

// A lock on all of orders does not make the instance look dead.
func TestInstanceBesideALockedTable(t *testing.T) {
	t.Parallel()
	for name, aside := range map[string][]store.AsideOrder{"none aside": nil, "one aside": {{ID: 1, Cause: "a"}}} {
		d := open(t)
		d.insert(t, 1)
		d.exec(t, `BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE`)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Heartbeat(ctx, store.Instance{Worker: "w", StartedAt: time.Now()}, aside...) }()
		storetest.Eventually(t, time.Minute, name+": the instance is seen", func() bool {
			return scan[int](t, d, `SELECT count(*) FROM instances WHERE worker = 'w' AND (trouble IS NOT NULL) = $1`, len(aside) > 0) == 1
		})
		cancel()
		if err := <-ended; err == nil {
			t.Errorf("%s: the rest of the heartbeat succeeds", name)
		}
	}
}

// A heartbeat writes its instance's row, and forgets those that nobody has written for a day.
func TestInstances(t *testing.T) {
	t.Parallel()
	d := open(t)
	ctx := t.Context()
	d.exec(t, `INSERT INTO instances (worker, version, seen_at) VALUES
		('gone', 'v0', now() - interval '25 hours'), ('quiet', 'v0', now() - interval '23 hours')`)
	started, passed := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC), time.Date(2026, 11, 25, 8, 5, 0, 0, time.UTC)
	must(t, d.Heartbeat(ctx, store.Instance{Worker: "b", Version: "v1", StartedAt: started, SeenAt: started}))
	must(t, d.Heartbeat(ctx, store.Instance{Worker: "a", Version: "v1", StartedAt: started, Trouble: "no room\x00", Settings: json.RawMessage(`{"rate": 50}`)}))
	d.exec(t, `UPDATE instances SET seen_at = seen_at - interval '1 second' WHERE worker = 'b'`)
	instances := func() []store.Instance {
		t.Helper()
		list, err := d.Instances(ctx)
		must(t, err)
		for i := range list {
			if list[i].Worker != "quiet" && time.Since(list[i].SeenAt) > time.Hour {
				t.Errorf("instance %s was seen at %v", list[i].Worker, list[i].SeenAt)
			}
			list[i].SeenAt = time.Time{}
		}
		return list
	}
	list := instances()
	quiet := store.Instance{Worker: "quiet", Version: "v0", StartedAt: list[len(list)-1].StartedAt, Settings: json.RawMessage(`{}`)}
	if diff := cmp.Diff([]store.Instance{
		{Worker: "a", Version: "v1", StartedAt: started, Trouble: "no room\uFFFD", Settings: json.RawMessage(`{"rate": 50}`)},
		{Worker: "b", Version: "v1", StartedAt: started, Settings: json.RawMessage(`{}`)},
		quiet,
	}, list); diff != "" {
		t.Errorf("instances (-want +got):\n%s", diff)
	}
	must(t, d.Heartbeat(ctx, store.Instance{Worker: "b", Version: "v2", StartedAt: passed, LastPassAt: &passed, Settings: json.RawMessage(`{"rate": 20}`)}))
	if diff := cmp.Diff(store.Instance{Worker: "b", Version: "v2", StartedAt: passed, LastPassAt: &passed, Settings: json.RawMessage(`{"rate": 20}`)}, instances()[0]); diff != "" {
		t.Errorf("instance written again (-want +got):\n%s", diff)
	}

	// Orders that wait aside are its trouble, while they are open and nobody looks at them.
	d.insert(t, 4)
	d.exec(t, `UPDATE orders SET status = 'TRADE_SUCCESS' WHERE id = 1`)
	d.exec(t, `UPDATE orders SET review_reason = 'unwritable' WHERE id = 2`)
	aside := []store.AsideOrder{{ID: 1, Cause: "a"}, {ID: 2, Cause: "b"}, {ID: 4, Cause: "d\x00"}, {ID: 3, Cause: "c"}, {ID: 5, Cause: "gone"}}
	must(t, d.Heartbeat(ctx, store.Instance{Worker: "b", Version: "v2", StartedAt: passed}, aside...))
	const want = "order 3 cannot be written and waits aside: c; order 4 cannot be written and waits aside: d\uFFFD"
	if got := instances()[0].Trouble; got != want {
		t.Errorf("trouble %q, want %q", got, want)
	}
}
