package main_test

import (
	"encoding/json"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/migrations"
)

// steps are the names of all migrations, in order.
func steps(t *testing.T) []string {
	t.Helper()
	names, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("migrations = %q, %v", names, err)
	}
	return names
}

func TestMigrateDownAndUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := steps(t)
	w.invoke(t, "migrate", "up").want(t, 0, "nothing to do")
	wantStatus(t, w, names, len(names))
	for i, name := range slices.Backward(names) { // a step at a time, the last one first
		r := w.invoke(t, "migrate", "down")
		r.want(t, 0)
		if r.stdout != "undone "+name+"\n" {
			t.Errorf("migrate down says %q, want that it has undone %s", r.stdout, name)
		}
		wantStatus(t, w, names, i)
		for _, command := range []string{"run", "run-once"} {
			w.invoke(t, command).want(t, 2, "migrate up")
		}
	}
	if left := column[string](t, w, `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`); !slices.Equal(left, []string{"reconciler_migrations"}) {
		t.Errorf("tables that are left: %q", left)
	}
	w.invoke(t, "migrate", "down").want(t, 0, "nothing to do")

	r := w.invoke(t, "migrate", "up")
	r.want(t, 0)
	if want := "applied " + strings.Join(names, "\napplied ") + "\n"; r.stdout != want {
		t.Errorf("migrate up says %q, want %q", r.stdout, want)
	}
	wantStatus(t, w, names, len(names))
	w.orders(t, 1, paid())
	w.summary(t, 0, "run-once")
	w.awaitPaid(t, 1)
}

// wantStatus checks that the first migrations are shown as applied and the others as pending.
func wantStatus(t *testing.T, w *world, names []string, applied int) {
	t.Helper()
	code := 0
	if applied < len(names) {
		code = 3
	}
	r := w.invoke(t, "migrate", "status")
	r.want(t, code)
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")[1:] // below the header
	var got, want []string
	for _, line := range lines {
		name, at, _ := strings.Cut(line, " ")
		if at = strings.TrimSpace(at); at != "pending" {
			at = "applied"
		}
		got = append(got, name+" "+at)
	}
	for i, name := range names {
		at := "applied"
		if i >= applied {
			at = "pending"
		}
		want = append(want, name+" "+at)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("migrate status (-want +got):\n%s", diff)
	}
}

func TestMigrateStatusJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.orders(t, 1, paid())
	w.exec(t, `INSERT INTO instances (worker, version) VALUES ('web-1/1', 'v1')`)
	const instances = 11 // the version that makes the table; the next ones change it, or other tables
	w.exec(t, `DELETE FROM reconciler_migrations WHERE version_id > $1`, instances)
	w.invoke(t, "migrate", "down").want(t, 1, "instances", "--drop-data")
	w.invoke(t, "migrate", "down", "--drop-data").want(t, 0)
	w.exec(t, `INSERT INTO reconciler_migrations (version_id, is_applied) VALUES (99999, true)`)
	var document struct {
		Migrations []struct {
			Version   int64
			Name      string
			Applied   bool
			AppliedAt *time.Time `json:"applied_at"`
			Known     bool
		}
	}
	r := w.invoke(t, "migrate", "status", "--output=json")
	r.want(t, 3)
	if err := json.Unmarshal([]byte(r.stdout), &document); err != nil {
		t.Fatal(err)
	}
	list := document.Migrations
	if first := list[0]; first.Version != 1 || first.Name != "00001_orders.sql" || !first.Applied || first.AppliedAt == nil || !first.Known {
		t.Errorf("the first is %+v", first)
	}
	if last := list[len(list)-1]; last.Version != 99999 || last.Known || !last.Applied {
		t.Errorf("the last is %+v", last)
	}
	if pending := list[len(list)-2]; pending.Applied || pending.AppliedAt != nil {
		t.Errorf("the one before is %+v", pending)
	}
}

func TestMigrateByManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := steps(t)
	w.exec(t, `DROP SCHEMA public CASCADE; CREATE SCHEMA public`)
	var all []*process
	for range 3 {
		all = append(all, w.start(t, "migrate", "up"))
	}
	applied := ""
	for _, p := range all {
		if code := p.wait(t); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
		applied += p.stdout.String()
	}
	for _, name := range names {
		if n := strings.Count(applied, "applied "+name); n != 1 {
			t.Errorf("%s was applied %d times", name, n)
		}
	}
}

func TestMigrateWithoutDatabase(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"up", "down", "status"} {
		invoke(t, nil, "migrate", step).want(t, 2, "DATABASE_URL")
		r := invoke(t, nil, "migrate", step, "--database-url=postgres://u:pass-that-nobody-may-see@"+closedPort(t)+"/orders")
		r.want(t, 1)
		r.lacks(t, "pass-that-nobody-may-see")
		invoke(t, nil, "migrate", step, "--database-url=nonsense").want(t, 2, "database")
	}
}
