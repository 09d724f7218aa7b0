package operator_test

import (
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"reconciler/internal/operator"
	"reconciler/internal/policy"
	"reconciler/internal/postgres/postgrestest"
	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

const (
	mid      = "898340149000005"
	otherMID = "898340149000006"
	thirdMID = "898340149000007"
	appID    = "app-of-the-tests"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// world is a desk over a database of its own. Its connection plays the application.
type world struct {
	*operator.Desk

	url  string
	conn *pgx.Conn
}

func newWorld(t *testing.T) *world {
	t.Helper()
	url := postgrestest.NewDatabase(t)
	w := &world{url: url, conn: storetest.Connect(t, url)}
	w.Desk = w.desk(t, "wang.li")
	return w
}

// desk is another person's.
func (w *world) desk(t *testing.T, actor string) *operator.Desk {
	t.Helper()
	s := storetest.Open(t, w.url)
	return &operator.Desk{
		Locale: operator.Locale{Lang: "en", Zone: shanghai(t)}, Store: s, Rate: 50, Actor: actor, Via: "cli",
		Rules: policy.Rules{Plan: policy.Plan{
			Initial: 15 * time.Second, Multiplier: 2, Max: time.Hour, Jitter: 0.1,
			SlowAfter: 24 * time.Hour, GiveUpAfter: 168 * time.Hour, NotFoundAfter: 2 * time.Hour,
		}},
	}
}

func shanghai(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func (w *world) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	storetest.Exec(t, w.conn, sql, args...)
}

func scan[T any](t *testing.T, w *world, sql string, args ...any) T {
	t.Helper()
	return storetest.Value[T](t, w.conn, sql, args...)
}

// insert adds an order and returns its id. The columns are given as SQL: "status = 'UNKNOWN'".
func (w *world) insert(t *testing.T, mid, number string, fen int64, changes ...string) int64 {
	t.Helper()
	id := scan[int64](t, w, `INSERT INTO orders (mid, tid, mer_order_id, order_amount) VALUES ($1, '88880001', $2, $3) RETURNING id`, mid, number, fen)
	for _, change := range changes {
		w.exec(t, `UPDATE orders SET `+change+` WHERE id = $1`, id)
	}
	return id
}

// beat writes the row of a daemon that works.
func (w *world) beat(t *testing.T) {
	t.Helper()
	err := w.Store.Heartbeat(t.Context(), store.Instance{
		Worker: "web-1/7", Version: "v1.4.0", StartedAt: time.Now().Add(-time.Hour), LastPassAt: new(time.Now().Add(-2 * time.Second)),
		Settings: []byte(`{"apps": [{"app_id": "` + appID + `"}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
}
