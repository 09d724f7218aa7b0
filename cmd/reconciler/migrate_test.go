package main_test

import (
	"io/fs"
	"slices"
	"strings"
	"testing"

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
	if left := column[string](t, w, `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`); !slices.Equal(left, []string{"goose_db_version"}) {
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
	r := w.invoke(t, "migrate", "status")
	r.want(t, 0)
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

func TestMigrateByManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := steps(t)
	for range names {
		w.invoke(t, "migrate", "down").want(t, 0)
	}
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
