package store_test

import "testing"

// An unresolved order that nobody would ask about becomes due, whichever program wrote it.
func TestOrdersStayDue(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ sql, want string }{
		"an ORM inserts an explicit null": {
			`INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at) VALUES ('898340149000005', '88880001', '319400000009', 1, NULL)`,
			"UNKNOWN due -",
		},
		"an ORM inserts empty texts": {
			`INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at, review_reason) VALUES ('898340149000005', '88880001', '319400000009', 1, NULL, '')`,
			"UNKNOWN due -",
		},
		"COPY": {
			`INSERT INTO orders (mid, tid, mer_order_id, order_amount, status, next_query_at) SELECT '898340149000005', '88880001', '319400000009', 1, 'WAIT_BUYER_PAY', NULL`,
			"WAIT_BUYER_PAY due -",
		},
		"a person clears the review only": {
			`INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at, review_reason) VALUES ('898340149000005', '88880001', '319400000009', 1, NULL, 'poison');
			 UPDATE orders SET review_reason = NULL`,
			"UNKNOWN due -",
		},
		"a person empties the review": {
			`INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at, review_reason) VALUES ('898340149000005', '88880001', '319400000009', 1, NULL, 'poison');
			 UPDATE orders SET review_reason = ''`,
			"UNKNOWN due -",
		},
		"a whole-row save reopens a closed case": {
			`INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at, status) VALUES ('898340149000005', '88880001', '319400000009', 1, NULL, 'NOT_FOUND');
			 UPDATE orders SET status = 'UNKNOWN'`,
			"UNKNOWN due -",
		},
		"an upsert": {
			`INSERT INTO orders (mid, tid, mer_order_id, order_amount) VALUES ('898340149000005', '88880001', '319400000009', 1);
			 INSERT INTO orders (mid, tid, mer_order_id, order_amount) VALUES ('898340149000005', '88880001', '319400000009', 1)
			 ON CONFLICT (mer_order_id, mid) DO UPDATE SET next_query_at = NULL`,
			"UNKNOWN due -",
		},
		"the application's own trigger forgets": {
			`CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.next_query_at := NULL; RETURN NEW; END $$;
			 CREATE TRIGGER set_defaults BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION forget();
			 INSERT INTO orders (mid, tid, mer_order_id, order_amount) VALUES ('898340149000005', '88880001', '319400000009', 1)`,
			"UNKNOWN due -",
		},
		"a review stays": {
			`INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at, review_reason) VALUES ('898340149000005', '88880001', '319400000009', 1, NULL, 'poison')`,
			"UNKNOWN null poison",
		},
		"a settled order stays": {
			`INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at, status) VALUES ('898340149000005', '88880001', '319400000009', 1, NULL, 'TRADE_SUCCESS')`,
			"TRADE_SUCCESS null -",
		},
		"a closed case stays": {
			`INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at, status) VALUES ('898340149000005', '88880001', '319400000009', 1, NULL, 'NOT_FOUND')`,
			"NOT_FOUND null -",
		},
		"a due time stays": {
			`INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at) VALUES ('898340149000005', '88880001', '319400000009', 1, now() + interval '1 day')`,
			"UNKNOWN later -",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			if _, err := d.conn.PgConn().Exec(t.Context(), tt.sql).ReadAll(); err != nil {
				t.Fatal(err)
			}
			got := scan[string](t, d, `SELECT concat_ws(' ', status,
				CASE WHEN next_query_at <= now() THEN 'due' WHEN next_query_at > now() THEN 'later' ELSE 'null' END,
				coalesce(review_reason, '-')) FROM orders`)
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// No statement of the daemon calls the trigger's function.
func TestOrdersStayDueCostsTheDaemonNothing(t *testing.T) {
	t.Parallel()
	d := openWith(t, "track_functions", "all")
	d.insert(t, 4)
	orders := d.claim(t, 4)
	review := deferred(orders[2])
	review.Decision, review.ReviewReason, review.NextQueryAt = "review", "bad_request", nil
	d.record(t, settled(orders[0]), deferred(orders[1]), review)
	if err := d.Release(t.Context(), orders[3:]); err != nil {
		t.Fatal(err)
	}
	d.Close() // a session reports its figures when it ends
	if calls := scan[int](t, d, `SELECT coalesce(sum(calls), 0)::int FROM pg_stat_user_functions WHERE funcname IN ('orders_stay_due', 'orders_stay_settled')`); calls != 0 {
		t.Errorf("the daemon's statements called the trigger %d times", calls)
	}
}

// Whoever reopens a settled order, the second settlement is known as one.
func TestOrdersStaySettled(t *testing.T) {
	t.Parallel()
	for name, reopen := range map[string]string{
		"an UPDATE":                     `UPDATE orders SET status = 'UNKNOWN', next_query_at = now()`,
		"an ORM saves an old copy":      `UPDATE orders SET status = 'UNKNOWN', next_query_at = now(), settled_at = NULL, settled_by = NULL, total_amount = NULL`,
		"a person clears the time only": `UPDATE orders SET status = 'UNKNOWN', next_query_at = now(), settled_at = NULL`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			d.insert(t, 1)
			d.record(t, settled(d.claimOne(t)))
			first := scan[string](t, d, `SELECT settled_by || settled_at FROM orders`)
			d.exec(t, reopen)
			if got := scan[string](t, d, `SELECT settled_by || settled_at FROM orders`); got != first {
				t.Errorf("settled by and at %q, want %q", got, first)
			}
			d.record(t, settled(d.claimOne(t)))
			if got := scan[string](t, d, `SELECT string_agg(coalesce(payload->>'settled_before', 'first'), ', ' ORDER BY id) FROM order_events`); got != "first, true" {
				t.Errorf("settled before: %s", got)
			}
		})
	}
}

// The partitions of orders get the trigger from their parent.
func TestOrdersStayDueInPartitions(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `CREATE TABLE orders_2 (LIKE orders INCLUDING DEFAULTS) PARTITION BY HASH (id)`)
	d.exec(t, `CREATE TABLE orders_2_0 PARTITION OF orders_2 FOR VALUES WITH (MODULUS 1, REMAINDER 0)`)
	d.exec(t, `CREATE TRIGGER zz_orders_stay_due BEFORE INSERT OR UPDATE ON orders_2 FOR EACH ROW
		WHEN (NEW.next_query_at IS NULL) EXECUTE FUNCTION orders_stay_due()`)
	d.exec(t, `INSERT INTO orders_2 (id, mid, tid, mer_order_id, order_amount, next_query_at) VALUES (1, $1, $2, '319400000001', 1, NULL)`, mid, tid)
	if !scan[bool](t, d, `SELECT next_query_at <= now() FROM orders_2`) {
		t.Error("the order is not due")
	}
}

func TestOperatorActionsAreKept(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `INSERT INTO operator_actions (actor, via, action, reason) VALUES ('li', 'cli', 'pause', 'ticket 812')`)
	for _, sql := range []string{
		`UPDATE operator_actions SET actor = 'wang'`,
		`DELETE FROM operator_actions`,
		`TRUNCATE operator_actions`,
		`SET session_replication_role = replica; DELETE FROM operator_actions`,
	} {
		if _, err := d.conn.PgConn().Exec(t.Context(), sql).ReadAll(); err == nil {
			t.Errorf("%s: no error", sql)
		}
	}
	if got := scan[string](t, d, `SELECT actor || (db_user = session_user) FROM operator_actions`); got != "litrue" {
		t.Errorf("the row is %q", got)
	}
}
