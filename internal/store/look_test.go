package store_test

import (
	"strings"
	"testing"
)

// What people look at is neither compiled nor given workers, whatever the database has: that took
// ten times as long as to read the rows.
func TestLooksAreNotCompiled(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET jit = on', current_database()); END $$`)
	for name, want := range map[string]string{
		"jit": "off", "max_parallel_workers_per_gather": "0", "statement_timeout": "5s", "transaction_read_only": "on", "transaction_isolation": "repeatable read",
	} {
		got, err := d.LookSetting(t.Context(), name)
		must(t, err)
		if got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// Once the backlog of 10,000 merchants with 1,000 pauses was compiled for 1.4 s. On a busy server
// it could not be read within its 3 s.
func TestBacklogIsNotCompiled(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET jit = on', current_database()); END $$`)
	d.exec(t, `CREATE FUNCTION tell() RETURNS boolean LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'jit is %, workers %', current_setting('jit'), current_setting('max_parallel_workers_per_gather'); END $$`)
	d.exec(t, `ALTER TABLE gateway_controls RENAME TO controls; CREATE VIEW gateway_controls AS SELECT * FROM controls WHERE tell();
		INSERT INTO controls (scope, key, reason, set_by) VALUES ('mid', 'M', '', 'li')`)
	if _, err := d.Backlog(t.Context()); err == nil || !strings.Contains(err.Error(), "jit is off, workers 0") {
		t.Errorf("backlog: %v, want jit off and no workers", err)
	}
}
