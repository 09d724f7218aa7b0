package main_test

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"reconciler/internal/chinaums/simulator"
)

// Every problem is named by its setting, all in one run, wherever the value came from.
func TestEveryProblemIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		env  []string
		args []string
		want []string
	}{
		{
			name: "nothing given",
			want: []string{"DATABASE_URL", "CHINAUMS_APP_ID", "CHINAUMS_APP_KEY"},
		},
		{
			name: "unreadable",
			env:  []string{"RECONCILER_RATE=fast", "RECONCILER_PLAN_MAX=1hour", "RECONCILER_CONCURRENCY=1.5", "RECONCILER_SLOW_AFTER=late"},
			args: []string{"--lease=60", "--plan-jitter=NaN"},
			want: []string{"RECONCILER_RATE", "RECONCILER_PLAN_MAX", "RECONCILER_CONCURRENCY", "RECONCILER_SLOW_AFTER", "lease", "plan-jitter"},
		},
		{
			name: "out of range",
			env:  []string{"RECONCILER_RATE=-1", "RECONCILER_CONCURRENCY=0", "RECONCILER_PLAN_JITTER=1", "RECONCILER_LOG_FORMAT=xml", "CHINAUMS_BASE_URL=http://gateway.example"},
			args: []string{"--plan-initial=0s", "--plan-multiplier=0.5", "--request-timeout=0s", "--not-found-after=0s", "--slow-after=-1s", "--schedule=never", "--log-level=loud", "--listen=nowhere"},
			want: []string{
				"rate", "concurrency", "plan-jitter", "log-format", "gateway-url", "plan-initial", "plan-multiplier", "request-timeout",
				"not-found-after", "slow-after", "schedule", "log-level", "listen", "DATABASE_URL", "CHINAUMS_APP_ID", "CHINAUMS_APP_KEY",
			},
		},
		{
			name: "at odds with each other",
			args: []string{"--plan-max=1s", "--give-up-after=1h", "--lease=20s"},
			want: []string{"--plan-max (RECONCILER_PLAN_MAX) must be at least the first wait (15s)", "--give-up-after", "not found (2h0m0s)", "--lease (RECONCILER_LEASE) must be at least 36.125s with a request timeout of 10s"},
		},
		{
			name: "unreadable, out of range and missing together",
			env:  []string{"RECONCILER_RATE=fast"},
			args: []string{"--plan-jitter=2", "--schedule=never"},
			want: []string{"rate", "plan-jitter", "schedule", "DATABASE_URL", "CHINAUMS_APP_ID", "CHINAUMS_APP_KEY"},
		},
		{
			name: "a gateway that is none beside others",
			env:  []string{"CHINAUMS_BASE_URL=ftp://gateway.example", "CHINAUMS_QUERY_PATH=query"},
			want: []string{"gateway-url", "query-path", "DATABASE_URL", "CHINAUMS_APP_ID", "CHINAUMS_APP_KEY"},
		},
		{
			name: "beside another that is wrong too",
			env:  []string{"RECONCILER_PLAN_INITIAL=soon", "CHINAUMS_CREDENTIALS_FILE=/nowhere/credentials.yaml", "CHINAUMS_APP_ID=any"},
			args: []string{"--plan-max=0s", "--not-found-after=0s", "--give-up-after=0s", "--request-timeout=0s", "--lease=1s"},
			want: []string{
				"RECONCILER_PLAN_INITIAL", "plan-max", "not-found-after", "give-up-after", "request-timeout", "--lease (RECONCILER_LEASE) must be at least 6.125s with any",
				"CHINAUMS_APP_ID", "/nowhere/credentials.yaml", "DATABASE_URL",
			},
		},
		{
			name: "a webhook's secret without its address",
			env:  []string{"RECONCILER_WEBHOOK_SECRET=!!"},
			want: []string{"RECONCILER_WEBHOOK_URL", "base64, as a rule behind whsec_ (RECONCILER_WEBHOOK_SECRET", "DATABASE_URL", "CHINAUMS_APP_ID", "CHINAUMS_APP_KEY"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := invoke(t, test.env, append([]string{"run"}, test.args...)...)
			r.want(t, 2, test.want...)
			if r.stdout != "" {
				t.Errorf("stdout = %q", r.stdout)
			}
			namesEachOnce(t, r.stderr)
		})
	}
	for _, command := range []string{"plan", "plan --simulate=5", "why 3194000001", "console"} { // they show a plan
		invoke(t, []string{"RECONCILER_RATE=-1"}, append(strings.Fields(command), "--plan-jitter=2", "--lang=fr")...).
			want(t, 2, "--rate (RECONCILER_RATE) must be", "--plan-jitter (RECONCILER_PLAN_JITTER) must be", "--lang")
	}
}

// namesEachOnce wants no two problems of one flag.
func namesEachOnce(t *testing.T, stderr string) {
	t.Helper()
	seen := make(map[string]bool)
	for line := range strings.SplitSeq(stderr, "\n  - ") {
		flag, _, _ := strings.Cut(line, " ")
		if strings.HasPrefix(flag, "--") && seen[flag] {
			t.Errorf("%s is named twice in:\n%s", flag, stderr)
		}
		seen[flag] = true
	}
}

// The problem of a single setting is named by the setting, not by a word of the code.
func TestSettingIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	t.Cleanup(func() {
		if w.Total() != 0 {
			t.Error("the gateway was asked")
		}
	})
	for _, test := range []struct {
		setting string
		want    []string
	}{
		{"CHINAUMS_BASE_URL=ftp://gateway.example", []string{"gateway-url"}},
		{"CHINAUMS_BASE_URL=https://user:pass@gateway.example", []string{"gateway-url"}},
		{"CHINAUMS_BASE_URL=http://10.0.0.1", []string{"gateway-url", "--insecure-http"}},
		{"CHINAUMS_BASE_URL=https://gateway.example:99999", []string{"gateway-url", "port"}},
		{"CHINAUMS_BASE_URL=https://gateway.example:0", []string{"gateway-url", "port"}},
		{"CHINAUMS_BASE_URL=https://gateway.example:", []string{"gateway-url", "port"}},
		{"CHINAUMS_BASE_URL=https://gateway.example/a b", []string{"gateway-url", "spaces"}},
		{"CHINAUMS_QUERY_PATH=/v1/a query", []string{"query-path", "%20"}},
		{"CHINAUMS_QUERY_PATH=/v1/查询", []string{"query-path", "percent-encoded", "查询"}},
		{"CHINAUMS_BASE_URL=http://127.0.0.1.example.com", []string{"gateway-url", "--insecure-http"}},
		{"CHINAUMS_QUERY_PATH=v1/query", []string{"query-path"}},
		{"CHINAUMS_APP_ID=two words", []string{"app-id"}},
		{"CHINAUMS_APP_KEY=two words", []string{"the app key (CHINAUMS_APP_KEY, "}},
		{"RECONCILER_SCHEDULE=@every 100ms", []string{"schedule"}},
		{"RECONCILER_SCHEDULE=0 0 30 2 *", []string{"schedule"}}, // never comes
		{"RECONCILER_SCHEDULE=CRON_TZ= 0 9 * * *", []string{"--schedule (RECONCILER_SCHEDULE)", "zone"}},
		{"RECONCILER_LEASE=51124ms", []string{"lease", "51.125s"}},
		{"DATABASE_URL=nonsense", []string{"--database-url (DATABASE_URL) cannot be used: it is neither"}},
		{"DATABASE_URL=postgres://u:pass-that-nobody-may-see@host:port/db", []string{"database"}},
	} {
		t.Run(test.setting, func(t *testing.T) {
			t.Parallel()
			env := append(slices.Clone(w.env), test.setting)
			for _, command := range []string{"run", "run-once"} {
				if command == "run-once" && strings.HasPrefix(test.setting, "RECONCILER_SCHEDULE") {
					continue
				}
				r := invoke(t, env, command)
				r.want(t, 2, test.want...)
				r.lacks(t, "pass-that-nobody-may-see")
			}
		})
	}
}

// With the request timeout of 10 seconds: three round trips, waits of up to 375 and 750 ms between
// them, 5 s for the write.
func TestLeaseMustLastForAQuestion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.unset("RECONCILER_REQUEST_TIMEOUT")
	w.set("RECONCILER_LEASE=36124ms")
	w.invoke(t, "run").want(t, 2, "lease", "36.125s", "36.124s")
	w.set("RECONCILER_LEASE=36125ms")
	w.invoke(t, "run-once").want(t, 0)
	w.unset("RECONCILER_LEASE")
	w.invoke(t, "run-once").want(t, 0)
}

func TestFlagBeatsEnvironmentBeatsDefault(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		env  []string
		args []string
		want string
	}{
		{"default", nil, nil, `"schedule":"@every 5s"`},
		{"environment", []string{"RECONCILER_SCHEDULE=@every 7s"}, nil, `"schedule":"@every 7s"`},
		{"flag", nil, []string{"--schedule=@every 9s"}, `"schedule":"@every 9s"`},
		{"both", []string{"RECONCILER_SCHEDULE=@every 7s"}, []string{"--schedule=@every 9s"}, `"schedule":"@every 9s"`},
		{"flag beats a bad environment", []string{"RECONCILER_SCHEDULE=never", "RECONCILER_LEASE=short"}, []string{"--schedule=@every 9s", "--lease=1h"}, `"schedule":"@every 9s"`},
		{"five cron fields", []string{"RECONCILER_SCHEDULE=*/5 * * * *"}, nil, `"schedule":"*/5 * * * *"`},
		{"six cron fields", []string{"RECONCILER_SCHEDULE=*/10 * * * * *"}, nil, `"schedule":"*/10 * * * * *"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.unset("RECONCILER_SCHEDULE")
			w.set(test.env...)
			w.orders(t, 1, paid())
			p := w.start(t, append([]string{"run"}, test.args...)...)
			p.awaitLog(t, test.want)
			w.awaitPaid(t, 1) // whatever the schedule, the first pass is at once
			p.stop(t)
		})
	}
	t.Run("other settings", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.set("CHINAUMS_QUERY_PATH=/by/environment", "CHINAUMS_BASE_URL=http://127.0.0.1:1", "CHINAUMS_APP_ID=nobody")
		w.orders(t, 1, paid())
		w.summary(t, 0, "run-once", "--query-path="+simulator.QueryPath, "--gateway-url="+w.gateway.url, "--app-id="+appID)
	})
}

func TestPlainHTTPOnlyToThisMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(w.gateway.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	w.orders(t, 1, paid())
	for host, code := range map[string]int{"127.0.0.1": 0, "localhost": 0, "127.1.2.3": 1} { // at the last, nobody listens
		w.summary(t, code, "run-once", "--dry-run", "--gateway-url=http://"+host+":"+port)
	}
	asked := w.Total()
	w.invoke(t, "run-once", "--gateway-url=http://192.0.2.1:1").want(t, 2, "--insecure-http")
	w.set("HTTP_PROXY=" + w.gateway.url) // stands for a test network
	w.summary(t, 0, "run-once", "--insecure-http", "--gateway-url=http://192.0.2.1")
	if w.Total() != asked+1 {
		t.Errorf("%d requests, want one", w.Total()-asked)
	}
}

func TestAppKeyFile(t *testing.T) {
	t.Parallel()
	file := func(t *testing.T, content string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct {
		name, content string
		code          int
	}{
		{"key", appKey, 0},
		{"trailing newline", appKey + "\n", 0},
		{"written on Windows", appKey + "\r\n", 0},
		{"empty", "\n", 2},
		{"two lines", appKey + "\n" + appKey + "\n", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.unset("CHINAUMS_APP_KEY")
			w.orders(t, 1, paid())
			path := file(t, test.content)
			w.invoke(t, "run-once", "--all", "--dry-run", "--app-key-file="+path).want(t, test.code)
			w.set("CHINAUMS_APP_KEY_FILE=" + path)
			w.invoke(t, "run-once").want(t, test.code)
		})
	}
	t.Run("both set", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.set("CHINAUMS_APP_KEY_FILE=" + file(t, appKey))
		w.invoke(t, "run-once").want(t, 2, "CHINAUMS_APP_KEY", "CHINAUMS_APP_KEY_FILE")
	})
	t.Run("missing", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.unset("CHINAUMS_APP_KEY")
		w.set("CHINAUMS_APP_KEY_FILE=/no/such/file")
		w.invoke(t, "run-once").want(t, 2, "/no/such/file")
	})
	t.Run("not private", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.unset("CHINAUMS_APP_KEY")
		path := file(t, appKey)
		fifo := filepath.Join(t.TempDir(), "fifo")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			path string
			mode os.FileMode
			code int
			want string
		}{
			{path, 0o666, 2, "can be changed by others"},
			{path, 0o644, 0, "can be read by others"},
			{fifo, 0o600, 2, "is not a regular file"},
			{"/dev/zero", 0, 2, "is not a regular file"},
		} {
			if test.mode != 0 {
				if err := os.Chmod(test.path, test.mode); err != nil {
					t.Fatal(err)
				}
			}
			w.invoke(t, "run-once", "--app-key-file="+test.path).want(t, test.code, test.path, test.want)
		}
	})
}

// That the key is never printed is checked for every process that any test starts.
func TestNoFlagTakesTheKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, args := range [][]string{
		{"--app-key=" + appKey}, {"--app-key", appKey}, {"--key=" + appKey}, {"--chinaums-app-key=" + appKey}, {"--CHINAUMS_APP_KEY=" + appKey},
	} {
		w.invoke(t, append([]string{"run"}, args...)...).want(t, 2, "unknown flag", "reconciler run --help")
	}
}

func TestStandardPostgresVariables(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config, err := pgx.ParseConfig(w.url)
	if err != nil {
		t.Fatal(err)
	}
	w.unset("DATABASE_URL")
	w.set("PGHOST="+config.Host, "PGUSER="+config.User, "PGDATABASE="+config.Database, "PGSSLMODE=disable")
	if config.Password != "" {
		w.set("PGPASSWORD=" + config.Password)
	}
	w.invoke(t, "migrate", "status").want(t, 0)
	w.orders(t, 1, paid())
	w.summary(t, 0, "run-once")
	w.awaitPaid(t, 1)
}

func TestBadUsage(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"bogus", "runonce", "run --bogus", "run extra", "migrate", "migrate sideways", "--bogus", "query --output=xml", "demo 5"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			r := invoke(t, nil, strings.Fields(args)...)
			r.want(t, 2, "--help")
			if r.stdout != "" {
				t.Errorf("stdout = %q", r.stdout)
			}
		})
	}
}

// Go asks without a proxy where it cannot read the proxy's address.
func TestProxyIsRefused(t *testing.T) {
	t.Parallel()
	env := []string{"DATABASE_URL=postgres://127.0.0.1:1/nowhere", "CHINAUMS_APP_ID=app", "CHINAUMS_APP_KEY=" + appKey, "CHINAUMS_BASE_URL=https://gateway.invalid"}
	hook := []string{"RECONCILER_WEBHOOK_URL=https://shop.invalid/hook", "RECONCILER_WEBHOOK_SECRET=" + webhookSecret}
	const refused = "_PROXY is no address of a proxy"
	for _, proxy := range []string{
		"http://[::1", "proxy:port:8", "http://proxy:99999", "http://proxy:0", "ftp://proxy:21", "http://", "https://u:pass-that-nobody-may-see@pro xy",
		"http://u:pass-that-nobody-may-see#1@proxy:3128",
	} {
		r := invoke(t, slices.Concat(env, hook, []string{"HTTPS_PROXY=" + proxy}), "config")
		r.want(t, 2, "1 problem with the settings", "HTTPS"+refused)
		r.lacks(t, "pass-that-nobody-may-see")
	}
	invoke(t, append(slices.Clone(env), "https_proxy=ftp://proxy"), "query", "--mid="+mid, "--tid="+tid, "--mer-order-id=319400000001").want(t, 2, "https_proxy is no address")
	for _, fine := range []string{
		"HTTPS_PROXY=proxy.internal:3128", "HTTPS_PROXY=http://u:p%40ss@[fd00::1]:3128/", "https_proxy=socks5h://proxy", "HTTPS_PROXY=", "HTTP_PROXY=ftp://proxy",
	} {
		invoke(t, slices.Concat(env, hook, []string{fine}), "config").want(t, 0)
	}
	invoke(t, append(slices.Clone(env), "CHINAUMS_BASE_URL=http://127.0.0.1:1", "HTTP_PROXY=ftp://proxy"), "config").want(t, 0)
}

// No proxy is used for what NO_PROXY lists, so its address does not matter there.
func TestProxyThatIsNotUsed(t *testing.T) {
	t.Parallel()
	for listed, code := range map[string]int{
		"NO_PROXY=*": 0, "no_proxy=10.0.0.0/8, .Pay.Invalid": 0, "NO_PROXY=gateway.pay.invalid:443": 0, "NO_PROXY=invalid": 0,
		"NO_PROXY=": 2, "NO_PROXY=pay.example,10.0.0.0/8": 2, "NO_PROXY=ay.invalid": 2,
	} {
		invoke(t, []string{
			"DATABASE_URL=postgres://127.0.0.1:1/nowhere", "CHINAUMS_APP_ID=app", "CHINAUMS_APP_KEY=" + appKey,
			"CHINAUMS_BASE_URL=https://gateway.pay.invalid", "HTTPS_PROXY=proxy:port", listed,
		}, "config").want(t, code)
	}
	invoke(t, []string{
		"DATABASE_URL=postgres://127.0.0.1:1/nowhere", "CHINAUMS_APP_ID=app", "CHINAUMS_APP_KEY=" + appKey,
		"CHINAUMS_BASE_URL=https://10.1.2.3", "HTTPS_PROXY=proxy:port", "NO_PROXY=10.0.0.0/8",
	}, "config").want(t, 0)
}

// Plain http to this machine stays on it, however its name is written.
func TestLocalhostNeedsNoProxy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	numbers := w.orders(t, 1, paid())
	upper := strings.Replace(w.gateway.url, "127.0.0.1", "LOCALHOST", 1)
	w.set("CHINAUMS_BASE_URL="+upper, "HTTP_PROXY=http://127.0.0.1:1")
	w.invoke(t, "query", "--mid="+mid, "--tid="+tid, "--mer-order-id="+numbers[0]).want(t, 0, "TRADE_SUCCESS")
}
