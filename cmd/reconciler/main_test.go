// Package main_test tests the command as it is shipped: the built program, as a process, against a
// real Postgres and the simulated gateway.
package main_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"reconciler/internal/postgres/postgrestest"
	"reconciler/internal/store/storetest"
)

// builtVersion is what the tests' program calls itself.
const builtVersion = "v0.0.0-test"

// program is the path of the built program; it is built for the first test that asks.
var program func() (string, error)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "reconciler-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = sync.OnceValues(func() (string, error) { return build(dir) })
	postgrestest.SetParallel(12) // they wait for processes
	return storetest.Main(m)
}

// needsProgram skips a test with -short: only tests that start no process run then.
func needsProgram(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts the built program")
	}
}

func build(dir string) (string, error) {
	path := filepath.Join(dir, "reconciler")
	cmd := exec.Command("go", "build", "-ldflags", "-X main.version="+builtVersion, "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return path, nil
}
