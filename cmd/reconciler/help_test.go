package main_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// wide makes the help the same wherever it is made.
const wide = "COLUMNS=100"

func TestHelp(t *testing.T) {
	t.Parallel()
	helps := make(map[string]result)
	readHelps(t, "", helps)
	for command, r := range helps {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			r.want(t, 0)
			if r.stderr != "" {
				t.Errorf("stderr = %q", r.stderr)
			}
			golden := filepath.Join("testdata", "help", strings.Join(append([]string{"reconciler"}, strings.Fields(command)...), "-")+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(r.stdout), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), r.stdout); diff != "" {
				t.Errorf("help (-want +got), go test -update rewrites it:\n%s", diff)
			}
		})
	}
	for _, command := range []string{"run", "run-once", "migrate up", "migrate down", "migrate status", "query", "simulator", "demo", "config", "version", "healthcheck", "completion", "man"} {
		if _, found := helps[command]; !found {
			t.Errorf("the help lacks %s", command)
		}
	}
	t.Run("without arguments", func(t *testing.T) {
		t.Parallel()
		if bare, help := invoke(t, []string{wide}), helps[""]; bare != help {
			t.Errorf("without arguments: %+v, want the help", bare)
		}
	})
}

// readHelps adds the help of a command and of all below it, as the help tells.
func readHelps(t *testing.T, command string, helps map[string]result) {
	t.Helper()
	help := invoke(t, []string{wide}, append(strings.Fields(command), "--help")...)
	helps[command] = help
	_, section, _ := strings.Cut(help.stdout, "\nCommands:\n")
	for _, match := range regexp.MustCompile(`(?m)^  (\w[\w -]*?)(?:  |$)`).FindAllStringSubmatch(section, -1) {
		readHelps(t, match[1], helps)
	}
}

// What the settings of the environment are does not show in the help.
func TestHelpShowsNoSecrets(t *testing.T) {
	t.Parallel()
	const password = "pass-that-nobody-may-see"
	env := []string{"CHINAUMS_APP_KEY=" + appKey, "DATABASE_URL=postgres://u:" + password + "@h/d"}
	for _, args := range [][]string{{"run", "--help"}, {"run-once", "--help"}, {"query", "--help"}, {"migrate", "up", "--help"}} {
		r := invoke(t, env, args...)
		r.want(t, 0)
		r.lacks(t, password)
	}
}

// Each setting is a flag and an environment variable, and the help shows both and the default.
func TestHelpShowsEverySetting(t *testing.T) {
	t.Parallel()
	settings := []struct{ flag, env, value string }{
		{"database-url", "DATABASE_URL", "URL"},
		{"app-id", "CHINAUMS_APP_ID", "ID"},
		{"app-key-file", "CHINAUMS_APP_KEY_FILE", "FILE"},
		{"gateway-url", "CHINAUMS_BASE_URL", `"https://api-mop.chinaums.com"`},
		{"query-path", "CHINAUMS_QUERY_PATH", `"/v1/netpay/wx/mini-pre-query"`},
		{"schedule", "RECONCILER_SCHEDULE", `"@every 5s"`},
		{"concurrency", "RECONCILER_CONCURRENCY", "32"},
		{"rate", "RECONCILER_RATE", "50"},
		{"request-timeout", "RECONCILER_REQUEST_TIMEOUT", "10s"},
		{"lease", "RECONCILER_LEASE", "1m"},
		{"plan-initial", "RECONCILER_PLAN_INITIAL", "15s"},
		{"plan-multiplier", "RECONCILER_PLAN_MULTIPLIER", "2"},
		{"plan-max", "RECONCILER_PLAN_MAX", "1h"},
		{"plan-jitter", "RECONCILER_PLAN_JITTER", "0.1"},
		{"slow-after", "RECONCILER_SLOW_AFTER", "24h"},
		{"give-up-after", "RECONCILER_GIVE_UP_AFTER", "168h"},
		{"not-found-after", "RECONCILER_NOT_FOUND_AFTER", "2h"},
		{"listen", "RECONCILER_LISTEN", `"127.0.0.1:9464"`},
		{"log-level", "RECONCILER_LOG_LEVEL", `"info"`},
		{"log-format", "RECONCILER_LOG_FORMAT", `"auto"`},
	}
	for _, command := range []string{"run", "run-once"} {
		r := invoke(t, []string{wide}, command, "--help")
		help := strings.Join(strings.Fields(r.stdout), " ")
		for _, s := range settings {
			if command == "run-once" && (s.flag == "schedule" || s.flag == "listen") {
				continue
			}
			line := regexp.MustCompile(` --` + s.flag + `=` + regexp.QuoteMeta(s.value) + ` [^$]*\(\$` + s.env + `\)`)
			if !line.MatchString(help) {
				t.Errorf("%s --help does not show --%s=%s with $%s", command, s.flag, s.value, s.env)
			}
		}
		if !regexp.MustCompile(` --insecure-http [^$]*\(\$`).MatchString(help) {
			t.Errorf("%s --help does not show --insecure-http and its environment variable", command)
		}
		if !strings.Contains(help, "CHINAUMS_APP_KEY ") {
			t.Errorf("%s --help does not say where the key comes from", command)
		}
		if strings.Contains(help, "of this instance") {
			t.Errorf("%s --help says that the rate is of one instance; it is of all together", command)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	r := invoke(t, nil, "version")
	r.want(t, 0)
	if !strings.HasPrefix(r.stdout, "reconciler "+builtVersion+"\n") {
		t.Errorf("version = %q", r.stdout)
	}
	r = invoke(t, nil, "version", "--output=json")
	r.want(t, 0)
	var info struct {
		Version, Commit, Date *string
		Schema                int64
	}
	if err := json.Unmarshal([]byte(r.stdout), &info); err != nil || info.Version == nil || *info.Version != builtVersion || info.Commit == nil || info.Date == nil {
		t.Errorf("version = %q, %v", r.stdout, err)
	}
	files, err := filepath.Glob("../../migrations/*.sql")
	if err != nil || info.Schema != int64(len(files)) {
		t.Errorf("schema = %d, want %d: %v", info.Schema, len(files), err)
	}
}
