package store_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"reconciler/internal/store"
)

// empty is a database of the test's own without any schema.
func empty(t *testing.T) database {
	t.Helper()
	d := open(t)
	d.exec(t, `DROP SCHEMA public CASCADE; CREATE SCHEMA public`)
	return d
}

func (d database) migrator() store.Migrator { return store.Migrator{Store: d.Store} }

func TestMigrateUpDownStatus(t *testing.T) {
	t.Parallel()
	d := empty(t)
	ctx := t.Context()
	if err := d.CheckSchema(ctx); !errors.Is(err, store.ErrOldSchema) {
		t.Errorf("CheckSchema of an empty database: %v, want ErrOldSchema", err)
	}
	if n := scan[int](t, d, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`); n != 0 {
		t.Errorf("checking made %d tables", n)
	}
	applied, err := d.MigrateUp(ctx)
	if err != nil || len(applied) == 0 {
		t.Fatalf("MigrateUp = %v, %v", applied, err)
	}
	if err := d.CheckSchema(ctx); err != nil {
		t.Errorf("CheckSchema after up: %v", err)
	}
	if again, err := d.MigrateUp(ctx); err != nil || len(again) != 0 {
		t.Errorf("second MigrateUp = %v, %v; want nothing", again, err)
	}
	status, err := d.MigrationStatus(ctx)
	if err != nil || len(status) != len(applied) || !status[0].Applied || status[0].AppliedAt == nil {
		t.Errorf("MigrationStatus = %+v, %v", status, err)
	}
	for range applied {
		if undone, err := d.migrator().Down(ctx, false); err != nil || undone == nil {
			t.Fatalf("Down = %v, %v; want one step", undone, err)
		}
	}
	if undone, err := d.migrator().Down(ctx, false); err != nil || undone != nil {
		t.Errorf("Down of nothing = %v, %v", undone, err)
	}
	if err := d.CheckSchema(ctx); !errors.Is(err, store.ErrOldSchema) {
		t.Errorf("CheckSchema after down: %v, want ErrOldSchema", err)
	}
	if n := scan[int](t, d, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'reconciler_migrations'`); n != 0 {
		t.Errorf("down left %d tables", n)
	}
}

func TestMigrateUpByManyAtOnce(t *testing.T) {
	t.Parallel()
	d := empty(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := store.Open(t.Context(), d.url)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if _, err := s.MigrateUp(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := d.CheckSchema(t.Context()); err != nil {
		t.Error(err)
	}
}

// A release can be rolled back without its schema.
func TestCheckSchemaAcceptsANewerOne(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `INSERT INTO reconciler_migrations (version_id, is_applied) VALUES (99999, true)`)
	if err := d.CheckSchema(t.Context()); err != nil {
		t.Error(err)
	}
}

// Operators read the tables in psql: nothing there goes without an explanation.
func TestEveryTableAndColumnHasAComment(t *testing.T) {
	t.Parallel()
	d := open(t)
	rows, err := d.conn.Query(t.Context(), `
		SELECT c.relname || '.' || a.attname
		FROM pg_class c
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
		  AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)`)
	if err != nil {
		t.Fatal(err)
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(missing) > 0 {
		t.Errorf("without a comment: %s", strings.Join(missing, ", "))
	}
}

// What the application may rely on when it inserts.
func TestInsertDefaultsAndChecks(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount) VALUES ($1, $2, '319400000001', 1)`, mid, tid)
	got := scan[string](t, d, `SELECT concat_ws(' ', inst_mid, status, expires_at - created_at, next_query_at = created_at, query_count, claim_no) FROM orders`)
	if want := "MINIDEFAULT UNKNOWN 00:30:00 t 0 0"; got != want {
		t.Errorf("defaults %q, want %q", got, want)
	}
	for name, sql := range map[string]string{
		"no number":         `INSERT INTO orders (mid, tid, order_amount) VALUES ('898340149000005', '88880001', 1)`,
		"no amount":         `INSERT INTO orders (mid, tid, mer_order_id, order_amount) VALUES ('898340149000005', '88880001', '319400000002', 0)`,
		"a short mid":       `INSERT INTO orders (mid, tid, mer_order_id, order_amount) VALUES ('8983401', '88880001', '319400000002', 1)`,
		"the same number":   `INSERT INTO orders (mid, tid, mer_order_id, order_amount) VALUES ('898340149000005', '88880001', '319400000001', 1)`,
		"an unknown status": `UPDATE orders SET status = 'PAID'`,
	} {
		if _, err := d.conn.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
