package main_test

import (
	"encoding/json"
	"strings"
	"testing"
)

type listed struct{ Name, Value, Source string }

// configured returns what `config` lists, by name.
func configured(t *testing.T, env []string, code int, args ...string) map[string]listed {
	t.Helper()
	r := invoke(t, env, append([]string{"config", "--output=json"}, args...)...)
	r.want(t, code)
	r.lacks(t, "pass-that-nobody-may-see")
	var document struct{ Settings []listed }
	if err := json.Unmarshal([]byte(r.stdout), &document); err != nil {
		t.Fatalf("%q: %v", r.stdout, err)
	}
	settings := make(map[string]listed)
	for _, s := range document.Settings {
		settings[s.Name] = s
	}
	return settings
}

func TestConfig(t *testing.T) {
	t.Parallel()
	env := []string{
		"DATABASE_URL=postgres://u:pass-that-nobody-may-see@h/d", "CHINAUMS_APP_ID=app", "CHINAUMS_APP_KEY=" + appKey,
		"RECONCILER_RATE=7", "RECONCILER_CONSOLE_ACTIONS=no", "LC_ALL=zh_CN.UTF-8", "RECONCILER_LEASE=2m", "RECONCILER_PLAN_MAX=", "RECONCILER_CONCURRENCY=", "RECONCILER_LISTEN=",
	}
	got := configured(t, env, 0, "--lease=3m", "--pprof")
	for _, want := range []listed{
		{"DATABASE_URL", "[withheld]", "environment"},
		{"CHINAUMS_APP_ID", "app", "environment"},
		{"CHINAUMS_APP_KEY", "[withheld]", "environment"},
		{"CHINAUMS_AUTH", "body-sig", "default"},
		{"CHINAUMS_BASE_URL", "https://api-mop.chinaums.com", "default"},
		{"RECONCILER_RATE", "7", "environment"},
		{"RECONCILER_LEASE", "3m", "flag"},
		{"RECONCILER_PPROF", "true", "flag"},
		{"RECONCILER_PLAN_MAX", "1h", "default"}, // an empty variable counts as unset
		{"RECONCILER_CONCURRENCY", "32", "default"},
		{"RECONCILER_LISTEN", "127.0.0.1:9464", "default"},
		{"RECONCILER_SCHEDULE", "@every 5s", "default"},
		{"RECONCILER_TZ", "Asia/Shanghai", "default"},
		{"RECONCILER_LANG", "zh", "default"}, // of the locale
		{"RECONCILER_CONSOLE_LISTEN", "127.0.0.1:9465", "default"},
		{"RECONCILER_CONSOLE_USERS_FILE", "", "default"},
		{"RECONCILER_CONSOLE_ACTIONS", "false", "environment"},
	} {
		if got[want.Name] != want {
			t.Errorf("got %+v, want %+v", got[want.Name], want)
		}
	}
	if actor := got["RECONCILER_ACTOR"]; !strings.Contains(actor.Value, "@") || actor.Source != "default" {
		t.Errorf("who acts: %+v", actor)
	}
	text := invoke(t, env, "config")
	text.want(t, 0, "SETTING", "RECONCILER_RATE")
	text.lacks(t, "pass-that-nobody-may-see")
}

// A host's case says nothing, so that it needs no --insecure-http.
func TestLoopbackInAnyCase(t *testing.T) {
	t.Parallel()
	env := []string{"DATABASE_URL=postgres://h/d", "CHINAUMS_APP_ID=app", "CHINAUMS_APP_KEY=" + appKey, "CHINAUMS_BASE_URL=http://LocalHost:8080"}
	invoke(t, env, "config").want(t, 0)
	invoke(t, append(env, "CHINAUMS_BASE_URL=http://LocalHost.example:8080"), "config").want(t, 2, "--insecure-http")
}

// Settings with a mistake are listed too, and the mistake is named.
func TestConfigWithMistakes(t *testing.T) {
	t.Parallel()
	env := []string{"CHINAUMS_BASE_URL=https://u:pass-that-nobody-may-see@h", "RECONCILER_RATE=fast", "RECONCILER_TZ=Nowhere", "RECONCILER_CONSOLE_LISTEN=nowhere", "RECONCILER_LANG=\x1b[31m", "RECONCILER_CONSOLE_ACTIONS=true"}
	got := configured(t, env, 2)
	if got["CHINAUMS_BASE_URL"].Value != "[withheld]" || got["RECONCILER_RATE"].Value != "fast" {
		t.Errorf("%+v", got)
	}
	r := invoke(t, env, "config")
	r.want(t, 2, "--rate (RECONCILER_RATE)", "--tz (RECONCILER_TZ)", "--lang (RECONCILER_LANG)", "--console-listen (RECONCILER_CONSOLE_LISTEN)", "--console-users-file (RECONCILER_CONSOLE_USERS_FILE) is required", "CHINAUMS_APP_ID")
	r.lacks(t, "\x1b", "pass-that-nobody-may-see")
}

func TestUnknownSettingIsNamed(t *testing.T) {
	t.Parallel()
	r := invoke(t, []string{"RECONCILER_LISTNE=:1", "CHINAUMS_APPKEY=" + appKey, "RECONCILER_PG_BIN=/x"}, "version")
	r.want(t, 0, `"msg":"unknown setting"`, `"name":"RECONCILER_LISTNE"`, `"nearest":"RECONCILER_LISTEN"`, `"name":"CHINAUMS_APPKEY"`, `"nearest":"CHINAUMS_APP_KEY"`)
	r.lacks(t, "RECONCILER_PG_BIN")
}

func TestEmptyVariablesCountAsUnset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_CONCURRENCY=", "RECONCILER_RATE=", "RECONCILER_SCHEDULE=", "RECONCILER_PPROF=", "CHINAUMS_AUTH=", "RECONCILER_LOG_FORMAT=", "CHINAUMS_CREDENTIALS_FILE=")
	w.orders(t, 1, paid())
	p := w.start(t, "run")
	w.awaitPaid(t, 1)
	p.stop(t)
	log := p.stderr.String()
	for _, text := range []string{
		`"msg":"settings"`, `"reconciler_concurrency":{"value":"32","source":"default"}`, `"reconciler_schedule":{"value":"@every 5s","source":"default"}`,
		`"reconciler_lease":{"value":"52s","source":"environment"}`, `"database_url":{"value":"[withheld]","source":"environment"}`,
	} {
		if !strings.Contains(log, text) {
			t.Errorf("the log lacks %s", text)
		}
	}
	if strings.Contains(log, w.url) {
		t.Error("the log has the database's URL")
	}
}
