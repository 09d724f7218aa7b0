package docs_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"reconciler/internal/postgres/postgrestest"
	"reconciler/internal/store/storetest"
)

// keeper does what a page for administrators tells them to. It plays the service manager itself.
type keeper struct {
	*world

	dir     string // where the commands run
	exports []string
	daemon  *exec.Cmd
	log     lockedLog
}

// lockedLog is what the daemon writes; a test reads it meanwhile.
type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newKeeper(t *testing.T, env ...string) *keeper {
	t.Helper()
	k := &keeper{world: newWorld(t), dir: t.TempDir()}
	k.env = append(k.env, "RECONCILER_SCHEDULE=@every 1s")
	k.env = append(k.env, env...)
	t.Cleanup(func() {
		k.service(t, "stop")
		if t.Failed() {
			t.Log(k.log.String())
		}
	})
	return k
}

// follow runs the blocks of a section, line by line.
func (k *keeper) follow(t *testing.T, path, section string) {
	t.Helper()
	d := readDocument(t, path)
	_, text, _ := strings.Cut(d.text, "\n## "+section+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	ran := 0
	for _, b := range d.blocks {
		if !strings.Contains(text, b.text) {
			continue
		}
		ran++
		if b.language == "sql" {
			k.line(t, fmt.Sprintf("psql --set=ON_ERROR_STOP=1 \"$DATABASE_URL\" <<'END'\n%s\nEND", b.text))
			continue
		}
		for line := range strings.SplitSeq(strings.TrimSpace(b.text), "\n") {
			k.line(t, line)
		}
	}
	if ran == 0 {
		t.Fatalf("%s has nothing to run under %s", path, section)
	}
}

func (k *keeper) line(t *testing.T, line string) {
	t.Helper()
	if action := regexp.MustCompile(`^systemctl (\w+) reconciler$`).FindStringSubmatch(line); action != nil {
		k.service(t, action[1])
		return
	}
	if strings.HasPrefix(line, "export ") {
		k.exports = append(k.exports, line)
		return
	}
	output, code := k.run(t, line)
	verdict := strings.HasPrefix(line, "reconciler status") && (code == 3 || code == 4) || strings.HasPrefix(line, "reconciler migrate status") && code == 3
	if code != 0 && !verdict {
		t.Fatalf("%s: exit code %d:\n%s", line, code, output)
	}
	t.Logf("%s\n%s", line, output)
}

func (k *keeper) run(t *testing.T, line string) (output string, exitCode int) {
	t.Helper()
	return k.shell(t, strings.Join(append([]string{"cd " + k.dir}, append(k.exports, line)...), "\n"))
}

func (k *keeper) service(t *testing.T, action string) {
	t.Helper()
	if action != "start" && k.daemon != nil {
		_ = k.daemon.Process.Signal(syscall.SIGTERM)
		if err := k.daemon.Wait(); err != nil {
			t.Errorf("the daemon's end: %v\n%s", err, k.log.String())
		}
		k.daemon = nil
	}
	if action == "stop" {
		return
	}
	dir, err := programDir()
	if err != nil {
		t.Fatal(err)
	}
	k.daemon = exec.Command(filepath.Join(dir, "reconciler"), "run")
	k.daemon.Env = append(k.env, "DATABASE_URL="+k.url(t))
	k.daemon.Stderr = &k.log
	const isUp = `"msg":"started"`
	before := strings.Count(k.log.String(), isUp)
	if err := k.daemon.Start(); err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, 2*time.Minute, "the daemon has started", func() bool { return strings.Count(k.log.String(), isUp) > before })
}

func (k *keeper) url(t *testing.T) string {
	t.Helper()
	url, _ := k.run(t, `printf %s "$DATABASE_URL"`)
	return url
}

// connect leads to the database that the exports name.
func (k *keeper) connect(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), k.url(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	k.conn = conn
}

func (k *keeper) awaitText(t *testing.T, want, sql string) {
	t.Helper()
	var got *string // null as long as there is nothing
	storetest.Eventually(t, 2*time.Minute, fmt.Sprintf("%s gives %q", sql, want), func() bool {
		if err := k.conn.QueryRow(t.Context(), sql).Scan(&got); err != nil {
			t.Fatal(err)
		}
		return got != nil && *got == want
	})
}

// hasClients skips where psql and pg_dump are missing, or are older than the server.
func (k *keeper) hasClients(t *testing.T) {
	t.Helper()
	var server string
	if err := k.conn.QueryRow(t.Context(), `SELECT current_setting('server_version_num')::int / 10000`).Scan(&server); err != nil {
		t.Fatal(err)
	}
	output, _ := k.shell(t, "pg_dump --version && psql --version")
	client := regexp.MustCompile(`^pg_dump \(PostgreSQL\) (\d+)`).FindStringSubmatch(output)
	if client == nil || len(client[1]) < len(server) || client[1] < server {
		t.Skipf("no pg_dump for Postgres %s: %s", server, output)
	}
}

// addRole makes the daemon's role of the pages, where no test has made it.
func (k *keeper) addRole(t *testing.T) {
	t.Helper()
	k.exec(t, `DO $$ BEGIN CREATE ROLE reconciler_daemon; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$`)
}

const settledOnce = `SELECT string_agg(event || ' ' || mer_order_id, ',') FROM order_events`

// A dump is restored into another database, as docs/backup.md says. An order that was settled after
// the dump is settled again, its event has a number that was never used, and a consumer reads it.
func TestBackupIsRestored(t *testing.T) {
	t.Parallel()
	k := newKeeper(t)
	k.hasClients(t)
	k.addRole(t)
	k.exec(t, `SELECT register_order_events('shop', true)`)
	k.exec(t, `INSERT INTO order_events (order_id, mid, mer_order_id, event, payload)
		VALUES (7, 'any', 'EARLIER', 'order.paid', '{}'), (8, 'any', 'UNREAD', 'order.paid', '{}')`)
	k.awaitText(t, "EARLIER,UNREAD", `SELECT string_agg(mer_order_id, ',' ORDER BY id) FROM next_order_events('shop', 9)`)
	k.exec(t, `SELECT ack_order_events('shop', xact, id) FROM order_events WHERE mer_order_id = 'EARLIER'`)
	k.insertExample(t)
	// As in a cluster that has seen far more transactions than the one of the restore.
	k.exec(t, `UPDATE order_events SET xact = '5000000000'; UPDATE event_consumers SET xact = '5000000000'`)
	k.follow(t, "docs/backup.md", "Dump")

	k.service(t, "start")
	k.awaitText(t, "TRADE_SUCCESS", `SELECT status FROM orders`)
	var used int64 // the number of the event that the restore forgets
	if err := k.conn.QueryRow(t.Context(), `SELECT max(id) FROM order_events`).Scan(&used); err != nil {
		t.Fatal(err)
	}
	k.env = append(k.env, "NEW_DATABASE_URL="+emptyDatabase(t))
	k.follow(t, "docs/backup.md", "Restore")

	k.connect(t)
	k.awaitText(t, "TRADE_SUCCESS", `SELECT status FROM orders`)
	k.awaitText(t, "UNREAD,"+exampleNumber, `SELECT string_agg(mer_order_id, ',' ORDER BY id) FROM next_order_events('shop', 9)`)
	k.awaitText(t, "true", fmt.Sprintf(`SELECT (max(id) > %d)::text FROM order_events`, used))
}

// emptyDatabase is one without the tables.
func emptyDatabase(t *testing.T) string {
	t.Helper()
	url := postgrestest.NewDatabase(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), `DROP SCHEMA public CASCADE; CREATE SCHEMA public`); err != nil {
		t.Fatal(err)
	}
	return url
}

// An older schema is brought up under a program that is new, and taken back again, as
// docs/upgrade.md says.
func TestUpgradeAndRollBack(t *testing.T) {
	t.Parallel()
	k := newKeeper(t)
	k.hasClients(t)
	k.addRole(t)
	if output, code := k.run(t, "reconciler migrate down"); code != 0 { // the older schema
		t.Fatalf("migrate down: %s", output)
	}
	if output, code := k.run(t, "reconciler run"); code != 2 || !strings.Contains(output, "migrate up") {
		t.Errorf("run with an older schema: exit code %d: %s", code, output)
	}
	k.insertExample(t)
	k.follow(t, "docs/upgrade.md", "Upgrade")
	k.connect(t)
	k.awaitText(t, "order.paid "+exampleNumber, settledOnce)

	k.follow(t, "docs/upgrade.md", "Roll back")
	if output, code := k.run(t, "reconciler migrate status"); code != 3 {
		t.Errorf("migrate status after the roll-back: exit code %d: %s", code, output)
	}
	k.awaitText(t, "order.paid "+exampleNumber, settledOnce)
}
