package main_test

import (
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"reconciler/internal/postgres"
	"reconciler/internal/store/storetest"
)

// cluster is a server that a test may harm, and the programs that go with it.
type cluster struct {
	*postgres.Server

	bin string
}

// newCluster has the schema in its database postgres, and keeps what it has committed.
func newCluster(t *testing.T, settings ...string) *cluster {
	t.Helper()
	needsProgram(t)
	server, err := postgres.Start(t.Context(), postgres.Options{Durable: true, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	c := &cluster{Server: server}
	if _, err := storetest.Open(t, c.URL("postgres")).MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn := storetest.Connect(t, c.URL("postgres"))
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), `SELECT setting FROM pg_config WHERE name = 'BINDIR'`).Scan(&c.bin); err != nil {
		t.Fatal(err)
	}
	return c
}

// command is one of the server's programs, run as its user, in its folder.
func (c *cluster) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	return asOwner(t, c.Dir(), filepath.Join(c.bin, name), args...)
}

// asOwner runs a program in a folder, as the folder's owner: neither Postgres nor pgbouncer runs as
// root.
func asOwner(t *testing.T, dir, path string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		owner, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			t.Fatalf("whose is %s?", dir)
		}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}
	}
	return cmd
}

// serve runs a server until the test ends, or the test's process does.
func serve(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, stdout: &output{}, stderr: &output{}, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	watcher := exec.Command("/bin/sh", "-c", `read -r goodbye || kill -INT "$1"`, "sh", pid)
	watcher.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	line, err := watcher.StdinPipe()
	if err == nil {
		err = watcher.Start()
	}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // how it ended is in ProcessState
		if line != nil {
			_, _ = io.WriteString(line, "goodbye\n")
			_ = watcher.Wait()
		}
	}()
	t.Cleanup(func() {
		p.signal(t, syscall.SIGINT)
		p.wait(t)
		if t.Failed() {
			t.Logf("%s\n%s", cmd.Path, p.stdout.tail()+p.stderr.tail())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// serverOn starts a server on a data folder of the cluster; its port is only a part of its socket's
// name.
func (c *cluster) serverOn(t *testing.T, data, port string, settings ...string) *process {
	t.Helper()
	args := []string{
		"-D", filepath.Join(c.Dir(), data), "-k", c.Dir(), "-p", port,
		"-c", "listen_addresses=", "-c", "max_connections=200", "-c", "dynamic_shared_memory_type=mmap",
	}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	return serve(t, c.command(t, "postgres", args...))
}

// crash is an immediate shutdown: open transactions are lost, and the next start has to recover.
func (c *cluster) crash(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(c.PID(), syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server has ended", func() bool { return syscall.Kill(c.PID(), 0) == syscall.ESRCH })
}

// hosts is the URL of a pair of servers of which one can be written to.
func (c *cluster) hosts(ports ...string) string {
	dirs := make([]string, len(ports))
	for i := range dirs {
		dirs[i] = c.Dir()
	}
	query := url.Values{
		"host": {strings.Join(dirs, ",")}, "port": {strings.Join(ports, ",")}, "user": {"postgres"}, "sslmode": {"disable"},
		"target_session_attrs": {"read-write"},
	}
	return (&url.URL{Scheme: "postgres", Path: "/postgres", RawQuery: query.Encode()}).String()
}
