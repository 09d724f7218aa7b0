package main_test

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"reconciler/internal/postgres/postgrestest"
)

// The pool may give each statement to another connection. The mode is the one that docs/settings.md
// names.
func TestTransactionPooling(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	mode := regexp.MustCompile(`default_query_exec_mode=(\w+)`).FindSubmatch(page)
	if mode == nil {
		t.Fatal("docs/settings.md says nothing of default_query_exec_mode")
	}
	w := newWorld(t)
	pooled(t, w, "pool_mode = transaction", url.Values{"default_query_exec_mode": {string(mode[1])}})
	w.set("RECONCILER_CONCURRENCY=8", "RECONCILER_RATE=1000")
	b := w.backlog(t, 200, time.Millisecond)
	p, q := w.start(t, "run"), w.start(t, "run")
	b.await(t, w)
	p.stop(t)
	q.stop(t)
	b.check(t, w)

	numbers := w.orders(t, 50, paid())
	_, s := w.summary(t, 0, "run-once")
	if s.Asked != len(numbers) || s.Settled != len(numbers) {
		t.Errorf("run-once = %+v, want %d orders asked and settled", s, len(numbers))
	}
	numbers = w.orders(t, 20, paid())
	if _, s := w.summary(t, 0, "run-once", "--all"); s.Settled != len(numbers) {
		t.Errorf("run-once --all = %+v, want %d orders settled", s, len(numbers))
	}
}

// A pooler that drops the search_path leads to the tables of another schema. Nothing there is
// touched, although it has the same tables.
func TestPoolerThatDropsTheSearchPath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.orders(t, 1, paid())
	for _, mode := range []string{"session", "transaction"} {
		pooled(t, w, "ignore_startup_parameters = options\npool_mode = "+mode, url.Values{
			"default_query_exec_mode": {"exec"}, "options": {"-c work_mem=8MB -csearch_path=reconciler,public"},
		})
		for _, command := range []string{"run-once", "run", "migrate up"} {
			w.invoke(t, strings.Fields(command)...).want(t, 2, "another search_path than the database URL asks for", "ignore_startup_parameters")
		}
		w.invoke(t, "status").want(t, 4, "another search_path")
	}
	if got := w.statuses(t); got["UNKNOWN"] != 1 {
		t.Errorf("orders of the other schema: %v, want one UNKNOWN", got)
	}
}

// Most of what people see is read in transactions, which a pooler in statement mode refuses.
func TestStatementPooling(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.orders(t, 1, paid())
	pooled(t, w, "pool_mode = statement", url.Values{"default_query_exec_mode": {"exec"}})
	w.invoke(t, "run-once").want(t, 1, "must be in session or transaction mode")
	w.invoke(t, "status").want(t, 4, "must be in session or transaction mode")
}

// pooled starts a pgbouncer before the world's database, with settings of its own, and leads the
// world's processes through it.
func pooled(t *testing.T, w *world, settings string, params url.Values) {
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
		"default_pool_size = 4\nauth_type = any\nunix_socket_dir = %s\nlisten_addr =\nlisten_port = 6432\n%s\n",
		target.Host, target.Port, target.User, password, dir, settings)
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
	query := url.Values{"host": {dir}, "port": {"6432"}, "user": {target.User}, "sslmode": {"disable"}}
	maps.Copy(query, params)
	w.set("DATABASE_URL=" + (&url.URL{Scheme: "postgres", Path: "/" + target.Database, RawQuery: strings.ReplaceAll(query.Encode(), "+", "%20")}).String())
}
