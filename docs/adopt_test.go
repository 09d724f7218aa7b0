package docs_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/postgres/postgrestest"
)

const adoptSecret = "whsec_c2VjcmV0LW9mLXRoZS1leGFtcGxlLW9mLWFkb3B0aW9u"

// adoption is a database with a shop's own table, and the gateway that knows its payments.
type adoption struct {
	world

	gateway *simulator.Simulator
	mu      sync.Mutex
	told    []string // by the webhook
}

func newAdoption(t *testing.T) *adoption {
	t.Helper()
	app := chinaums.Credentials{AppID: exampleApp, AppKey: "key-of-the-examples"}
	gateway, err := simulator.New(simulator.Options{Credentials: []chinaums.Credentials{app}})
	if err != nil {
		t.Fatal(err)
	}
	a := &adoption{gateway: gateway}
	server, receiver := httptest.NewServer(gateway), httptest.NewServer(http.HandlerFunc(a.receive))
	t.Cleanup(server.Close)
	t.Cleanup(receiver.Close)
	url := postgrestest.NewDatabase(t)
	if a.conn, err = pgx.Connect(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.conn.Close(context.Background()) })
	a.env = []string{
		"DATABASE_URL=" + url + "&search_path=reconciler", "CHINAUMS_APP_ID=" + app.AppID, "CHINAUMS_APP_KEY=" + app.AppKey,
		"CHINAUMS_BASE_URL=" + server.URL, "RECONCILER_LISTEN=off", "RECONCILER_SCHEDULE=@every 1s",
		"RECONCILER_WEBHOOK_URL=" + receiver.URL, "RECONCILER_WEBHOOK_SECRET=" + adoptSecret,
	}
	a.exec(t, `DROP SCHEMA public CASCADE; CREATE SCHEMA public`) // the template's
	a.file(t, "shop.sql")
	return a
}

func (a *adoption) receive(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	key, err := standardwebhooks.NewWebhook(adoptSecret)
	if err == nil {
		err = key.Verify(body, r.Header)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		body = []byte(err.Error())
	}
	a.told = append(a.told, string(body))
}

// file runs a file of examples/adopt.
func (a *adoption) file(t *testing.T, name string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "examples/adopt", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.conn.Exec(t.Context(), string(content)); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func (a *adoption) text(t *testing.T, sql string, args ...any) string {
	t.Helper()
	var text string
	if err := a.conn.QueryRow(t.Context(), sql, args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return text
}

// migrate makes the reconciler's tables in a schema beside the shop's.
func (a *adoption) migrate(t *testing.T) {
	t.Helper()
	a.exec(t, `CREATE SCHEMA reconciler`)
	if output, code := a.shell(t, "reconciler migrate up"); code != 0 {
		t.Fatalf("migrate up: %s", output)
	}
}

func (a *adoption) await(t *testing.T, want, sql string, args ...any) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	got := ""
	for deadline := time.After(3 * time.Minute); got != want; {
		select {
		case <-tick.C:
			got = a.text(t, sql, args...)
		case <-deadline:
			t.Fatalf("%s: %q, want %q", sql, got, want)
		}
	}
}

// pay makes a payment at the gateway and in the shop's table.
func (a *adoption) pay(t *testing.T, number string, status chinaums.Status) {
	t.Helper()
	err := a.gateway.AddOrder(simulator.Order{
		MID: exampleMID, TID: exampleTID, MerOrderID: number, Amount: exampleAmount, Timeline: []simulator.Step{{Status: status}},
	})
	if err != nil {
		t.Fatal(err)
	}
	a.exec(t, fmt.Sprintf(`INSERT INTO pay_order (order_sn, mch_no, pos_no, amount_yuan) VALUES ('%s', '%s', '%s', 129.00)`, number, exampleMID, exampleTID))
}

func (a *adoption) due(t *testing.T) {
	t.Helper()
	a.exec(t, `UPDATE reconciler.orders SET next_query_at = now() WHERE next_query_at IS NOT NULL`)
}

// daemon starts the program. It ends with the test.
func (a *adoption) daemon(t *testing.T) {
	t.Helper()
	dir, err := programDir()
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	daemon := exec.Command(filepath.Join(dir, "reconciler"), "run")
	daemon.Env, daemon.Stderr = a.env, &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		if err := daemon.Wait(); err != nil || t.Failed() {
			t.Errorf("run: %v\n%s", err, log.String())
		}
	})
}

const shopState = `SELECT pay_state || ' ' || coalesce((paid_at IS NOT NULL)::text, '') FROM pay_order WHERE order_sn = $1`

// The shop's table and the reconciler's are kept in step, in both directions, as docs/adopt.md
// describes.
func TestAdoption(t *testing.T) {
	t.Parallel()
	a := newAdoption(t)
	a.pay(t, "SN000000000001", chinaums.StatusTradeSuccess) // before the adoption
	a.migrate(t)
	a.file(t, "adopt.sql")
	a.file(t, "backfill.sql")
	a.daemon(t)
	a.await(t, "true", `SELECT (count(*) > 0)::text FROM reconciler.event_consumers WHERE name = 'webhook'`)

	a.pay(t, "SN000000000002", chinaums.StatusTradeSuccess)
	a.pay(t, "SN000000000003", chinaums.StatusTradeClosed)
	a.pay(t, "SN000000000004", chinaums.StatusTradeSuccess)
	a.exec(t, `UPDATE pay_order SET pay_state = 1 WHERE order_sn = 'SN000000000004'`) // the shop's callback
	a.due(t)
	a.await(t, "1 true", shopState, "SN000000000001")
	a.await(t, "1 true", shopState, "SN000000000002")
	a.await(t, "2 false", shopState, "SN000000000003")
	if got := a.text(t, `SELECT status || ' ' || claim_no FROM reconciler.orders WHERE mer_order_id = 'SN000000000004'`); got != "TRADE_SUCCESS 0" {
		t.Errorf("the order that the callback settled: %s", got)
	}
	if got := a.text(t, `SELECT order_amount || ' ' || (abs(extract(epoch FROM now() - created_at)) < 600) FROM reconciler.orders WHERE mer_order_id = 'SN000000000002'`); got != "12900 true" {
		t.Errorf("amount and age of a new order: %s", got)
	}
	if got := a.text(t, `SELECT (abs(extract(epoch FROM (p.paid_at AT TIME ZONE 'Asia/Shanghai') - o.pay_time)) < 1)::text
		FROM pay_order p JOIN reconciler.orders o ON o.mer_order_id = p.order_sn WHERE p.order_sn = 'SN000000000002'`); got != "true" {
		t.Error("paid_at is not the pay time in China")
	}
	// A whole-row save of an old copy undoes nothing.
	a.exec(t, `UPDATE pay_order SET pay_state = 0, paid_at = NULL WHERE order_sn = 'SN000000000002'`)
	a.await(t, "1 true", shopState, "SN000000000002")
	// A payment that the reconciler's table refuses is taken nevertheless, and shows.
	a.exec(t, `INSERT INTO pay_order (order_sn, mch_no, pos_no, amount_yuan) VALUES ('SN000000000005', 'short', '88880001', 1)`)
	if got := a.text(t, `SELECT string_agg(order_sn, ' ') FROM reconciler.missing_orders`); got != "SN000000000005" {
		t.Errorf("missing orders: %s", got)
	}
	a.await(t, "3", `SELECT count(*)::text FROM reconciler.webhook_deliveries WHERE delivered_at IS NOT NULL`)
	a.mu.Lock()
	defer a.mu.Unlock()
	if told := strings.Join(a.told, "\n"); len(a.told) != 3 || !strings.Contains(told, `"mer_order_id": "SN000000000002"`) && !strings.Contains(told, `"mer_order_id":"SN000000000002"`) {
		t.Errorf("the webhook told:\n%s", told)
	}
}

// The shop's table works on when the reconciler is taken out.
func TestAdoptionIsTakenOut(t *testing.T) {
	t.Parallel()
	a := newAdoption(t)
	a.migrate(t)
	a.file(t, "adopt.sql")
	a.exec(t, `DROP SCHEMA reconciler CASCADE; DROP FUNCTION keep_outcome() CASCADE`)
	a.pay(t, "SN000000000001", chinaums.StatusTradeSuccess)
	a.exec(t, `UPDATE pay_order SET pay_state = 1`)
	if n := a.text(t, `SELECT count(*)::text FROM pg_trigger WHERE tgrelid = 'pay_order'::regclass AND NOT tgisinternal`); n != "0" {
		t.Errorf("%s triggers are left", n)
	}
}

// A row that the shop keeps locked does not hold the reconciler up, and its outcome arrives by
// catch_up.
func TestAdoptionCatchesUp(t *testing.T) {
	t.Parallel()
	a := newAdoption(t)
	a.migrate(t)
	a.file(t, "adopt.sql")
	a.pay(t, "SN000000000001", chinaums.StatusTradeSuccess)
	a.due(t)
	tx, err := a.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM pay_order FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	if output, code := a.shell(t, "reconciler run-once"); code != 0 {
		t.Fatalf("run-once: %s", output)
	}
	if got := a.text(t, `SELECT status FROM reconciler.orders`); got != "TRADE_SUCCESS" {
		t.Errorf("the order is %s", got)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := a.text(t, `SELECT pay_state::text FROM pay_order`); got != "0" {
		t.Errorf("the shop's row is %s although it was locked", got)
	}
	a.await(t, "1", `SELECT (reconciler.catch_up() * 0 + pay_state)::text FROM pay_order`)
	a.file(t, "consumer.sql")
}

// The consumers in other languages are run, or at least compiled, where the language is installed.
func TestConsumersInOtherLanguages(t *testing.T) {
	t.Parallel()
	t.Run("java", func(t *testing.T) {
		t.Parallel()
		if testing.Short() {
			t.Skip("starts a compiler")
		}
		compiler, err := exec.LookPath("javac")
		if err != nil {
			t.Skip("javac is not installed")
		}
		source := filepath.Join(root, "examples/adopt/Consumer.java")
		if out, err := exec.Command(compiler, "-Xlint:all", "-Werror", "-d", t.TempDir(), source).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("php", func(t *testing.T) {
		t.Parallel()
		php, err := exec.LookPath("php")
		if err != nil {
			t.Skip("php is not installed")
		}
		a := newAdoption(t)
		a.migrate(t)
		a.exec(t, `SELECT reconciler.register_order_events('php', true)`)
		a.exec(t, `INSERT INTO reconciler.order_events (order_id, mid, mer_order_id, event, payload) VALUES (1, 'any', 'SN000000000001', 'order.paid', '{}')`)
		config := a.conn.Config()
		output := ""
		for deadline := time.Now().Add(3 * time.Minute); output == "" && time.Now().Before(deadline); {
			command := exec.Command(php, filepath.Join(root, "examples/adopt/consumer.php"), "--once")
			command.Env = append(os.Environ(), "PGHOST="+config.Host, fmt.Sprintf("PGPORT=%d", config.Port), "PGDATABASE="+config.Database, "PGUSER="+config.User)
			out, err := command.CombinedOutput()
			if strings.Contains(string(out), "could not find driver") {
				t.Skip("php has no pdo_pgsql")
			}
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			output = string(out)
		}
		if output != "order.paid SN000000000001\n" {
			t.Errorf("the consumer handled %q", output)
		}
	})
}
