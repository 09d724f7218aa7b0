package main_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"reconciler/internal/chinaums"
)

// page is an answer of the health server.
type page struct {
	code int
	kind string
	body string
}

var listens = regexp.MustCompile(`"msg":"health server listens","address":"([^"]+)"`)

// healthAddress is where a process that was told to choose a port serves.
func healthAddress(t *testing.T, p *process) string {
	t.Helper()
	p.awaitLog(t, "health server listens")
	match := listens.FindStringSubmatch(p.stderr.String())
	if match == nil {
		t.Fatal("the log does not say where the health server listens")
	}
	return match[1]
}

func get(t *testing.T, address, path string) page {
	t.Helper()
	return fetchPage(t, "http://"+address+path)
}

// fetchPage is a request on a connection of its own.
func fetchPage(t *testing.T, url string) page {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return page{code: response.StatusCode, kind: response.Header.Get("Content-Type"), body: string(body)}
}

func awaitReady(t *testing.T, address string, code int) {
	t.Helper()
	eventually(t, "/readyz answers "+http.StatusText(code), func() bool { return get(t, address, "/readyz").code == code })
}

func TestReadyWhileTheWorkGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_LISTEN=127.0.0.1:0")
	network := throughProxy(t, w)
	p := w.start(t, "run")
	address := healthAddress(t, p)
	wantHealth := func(ready int) {
		t.Helper()
		if got := get(t, address, "/healthz"); got.code != http.StatusOK {
			t.Errorf("/healthz = %+v, want 200 as long as the process lives", got)
		}
		got := get(t, address, "/readyz")
		if got.code != ready || !json.Valid([]byte(got.body)) || !strings.HasPrefix(got.kind, "application/json") {
			t.Errorf("/readyz = %+v, want JSON with %d", got, ready)
		}
	}
	p.awaitLog(t, "waiting for the database")
	wantHealth(http.StatusServiceUnavailable) // no pass yet

	network.restore()
	awaitReady(t, address, http.StatusOK)
	wantHealth(http.StatusOK)

	network.cut()
	awaitReady(t, address, http.StatusServiceUnavailable)
	wantHealth(http.StatusServiceUnavailable)

	network.restore()
	awaitReady(t, address, http.StatusOK)
	w.exec(t, `DROP TABLE reconciler_migrations`) // as if it were another database
	awaitReady(t, address, http.StatusServiceUnavailable)
	p.stop(t)
}

func TestNotReadyBeforeTheFirstPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_LISTEN=127.0.0.1:0")
	w.exec(t, `BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE`) // the first pass waits for it
	p := w.start(t, "run")
	p.awaitLog(t, `"msg":"started"`)
	address := healthAddress(t, p)
	if got := get(t, address, "/readyz"); got.code != http.StatusServiceUnavailable {
		t.Errorf("/readyz = %+v before the first pass", got)
	}
	p.awaitLog(t, "holds the lock")
	w.exec(t, `COMMIT`)
	awaitReady(t, address, http.StatusOK)
	p.stop(t)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_LISTEN=127.0.0.1:0", "RECONCILER_PLAN_INITIAL=1h", "RECONCILER_PLAN_MAX=1h", "RECONCILER_RATE=50")
	w.orders(t, 3, paid())
	w.orders(t, 2, status(chinaums.StatusWaitBuyerPay))
	w.orders(t, 1, paid("other-order"))
	// A pause and a consumer, without which their metrics have no series.
	w.exec(t, `INSERT INTO gateway_controls (scope, key, set_by) VALUES ('mid', 'another', 'li')`)
	w.exec(t, `SELECT register_order_events('shop', true)`)
	p := w.start(t, "run")
	address := healthAddress(t, p)
	eventually(t, "every order has been asked about", func() bool {
		return scan[int](t, w, `SELECT count(*) FROM order_queries`) == 6
	})
	awaitReady(t, address, http.StatusOK)
	var metrics page
	want := []string{
		`reconciler_questions_total{decision="settled"} 3`,
		`reconciler_questions_total{decision="deferred"} 2`,
		`reconciler_questions_total{decision="review"} 1`,
		`reconciler_gateway_answers_total{app_id="` + appID + `",class="credentials"} 0`,
	}
	eventually(t, "the metrics tell of all questions", func() bool {
		metrics = get(t, address, "/metrics")
		return !slices.ContainsFunc(want, func(line string) bool { return !strings.Contains(metrics.body, line+"\n") })
	})
	p.stop(t)

	if metrics.code != http.StatusOK || !strings.HasPrefix(metrics.kind, "text/plain") {
		t.Errorf("/metrics = %d, %s", metrics.code, metrics.kind)
	}
	problems, err := promlint.New(strings.NewReader(metrics.body)).Lint()
	if err != nil {
		t.Errorf("the metrics cannot be parsed: %v", err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
	for _, match := range regexp.MustCompile(`(?m)^# TYPE (\w+) `).FindAllStringSubmatch(metrics.body, -1) {
		if !regexp.MustCompile(`^(reconciler|go|process)_`).MatchString(match[1]) {
			t.Errorf("metric %s is not named after its program", match[1])
		}
	}
	for _, name := range exampleMetrics(t) {
		if !strings.Contains(metrics.body, "\n"+name+" ") && !strings.Contains(metrics.body, "\n"+name+"{") {
			t.Errorf("the examples read %s, which the daemon does not export", name)
		}
	}
}

// exampleMetrics are those that the alerts and the dashboard read.
func exampleMetrics(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, path := range []string{"../../examples/alerts.yml", "../../examples/grafana.json"} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, regexp.MustCompile(`\breconciler_[a-z_]+`).FindAllString(string(content), -1)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestListenSetting(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	w := newWorld(t) // where the environment has it off
	for _, test := range []struct {
		name, address string
		code          int
	}{
		{"no port", "127.0.0.1", 2},
		{"an unset variable of the shell", "", 2},
		{"a port that cannot be", "127.0.0.1:99999", 2},
		{"a port that is none", "127.0.0.1:no-such-service", 2},
		{"a port that is taken", taken.Addr().String(), 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w.invoke(t, "run", "--listen="+test.address).want(t, test.code, "--listen (RECONCILER_LISTEN)")
		})
	}
	w.invoke(t, "console", "--console-listen="+taken.Addr().String()).want(t, 1, "--console-listen (RECONCILER_CONSOLE_LISTEN)")
	for _, how := range []string{"flag", "environment"} {
		t.Run("off by "+how, func(t *testing.T) {
			t.Parallel()
			env, args := w.env, []string{"run"}
			if how == "flag" {
				env, args = append(slices.Clone(env), "RECONCILER_LISTEN=nowhere"), []string{"run", "--listen=off"}
			}
			p := start(t, env, args...)
			p.awaitLog(t, `"msg":"started"`)
			p.stop(t)
			result{stderr: p.stderr.String()}.lacks(t, "health server")
		})
	}
}

// healthcheck asks the daemon for a container that has no shell.
func TestHealthcheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_LISTEN=127.0.0.1:0")
	w.exec(t, `BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE`) // the first pass waits for it
	p := w.start(t, "run")
	address := healthAddress(t, p)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	invoke(t, nil, "healthcheck", "--listen="+address).want(t, 0, "ok")
	invoke(t, []string{"RECONCILER_LISTEN=0.0.0.0:" + port, "HTTP_PROXY=http://127.0.0.1:1"}, "healthcheck").want(t, 0, "ok")
	invoke(t, nil, "healthcheck", "--ready", "--listen=:"+port).want(t, 1, "503")
	w.exec(t, `COMMIT`)
	awaitReady(t, address, http.StatusOK)
	invoke(t, nil, "healthcheck", "--ready", "--listen="+address).want(t, 0, "ok")
	p.stop(t)
	invoke(t, nil, "healthcheck", "--listen="+address).want(t, 1, "does not answer")
	invoke(t, nil, "healthcheck", "--listen=off").want(t, 2, "off")
	invoke(t, nil, "healthcheck", "--listen=").want(t, 2, "nothing to ask")
	invoke(t, nil, "healthcheck", "--listen=nowhere").want(t, 2, "host:port")
}

func TestCompletionAndManPage(t *testing.T) {
	t.Parallel()
	invoke(t, nil, "completion", "bash").want(t, 0, "completion")
	invoke(t, []string{"COMP_LINE=reconciler run", "COMP_POINT=14"}).want(t, 0, "run-once")
	invoke(t, nil, "man").want(t, 0, ".TH RECONCILER 1 ", `"reconciler" "User Commands"`, "run-once", "plan-max", "($RECONCILER_PLAN_MAX)", "EXIT STATUS", "2: bad usage")
}
