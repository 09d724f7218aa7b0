// Package main_test tests the command as it is shipped: the built program, as a process, against a real Postgres and the
// simulated gateway.
package main_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"reconciler/internal/store/storetest"
)

// builtVersion is what the tests' program calls itself.
const builtVersion = "v0.0.0-test"

// program is the path of the built program; it is built for the first test that asks.
var program func() (string, error)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	flag.Parse()
	dir, err := os.MkdirTemp("", "reconciler-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = sync.OnceValues(func() (string, error) { return build(dir) })
	if err := manyAtOnce(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return storetest.Main(m)
}

// manyAtOnce lets more tests run side by side than there are processors: they wait far more than they compute.
func manyAtOnce() error {
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if chosen {
		return nil
	}
	return flag.Set("test.parallel", "12")
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
