package main_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/chinaums/simulator"
)

const (
	exampleScenario = "../../examples/scenario.yaml"
	exampleOrders   = "../../examples/orders.sql"
	exampleNumber   = "31942026060109000000000000" // and two digits more
)

var serves = regexp.MustCompile(`http://(127\.0\.0\.1:\d+)/`)

// startSimulator serves a scenario and returns the settings by which it is asked.
func startSimulator(t *testing.T, scenario string) (*process, []string) {
	t.Helper()
	p := start(t, nil, "simulator", "--listen=127.0.0.1:0", "--scenario="+scenario)
	eventually(t, "the simulator serves", func() bool { return serves.MatchString(p.stdout.String()) })
	address := serves.FindStringSubmatch(p.stdout.String())[1]
	return p, []string{
		"CHINAUMS_APP_ID=reconciler-demo-app", "CHINAUMS_APP_KEY=reconciler-demo-key", "CHINAUMS_BASE_URL=http://" + address,
	}
}

func TestSimulatorServesTheExample(t *testing.T) {
	t.Parallel()
	p, env := startSimulator(t, exampleScenario)
	query := []string{"query", "--mid=" + mid, "--tid=" + tid}
	invoke(t, env, append(query, "--mer-order-id="+exampleNumber+"01")...).want(t, 0, "TRADE_SUCCESS", "12900 fen")
	invoke(t, env, append(query, "--mer-order-id="+exampleNumber+"09")...).want(t, 1, "NO_ORDER")
	invoke(t, append(env, "CHINAUMS_APP_KEY=another"), append(query, "--mer-order-id="+exampleNumber+"01")...).want(t, 1, "1000")
	p.stop(t)
}

func TestSimulatorNamesThePathsItServes(t *testing.T) {
	t.Parallel()
	scenario := filepath.Join(t.TempDir(), "scenario.yaml")
	content := "apps: [{id: reconciler-demo-app, key: reconciler-demo-key}]\npaths: [/v1/a, /v1/b]\n"
	if err := os.WriteFile(scenario, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	p, _ := startSimulator(t, scenario)
	eventually(t, "both paths are named", func() bool {
		return strings.Contains(p.stdout.String(), "/v1/a\n") && strings.Contains(p.stdout.String(), "/v1/b\n")
	})
	p.stop(t)
}

// The two examples belong together: the orders as an application inserts them, and what becomes of
// them.
func TestExamplesFitTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, env := startSimulator(t, exampleScenario)
	w.set(env...)
	w.set("RECONCILER_REQUEST_TIMEOUT=5s")
	sql, err := os.ReadFile(exampleOrders)
	if err != nil {
		t.Fatal(err)
	}
	w.exec(t, string(sql))
	w.exec(t, string(sql)) // by hand, twice
	args := []string{"run-once"}
	for _, n := range []string{"01", "02", "06", "07", "08", "09", "10", "11"} {
		args = append(args, "--mer-order-id="+exampleNumber+n)
	}
	w.summary(t, 0, args...)
	got := column[string](t, w, `
		SELECT right(mer_order_id, 2) || ' ' || concat_ws(' ', status, review_reason, total_amount, refund_amount)
		FROM orders WHERE last_queried_at IS NOT NULL ORDER BY mer_order_id`)
	want := []string{
		"01 TRADE_SUCCESS 12900 0", "02 TRADE_SUCCESS 10000 0", "06 WAIT_BUYER_PAY", "07 TRADE_REFUND 25000 5000",
		"08 TRADE_CLOSED 6600 6600", "09 UNKNOWN", "10 UNKNOWN amount_mismatch", "11 UNKNOWN identity_mismatch",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("orders (-want +got):\n%s", diff)
	}
	if n := scan[int](t, w, `SELECT count(*) FROM orders`); n != 14 {
		t.Errorf("%d orders in the example, want 14", n)
	}
	p.stop(t)
}

func TestSimulatorStopsWhileAClientWaits(t *testing.T) {
	t.Parallel()
	scenario := filepath.Join(t.TempDir(), "scenario.yaml")
	content := "apps: [{id: reconciler-demo-app, key: reconciler-demo-key}]\noutage: [{fault: hang}]\n"
	if err := os.WriteFile(scenario, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	p, env := startSimulator(t, scenario)
	conn, err := net.Dial("tcp", strings.TrimPrefix(env[2], "CHINAUMS_BASE_URL=http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: gateway\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", simulator.QueryPath)
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		t.Fatalf("%q, %v, want that the body is awaited", line, err)
	}
	fmt.Fprint(conn, "{}") // now nothing but the answer is missing
	p.signal(t, syscall.SIGINT)
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d after SIGINT, want 0", code)
	}
}

func TestSimulatorUsage(t *testing.T) {
	t.Parallel()
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("apps: [{id: a, key: b}]\nmercants: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	invoke(t, nil, "simulator", "--scenario="+bad).want(t, 2, bad, "mercants")
	invoke(t, nil, "simulator", "--scenario=/no/such/file").want(t, 2, "/no/such/file")

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	// Without a scenario it is the example's: no file is missed.
	invoke(t, nil, "simulator", "--listen="+taken.Addr().String()).want(t, 1, "in use")
	invoke(t, nil, "simulator", "--scenario="+exampleScenario, "--listen="+taken.Addr().String()).want(t, 1, "in use")
}
