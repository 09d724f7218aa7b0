package store_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"reconciler/internal/order"
	"reconciler/internal/postgres/postgrestest"
	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

const (
	mid = "898340149000005"
	tid = "88880001"
)

// database is a migrated database of the test's own, with a connection beside
// the store's to play the application and the operator.
type database struct {
	*store.Store

	url  string
	conn *pgx.Conn
}

func open(t testing.TB) database {
	t.Helper()
	return openWith(t)
}

// openWith has more settings in the URL of the store's connections, names and values.
func openWith(t testing.TB, settings ...string) database {
	t.Helper()
	url := postgrestest.NewDatabase(t)
	return database{Store: storetest.Open(t, with(t, url, settings)), url: url, conn: storetest.Connect(t, url)}
}

func with(t testing.TB, address string, settings []string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	for pair := range slices.Chunk(settings, 2) {
		query.Set(pair[0], pair[1])
	}
	u.RawQuery = query.Encode()
	return u.String()
}

func (d database) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	storetest.Exec(t, d.conn, sql, args...)
}

func scan[T any](t *testing.T, d database, sql string, args ...any) T {
	t.Helper()
	return storetest.Value[T](t, d.conn, sql, args...)
}

// insert adds n orders that are due, with the numbers 319400000001 and up.
func (d database) insert(t testing.TB, n int) {
	t.Helper()
	d.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at)
		SELECT $1, $2, '3194' || lpad(i::text, 8, '0'), 100, now() - interval '1 hour' + i * interval '1 millisecond'
		FROM generate_series(1, $3) i`, mid, tid, n)
}

func (d database) claim(t *testing.T, limit int) []order.Order {
	t.Helper()
	return d.claimWith(t, store.Claim{Limit: limit})
}

// claimWith claims for a minute.
func (d database) claimWith(t *testing.T, c store.Claim) []order.Order {
	t.Helper()
	return d.page(t, c).Orders
}

// page claims for a minute and returns the whole result.
func (d database) page(t *testing.T, c store.Claim) store.Page {
	t.Helper()
	c.Worker, c.Lease = cmp.Or(c.Worker, "test"), time.Minute
	page, err := d.Claim(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func (d database) claimOne(t *testing.T) order.Order {
	t.Helper()
	orders := d.claim(t, 1)
	if len(orders) != 1 {
		t.Fatalf("claimed %d orders, want 1", len(orders))
	}
	return orders[0]
}

func (d database) record(t *testing.T, group ...order.Outcome) []order.Outcome {
	t.Helper()
	var written []order.Outcome
	for _, r := range d.recordAll(t, group...) {
		if r.State != store.Written {
			t.Fatalf("order %d: state %d, %v", r.Outcome.Order.ID, r.State, r.Err)
		}
		written = append(written, r.Outcome)
	}
	return written
}

// recordAll is record where not every outcome need be written.
func (d database) recordAll(t *testing.T, group ...order.Outcome) []store.Recorded {
	t.Helper()
	recorded, err := d.Record(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	return recorded
}

// settled is an answer that pays the order.
func settled(o order.Order) order.Outcome {
	return order.Outcome{
		Order: o, Decision: order.Settled, Reason: "trade_success", Status: order.StatusTradeSuccess,
		Event:    order.EventPaid,
		Booking:  order.Booking{TotalAmount: new(int64(100)), SeqID: new("12345678901N")},
		Question: question(o),
	}
}

// deferred is an answer that leaves the order open.
func deferred(o order.Order) order.Outcome {
	return order.Outcome{
		Order: o, Decision: order.Deferred, Reason: "unresolved", Status: order.StatusNewOrder,
		NextQueryAt: new(o.ClaimedAt.Add(15 * time.Second)), Question: question(o),
	}
}

func question(o order.Order) order.Question {
	return order.Question{
		At: o.ClaimedAt, Duration: 20 * time.Millisecond, RoundTrips: 1, Worker: "test",
		HTTPStatus: 200, ErrCode: "SUCCESS", TradeStatus: "TRADE_SUCCESS", Response: []byte(`{"status":"TRADE_SUCCESS"}`),
	}
}

func TestOpenRefusesABadURL(t *testing.T) {
	t.Parallel()
	if s, err := store.Open(t.Context(), "postgres://host:notaport/db"); err == nil {
		s.Close()
		t.Error("no error")
	}
}

func TestIsTransient(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{pgx.ErrNoRows, false},
		{errors.New("connection reset by peer"), true},
		{&pgconn.PgError{Code: "57P01"}, true}, // terminating connection due to administrator command
		{&pgconn.PgError{Code: "40P01"}, true}, // deadlock
		{&pgconn.PgError{Code: "25006"}, true}, // read-only: a standby
		{&pgconn.PgError{Code: "53100"}, true}, // disk full
		{fmt.Errorf("record: %w", &pgconn.PgError{Code: "08006"}), true},
		{&pgconn.PgError{Code: "22021"}, false}, // a NUL character
		{&pgconn.PgError{Code: "23514"}, false}, // a check
		{&pgconn.PgError{Code: "42P01"}, false}, // no such table
		{&pgconn.PgError{Code: "P0001"}, false}, // raised by a trigger
		{&pgconn.PgError{Code: ""}, false},
	} {
		if got := store.IsTransient(tt.err); got != tt.want {
			t.Errorf("IsTransient(%v) = %v, want %v", tt.err, got, tt.want)
		}
	}
}

func dropRole(t *testing.T, url, name string) {
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), `DROP OWNED BY `+name+`; DROP ROLE `+name); err != nil {
		t.Error(err)
	}
}
