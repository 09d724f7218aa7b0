package postgrestest

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) {
	os.Exit(Main(m, func(ctx context.Context, url string) error {
		return exec(ctx, url, "CREATE TABLE things (name text PRIMARY KEY)")
	}))
}

func TestNewDatabase(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"one", "another", "third"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := NewDatabase(t)
			mustExec(t, url, "INSERT INTO things VALUES ('mine')")
			if got := scan[int](t, url, "SELECT count(*) FROM things"); got != 1 {
				t.Errorf("things = %d, want 1: the database is not the test's own", got)
			}
		})
	}
}

func TestServer(t *testing.T) {
	t.Parallel()
	if got := scan[int](t, Server(t).URL("postgres"), "SELECT 1"); got != 1 {
		t.Errorf("SELECT 1 = %d", got)
	}
}

// The server that RECONCILER_TEST_DATABASE_URL names is played by the private one.
func TestForeignServer(t *testing.T) {
	t.Parallel()
	admin := scratchServer(t)
	before := databases(t, admin)
	h := newHarness(admin, func(ctx context.Context, url string) error {
		return exec(ctx, url, "CREATE TABLE things ()")
	})
	url, err := h.clone(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, url, "TABLE things")
	if got := databases(t, admin); len(strings.Fields(got)) != len(strings.Fields(before))+2 {
		t.Errorf("databases = %q, want a template and a clone beside %q", got, before)
	}
	if err := h.drop(t.Context(), url); err != nil {
		t.Error(err)
	}
	if err := h.close(); err != nil {
		t.Error(err)
	}
	if got := databases(t, admin); got != before {
		t.Errorf("databases = %q, want %q as before", got, before)
	}
}

func TestDropRefusesForeignDatabase(t *testing.T) {
	t.Parallel()
	h := newHarness("postgres:///postgres", nil)
	if err := h.drop(t.Context(), "postgres://localhost/orders"); err == nil || !strings.Contains(err.Error(), "refuse") {
		t.Errorf("err = %v, want a refusal", err)
	}
}

func TestTemplateErrorReachesEveryTest(t *testing.T) {
	t.Parallel()
	h := newHarness(Server(t).URL("postgres"), func(ctx context.Context, url string) error {
		return exec(ctx, url, "nonsense")
	})
	for range 2 {
		if _, err := h.clone(t.Context()); err == nil || !strings.Contains(err.Error(), "nonsense") {
			t.Errorf("err = %v, want that of the migration", err)
		}
	}
	if err := h.close(); err != nil {
		t.Error(err)
	}
}

func TestWithDatabase(t *testing.T) {
	t.Parallel()
	got, err := withDatabase("postgres://me@host:5433/app?sslmode=disable", "other")
	if want := "postgres://me@host:5433/other?sslmode=disable"; err != nil || got != want {
		t.Errorf("withDatabase = %q, %v, want %q", got, err, want)
	}
	if _, err := withDatabase("host=localhost dbname=app", "other"); err == nil {
		t.Error("a keyword string was taken for a URL")
	}
}

// scratchServer is a server on which no other test makes databases.
func scratchServer(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a server of its own")
	}
	h := newHarness("", nil)
	t.Cleanup(func() {
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	admin, err := h.adminURL()
	if err != nil {
		t.Fatal(err)
	}
	return admin
}

func databases(t *testing.T, url string) string {
	t.Helper()
	return scan[string](t, url, "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database")
}

func mustExec(t *testing.T, url, sql string) {
	t.Helper()
	if err := exec(t.Context(), url, sql); err != nil {
		t.Fatal(err)
	}
}

func scan[T any](t *testing.T, url, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var value T
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func BenchmarkNewDatabase(b *testing.B) {
	for b.Loop() {
		NewDatabase(b)
	}
}
