package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// A start takes a second of a processor, so two servers serve all that is asked of healthy ones.
func TestStart(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	fast := start(t, Options{Logf: func(format string, args ...any) { fmt.Fprintf(&log, format, args...) }})
	durable := start(t, Options{Durable: true, MaxConnections: 17})
	if !strings.Contains(log.String(), fast.Dir()) {
		t.Errorf("log = %q, want the folder %s in it", log.String(), fast.Dir())
	}
	wantServer(t, fast, settings{Fsync: "off", Commit: "off", FullPage: "off", Connections: "200", Listen: ""})
	wantServer(t, durable, settings{Fsync: "on", Commit: "on", FullPage: "on", Connections: "17", Listen: ""})
	cluster := func(s *Server) int64 {
		return query[int64](t, s.URL("postgres"), "SELECT system_identifier FROM pg_control_system()")
	}
	if cluster(fast) == cluster(durable) || fast.Dir() == durable.Dir() || fast.PID() == durable.PID() {
		t.Error("the two are one")
	}
	wantStops(t, fast)
	if err := syscall.Kill(durable.PID(), syscall.SIGQUIT); err != nil { // an immediate shutdown by another
		t.Fatal(err)
	}
	if err := durable.Stop(); err != nil || exists(durable.Dir()) {
		t.Errorf("Stop = %v, folder there: %v", err, exists(durable.Dir()))
	}
}

func wantServer(t *testing.T, server *Server, want settings) {
	t.Helper()
	if diff := cmp.Diff(want, readSettings(t, server.URL("postgres"))); diff != "" {
		t.Errorf("settings differ (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(server.Dir()); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v, want 0700", info, err)
	}
	if !isAlive(server.PID()) {
		t.Errorf("pid %d is not that of a process", server.PID())
	}
}

// wantStops stops a server several times at once, beside a client that stays.
func wantStops(t *testing.T, server *Server) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			if err := server.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if exists(server.Dir()) || !refusesConnections(t.Context(), server.Dir()) || isAlive(server.PID()) {
		t.Error("something is left of the server")
	}
}

func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	var attr *syscall.SysProcAttr
	if os.Geteuid() == 0 {
		nobody, err := lookUp("nobody")
		if err != nil {
			t.Fatal(err)
		}
		attr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody.uid, Gid: nobody.gid}}
	}
	parent := startParent(t, attr)
	if got := query[int](t, parent.place.URL, "SELECT 1"); got != 1 {
		t.Errorf("SELECT 1 = %d", got)
	}
	if err := errors.Join(parent.stdin.Close(), parent.cmd.Wait()); err != nil {
		t.Error(err)
	}
	if exists(parent.place.Dir) {
		t.Errorf("%s is left", parent.place.Dir)
	}
}

func TestKilledParent(t *testing.T) {
	t.Parallel()
	parent := startParent(t, nil)
	if err := parent.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.cmd.Wait() // it was killed, and says so
	eventually(t, "the socket refuses", func() bool { return refusesConnections(t.Context(), parent.place.Dir) })
	start(t, Options{})
	if exists(parent.place.Dir) {
		t.Errorf("%s was not swept by the next start", parent.place.Dir)
	}
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, pattern := range map[string]string{
		"at once":           "",
		"folder made":       prefix + "*",
		"making a cluster":  prefix + "*/data/PG_VERSION",
		"starting a server": prefix + "*/data/postmaster.pid",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tmp := openFolder(t)
			stderr, err := runRole(t, roleImpatient, "TMPDIR="+tmp, patternVariable+"="+pattern)
			// A server that was already there when the context ended is returned, and stopped by
			// its owner.
			if err != nil && !strings.Contains(stderr, context.Canceled.Error()) {
				t.Errorf("err = %v, %s, want a cancelled context", err, stderr)
			}
			if left, err := filepath.Glob(filepath.Join(tmp, "*")); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

func TestStartWithoutPrograms(t *testing.T) {
	t.Parallel()
	stderr, err := runRole(t, roleParent, binVariable+"=/nowhere")
	if err == nil || !strings.Contains(stderr, "/nowhere") || !strings.Contains(stderr, ErrNotFound.Error()) {
		t.Errorf("err = %v, %s, want the lines to paste", err, stderr)
	}
}

func TestFailedStartShowsLog(t *testing.T) {
	t.Parallel()
	server, err := Start(t.Context(), Options{MaxConnections: -1})
	if err == nil {
		t.Fatal("started: ", server.Stop())
	}
	if !strings.Contains(err.Error(), "outside the valid range") {
		t.Errorf("err = %v, want what the server logged", err)
	}
}

type settings struct{ Fsync, Commit, FullPage, Connections, Listen string }

func readSettings(t *testing.T, url string) settings {
	t.Helper()
	show := func(name string) string { return query[string](t, url, "SHOW "+name) }
	return settings{
		Fsync: show("fsync"), Commit: show("synchronous_commit"), FullPage: show("full_page_writes"),
		Connections: show("max_connections"), Listen: show("listen_addresses"),
	}
}

func start(t testing.TB, opts Options) *Server {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a server of its own")
	}
	server, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// query returns the one value of a statement.
func query[T any](t *testing.T, url, sql string) T {
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

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		start(b, Options{})
	}
}
