package poller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/robfig/cron/v3"

	"reconciler/internal/order"
	"reconciler/internal/policy"
	"reconciler/internal/store"
)

// dueStore is a store whose first call of a pass is the only one: the due orders. It stands in
// where time is not real and a connection cannot be.
type dueStore struct {
	Store

	due func(ctx context.Context) ([]order.Order, error)
}

func (s *dueStore) Claim(ctx context.Context, _ store.Claim) (store.Page, error) {
	orders, err := s.due(ctx)
	return store.Page{Orders: orders}, err
}

func (s *dueStore) MerchantStats(context.Context) (store.MerchantStats, error) {
	return store.MerchantStats{}, nil
}

func (s *dueStore) ReviveNoCredentials(context.Context, []string) (int, error) { return 0, nil }

func (s *dueStore) ReleaseStray(context.Context, string, []int64) (int, error) { return 0, nil }

func newScheduled(t *testing.T, logger *slog.Logger, due func(context.Context) ([]order.Order, error)) *Poller {
	t.Helper()
	p, err := New(Options{
		Store: &dueStore{due: due}, Apps: oneApp(gatewayFunc(nil)), Logger: logger, Worker: "test",
		Concurrency: 2, RequestTimeout: 10 * time.Second, Lease: time.Minute, Rules: policy.Rules{Plan: testPlan()},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func every(t *testing.T, text string) cron.Schedule {
	t.Helper()
	s, err := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// passes runs a schedule for a time and returns when each pass began. What a pass
// does is up to do, which is told the pass's number, from 0.
func passes(t *testing.T, schedule string, lasts time.Duration, do func(ctx context.Context, n int) error) []time.Duration {
	t.Helper()
	var began []time.Duration
	start := time.Now()
	var running atomic.Int32
	p := newScheduled(t, slog.New(slog.DiscardHandler), func(ctx context.Context) ([]order.Order, error) {
		if running.Add(1) > 1 {
			t.Error("two passes at once")
		}
		defer running.Add(-1)
		began = append(began, time.Since(start))
		return nil, do(ctx, len(began)-1)
	})
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	p.Run(ctx, every(t, schedule))
	if d := time.Since(start); d < lasts || d > lasts+writeTimeout {
		t.Errorf("Run ended after %s, told to after %s", d, lasts)
	}
	return began
}

func seconds(n ...int) []time.Duration {
	var all []time.Duration
	for _, s := range n {
		all = append(all, time.Duration(s)*time.Second)
	}
	return all
}

func TestRun(t *testing.T) {
	t.Parallel()
	quick := func(context.Context, int) error { return nil }
	slowFirst := func(_ context.Context, n int) error {
		if n == 0 {
			time.Sleep(12 * time.Second)
		}
		return nil
	}
	for _, tt := range []struct {
		name, schedule string
		do             func(context.Context, int) error
		want           []time.Duration
	}{
		{"first at once", "@every 5s", quick, seconds(0, 5, 10, 15, 20)},
		{"first at once, whatever the schedule", "0 0 1 1 *", quick, seconds(0)},
		{"by the clock", "*/7 * * * * *", quick, seconds(0, 7, 14, 21)},
		{"a long pass is not overlapped", "@every 5s", slowFirst, seconds(0, 17, 22)},
		{"nor made up for", "*/5 * * * * *", slowFirst, seconds(0, 15, 20)},
		{"a failing pass does not end it", "@every 10s", func(context.Context, int) error { return errors.New("no database") }, seconds(0, 10, 20)},
		{"nor does a panic", "@every 10s", func(context.Context, int) error { panic("a bug") }, seconds(0, 10, 20)},
		{"nor a panic in a later one", "@every 10s", func(_ context.Context, n int) error {
			if n == 1 {
				panic("a bug")
			}
			return nil
		}, seconds(0, 10, 20)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				got := passes(t, tt.schedule, 23*time.Second, tt.do)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("passes began (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A stop ends the wait for the next pass. A claim under way is awaited: what it
// takes would otherwise be in nobody's hands; but only for its own time.
func TestRunStops(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		do   func(context.Context, int) error
		most time.Duration
	}{
		{"between passes", func(context.Context, int) error { return nil }, 0},
		{"in a claim", func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }, writeTimeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			start, lasts := time.Now(), 3*time.Second
			passes(t, "@every 1h", lasts, tt.do)
			if d := time.Since(start) - lasts; d > tt.most {
				t.Errorf("%s: Run ended %s after the stop, want at most %s", tt.name, d, tt.most)
			}
		})
	}
}

// A context that has ended before begins nothing.
func TestRunStoppedBefore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := newScheduled(t, slog.New(slog.DiscardHandler), func(context.Context) ([]order.Order, error) {
		t.Error("a pass began")
		return nil, nil
	})
	p.Run(ctx, every(t, "@every 5s"))
}

// records keeps the messages that are logged at a level or above it.
type records struct {
	slog.Handler

	lines chan string
}

func newRecords() records { return records{slog.DiscardHandler, make(chan string, 1000)} }

func (r records) Enabled(context.Context, slog.Level) bool { return true }

func (r records) Handle(_ context.Context, rec slog.Record) error {
	line := rec.Level.String() + " " + rec.Message
	rec.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	r.lines <- line
	return nil
}

func (r records) all() []string {
	var lines []string
	for len(r.lines) > 0 {
		lines = append(lines, <-r.lines)
	}
	return lines
}

func (r records) find(parts ...string) bool {
	return slices.ContainsFunc(r.all(), func(line string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) })
	})
}

func TestRunLogsWhatFailed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		do   func() error
		want string
	}{
		{"error", func() error { return errors.New("no database") }, "no database"},
		{"panic", func() error { panic("a bug") }, "a bug"},
	} {
		synctest.Test(t, func(t *testing.T) {
			logged := newRecords()
			p := newScheduled(t, slog.New(logged), func(context.Context) ([]order.Order, error) { return nil, tt.do() })
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			p.Run(ctx, every(t, "@every 5s"))
			if !logged.find("ERROR", tt.want) {
				t.Errorf("%s: nothing logged about %q", tt.name, tt.want)
			}
		})
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	ready := func(t *testing.T, p *Poller, want string) {
		t.Helper()
		err := p.Ready()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("after %s: got %v, want %q", time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)), err, want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		type next struct {
			hold    time.Duration
			trouble error
		}
		var passes atomic.Value
		passes.Store(next{})
		p := newScheduled(t, slog.New(slog.DiscardHandler), func(context.Context) ([]order.Order, error) {
			n := passes.Load().(next)
			time.Sleep(n.hold)
			return nil, n.trouble
		})
		ready(t, p, "no pass")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.Run(ctx, every(t, "@every 5s"))
		}()
		time.Sleep(time.Second) // 1
		ready(t, p, "")
		passes.Store(next{trouble: errors.New("no database")})
		time.Sleep(5 * time.Second) // 6
		ready(t, p, "no database")
		passes.Store(next{hold: 3 * time.Minute})
		time.Sleep(5 * time.Second) // 11: a long pass has begun, the last one failed
		ready(t, p, "no database")
		time.Sleep(3 * time.Minute) // 191: it ended at 190
		ready(t, p, "")
		passes.Store(next{hold: time.Hour})
		time.Sleep(2 * time.Minute) // 311: the pass of 195 hangs, not for two leases yet
		ready(t, p, "")
		time.Sleep(10 * time.Second) // 321
		ready(t, p, "stood still for 2m6s")
		cancel()
		<-done
	})
	synctest.Test(t, func(t *testing.T) {
		p := newScheduled(t, slog.New(slog.DiscardHandler), func(context.Context) ([]order.Order, error) { return nil, nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		p.Run(ctx, every(t, "@every 5s")) // nobody begins the pass of second 5
		time.Sleep(64 * time.Second)
		ready(t, p, "")
		time.Sleep(time.Second)
		ready(t, p, "due 1m1s ago has not begun")
	})
}

// slowBudgetStore is a store whose first call of a pass lasts until the pass is stopped.
type slowBudgetStore struct{ Store }

func (slowBudgetStore) OpenBudget(ctx context.Context, _ string, _ float64) error {
	<-ctx.Done()
	return fmt.Errorf("open the budget: %w", ctx.Err())
}

func TestStopBeforeTheFirstClaimIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		p, err := New(Options{
			Store: slowBudgetStore{}, Apps: oneApp(gatewayFunc(nil)), Logger: slog.New(slog.NewTextHandler(&log, nil)), Worker: "test", Rate: 1,
			Concurrency: 2, RequestTimeout: 10 * time.Second, Lease: time.Minute, Rules: policy.Rules{Plan: testPlan()},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		p.Run(ctx, every(t, "@every 5s"))
		if log.Len() > 0 {
			t.Errorf("the log of a stop says: %s", &log)
		}
	})
}
