package ops

import (
	"context"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/robfig/cron/v3"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/policy"
	"reconciler/internal/poller"
	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

const (
	appID = "test-app"
	mid   = "898340149000005"
)

// world is a database with a poller and a gateway, all real, of which nothing runs
// by itself. Its connection plays the application and the operator.
type world struct {
	*store.Store

	pool    *pgxpool.Pool
	sim     *simulator.Simulator
	poller  *poller.Poller
	status  *Status
	metrics *Metrics
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, pool := storetest.NewStore(t)
	app := chinaums.Credentials{AppID: appID, AppKey: "test-key"}
	sim, err := simulator.New(simulator.Options{Credentials: []chinaums.Credentials{app}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	client, err := chinaums.New(chinaums.Options{
		BaseURL: server.URL, Path: simulator.QueryPath, Credentials: app, Timeout: 10 * time.Second, Concurrency: 4,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close(); client.Close(); server.Close() })
	w := &world{Store: s, pool: pool, sim: sim, status: &Status{}, metrics: NewMetrics()}
	w.poller, err = poller.New(poller.Options{
		Store: s, Apps: []poller.App{{AppID: appID, Gateway: client}}, Logger: slog.New(slog.DiscardHandler), Worker: "test",
		Concurrency: 4, RequestTimeout: 10 * time.Second, Lease: time.Minute, Observer: w.metrics,
		Rules: policy.Rules{Plan: policy.Plan{
			Initial: 15 * time.Second, Multiplier: 2, Max: time.Hour,
			SlowAfter: 24 * time.Hour, GiveUpAfter: 168 * time.Hour, NotFoundAfter: 2 * time.Hour,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.status.Serve(s, w.poller)
	return w
}

func (w *world) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	storetest.Exec(t, w.pool, sql, args...)
}

// add makes an order of three hours that has been due for two.
func (w *world) add(t *testing.T, number string, amount int64, step simulator.Step) {
	t.Helper()
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, created_at, expires_at, next_query_at)
		VALUES ($1, '88880001', $2, $3, now() - interval '3 hours', now() - interval '150 min', now() - interval '2 hours')`, mid, number, amount)
	if err := w.sim.AddOrder(simulator.Order{MID: mid, MerOrderID: number, Amount: amount, Timeline: []simulator.Step{step}}); err != nil {
		t.Fatal(err)
	}
}

// runUntil lets the daemon's passes go on until then.
func (w *world) runUntil(t *testing.T, what string, done func() bool) {
	t.Helper()
	schedule := cron.Every(time.Second)
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.poller.Run(ctx, schedule)
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() && ctx.Err() == nil {
		<-tick.C
	}
	if ctx.Err() != nil {
		t.Errorf("waited in vain for %s", what)
	}
	stop()
	<-ended
}

// now is what the next scrape would tell: the memory of the last one is dropped.
func (w *world) now(t *testing.T) map[string]float64 {
	t.Helper()
	w.metrics.Watch(w.Store, w.poller.LastPass)
	return figures(t, w.metrics, "reconciler_orders_", "reconciler_paused", "reconciler_backlog_up", "reconciler_questions_total")
}

func (w *world) ready(t *testing.T, want string) {
	t.Helper()
	code := http.StatusServiceUnavailable
	if want == `"ok"` {
		code = http.StatusOK
	}
	if got := ask(w.status, w.metrics, http.MethodGet, "/readyz"); got.Code != code || !strings.Contains(got.Body.String(), want) {
		t.Errorf("/readyz = %d %s, want %s", got.Code, got.Body, want)
	}
}

// want compares figures; ages may be a minute more than given.
func want(t *testing.T, when string, got, want map[string]float64) {
	t.Helper()
	for figure, value := range want {
		most := value
		if strings.Contains(figure, "_oldest_seconds") && value > 0 {
			most += 60
		}
		if v, there := got[figure]; !there || math.IsNaN(v) || v < value || v > most {
			t.Errorf("%s: %s = %g (there: %t), want %g", when, figure, v, there, value)
		}
	}
}

// Lesson 10: payments stood still for weeks while all that was watched was green,
// because it measured whether the service answers and not whether work moves. Here
// the orders themselves are measured: whatever keeps them, they are seen.
func TestLesson10GreenDashboardOverStuckMoney(t *testing.T) {
	t.Parallel()
	const (
		count   = `reconciler_orders_unresolved{status="UNKNOWN"}`
		amount  = `reconciler_orders_unresolved_amount_fen{status="UNKNOWN"}`
		oldest  = `reconciler_orders_unresolved_oldest_seconds{status="UNKNOWN"}`
		overdue = `reconciler_orders_overdue`
		lag     = `reconciler_orders_overdue_oldest_seconds`
		review  = `reconciler_orders_in_review{reason="amount_mismatch"}`
		held    = `reconciler_orders_in_review_amount_fen{reason="amount_mismatch"}`
		paused  = `reconciler_paused{key="test-app",scope="app",set_by="an operator"}`
		none    = `reconciler_paused{key="",scope="app",set_by=""}`
		up      = `reconciler_backlog_up`
	)
	w := newWorld(t)
	paid := simulator.Step{Status: chinaums.StatusTradeSuccess}
	w.add(t, "319400000001", 12900, paid)
	w.add(t, "319400000002", 100, paid)
	w.add(t, "319400000003", 7, simulator.Step{Status: chinaums.StatusTradeSuccess, Amount: new(int64(6))})

	// The process lives and answers, and nothing has failed: its passes just do not run.
	if got := ask(w.status, w.metrics, http.MethodGet, "/healthz"); got.Code != http.StatusOK {
		t.Errorf("/healthz = %d", got.Code)
	}
	w.ready(t, "no pass has run yet")
	want(t, "standing still", w.now(t), map[string]float64{
		up: 1, count: 3, amount: 13007, oldest: 3 * 3600, overdue: 3, lag: 2 * 3600, review: 0, none: 0,
		`reconciler_questions_total{decision="no_answer"}`: 0,
	})
	w.exec(t, `UPDATE orders SET created_at = created_at - interval '1 hour', next_query_at = next_query_at - interval '1 hour'`)
	want(t, "an hour later", w.now(t), map[string]float64{count: 3, amount: 13007, oldest: 4 * 3600, overdue: 3, lag: 3 * 3600})

	// The passes run and are well, only a pause keeps everything back: ready, and the money as
	// visible as before.
	storetest.Pause(t, w.Store, store.Control{Scope: store.ScopeApp, Key: appID, Reason: "maintenance", SetBy: "an operator"})
	w.runUntil(t, "a pass", func() bool { return w.poller.Ready() == nil })
	w.ready(t, `"ok"`)
	want(t, "paused", w.now(t), map[string]float64{
		count: 3, amount: 13007, overdue: 0, lag: 0, paused: 1,
		`reconciler_orders_paused{key="` + appID + `",scope="app"}`: 3, `reconciler_orders_paused_amount_fen{key="` + appID + `",scope="app"}`: 13007,
	})
	if n := w.sim.Total(); n != 0 {
		t.Errorf("%d round trips while paused", n)
	}

	// Work moves: what remains is what waits for a person.
	storetest.Resume(t, w.Store, store.ScopeApp, appID, "an operator")
	w.runUntil(t, "the answers", func() bool { now := w.now(t); return now[count] == 1 && now[review] == 1 })
	want(t, "resumed", w.now(t), map[string]float64{
		count: 1, amount: 7, oldest: 4 * 3600, overdue: 0, lag: 0, review: 1, held: 7, none: 0,
		`reconciler_questions_total{decision="settled"}`: 2, `reconciler_questions_total{decision="review"}`: 1,
	})
	w.exec(t, `UPDATE orders SET status = 'TRADE_SUCCESS', review_reason = NULL WHERE review_reason IS NOT NULL`)
	want(t, "done", w.now(t), map[string]float64{count: 0, amount: 0, oldest: 0, overdue: 0, lag: 0, review: 0, held: 0})

	// The database is away: no figure at all is better than the last good one.
	w.Close()
	got := w.now(t)
	want(t, "away", got, map[string]float64{up: 0})
	if value, there := got[count]; there {
		t.Errorf("without a database the unresolved orders are %g", value)
	}
	w.ready(t, "unavailable")
}
