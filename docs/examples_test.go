// Package docs_test holds the documents to the program: what they show is run, and what the program
// has is in them.
package docs_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"

	"github.com/jackc/pgx/v5"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/console"
	"reconciler/internal/credentials"
	"reconciler/internal/postgres/postgrestest"
	"reconciler/internal/store/storetest"
)

// The payment of the examples. The gateway knows it as paid.
const (
	exampleApp    = "10037e6f6823b20801682b6a5e5a0006"
	exampleMID    = "898340149000005"
	exampleTID    = "88880001"
	exampleNumber = "3194202606011200000000000001"
	exampleAmount = 12_900

	// exampleHash is that of a password: to make one takes a second, and more with -race.
	exampleHash = "$2a$12$3qyc8ddJeFIB/DcsehIxoeyd7B4T9MkxzqRkAYa1493R7lWxPzAv."
)

// programDir holds the built program; it is built for the first test that asks.
var programDir func() (string, error)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "reconciler-docs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	programDir = sync.OnceValues(func() (string, error) {
		build := exec.Command("go", "build", "-o", dir, "../cmd/reconciler")
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped
		out, err := build.CombinedOutput()
		if err != nil {
			err = errors.Join(err, errors.New(string(out)))
		}
		return dir, err
	})
	return storetest.Main(m)
}

// world is a database and a gateway that knows the payment of the examples.
type world struct {
	conn *pgx.Conn
	env  []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	app := chinaums.Credentials{AppID: exampleApp, AppKey: "key-of-the-examples"}
	gateway, err := simulator.New(simulator.Options{Credentials: []chinaums.Credentials{app}})
	if err != nil {
		t.Fatal(err)
	}
	err = gateway.AddOrder(simulator.Order{
		MID: exampleMID, TID: exampleTID, MerOrderID: exampleNumber, Amount: exampleAmount,
		Timeline: []simulator.Step{{Status: chinaums.StatusTradeSuccess}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gateway)
	t.Cleanup(server.Close)
	url := postgrestest.NewDatabase(t)
	return &world{conn: storetest.Connect(t, url), env: []string{
		"DATABASE_URL=" + url, "CHINAUMS_APP_ID=" + app.AppID, "CHINAUMS_APP_KEY=" + app.AppKey,
		"CHINAUMS_BASE_URL=" + server.URL, "RECONCILER_LISTEN=off",
	}}
}

func (w *world) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := w.conn.Exec(t.Context(), sql); err != nil {
		t.Errorf("%v:\n%s", err, sql)
	}
}

// insertExample inserts the order of the examples as an application does.
func (w *world) insertExample(t *testing.T) {
	t.Helper()
	w.exec(t, fmt.Sprintf(`INSERT INTO orders (mid, tid, mer_order_id, order_amount) VALUES ('%s', '%s', '%s', %d)`,
		exampleMID, exampleTID, exampleNumber, exampleAmount))
}

// shell runs a line with the program on the path. The settings are those of the world, which may be
// nil.
func (w *world) shell(t *testing.T, line string) (output string, exitCode int) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts the built program")
	}
	dir, err := programDir()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("sh", "-c", line)
	command.Env = []string{"PATH=" + dir + string(os.PathListSeparator) + os.Getenv("PATH"), "COLUMNS=200"}
	if w != nil {
		command.Env = append(command.Env, w.env...)
	}
	out, err := command.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), command.ProcessState.ExitCode()
}

// statements splits a block of SQL at the semicolons that end a line, or stand before a comment.
func statements(block string) []string {
	var list []string
	for _, statement := range regexp.MustCompile(`;[ \t]*(--[^\n]*)?\n`).Split(block, -1) {
		if strings.TrimSpace(regexp.MustCompile(`--[^\n]*`).ReplaceAllString(statement, "")) != "" {
			list = append(list, statement)
		}
	}
	return list
}

// Every statement of the pages runs against the schema as it is.
func TestSQLRuns(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"README.md", "docs/decisions.md", "docs/operate.md", "docs/design.md", "docs/settings.md", "docs/scaling.md"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for _, b := range readDocument(t, path).blocks {
				if b.language != "sql" {
					continue
				}
				for _, sql := range statements(b.text) {
					if strings.Contains(sql, "$1") { // the caller's values
						if _, err := w.conn.Prepare(t.Context(), "", sql); err != nil {
							t.Errorf("%s:%d: %v:\n%s", path, b.line, err, sql)
						}
						continue
					}
					w.exec(t, sql)
				}
			}
		})
	}
}

// What the README tells an application to do leads to one event, which it reads and acknowledges.
func TestApplicationHearsOfItsOrder(t *testing.T) {
	t.Parallel()
	var insert, read, acknowledge string
	for _, b := range readDocument(t, "README.md").blocks {
		for _, sql := range statements(b.text) {
			switch {
			case strings.Contains(sql, "INSERT INTO orders"):
				insert = sql
			case strings.Contains(sql, "FROM next_order_events"):
				read = sql
			case strings.Contains(sql, "ack_order_events"):
				acknowledge = sql
			}
		}
	}
	w := newWorld(t)
	w.exec(t, read) // registers
	w.exec(t, insert)
	if output, code := w.shell(t, "reconciler run-once --all"); code != 0 {
		t.Fatalf("run-once ended with %d:\n%s", code, output)
	}
	for round, want := range []int{1, 0} {
		var events []map[string]any
		// An event can be read once no older transaction of the server is under way, other tests'
		// included.
		storetest.Eventually(t, time.Minute, fmt.Sprintf("%d events in round %d", want, round), func() bool {
			rows, err := w.conn.Query(t.Context(), read)
			if err != nil {
				t.Fatal(err)
			}
			if events, err = pgx.CollectRows(rows, pgx.RowToMap); err != nil {
				t.Fatal(err)
			}
			return len(events) == want
		})
		for _, event := range events {
			if event["event"] != "order.paid" || event["mer_order_id"] != exampleNumber {
				t.Errorf("event = %v, want order.paid of %s", event, exampleNumber)
			}
			if _, err := w.conn.Exec(t.Context(), acknowledge, event["xact"], event["id"]); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The credentials file of the pages can be read as one, beside its key files, and the users file as
// well.
func TestYAMLIsRead(t *testing.T) {
	t.Parallel()
	found := 0
	for _, b := range readDocument(t, "docs/settings.md").blocks {
		if b.language != "yaml" {
			continue
		}
		found++
		dir := t.TempDir()
		write := func(name, text string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if strings.HasPrefix(b.text, "users:") {
			write("users.yaml", strings.ReplaceAll(b.text, "$2a$12$…", exampleHash))
			if _, _, err := console.ReadUsers(filepath.Join(dir, "users.yaml")); err != nil {
				t.Errorf("docs/settings.md:%d: %v", b.line, err)
			}
			continue
		}
		write("credentials.yaml", b.text)
		for _, name := range regexp.MustCompile(`app_key_file: (\S+)`).FindAllStringSubmatch(b.text, -1) {
			write(name[1], "key-of-"+name[1])
		}
		if _, _, err := credentials.ReadFile(filepath.Join(dir, "credentials.yaml")); err != nil {
			t.Errorf("docs/settings.md:%d: %v", b.line, err)
		}
	}
	if found != 2 {
		t.Error("docs/settings.md does not show a credentials file and a users file")
	}
}

var (
	shellComment  = regexp.MustCompile(`\s+# .*`)
	inlineCommand = regexp.MustCompile("`(reconciler [^`]+)`")
)

// Every command that a page or an alert shows has these flags.
func TestCommandsParse(t *testing.T) {
	t.Parallel()
	lines := make(map[string]string) // and where each stands
	for _, d := range allDocuments(t) {
		for _, match := range inlineCommand.FindAllStringSubmatch(d.prose, -1) {
			lines[match[1]] = d.path
		}
		for _, b := range d.blocks {
			for line := range strings.SplitSeq(b.text, "\n") {
				line = strings.TrimPrefix(shellComment.ReplaceAllString(line, ""), "bin/")
				if strings.HasPrefix(line, "reconciler ") {
					lines[line] = d.path
				}
			}
		}
	}
	for _, line := range alertCommands(t) {
		lines[line] = "examples/alerts.yml"
	}
	for line, path := range lines {
		line, _, _ = strings.Cut(line, " | ")
		if strings.Contains(line, "COMMAND") || strings.Contains(line, "$") {
			continue
		}
		if output, code := (*world)(nil).shell(t, line+" --help"); code != 0 {
			t.Errorf("%s: %s: exit code %d: %s", path, line, code, output)
		}
	}
}

// alertCommands are the program's commands in the annotations, with made-up labels.
func alertCommands(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "examples/alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, line := range regexp.MustCompile(`(?m)^ +(?:command: )?(reconciler .*)$`).FindAllStringSubmatch(string(content), -1) {
		parsed, err := template.New("").Parse("{{ $labels := . }}" + line[1])
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if err := parsed.Execute(&text, map[string]string{"scope": "app", "key": "KEY", "reason": "poison"}); err != nil {
			t.Fatal(err)
		}
		list = append(list, text.String())
	}
	if len(list) < 10 {
		t.Errorf("only %d commands were found in examples/alerts.yml", len(list))
	}
	return list
}

// The commands of the pages for operators run, one after the other, as they stand there.
func TestOperatorsCommandsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.insertExample(t)
	ran := 0
	for _, b := range readDocument(t, "docs/operate.md").blocks {
		for line := range strings.SplitSeq(b.text, "\n") {
			if b.language != "sh" || !strings.HasPrefix(line, "reconciler ") {
				continue
			}
			ran++
			output, code := w.shell(t, line)
			if code == 0 || strings.HasPrefix(line, "reconciler status") && (code == 3 || code == 4) || // its verdict
				strings.Contains(line, "--mer-order-id 3194202606010001") && code == 1 { // no such order here
				continue
			}
			t.Errorf("docs/operate.md:%d: %s: exit code %d:\n%s", b.line, line, code, output)
		}
	}
	if ran < 10 {
		t.Errorf("only %d commands were found", ran)
	}
}
