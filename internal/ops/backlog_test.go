package ops

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// readerFunc is a BacklogReader of one function.
type readerFunc func(ctx context.Context) (store.Backlog, error)

func (f readerFunc) Backlog(ctx context.Context) (store.Backlog, error) { return f(ctx) }

func (readerFunc) UnreadEvents(context.Context) ([]store.Unread, int, error) { return nil, 0, nil }

func never() time.Time { return time.Time{} }

// figures are the scraped series with that prefix, by what stands before the value.
func figures(t *testing.T, m *Metrics, prefixes ...string) map[string]float64 {
	t.Helper()
	all := make(map[string]float64)
	for line := range strings.Lines(scrape(t, m)) {
		if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(line, p) }) {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all[line[:at]] = value
	}
	return all
}

func ofBacklog(t *testing.T, m *Metrics) map[string]float64 {
	t.Helper()
	return figures(t, m, "reconciler_orders_", "reconciler_paused", "reconciler_instances", "reconciler_backlog_up", "reconciler_last_pass")
}

// nothing is what is told of a database without orders.
func nothing() map[string]float64 {
	all := map[string]float64{
		"reconciler_backlog_up": 1, "reconciler_orders_overdue": 0, "reconciler_orders_overdue_oldest_seconds": 0,
		"reconciler_last_pass_finished_timestamp_seconds": 0, "reconciler_instances": 0,
		`reconciler_paused{key="",scope="app",set_by=""}`: 0, `reconciler_paused{key="",scope="mid",set_by=""}`: 0,
	}
	for _, status := range []string{"UNKNOWN", "NEW_ORDER", "WAIT_BUYER_PAY"} {
		for _, figure := range []string{"", "_amount_fen", "_oldest_seconds"} {
			all[`reconciler_orders_unresolved`+figure+`{status="`+status+`"}`] = 0
		}
	}
	for _, reason := range []string{
		"identity_mismatch", "amount_missing", "amount_mismatch", "bad_request", "not_found_unconfirmed",
		"query_window_over", "no_credentials", "poison", "conflict", "unwritable",
	} {
		all[`reconciler_orders_in_review{reason="`+reason+`"}`] = 0
		all[`reconciler_orders_in_review_amount_fen{reason="`+reason+`"}`] = 0
	}
	return all
}

// An alert on a figure that is missing is as quiet as one on a good figure.
func TestBacklogOfNothingHasAllFigures(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	m.Watch(readerFunc(func(context.Context) (store.Backlog, error) { return store.Backlog{}, nil }), never)
	if diff := cmp.Diff(nothing(), ofBacklog(t, m)); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
}

func TestBacklogFigures(t *testing.T) {
	t.Parallel()
	finished := time.Date(2026, 6, 1, 12, 0, 0, 5e8, time.UTC)
	m := NewMetrics()
	m.Watch(readerFunc(func(context.Context) (store.Backlog, error) {
		return store.Backlog{
			Unresolved: map[order.Status]store.Pile{order.StatusNewOrder: {Orders: 3, Amount: 12900, Oldest: 90 * time.Second}},
			Review:     map[string]store.Pile{"conflict": {Orders: 2, Amount: 200}, "a \"person's\nown\xff": {Orders: 1, Amount: 1}},
			Overdue:    4, OverdueBy: 1500 * time.Millisecond, Instances: 3,
			Pauses: []store.Control{
				{Scope: store.ScopeMerchant, Key: "898340149000005", SetBy: store.Breaker},
				{Scope: store.ScopeMerchant, Key: "898340149000006", SetBy: "李雷\xff"},
			},
		}, nil
	}), func() time.Time { return finished })
	want := nothing()
	delete(want, `reconciler_paused{key="",scope="mid",set_by=""}`)
	maps.Copy(want, map[string]float64{
		`reconciler_orders_unresolved{status="NEW_ORDER"}`:                                   3,
		`reconciler_orders_unresolved_amount_fen{status="NEW_ORDER"}`:                        12900,
		`reconciler_orders_unresolved_oldest_seconds{status="NEW_ORDER"}`:                    90,
		`reconciler_orders_in_review{reason="conflict"}`:                                     2,
		`reconciler_orders_in_review_amount_fen{reason="conflict"}`:                          200,
		`reconciler_orders_in_review{reason="a \"person's\nown` + "\uFFFD" + `"}`:            1,
		`reconciler_orders_in_review_amount_fen{reason="a \"person's\nown` + "\uFFFD" + `"}`: 1,
		`reconciler_orders_overdue`:                                                          4,
		`reconciler_instances`:                                                               3,
		`reconciler_orders_overdue_oldest_seconds`:                                           1.5,
		`reconciler_paused{key="898340149000005",scope="mid",set_by="breaker"}`:              1,
		`reconciler_paused{key="898340149000006",scope="mid",set_by="李雷` + "\uFFFD" + `"}`:   1,
		`reconciler_last_pass_finished_timestamp_seconds`:                                    float64(finished.Unix()) + 0.5,
	})
	if diff := cmp.Diff(want, ofBacklog(t, m)); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
}

// Of a database that cannot be read it is told that, and no old figure.
func TestBacklogUnreadable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := false
		m := NewMetrics()
		down := map[string]float64{"reconciler_backlog_up": 0, "reconciler_last_pass_finished_timestamp_seconds": 0}
		want := func(when string, want map[string]float64) {
			t.Helper()
			if diff := cmp.Diff(want, ofBacklog(t, m)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		want("before the start", down)
		m.Watch(readerFunc(func(context.Context) (store.Backlog, error) {
			if away {
				return store.Backlog{}, errors.New("the database is away")
			}
			return store.Backlog{}, nil
		}), never)
		want("at the start", nothing())
		away = true
		time.Sleep(keptFor)
		want("when it is away", down)
		away = false
		time.Sleep(keptFor)
		want("when it is back", nothing())
	})
}

// Many scrapes at once and one after the other are one reading, whether it succeeds
// or not.
func TestScrapesDoNotLoadTheDatabase(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"readable": nil, "away": errors.New("the database is away")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var readings atomic.Int64
				m := NewMetrics()
				m.Watch(readerFunc(func(context.Context) (store.Backlog, error) {
					readings.Add(1)
					return store.Backlog{}, err
				}), never)
				for wave := range int64(3) {
					var group sync.WaitGroup
					for range 10 {
						group.Go(func() { scrape(t, m) })
					}
					group.Wait()
					time.Sleep(keptFor - time.Nanosecond)
					scrape(t, m)
					if n := readings.Load(); n != wave+1 {
						t.Errorf("%d readings, want %d", n, wave+1)
					}
					time.Sleep(time.Nanosecond)
				}
			})
		})
	}
}

// A database that hangs does not make the scrape hang.
func TestBacklogIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := NewMetrics()
		m.Watch(readerFunc(func(ctx context.Context) (store.Backlog, error) {
			<-ctx.Done()
			return store.Backlog{}, context.Cause(ctx)
		}), never)
		began := time.Now()
		if up := ofBacklog(t, m)["reconciler_backlog_up"]; up != 0 {
			t.Errorf("up = %g", up)
		}
		if took := time.Since(began); took != readTimeout {
			t.Errorf("took %s, want %s", took, readTimeout)
		}
	})
}
