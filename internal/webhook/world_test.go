package webhook_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
	"reconciler/internal/webhook"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// delivery is a request that the receiver had.
type delivery struct {
	ID      int64
	Order   int64
	Body    string
	Problem error // of its signature
}

// world is a database, a receiver that answers as it is told, and the deliverers that are started.
type world struct {
	store    *store.Store
	pool     *pgxpool.Pool
	receiver *httptest.Server
	log      *lockedBuffer

	mu     sync.Mutex
	answer func(w http.ResponseWriter, order int64)
	had    []delivery
	counts map[webhook.Result]int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{log: &lockedBuffer{}, answer: func(http.ResponseWriter, int64) {}, counts: make(map[webhook.Result]int)}
	w.store, w.pool = storetest.NewStore(t)
	w.receiver = httptest.NewServer(http.HandlerFunc(w.receive))
	t.Cleanup(func() { w.receiver.CloseClientConnections(); w.receiver.Close() })
	w.exec(t, `SELECT register_order_events('webhook', true)`)
	return w
}

func (w *world) receive(response http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	key, _ := standardwebhooks.NewWebhook(secret)
	var m struct {
		ID   int64
		Data struct{ Order int64 }
	}
	problem := json.Unmarshal(body, &m)
	if problem == nil {
		problem = key.Verify(body, r.Header)
	}
	if r.Header.Get("webhook-id") != strconv.FormatInt(m.ID, 10) || r.Method != http.MethodPost {
		problem = io.ErrUnexpectedEOF
	}
	w.mu.Lock()
	w.had = append(w.had, delivery{ID: m.ID, Order: m.Data.Order, Body: string(body), Problem: problem})
	answer := w.answer
	w.mu.Unlock()
	answer(response, m.Data.Order)
}

// answers says how the receiver answers from now on.
func (w *world) answers(f func(w http.ResponseWriter, order int64)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = f
}

func status(code int) func(http.ResponseWriter, int64) {
	return func(w http.ResponseWriter, _ int64) { w.WriteHeader(code) }
}

// hangsFor keeps requests about some orders until the client goes, or the test ends.
func hangsFor(t *testing.T, orders ...int64) func(http.ResponseWriter, int64) {
	return func(_ http.ResponseWriter, order int64) {
		if slices.Contains(orders, order) {
			<-t.Context().Done()
		}
	}
}

// received are the orders of the requests so far.
func (w *world) received() []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	orders := make([]int64, 0, len(w.had))
	for _, d := range w.had {
		orders = append(orders, d.Order)
	}
	return orders
}

func (w *world) count(r webhook.Result) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts[r]
}

// tell writes an event for each order, each in a transaction of its own.
func (w *world) tell(t *testing.T, orders ...int64) {
	t.Helper()
	for _, order := range orders {
		w.exec(t, `INSERT INTO order_events (order_id, mid, event, payload)
			VALUES ($1::bigint, '898340149000005', 'order.paid', jsonb_build_object('order', $1::bigint))`, order)
	}
}

func (w *world) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	storetest.Exec(t, w.pool, sql, args...)
}

func scan[T any](t *testing.T, w *world, sql string, args ...any) T {
	t.Helper()
	return storetest.Value[T](t, w.pool, sql, args...)
}

// start runs a deliverer. The function that it returns stops it and waits for its end.
func (w *world) start(t *testing.T, change ...func(*webhook.Options)) (stop func()) {
	t.Helper()
	options := webhook.Options{
		Store: w.store, URL: w.receiver.URL, Secret: secret, Worker: rand.Text(), Logger: slog.New(slog.NewTextHandler(w.log, nil)),
		Observe: func(r webhook.Result) { w.mu.Lock(); defer w.mu.Unlock(); w.counts[r]++ },
		Poll:    20 * time.Millisecond,
	}
	for _, f := range change {
		f(&options)
	}
	d, err := webhook.New(options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() { defer close(ended); d.Run(ctx) }()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

func timeout(d time.Duration) func(*webhook.Options) {
	return func(o *webhook.Options) { o.Timeout = d }
}

// due ends the waits between attempts.
func (w *world) due(t *testing.T) {
	t.Helper()
	w.exec(t, `UPDATE webhook_deliveries SET next_at = now() WHERE next_at IS NOT NULL`)
}

func (w *world) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(3 * time.Minute); !holds(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 30 s: %s; received %v\n%s", what, w.received(), w.log)
		}
	}
}

// awaitState waits until the deliveries of an order are in these states, the oldest first.
func (w *world) awaitState(t *testing.T, order int64, want ...string) {
	t.Helper()
	var got []string
	w.await(t, "states", func() bool {
		got = scan[[]string](t, w, `
			SELECT coalesce(array_agg(CASE WHEN d.delivered_at IS NOT NULL THEN 'delivered' WHEN d.set_aside_at IS NOT NULL THEN 'set aside'
			                               WHEN d.attempts > 0 THEN 'failed' ELSE 'waits' END ORDER BY e.id), '{}')
			FROM order_events AS e JOIN webhook_deliveries AS d ON d.event_id = e.id
			WHERE e.order_id = $1`, order)
		return slices.Equal(got, want)
	})
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// closedPort is an address on which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
