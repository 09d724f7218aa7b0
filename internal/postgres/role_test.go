package postgres

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Some tests need a process to kill, or one of another user. They run this test binary again, in a
// role.
const (
	roleVariable    = "RECONCILER_PG_TEST_ROLE"
	patternVariable = "RECONCILER_PG_TEST_CANCEL_AT"
	roleParent      = "parent"    // starts a server, says where, stops it when standard input ends
	roleImpatient   = "impatient" // cancels the start as soon as a file appears
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func play(role string) error {
	if role == roleImpatient {
		return playImpatient(os.Getenv(patternVariable))
	}
	server, err := Start(context.Background(), Options{})
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(place{Dir: server.Dir(), URL: server.URL("postgres"), PID: server.PID()}); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return server.Stop()
}

// playImpatient starts on disk, where the folder of tests is looked into.
func playImpatient(pattern string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		defer cancel()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for ; ; <-tick.C {
			if found, _ := filepath.Glob(filepath.Join(os.TempDir(), pattern)); len(found) > 0 {
				return
			}
		}
	}()
	server, err := Start(ctx, Options{Durable: true})
	if err != nil {
		return err
	}
	return server.Stop()
}

// place is where a server of another process is.
type place struct {
	Dir, URL string
	PID      int
}

// actor is a running role.
type actor struct {
	cmd   *exec.Cmd
	stdin io.Closer
	place place
}

// startParent runs the parent's role and waits for its server.
func startParent(t *testing.T, attr *syscall.SysProcAttr) *actor {
	t.Helper()
	cmd := role(t, roleParent)
	cmd.SysProcAttr = attr
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := &actor{cmd: cmd, stdin: stdin}
	t.Cleanup(func() { _ = stdin.Close() })
	if err := json.NewDecoder(bufio.NewReader(stdout)).Decode(&a.place); err != nil {
		t.Fatalf("the parent did not start: %v", err)
	}
	return a
}

// role prepares this binary, copied to where every user may run it, in a folder that every user may
// enter.
func role(t *testing.T, name string, env ...string) *exec.Cmd {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a process of its own")
	}
	dir := openFolder(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "role.test")
	if err := os.WriteFile(path, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append(env, roleVariable+"="+name)...)
	return cmd
}

// openFolder is like t.TempDir, but open to every user.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg-test-*")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); <-tick.C {
		if holds() {
			return
		}
	}
	t.Fatalf("not within 3 min: %s", what)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func runRole(t *testing.T, name string, env ...string) (stderr string, err error) {
	t.Helper()
	cmd := role(t, name, env...)
	var text strings.Builder
	cmd.Stderr = &text
	err = cmd.Run()
	return text.String(), err
}
