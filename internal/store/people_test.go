package store_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

// byHand is what li does.
func byHand(action string) store.Action {
	return store.Action{Actor: "li", Via: "cli", Action: action, Reason: "ticket 812"}
}

// isLockTimeout tells that a person waited longer than people do: only on a machine that is very
// slow.
func isLockTimeout(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == "55P03"
}

// together lets people act at the same time: all wait for a lock, or are done, before it is given
// up. It tries again where all have waited too long.
func (d database) together(t *testing.T, lock string, people int, act func(person int) error) []error {
	t.Helper()
	errs := make([]error, people)
	for range 20 {
		var wg sync.WaitGroup
		var done atomic.Int32
		d.exec(t, `BEGIN`)
		d.exec(t, lock)
		for i := range people {
			wg.Go(func() {
				errs[i] = act(i)
				done.Add(1)
			})
		}
		storetest.Eventually(t, time.Minute, "all wait", func() bool {
			return scan[int](t, d, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)+int(done.Load()) >= people
		})
		d.exec(t, `ROLLBACK`)
		wg.Wait()
		if slices.ContainsFunc(errs, func(err error) bool { return !isLockTimeout(err) }) {
			break
		}
	}
	return errs
}

func (d database) actions(t *testing.T, f store.ActionFilter) []store.Action {
	t.Helper()
	f.Limit = max(f.Limit, 1)
	list, err := d.Actions(t.Context(), f)
	must(t, err)
	return list
}

// wantActions compares what people did, the first first: who, what, about what, and why.
func (d database) wantActions(t *testing.T, want string) {
	t.Helper()
	got := scan[string](t, d, `SELECT coalesce(string_agg(concat_ws(' ', actor, via, action, order_id, scope, key, reason), ', ' ORDER BY id), '') FROM operator_actions`)
	if got != want {
		t.Errorf("actions %s\nwant    %s", got, want)
	}
}

// All that is given of an action comes back. What is not given is null.
func TestAddAction(t *testing.T) {
	t.Parallel()
	d := open(t)
	full := store.Action{
		Actor: "li", Via: "console", Action: "pause", OrderID: new(int64(7)), Scope: "mid", Key: mid, Reason: "ticket 812", Evidence: "a screenshot",
		Before: json.RawMessage(`{"a": 1}`), After: json.RawMessage(`{"a": 2}`),
	}
	id, err := d.AddAction(t.Context(), full)
	must(t, err)
	got := d.actions(t, store.ActionFilter{})[0]
	if got.ID != id || got.At.IsZero() || got.DBUser != scan[string](t, d, `SELECT session_user::text`) {
		t.Errorf("action %+v", got)
	}
	got.ID, got.At, got.DBUser = 0, time.Time{}, ""
	if diff := cmp.Diff(full, got); diff != "" {
		t.Errorf("action (-want +got):\n%s", diff)
	}

	_, err = d.AddAction(t.Context(), store.Action{Actor: "li\x00", Via: "cli", Action: "prune", Key: "k\xff", Reason: "r\x00", Evidence: "e\x00"})
	must(t, err)
	if got := scan[string](t, d, `SELECT concat_ws('|', actor, key, reason, evidence, num_nulls(order_id, scope, before, after)) FROM operator_actions WHERE id > $1`, id); got != "li\uFFFD|k\uFFFD|r\uFFFD|e\uFFFD|4" {
		t.Errorf("hostile texts: %q", got)
	}
	if _, err := d.AddAction(t.Context(), store.Action{Actor: "li", Via: "telegraph", Action: "pause"}); err == nil {
		t.Error("an action by an unknown way was recorded")
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `INSERT INTO operator_actions (at, actor, via, action, order_id, reason) VALUES
		(now() - interval '3 days', 'li', 'cli', 'pause', NULL, '1'),
		(now() - interval '2 days', 'wang', 'cli', 'review retry', 7, '2'),
		(now() - interval '1 day', 'li', 'console', 'review retry', 8, '3'),
		(now(), 'wang', 'cli', 'pause', NULL, '4')`)
	for name, tt := range map[string]struct {
		filter store.ActionFilter
		want   string
	}{
		"all":            {store.ActionFilter{Limit: 10}, "4 3 2 1"},
		"the latest two": {store.ActionFilter{Limit: 2}, "4 3"},
		"since":          {store.ActionFilter{Limit: 10, Since: new(time.Now().Add(-36 * time.Hour))}, "4 3"},
		"of a person":    {store.ActionFilter{Limit: 10, Actor: "li"}, "3 1"},
		"of a kind":      {store.ActionFilter{Limit: 10, Action: "review retry"}, "3 2"},
		"about an order": {store.ActionFilter{Limit: 10, OrderID: 7}, "2"},
		"all together":   {store.ActionFilter{Limit: 10, Actor: "wang", Action: "pause", Since: new(time.Now().Add(-time.Hour))}, "4"},
		"none":           {store.ActionFilter{Limit: 10, Actor: "zhao"}, ""},
	} {
		var got []string
		for _, a := range d.actions(t, tt.filter) {
			got = append(got, a.Reason)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v, want %s", name, got, tt.want)
		}
	}
}
