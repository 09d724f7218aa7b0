package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// as opens the database under a new role that has what an audience needs and nothing more.
func (d database) as(t *testing.T, audience store.Audience) (s *store.Store, role string) {
	t.Helper()
	role = d.role(t)
	for _, statement := range store.Grants(audience, "public", role) {
		d.exec(t, statement)
	}
	s, err := store.Open(t.Context(), with(t, d.url, []string{"user", role}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, role
}

// The daemon does all that it does with the rights that grants prints.
func TestDaemonRightsSuffice(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 5)
	s, _ := d.as(t, store.ForDaemon)
	d.exec(t, `REVOKE CREATE ON SCHEMA public FROM PUBLIC`) // Postgres 14 lets everybody make tables there
	if err := errors.Join(s.CheckSchema(t.Context()), s.CheckRights(t.Context(), store.ForDaemon)); err != nil {
		t.Fatal(err)
	}
	asOwner := d
	d.Store = s
	orders := d.claim(t, 4)
	review := deferred(orders[1])
	review.Decision, review.ReviewReason, review.NextQueryAt, review.Event = order.Review, "bad_request", nil, order.EventReview
	asOwner.exec(t, `UPDATE orders SET status = 'TRADE_CLOSED' WHERE id = $1`, orders[2].ID) // the application was faster
	d.record(t, settled(orders[0]), review, settled(orders[2]))
	ctx := t.Context()
	_, backlogErr := s.Backlog(ctx)
	_, strayErr := s.ReleaseStray(ctx, "test", nil)
	budgetErr := s.OpenBudget(ctx, "app", 50)
	_, reserveErr := s.Reserve(ctx, "app", 50)
	for name, err := range map[string]error{
		"release":     s.Release(ctx, orders[3:]),
		"backlog":     backlogErr,
		"stray":       strayErr,
		"open budget": budgetErr,
		"reserve":     reserveErr,
		"pause":       s.PauseByBreaker(ctx, store.BreakerPause{Scope: store.ScopeApp, Key: "app", Cause: "test", For: time.Second}),
		"probe":       s.ReleaseProbe(ctx, store.ScopeApp, "app"),
		"heartbeat":   s.Heartbeat(ctx, store.Instance{Worker: "test", Version: "test"}),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A probe, and the end of its pause.
	asOwner.exec(t, `UPDATE gateway_controls SET paused_until = now() - interval '1 second'`)
	if got := d.page(t, store.Claim{App: "app", Limit: 4, Rate: 50, Suspects: true}); len(got.Orders) != 1 {
		t.Errorf("probe: %+v", got)
	}
	if resumed, _, err := s.ResumeByBreaker(ctx, store.ScopeApp, "app"); err != nil || !resumed {
		t.Errorf("resume: %t, %v", resumed, err)
	}
	for _, sql := range []string{
		`SELECT register_order_events('webhook', true)`,
		`SELECT next_order_events('webhook', 1)`,
		`UPDATE event_consumers SET held_by = 'test', held_until = now()`,
		`INSERT INTO webhook_deliveries (event_id) VALUES (1); UPDATE webhook_deliveries SET attempts = 1; DELETE FROM webhook_deliveries`,
		`INSERT INTO gateway_incidents (scope, key, opened_by) VALUES ('app', 'app', 'breaker'); UPDATE gateway_incidents SET closed_at = now()`,
	} {
		if err := s.Exec(ctx, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, sql := range []string{
		`UPDATE orders SET order_amount = 1`, `DELETE FROM orders`, `DELETE FROM order_queries`, `UPDATE order_queries SET decision = 'settled'`,
		`DELETE FROM order_events`, `UPDATE event_consumers SET id = 0`, `CREATE TABLE mine (id int)`, `SELECT renumber_order_events()`,
	} {
		if err := s.Exec(ctx, sql); err == nil {
			t.Errorf("%s: the daemon may", sql)
		}
	}
}

// Each right that is taken away is named, and all that are missing at once.
func TestCheckRightsNamesEachMissingRight(t *testing.T) {
	t.Parallel()
	d := open(t)
	s, role := d.as(t, store.ForDaemon)
	all := store.Grants(store.ForDaemon, "public", role)
	revoke := func(grant string) string {
		return strings.Replace(strings.Replace(grant, "GRANT", "REVOKE", 1), " TO ", " FROM ", 1)
	}
	d.exec(t, `REVOKE ALL ON SCHEMA public FROM PUBLIC`)
	for _, grant := range all {
		d.exec(t, revoke(grant))
		err := s.CheckRights(t.Context(), store.ForDaemon)
		if !errors.Is(err, store.ErrRights) || store.IsTransient(err) {
			t.Fatalf("without %s: %v, want ErrRights", grant, err)
		}
		if lines := strings.Split(err.Error(), "\n  ")[1:]; !slices.Equal(lines, []string{grant}) {
			t.Errorf("without %s: named %q", grant, lines)
		}
		d.exec(t, grant)
	}
	for _, grant := range all {
		d.exec(t, revoke(grant))
	}
	err := s.CheckRights(t.Context(), store.ForDaemon)
	if err == nil {
		t.Fatal("no error without any right")
	}
	lines := strings.Split(err.Error(), "\n  ")[1:]
	if !slices.Equal(lines, all) {
		t.Errorf("without any: named %q, want all", lines)
	}
	for _, line := range lines {
		d.exec(t, line)
	}
	if err := errors.Join(s.CheckRights(t.Context(), store.ForDaemon), s.CheckSchema(t.Context())); err != nil {
		t.Errorf("after the statements were run: %v", err)
	}
}

// One column of many is named alone.
func TestCheckRightsNamesColumns(t *testing.T) {
	t.Parallel()
	d := open(t)
	s, role := d.as(t, store.ForDaemon)
	d.exec(t, `REVOKE UPDATE (settled_by, bank_info) ON orders FROM `+role)
	want := `GRANT UPDATE (bank_info, settled_by) ON "public".orders TO "` + role + `";`
	if err := s.CheckRights(t.Context(), store.ForDaemon); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	d.exec(t, `GRANT UPDATE ON orders TO `+role)
	if err := s.CheckRights(t.Context(), store.ForDaemon); err != nil {
		t.Errorf("with the right for the whole table: %v", err)
	}
}

func TestViewerMayWriteNothing(t *testing.T) {
	t.Parallel()
	d := open(t)
	s, _ := d.as(t, store.ForViewer)
	var reads []error
	_, err := s.Backlog(t.Context())
	reads = append(reads, err, s.CheckSchema(t.Context()))
	_, err = s.States(t.Context())
	reads = append(reads, err)
	for _, table := range []string{
		"orders", "order_queries", "order_events", "event_consumers", "gateway_controls", "gateway_budgets", "gateway_incidents",
		"instances", "webhook_deliveries", "operator_actions", "reconciler_migrations",
	} {
		reads = append(reads, s.Exec(t.Context(), `SELECT * FROM `+table))
		for _, privilege := range []string{"INSERT", "UPDATE", "DELETE", "TRUNCATE"} {
			if err := s.Exec(t.Context(), `DO $$ BEGIN IF has_table_privilege('`+table+`', '`+privilege+`') THEN RAISE 'may'; END IF; END $$`); err != nil {
				t.Errorf("%s on %s: %v", privilege, table, err)
			}
		}
	}
	if err := errors.Join(reads...); err != nil {
		t.Error(err)
	}
	if err := s.Exec(t.Context(), `SELECT next_order_events('viewer', 1)`); err == nil {
		t.Error("a viewer may read events as a consumer")
	}
}

func TestApplicationRightsSuffice(t *testing.T) {
	t.Parallel()
	d := open(t)
	s, _ := d.as(t, store.ForApplication)
	for _, sql := range []string{
		`INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at) VALUES ('898340149000005', '88880001', '319400000001', 100, NULL)`,
		`UPDATE orders SET status = 'TRADE_SUCCESS'`,
		`SELECT * FROM next_order_events('shop', 10)`,
		`SELECT register_order_events('other', true)`,
		`SELECT ack_order_events('shop', '1', 0)`,
		`LISTEN order_events`,
	} {
		if err := s.Exec(t.Context(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if err := s.Exec(t.Context(), `UPDATE event_consumers SET id = 0`); err == nil {
		t.Error("the application may move a cursor by itself")
	}
}
