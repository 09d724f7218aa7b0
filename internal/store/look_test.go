package store_test

import (
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
