// Package postgrestest gives each test a database of its own on one real Postgres server per
// package.
//
//	func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m, migrate)) }
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		url := postgrestest.NewDatabase(t)
//
// The migrations run once, on a template; a test's database is a copy of it, which takes a few
// hundredths of a second. Databases and not schemas, because advisory locks are per database. The
// server is private and starts when the first test asks for it. RECONCILER_TEST_DATABASE_URL, when
// set, is used instead: only databases that were made here are touched there, and they are dropped
// again.
package postgrestest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"reconciler/internal/postgres"
)

// urlVariable names a server to use instead of a private one.
const urlVariable = "RECONCILER_TEST_DATABASE_URL"

// shared is how the tests reach what Main made: TestMain and the tests have nothing in common but
// the package.
var shared *harness //nolint:gochecknoglobals // see above

// Main runs the package's tests, stops what they started and then looks for goroutines left behind.
// It returns the exit code. The migrate function brings the template's schema up to date; nil
// leaves it empty.
func Main(m *testing.M, migrate func(ctx context.Context, url string) error) int {
	SetParallel(6)
	shared = newHarness(os.Getenv(urlVariable), migrate)
	code := m.Run()
	err := shared.close()
	if err == nil && code == 0 {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// SetParallel lets so many tests run side by side, even if there are fewer processors: tests with a
// database wait more than they compute. The flag -parallel and an earlier call have precedence.
func SetParallel(n int) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		_ = flag.Set("test.parallel", strconv.Itoa(max(n, runtime.GOMAXPROCS(0)))) // testing registers it
	}
}

// NewDatabase clones the migrated template into a database of the test's own and returns its URL.
func NewDatabase(t testing.TB) string {
	t.Helper()
	h := mustShared(t)
	url, err := h.clone(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if h.foreign != "" {
		t.Cleanup(func() {
			if err := h.drop(context.WithoutCancel(t.Context()), url); err != nil {
				t.Error(err)
			}
		})
	}
	return url
}

// Server returns the package's private server, for its process and its socket. Other tests use it
// at the same time: one that wants to harm a server starts its own.
func Server(t testing.TB) *postgres.Server {
	t.Helper()
	server, err := mustShared(t).server()
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// mustShared skips a test with -short: only tests that start no process run then.
func mustShared(t testing.TB) *harness {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a Postgres server")
	}
	if shared == nil {
		t.Fatal("postgrestest: TestMain does not call postgrestest.Main")
	}
	return shared
}
