package main_test

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// as makes a role that may log in and nothing else, and lets the processes use it.
func (w *world) as(t *testing.T, grants ...string) (role string) {
	t.Helper()
	role = "role_" + scan[string](t, w, `SELECT current_database()`) + "_" + strings.Join(grants, "_")
	w.exec(t, `CREATE ROLE `+role+` LOGIN`)
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), w.url)
		if err == nil {
			defer conn.Close(context.Background())
			_, err = conn.Exec(context.Background(), `DROP OWNED BY `+role+`; DROP ROLE `+role)
		}
		if err != nil {
			t.Error(err)
		}
	})
	for _, audience := range grants {
		r := w.invoke(t, "grants", "--role", role, "--for", audience)
		r.want(t, 0)
		w.exec(t, r.stdout)
	}
	u, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("user", role)
	u.User, u.RawQuery = nil, query.Encode()
	w.set("DATABASE_URL=" + u.String())
	return role
}

func TestDaemonUnderItsRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.orders(t, 3, paid())
	w.orders(t, 1, paid("other-order"))
	w.as(t, "daemon")
	p := w.start(t, "run")
	w.awaitPaid(t, 3)
	p.stop(t)
	if strings.Contains(p.stderr.String(), "permission denied") {
		t.Errorf("a right is missing:\n%s", p.stderr.String())
	}
	w.orders(t, 1, paid())
	w.summary(t, 0, "run-once")
	w.invoke(t, "prune", "--older-than", "90d").want(t, 2, "--for operator", "GRANT DELETE", "order_queries", "order_events")
}

func TestMissingRightsAreListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	role := w.as(t)
	for _, command := range []string{"run", "run-once"} {
		w.invoke(t, command).want(t, 2, "GRANT SELECT, INSERT", "order_events", "GRANT SELECT, INSERT, UPDATE, DELETE", "gateway_controls",
			"GRANT EXECUTE", "GRANT UPDATE (", "--for daemon", role)
	}
	for _, command := range []string{"why 3194000001", "plan", "review list", "audit", "pauses", "events list", "prune --older-than 90d", "migrate status"} {
		w.invoke(t, strings.Fields(command)...).want(t, 2, "permission denied", "reconciler grants --role ROLE --for operator")
	}
	w.invoke(t, "migrate", "up").want(t, 2, "permission denied", "the role that owns the tables")
	w.exec(t, `REVOKE ALL ON SCHEMA public FROM PUBLIC`)
	for _, command := range []string{"why 3194000001", "migrate up"} {
		w.invoke(t, strings.Fields(command)...).want(t, 2, "GRANT USAGE ON SCHEMA", role)
	}
	statements := strings.Split(w.invoke(t, "run-once").stderr, "\n  ")[1:]
	w.exec(t, strings.Join(statements, "\n"))
	w.exec(t, `REVOKE INSERT ON order_events FROM `+role) // the likeliest mistake
	w.invoke(t, "run").want(t, 2, `GRANT INSERT ON "public".order_events TO "`+role+`";`)
}

func TestPruneUnderTheOperatorsRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.orders(t, 2, paid())
	w.summary(t, 0, "run-once")
	w.exec(t, `UPDATE order_queries SET queried_at = now() - interval '8 days'; UPDATE order_events SET created_at = now() - interval '8 days'`)
	w.exec(t, `SELECT register_order_events('shop', true)`)
	w.as(t, "operator")
	w.set("RECONCILER_ACTOR=li")
	w.invoke(t, "prune", "--older-than", "1s").want(t, 2, "--force")
	w.invoke(t, "prune", "--older-than", "167h", "--dry-run").want(t, 2, "--force")
	w.invoke(t, "prune", "--older-than", "168h", "--dry-run").want(t, 0, "would prune 2 questions and 0 events", "kept 2 events", "shop")
	r := w.invoke(t, "prune", "--older-than", "1h", "--force", "--output=json")
	r.want(t, 0)
	var report struct {
		Questions        int
		Events           int
		KeptEvents       int      `json:"kept_events"`
		WaitingConsumers []string `json:"waiting_consumers"`
		DryRun           bool     `json:"dry_run"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatal(err)
	}
	if report.Questions != 2 || report.Events != 0 || report.KeptEvents != 2 || len(report.WaitingConsumers) != 1 || report.DryRun {
		t.Errorf("report %+v", report)
	}
	if got := scan[string](t, w, `SELECT string_agg(concat_ws(' ', actor, via, action, after->>'questions', after->>'kept_events'), '; ') FROM operator_actions`); got != "li cli prune 2 2" {
		t.Errorf("recorded %q, want the one that deleted", got)
	}
}

func TestGrants(t *testing.T) {
	t.Parallel()
	r := invoke(t, nil, "grants", "--role", `odd"role`, "--for", "application", "--schema", "reconciler")
	r.want(t, 0)
	if want := `GRANT USAGE ON SCHEMA "reconciler" TO "odd""role";`; !strings.HasPrefix(r.stdout, want) {
		t.Errorf("grants begin with %q, want %s", r.stdout, want)
	}
	var document map[string][]string
	r = invoke(t, nil, "grants", "--role", "viewer", "--for", "viewer", "--schema", "public", "--output=json")
	r.want(t, 0)
	if err := json.Unmarshal([]byte(r.stdout), &document); err != nil || len(document) != 1 || len(document["grants"]) < 5 {
		t.Errorf("grants %v, %v", document, err)
	}
	invoke(t, nil, "grants").want(t, 2, "--role")
	invoke(t, nil, "grants", "--role", "r").want(t, 2, "DATABASE_URL")
	invoke(t, nil, "grants", "--role", "r", "--for", "everybody").want(t, 2, "--for")
}

// Orders that a policy hides are never asked: that is said at the start.
func TestRowSecurityIsWarnedOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `ALTER TABLE orders ENABLE ROW LEVEL SECURITY`)
	w.as(t, "daemon")
	r := w.invoke(t, "run-once")
	if r.code != 0 || !strings.Contains(r.stderr, "row-level security applies") || !strings.Contains(r.stderr, `"orders"`) {
		t.Errorf("run-once = %+v", r)
	}
}
