package main_test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"reconciler/internal/postgres"
	"reconciler/internal/postgres/postgrestest"
	"reconciler/internal/store/storetest"
)

// cluster is a server that a test may harm, and the programs that go with it.
type cluster struct {
	*postgres.Server

	bin string
}

// newCluster has the schema in its database postgres, and keeps what it has committed.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	needsProgram(t)
	server, err := postgres.Start(t.Context(), postgres.Options{Durable: true})
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
func (c *cluster) serverOn(t *testing.T, data, port string) *process {
	t.Helper()
	return serve(t, c.command(t, "postgres", "-D", filepath.Join(c.Dir(), data), "-k", c.Dir(), "-p", port,
		"-c", "listen_addresses=", "-c", "max_connections=200", "-c", "dynamic_shared_memory_type=mmap"))
}

// crash is an immediate shutdown: open transactions are lost, and the next start has to recover.
func (c *cluster) crash(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(c.PID(), syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server has ended", func() bool { return syscall.Kill(c.PID(), 0) == syscall.ESRCH })
}

// pooled starts a pgbouncer in transaction mode before the world's database, and leads the world's
// processes through it.
func pooled(t *testing.T, w *world, mode string) {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			t.Skip("pgbouncer is not installed (apt-get install pgbouncer): transaction pooling is not tested")
		}
	}
	target, err := pgx.ParseConfig(w.url)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "reconciler-pool-") // its name is short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	password := "" // of a private server
	if target.Password != "" {
		password = fmt.Sprintf(" password='%s'", target.Password)
	}
	config := fmt.Sprintf("[databases]\n* = host=%s port=%d user=%s%s\n[pgbouncer]\n"+
		"pool_mode = transaction\ndefault_pool_size = 4\nauth_type = any\nunix_socket_dir = %s\nlisten_addr =\nlisten_port = 6432\n",
		target.Host, target.Port, target.User, password, dir)
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		info, err := os.Stat(postgrestest.Server(t).Dir())
		if err != nil {
			t.Fatal(err)
		}
		owner := info.Sys().(*syscall.Stat_t)
		for _, name := range []string{dir, file} {
			if err := os.Chown(name, int(owner.Uid), int(owner.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := serve(t, asOwner(t, dir, path, file))
	eventually(t, "pgbouncer listens", func() bool {
		conn, err := net.Dial("unix", filepath.Join(dir, ".s.PGSQL.6432"))
		if err != nil {
			if !p.running() {
				t.Fatal("pgbouncer has ended: " + p.stderr.String())
			}
			return false
		}
		return conn.Close() == nil
	})
	query := url.Values{
		"host": {dir}, "port": {"6432"}, "user": {target.User}, "sslmode": {"disable"},
		"default_query_exec_mode": {mode},
	}
	w.set("DATABASE_URL=" + (&url.URL{Scheme: "postgres", Path: "/" + target.Database, RawQuery: query.Encode()}).String())
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
