package main_test

import (
	"slices"
	"strings"
	"testing"

	"reconciler/internal/operator"
)

func findings(t *testing.T, w *world, code int, args ...string) map[string]operator.Finding {
	t.Helper()
	e := document[operator.Examination](t, w, code, append([]string{"doctor"}, args...)...)
	found := make(map[string]operator.Finding)
	var names []string
	for _, f := range e.Checks {
		found[f.Name] = f
		names = append(names, f.Name)
	}
	if want := "settings database schema rights clock key_file gateway orphans vacuum indexes instances"; strings.Join(names, " ") != want {
		t.Errorf("checks %v, want %s", names, want)
	}
	return found
}

// wantFinding checks one finding.
func wantFinding(t *testing.T, found map[string]operator.Finding, name string, state operator.State, texts ...string) {
	t.Helper()
	f := found[name]
	if f.State != state {
		t.Errorf("%s = %+v, want %s", name, f, state)
	}
	for _, text := range texts {
		if !strings.Contains(f.Detail+f.Fix, text) {
			t.Errorf("%s = %+v, want %q in it", name, f, text)
		}
	}
}

func TestDoctorOfAHealthyDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `INSERT INTO instances (worker, version, last_pass_at, seen_at) VALUES ('web-1/7', 'v1.4.0', now(), now() + interval '1 hour')`) // however slow the test is
	for name, f := range findings(t, w, 0, "--ask-gateway") {
		if f.State != operator.StateOK {
			t.Errorf("%s = %+v, want ok", name, f)
		}
	}
	wantFinding(t, findings(t, w, 0, "--ask-gateway"), "gateway", operator.StateOK, appID, "NO_ORDER")
	w.invoke(t, "doctor", "--lang=zh").want(t, 0, "密钥文件", "正常")
	if n := scan[int](t, w, `SELECT count(*) FROM order_queries`); n != 0 {
		t.Errorf("doctor left %d questions in the ledger", n)
	}
	wantKeys(t, "check", document[map[string][]any](t, w, 0, "doctor")["checks"][0], "name", "state", "detail", "fix")
}

// One app id that is refused does not hide what came of the others.
func TestDoctorAsksWithEachAppID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.credentials(t, "- app_id: nobody\n  app_key: wrong\n  mids: ["+otherMID+"]\n"+entry(appID, mid+", "+strangerMID))
	found := findings(t, w, 1, "--ask-gateway", "--ask-mid", strangerMID)
	wantFinding(t, found, "gateway", operator.StateFail, "app id nobody: ", "app id "+appID+": answered NO_ORDER", "--gateway-url")
	if apps := w.askedWith(strangerMID); !slices.Equal(apps, []string{appID}) {
		t.Errorf("--ask-mid: asked by %q", apps)
	}
}

// A gateway that hangs takes one timeout in all, not one for each app id.
func TestDoctorAsksSideBySide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.credentials(t, entry(appID, mid)+entry(otherAppID, otherMID))
	hold := w.hold()
	p := w.start(t, "doctor", "--ask-gateway")
	hold.await(t, 2)
	hold.release()
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	w.invoke(t, "doctor", "--ask-mid", mid).want(t, 2, "--ask-gateway")
}

func TestDoctorGoldens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `
		ALTER TABLE orders DISABLE TRIGGER zz_orders_stay_due;
		INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at) VALUES ('`+mid+`', '1234', '319400000001', 1, NULL);
		INSERT INTO gateway_controls (scope, key, reason, set_by) VALUES ('mid', '`+mid+`', 'maintenance', 'li');
		INSERT INTO instances (worker, version, last_pass_at, seen_at) VALUES ('web-1/7', 'v1.4.0', now(), now() + interval '1 hour')`)
	w.goldens(t, 1, "doctor", "doctor")
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `
		CREATE TABLE orders_2025 (LIKE orders INCLUDING DEFAULTS) INHERITS (orders);
		ALTER TABLE orders DISABLE TRIGGER zz_orders_stay_due;
		DROP INDEX orders_review;
		INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at) VALUES ('`+mid+`', '1234', '319400000001', 1, NULL);
		INSERT INTO gateway_controls (scope, key, reason, set_by) VALUES ('app', 'x', 'maintenance', 'li');
		INSERT INTO instances (worker, version, trouble) VALUES ('web-1/7', 'v1.4.0', 'no INSERT on order_events')`)
	w.set("CHINAUMS_APP_KEY=another-key", "RECONCILER_CONCURENCY=3")
	found := findings(t, w, 1, "--ask-gateway")
	wantFinding(t, found, "settings", operator.StateWarn, "RECONCILER_CONCURENCY", "RECONCILER_CONCURRENCY")
	wantFinding(t, found, "gateway", operator.StateFail, "maintenance", `code "1000"`)
	wantFinding(t, found, "orphans", operator.StateFail, "1", "doctor --fix")
	wantFinding(t, found, "indexes", operator.StateFail, "orders: orders_review", "orders: zz_orders_stay_due", "orders_2025: orders_due", "orders_2025: zz_orders_stay_due")
	wantFinding(t, found, "instances", operator.StateFail, "no INSERT on order_events")

	w.exec(t, `UPDATE instances SET trouble = NULL`)
	for statement := range strings.Lines(found["indexes"].Fix) {
		w.exec(t, statement)
	}
	mended := findings(t, w, 0, "--fix")
	wantFinding(t, mended, "indexes", operator.StateOK)
	wantFinding(t, mended, "orphans", operator.StateOK, "1 order")
	if n := scan[int](t, w, `SELECT count(*) FROM orders WHERE next_query_at <= now()`); n != 1 {
		t.Errorf("%d orders are due after --fix", n)
	}
	if after := scan[string](t, w, `SELECT after::text FROM operator_actions WHERE action = 'doctor --fix'`); after != `{"orders": [1]}` {
		t.Errorf("the action says %s", after)
	}
}

func TestDoctorOfRightsAndSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	role := w.as(t, "viewer")
	w.set("RECONCILER_RATE=-1")
	found := findings(t, w, 1)
	wantFinding(t, found, "rights", operator.StateFail, role, "GRANT")
	wantFinding(t, found, "settings", operator.StateFail, "--rate")
	wantFinding(t, findings(t, w, 1, "--for=viewer"), "rights", operator.StateOK)

	w.exec(t, `DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO `+role)
	found = findings(t, w, 1, "--for=viewer")
	wantFinding(t, found, "schema", operator.StateFail, "migrate up")
	wantFinding(t, found, "rights", operator.StateWarn, "not looked at") // no table is there to have rights to

	w.set("DATABASE_URL=postgres://127.0.0.1:1/none?connect_timeout=1")
	found = findings(t, w, 1)
	wantFinding(t, found, "database", operator.StateFail, "cannot be reached")
	w.unset("DATABASE_URL")
	wantFinding(t, findings(t, w, 1), "database", operator.StateFail)
	w.unset("RECONCILER_RATE")
	w.set("RECONCILER_LANG=fr", "RECONCILER_PPROF=perhaps")
	wantFinding(t, findings(t, w, 1, "--tz=Moon"), "settings", operator.StateFail, "--tz", "--lang", "--pprof (RECONCILER_PPROF) must be true or false")
}
