package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"reconciler/internal/store/storetest"

	"github.com/jackc/pgx/v5"
)

// The demo takes half a minute; stopped after it has shown all, it says how that was.
func TestDemo(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "demo", "--keep")
	const invitation = "left running until Ctrl-C"
	storetest.Eventually(t, 2*patience, "the demo has played", func() bool {
		return !p.running() || strings.Contains(p.stdout.String(), invitation)
	})
	if folder := regexp.MustCompile(`psql -h (\S+) -U postgres`).FindStringSubmatch(p.stdout.String()); folder == nil {
		t.Error("the demo does not say how to look at the rows")
	} else {
		lookAround(t, folder[1])
	}
	var env []string
	for _, export := range regexp.MustCompile(`(?m)^  export (.*)$`).FindAllStringSubmatch(p.stdout.String(), -1) {
		env = append(env, strings.Fields(strings.ReplaceAll(export[1], "'", ""))...)
	}
	invoke(t, env, "why", "#61").want(t, 0, "order 61", "asked")
	if _, s := (&world{env: env}).summary(t, 0, "run-once", "--review"); s.Asked != 35 {
		t.Errorf("run-once --review asked %d, want all that need a person", s.Asked)
	}
	if page := regexp.MustCompile(`http://127\.0\.0\.1:\d+/\n`).FindString(p.stdout.String()); page == "" {
		t.Error("the demo does not say where the webhook's deliveries are")
	} else {
		awaitDeliveries(t, strings.TrimSpace(page))
	}
	if metrics := regexp.MustCompile(`metrics: (http://127\.0\.0\.1:\d+/metrics)\n`).FindStringSubmatch(p.stdout.String()); metrics == nil {
		t.Error("the demo does not say where the metrics are")
	} else if got := fetchPage(t, metrics[1]); got.code != http.StatusOK || !strings.Contains(got.body, `reconciler_answers_recorded_total`) {
		t.Errorf("the metrics answer %d: %s", got.code, got.body)
	}
	if pages := regexp.MustCompile(`The console, .*: (http://127\.0\.0\.1:\d+/)\n`).FindStringSubmatch(p.stdout.String()); pages == nil {
		t.Error("the demo does not say where the console is")
	} else if got := fetchPage(t, pages[1]); got.code != http.StatusOK || !strings.Contains(got.body, "898340149000005") {
		t.Errorf("the console answers %d: %s", got.code, got.body)
	}
	p.stop(t)
	if !regexp.MustCompile(`(?m)^all +300 +300$`).MatchString(p.stdout.String()) {
		t.Error("not every order ended as scripted")
	}
	if left := leftBehind(t, p); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// lookAround does what the demo invites to.
func lookAround(t *testing.T, folder string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), "host="+folder+" user=postgres dbname=postgres sslmode=disable")
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(t.Context())
	var settled int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM orders WHERE status LIKE 'TRADE_%'`).Scan(&settled); err != nil || settled == 0 {
		t.Errorf("%d settled orders, %v", settled, err)
	}
}

// awaitDeliveries reads the page of the demo's receiver until every kind of event is there.
func awaitDeliveries(t *testing.T, page string) {
	t.Helper()
	storetest.Eventually(t, 2*patience, "all kinds of events are delivered", func() bool {
		body := fetchPage(t, page).body
		for _, event := range []string{"order.paid", "order.refunded", "order.closed", "order.not_found", "order.review"} {
			if !strings.Contains(body, event+" ") {
				return false
			}
		}
		return true
	})
}

// leftBehind lists what is left of the private server, whose folder is named after the process.
func leftBehind(t *testing.T, p *process) []string {
	t.Helper()
	name := fmt.Sprintf("reconciler-pg-%d-", p.cmd.Process.Pid)
	var left []string
	for _, place := range []string{os.TempDir(), "/tmp", "/dev/shm"} {
		folders, err := filepath.Glob(filepath.Join(place, name+"*"))
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, folders...)
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range commands {
		command, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(command), name) { // a process that has ended meanwhile has no file
			left = append(left, strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return left
}
