// Package storetest gives each test a migrated database of its own and a store over it. Connections
// beside the store play the application and the operator.
//
//	func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		s, pool := storetest.NewStore(t)
//
// The server and its template come from postgrestest. All that is opened here is closed when the
// test ends, and every error is fatal to the test.
package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"reconciler/internal/postgres/postgrestest"
	"reconciler/internal/store"
)

// Main runs the package's tests over a template that has all migrations, and returns the exit code.
func Main(m *testing.M) int { return postgrestest.Main(m, migrateUp) }

func migrateUp(ctx context.Context, url string) error {
	s, err := store.Open(ctx, url)
	if err != nil {
		return err
	}
	defer s.Close()
	_, err = s.MigrateUp(ctx)
	return err
}

// NewStore returns a store over a fresh database, and a pool beside it.
func NewStore(t testing.TB) (*store.Store, *pgxpool.Pool) {
	t.Helper()
	url := postgrestest.NewDatabase(t)
	return Open(t, url), OpenPool(t, url)
}

// Open returns a store over the database of a URL, for a test that has several of them.
func Open(t testing.TB, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// OpenPool returns a pool of connections, for several goroutines.
func OpenPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// Connect returns one connection, for one goroutine.
func Connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// Pause pauses an app or a merchant as a person does, until Resume or the control's own end.
func Pause(t testing.TB, s *store.Store, c store.Control) {
	t.Helper()
	p := store.PersonPause{Control: c, Action: store.Action{Actor: c.SetBy, Via: "cli", Action: "pause", Reason: c.Reason}}
	if _, err := s.PauseByPerson(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

// Resume ends a pause as a person does, and reports whether there was one.
func Resume(t testing.TB, s *store.Store, scope store.Scope, key, by string) bool {
	t.Helper()
	former, _, err := s.ResumeByPerson(t.Context(), scope, key, nil, store.Action{Actor: by, Via: "cli", Action: "resume"})
	if err != nil {
		t.Fatal(err)
	}
	return former != nil
}

// Querier is a connection, a pool or a transaction.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Rows reads one value of each row. It works in a cleanup too.
func Rows[T any](t testing.TB, db Querier, sql string, args ...any) []T {
	t.Helper()
	r, err := db.Query(context.WithoutCancel(t.Context()), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	list, err := pgx.CollectRows(r, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return list
}

// Value reads the one value of the one row.
func Value[T any](t testing.TB, db Querier, sql string, args ...any) T {
	t.Helper()
	list := Rows[T](t, db, sql, args...)
	if len(list) != 1 {
		t.Fatalf("%s: %d rows, want 1", sql, len(list))
	}
	return list[0]
}

// Exec runs statements, of which there may be several where there are no arguments. It works in a
// cleanup too.
func Exec(t testing.TB, db Querier, sql string, args ...any) pgconn.CommandTag {
	t.Helper()
	tag, err := db.Exec(context.WithoutCancel(t.Context()), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return tag
}

// Eventually waits until something holds that other goroutines or processes bring about. It fails
// the test when that takes longer than the limit.
func Eventually(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(limit); !holds(); {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
