package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// What the database, the role or the URL set must not change what our statements mean.
func TestSessionSettingsAreOurs(t *testing.T) {
	t.Parallel()
	d := open(t)
	name := scan[string](t, d, `SELECT current_database()`)
	for _, setting := range []string{
		`client_encoding = 'GBK'`, `"DateStyle" = 'German'`, `standard_conforming_strings = off`, `array_nulls = off`,
		`default_transaction_isolation = 'serializable'`, `"IntervalStyle" = 'sql_standard'`, `statement_timeout = '1min'`, `lock_timeout = '1min'`,
	} {
		d.exec(t, `ALTER DATABASE `+name+` SET `+setting)
	}
	for _, mode := range []string{"cache_statement", "exec", "simple_protocol"} {
		s, err := store.Open(t.Context(), with(t, d.url, []string{"default_query_exec_mode", mode, "Client_Encoding", "LATIN1"}))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for setting, want := range map[string]string{
			"client_encoding": "UTF8", "DateStyle": "ISO, MDY", "standard_conforming_strings": "on", "array_nulls": "on",
			"default_transaction_isolation": "read committed", "IntervalStyle": "postgres", "statement_timeout": "0", "lock_timeout": "0",
		} {
			if got, err := s.Setting(t.Context(), setting); err != nil || got != want {
				t.Errorf("%s: %s = %q, %v; want %q", mode, setting, got, err, want)
			}
		}
		if _, err := s.Now(t.Context()); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
	d.insert(t, 1)
	fresh, err := store.Open(t.Context(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	d.Store = fresh
	out := settled(d.claimOne(t))
	out.Booking.BankInfo = new("工商银行")
	d.record(t, out)
	d.exec(t, `SET client_encoding = 'UTF8'`)
	if got := scan[string](t, d, `SELECT bank_info FROM orders`); got != "工商银行" {
		t.Errorf("bank_info = %q", got)
	}
}

// A setting of the database or the role may be taken back, as after a maintenance. Then it has no
// effect any more, although the sessions that began under it would keep it.
func TestSettingsThatAreTakenBack(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	name := scan[string](t, d, `SELECT current_database()`)
	for _, setting := range []string{`default_transaction_read_only = on`, `search_path = pg_catalog`} {
		d.exec(t, `ALTER DATABASE `+name+` SET `+setting)
		s, err := store.Open(t.Context(), with(t, d.url, []string{"pool_max_conns", "1"}))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Claim(t.Context(), store.Claim{Limit: 1, Lease: time.Minute}); err == nil {
			t.Errorf("%s: a claim succeeds", setting)
		}
		d.exec(t, `SET default_transaction_read_only = off; ALTER DATABASE `+name+` RESET ALL`)
		if _, err := s.Claim(t.Context(), store.Claim{Limit: 1, Lease: time.Minute}); err != nil {
			t.Errorf("%s, taken back: %v", setting, err)
		}
	}
}

// An ALTER TABLE of the application's costs no statement.
func TestStalePlansAreTriedAgain(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 40)
	for _, typ := range []string{"varchar(64)", "text", "varchar(65)"} {
		var orders []order.Order
		for range 4 {
			orders = append(orders, d.claim(t, 2)...)
		}
		if _, err := d.States(t.Context()); err != nil {
			t.Errorf("States: %v", err)
		}
		d.record(t, settled(orders[0]))
		late := settled(orders[1])
		d.exec(t, `UPDATE orders SET status = 'TRADE_CLOSED' WHERE id = $1`, late.Order.ID)
		d.record(t, late)
		if _, err := d.FindOrders(t.Context(), store.OrderName{ID: late.Order.ID}, nil); err != nil {
			t.Errorf("FindOrders: %v", err)
		}
		d.exec(t, `ALTER TABLE orders ALTER COLUMN mer_order_id TYPE `+typ+`, ALTER COLUMN tid TYPE `+typ)
	}
}

func TestALostStatementNamesTheSettingForPoolers(t *testing.T) {
	t.Parallel()
	d := openWith(t, "pool_max_conns", "1")
	for what, read := range map[string]func() error{
		"alone":            func() error { _, err := d.Now(t.Context()); return err },
		"of a claim":       func() error { _, err := d.Claim(t.Context(), store.Claim{Lease: time.Minute, Limit: 1}); return err },
		"in a transaction": func() error { _, err := d.FindOrders(t.Context(), store.OrderName{ID: 1}, nil); return err },
	} {
		if err := read(); err != nil {
			t.Fatal(err)
		}
		if err := d.Exec(t.Context(), `DEALLOCATE ALL`); err != nil {
			t.Fatal(err)
		}
		if err := read(); err == nil || strings.Count(err.Error(), "default_query_exec_mode=exec") != 1 {
			t.Errorf("%s: a statement that the server has not: %v", what, err)
		}
	}
}

func TestRowSecurity(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `ALTER TABLE orders ENABLE ROW LEVEL SECURITY; ALTER TABLE order_events ENABLE ROW LEVEL SECURITY`)
	if tables, err := d.RowSecurity(t.Context()); err != nil || len(tables) != 0 {
		t.Errorf("as the owner: %v, %v; it does not apply", tables, err)
	}
	role := d.role(t)
	d.exec(t, `GRANT SELECT ON ALL TABLES IN SCHEMA public TO `+role)
	s, err := store.Open(t.Context(), with(t, d.url, []string{"user", role}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if tables, err := s.RowSecurity(t.Context()); err != nil || strings.Join(tables, " ") != "order_events orders" {
		t.Errorf("as another role: %v, %v", tables, err)
	}
	if _, err := s.States(t.Context()); errors.Is(err, pgx.ErrNoRows) {
		t.Error(err)
	}
}

// role is a new role that may log in and nothing else.
func (d database) role(t *testing.T) string {
	t.Helper()
	name := "role_" + scan[string](t, d, `SELECT current_database()`)
	d.exec(t, `CREATE ROLE `+name+` LOGIN`)
	t.Cleanup(func() { dropRole(t, d.url, name) })
	return name
}
