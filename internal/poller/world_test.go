package poller

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/order"
	"reconciler/internal/policy"
	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

// world is a database, a gateway and a client of it, all real. Its pool plays the
// application and the operator.
type world struct {
	*store.Store

	pool   *pgxpool.Pool
	sim    *simulator.Simulator
	client *chinaums.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, 10*time.Second)
}

func newWorldWith(t *testing.T, timeout time.Duration) *world {
	t.Helper()
	s, pool := storetest.NewStore(t)
	sim, err := simulator.New(simulator.Options{Credentials: []chinaums.Credentials{credentials()}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	client, err := chinaums.New(chinaums.Options{
		BaseURL: server.URL, Path: simulator.QueryPath, Credentials: credentials(), Timeout: timeout, Concurrency: 32,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		sim.Close()
		client.Close()
		server.Close()
	})
	return &world{Store: s, pool: pool, sim: sim, client: client}
}

// poller has the default plan, four workers and no limit of its rate. It probes often whether
// answers can be written again.
func (w *world) poller(t *testing.T, changes ...func(*Options)) *Poller {
	t.Helper()
	o := Options{
		Store: w.Store, Apps: oneApp(w.client), Logger: slog.New(slog.DiscardHandler), Worker: "test",
		Concurrency: 4, RequestTimeout: 10 * time.Second, Lease: time.Minute, Rules: policy.Rules{Plan: testPlan()},
	}
	for _, c := range changes {
		c(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	p.writing.probeEvery = 100 * time.Millisecond
	p.suspectsAfter = 0
	return p
}

func workers(n int) func(*Options)       { return func(o *Options) { o.Concurrency = n } }
func asking(g Gateway) func(*Options)    { return func(o *Options) { o.Apps[0].Gateway = g } }
func into(s Store) func(*Options)        { return func(o *Options) { o.Store = s } }
func named(worker string) func(*Options) { return func(o *Options) { o.Worker = worker } }
func at(rate float64) func(*Options)     { return func(o *Options) { o.Rate = rate } }

// recordedFunc is an observer of the answers that are written.
type recordedFunc struct {
	Unobserved

	recorded func(order.Outcome)
}

func (f recordedFunc) Recorded(out order.Outcome) { f.recorded(out) }

func observing(recorded func(order.Outcome)) func(*Options) {
	return func(o *Options) { o.Observer = recordedFunc{recorded: recorded} }
}

// beginTx begins a transaction of another session. It is rolled back at the test's end, if need be.
func (w *world) beginTx(t *testing.T) pgx.Tx {
	t.Helper()
	tx, err := w.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

func (w *world) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	storetest.Exec(t, w.pool, sql, args...)
}

func rows[T any](t *testing.T, w *world, sql string, args ...any) []T {
	t.Helper()
	return storetest.Rows[T](t, w.pool, sql, args...)
}

func one[T any](t *testing.T, w *world, sql string, args ...any) T {
	t.Helper()
	return storetest.Value[T](t, w.pool, sql, args...)
}

// mer is the number of the test's nth order.
func mer(n int) string { return fmt.Sprintf("3194%08d", n) }

// add makes an order that has been due for a while, ten minutes old, and scripts it at the gateway.
// Without steps the gateway does not know it.
func (w *world) add(t *testing.T, n int, steps ...simulator.Step) {
	t.Helper()
	w.addOf(t, testMID, n, steps...)
}

func (w *world) addOf(t *testing.T, mid string, n int, steps ...simulator.Step) {
	t.Helper()
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, created_at, expires_at, next_query_at)
		VALUES ($1, $2, $3, $4, now() - interval '10 min', now() + interval '20 min', now() - interval '1 hour' + $5 * interval '1 ms')`,
		mid, testTID, mer(n), testAmount, n)
	if len(steps) > 0 {
		w.script(t, mid, n, steps...)
	}
}

func (w *world) script(t *testing.T, mid string, n int, steps ...simulator.Step) {
	t.Helper()
	if err := w.sim.AddOrder(simulator.Order{MID: mid, MerOrderID: mer(n), Amount: testAmount, Timeline: steps}); err != nil {
		t.Fatal(err)
	}
}

func says(status chinaums.Status, mutations ...simulator.Mutation) simulator.Step {
	return simulator.Step{Status: status, Mutations: mutations}
}

func codes(code string) simulator.Step { return simulator.Step{Code: code} }

var isPaidStep = says(chinaums.StatusTradeSuccess)

// state is an order's row in one line, as the tables expect it. Six words, in this order:
//
//	TRADE_REFUND - never 0 free 1000
//
//	status    orders.status
//	review    orders.review_reason; - is no review
//	due       never: no further question; later: next_query_at is in the future; due: it is over
//	count     orders.query_count, how many steps of the plan are spent
//	claim     free, or "in flight": somebody has claimed it
//	booked    orders.total_amount in fen; - is nothing booked
func (w *world) state(t *testing.T, n int) string {
	t.Helper()
	return one[string](t, w, `
		SELECT concat_ws(' ', status, coalesce(review_reason, '-'),
			CASE WHEN next_query_at IS NULL THEN 'never' WHEN next_query_at > now() THEN 'later' ELSE 'due' END,
			query_count, CASE WHEN lease_until IS NULL AND claimed_by IS NULL THEN 'free' ELSE 'in flight' END, coalesce(total_amount::text, '-'))
		FROM orders WHERE mer_order_id = $1`, mer(n))
}

const (
	rowPaid      = "TRADE_SUCCESS - never 0 free 1000"
	rowUntouched = "UNKNOWN - due 0 free -"
	rowWaiting   = "UNKNOWN - later 0 free -"
)

func (w *world) wantState(t *testing.T, n int, want string) {
	t.Helper()
	if got := w.state(t, n); got != want {
		t.Errorf("order %d: got %q, want %q", n, got, want)
	}
}

// ledger lists what became of an order's questions, the oldest first, each in three words:
// decision, reason, round trips. "no_answer transient 3" is a question that three requests could
// not answer.
func (w *world) ledger(t *testing.T, n int) []string {
	t.Helper()
	return rows[string](t, w, `
		SELECT concat_ws(' ', q.decision, q.reason, q.round_trips)
		FROM order_queries q JOIN orders o ON o.id = q.order_id WHERE o.mer_order_id = $1 ORDER BY q.id`, mer(n))
}

func (w *world) events(t *testing.T, n int) []string {
	t.Helper()
	return rows[string](t, w, `SELECT event FROM order_events WHERE mer_order_id = $1 ORDER BY id`, mer(n))
}

func (w *world) wantLedger(t *testing.T, n int, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, w.ledger(t, n), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("order %d: ledger (-want +got):\n%s", n, diff)
	}
}

func (w *world) wantEvents(t *testing.T, n int, want ...string) {
	t.Helper()
	if got := w.events(t, n); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("order %d: events %v, want %v", n, got, want)
	}
}

// sweep is one pass.
func sweep(t *testing.T, p *Poller, run Run) Summary {
	t.Helper()
	summary, err := p.RunOnce(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	return summary
}

func wantDecisions(t *testing.T, s Summary, want map[order.Decision]int) {
	t.Helper()
	if diff := cmp.Diff(want, s.Decisions); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
	asked := 0
	for _, n := range want {
		asked += n
	}
	if s.Asked != asked {
		t.Errorf("asked = %d, want %d", s.Asked, asked)
	}
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	storetest.Eventually(t, 3*time.Minute, what, holds)
}

// running is a pass under way.
type running struct {
	stop    context.CancelFunc
	ended   chan struct{}
	summary Summary
	err     error
}

func start(t *testing.T, p *Poller, run Run) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &running{stop: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.summary, r.err = p.RunOnce(ctx, run)
	}()
	t.Cleanup(func() { r.stop(); <-r.ended })
	return r
}

func (r *running) wait(t *testing.T) Summary {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(3 * time.Minute):
		t.Fatal("the pass does not end")
	}
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.summary
}

// dump is all that the tables hold, row by row.
func (w *world) dump(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, table := range []string{"orders", "order_queries", "order_events", "gateway_controls", "gateway_budgets"} {
		all = append(all, rows[string](t, w, `SELECT '`+table+` ' || to_jsonb(r)::text FROM `+table+` AS r ORDER BY 1`)...)
	}
	return all
}

func logging(h slog.Handler) func(*Options) { return func(o *Options) { o.Logger = slog.New(h) } }

// brokenStore is the real store with trouble on the way to it, by the number of the
// call, from 1. An error before a call keeps it from being made.
type brokenStore struct {
	*store.Store

	mu                       sync.Mutex
	claims, records          int
	claim, record, committed func(n int) error
	claimed                  func([]order.Order) // behind each claim
}

func (s *brokenStore) call(count *int, trouble func(int) error) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*count++
	if trouble != nil {
		err = trouble(*count)
	}
	return *count, err
}

func (s *brokenStore) Claim(ctx context.Context, c store.Claim) (store.Page, error) {
	if _, err := s.call(&s.claims, s.claim); err != nil {
		return store.Page{}, err
	}
	page, err := s.Store.Claim(ctx, c)
	if s.claimed != nil && err == nil {
		s.claimed(page.Orders)
	}
	return page, err
}

func (s *brokenStore) Record(ctx context.Context, group []order.Outcome) ([]store.Recorded, error) {
	n, err := s.call(&s.records, s.record)
	if err != nil {
		return nil, err
	}
	written, err := s.Store.Record(ctx, group)
	if s.committed != nil && err == nil {
		err = s.committed(n) // it is written, but nobody here hears of it
	}
	return written, err
}
