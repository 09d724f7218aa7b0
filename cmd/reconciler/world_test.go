package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/postgres/postgrestest"
	"reconciler/internal/store/storetest"
)

const (
	appID      = "app-of-the-tests"
	otherAppID = "other-app-of-the-tests"
	appKey     = "key-that-nobody-may-see"

	mid      = "898340149000005"
	otherMID = "898340149000006"
	tid      = "88880001"
	amount   = 12_900 // fen, of every order
)

// world is a database, a gateway, and the settings by which the program finds both.
type world struct {
	*gateway

	url  string
	conn *pgx.Conn // the application's and the operator's
	env  []string
	made int // orders so far
}

// newWorld has a short plan, so that nothing is waited for longer than needed.
func newWorld(t *testing.T) *world {
	t.Helper()
	needsProgram(t) // before the database is made for nothing
	w := &world{gateway: newGateway(t), url: postgrestest.NewDatabase(t)}
	w.conn = storetest.Connect(t, w.url)
	w.env = []string{
		"DATABASE_URL=" + w.url,
		"CHINAUMS_APP_ID=" + appID,
		"CHINAUMS_APP_KEY=" + appKey,
		"CHINAUMS_BASE_URL=" + w.gateway.url,
		"RECONCILER_REQUEST_TIMEOUT=15s", // a request that is held must not run into it
		"RECONCILER_LEASE=52s",
		"RECONCILER_RATE=0",
		"RECONCILER_SCHEDULE=@every 1s",
		"RECONCILER_PLAN_INITIAL=100ms",
		"RECONCILER_PLAN_MAX=500ms",
		"RECONCILER_LISTEN=off",
		"RECONCILER_LOG_LEVEL=debug",
	}
	return w
}

// set changes settings of the processes that are started from now on.
func (w *world) set(settings ...string) {
	for _, s := range settings {
		w.unset(name(s))
		w.env = append(w.env, s)
	}
}

func (w *world) unset(names ...string) {
	w.env = slices.DeleteFunc(slices.Clone(w.env), func(s string) bool { return slices.Contains(names, name(s)) })
}

func name(setting string) string {
	name, _, _ := strings.Cut(setting, "=")
	return name
}

func (w *world) start(t *testing.T, args ...string) *process {
	t.Helper()
	return start(t, w.env, args...)
}

func (w *world) invoke(t *testing.T, args ...string) result {
	t.Helper()
	return invoke(t, w.env, args...)
}

// orders makes n payments whose life at the gateway is the given one, and inserts them as the
// application does. It returns their numbers.
func (w *world) orders(t *testing.T, n int, life ...simulator.Step) []string {
	t.Helper()
	numbers := w.register(t, mid, n, life...)
	w.insert(t, mid, numbers...)
	return numbers
}

// register makes payments known to the gateway only.
func (w *world) register(t *testing.T, mid string, n int, life ...simulator.Step) []string {
	t.Helper()
	numbers := make([]string, n)
	for i := range numbers {
		w.made++
		numbers[i] = fmt.Sprintf("3194%08d", w.made)
		order := simulator.Order{MID: mid, TID: tid, MerOrderID: numbers[i], Amount: amount, Timeline: life}
		if err := w.AddOrder(order); err != nil {
			t.Fatal(err)
		}
	}
	return numbers
}

// insert is all that an application has to do.
func (w *world) insert(t *testing.T, mid string, numbers ...string) {
	t.Helper()
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount) SELECT $1, $2, unnest($3::text[]), $4`,
		mid, tid, numbers, amount)
}

func (w *world) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	storetest.Exec(t, w.conn, sql, args...)
}

// scan reads one value.
func scan[T any](t *testing.T, w *world, sql string, args ...any) T {
	t.Helper()
	return storetest.Value[T](t, w.conn, sql, args...)
}

// column reads the values of many rows.
func column[T any](t *testing.T, w *world, sql string, args ...any) []T {
	t.Helper()
	return storetest.Rows[T](t, w.conn, sql, args...)
}

// statuses counts the orders by status.
func (w *world) statuses(t *testing.T) map[string]int {
	t.Helper()
	counts := make(map[string]int)
	for _, status := range column[string](t, w, `SELECT status FROM orders`) {
		counts[status]++
	}
	return counts
}

// awaitPaid waits until as many orders are settled as paid.
func (w *world) awaitPaid(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d orders are paid", n), func() bool { return w.statuses(t)["TRADE_SUCCESS"] == n })
}

// wantOneEventEach checks that every settled order has one event, and no other order has any.
func (w *world) wantOneEventEach(t *testing.T) {
	t.Helper()
	bad := column[string](t, w, `
		SELECT o.mer_order_id || ' ' || o.status || ': ' || count(e.id)
		FROM orders o LEFT JOIN order_events e ON e.order_id = o.id
		GROUP BY o.id
		HAVING count(e.id) <> CASE WHEN o.status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY') THEN 0 ELSE 1 END`)
	if len(bad) > 0 {
		t.Errorf("events of orders: %q, want one for each that is settled", bad)
	}
}

// wantAskedOnce checks that the gateway had one round trip for each of the orders, and the ledger
// has one row.
func (w *world) wantAskedOnce(t *testing.T, numbers []string) {
	t.Helper()
	for _, number := range numbers {
		if n := w.Count(number); n != 1 {
			t.Errorf("the gateway was asked %d times about %s, want once", n, number)
		}
		if n := scan[int](t, w, `SELECT count(*) FROM order_queries q JOIN orders o ON o.id = q.order_id WHERE o.mer_order_id = $1`, number); n != 1 {
			t.Errorf("%d rows in the ledger about %s, want one", n, number)
		}
	}
}

// dump is the whole contents of the database.
func (w *world) dump(t *testing.T) string {
	t.Helper()
	var all []string
	for _, table := range column[string](t, w, `SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`) {
		all = append(all, table)
		all = append(all, column[string](t, w, `SELECT to_jsonb(t)::text FROM `+table+` t ORDER BY 1`)...)
	}
	return strings.Join(all, "\n")
}

// paid is the life of a payment that was made.
func paid(mutations ...simulator.Mutation) simulator.Step {
	return simulator.Step{Status: chinaums.StatusTradeSuccess, Mutations: mutations}
}

func status(s chinaums.Status) simulator.Step { return simulator.Step{Status: s} }
