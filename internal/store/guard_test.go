package store_test

import (
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// Whatever the decision was made from must be as it was read, or the answer changes nothing.
func TestRecordComparesWhatWasDecidedFrom(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		meanwhile string
		outcome   func(order.Order) order.Outcome
		want      order.Decision
	}{
		"amount":                      {`order_amount = 250`, settled, order.Superseded},
		"merchant":                    {`mid = '898340149000099'`, settled, order.Superseded},
		"its own number":              {`mer_order_id = '319400000099'`, settled, order.Superseded},
		"the channel's number":        {`target_order_id = '4200000000000000000000000001'`, settled, order.Superseded},
		"both numbers swapped":        {`mer_order_id = NULL, target_order_id = mer_order_id`, settled, order.Superseded},
		"status":                      {`status = 'NEW_ORDER'`, settled, order.Superseded},
		"review":                      {`review_reason = 'bad_request'`, settled, order.Superseded},
		"expiry, and still unknown":   {`expires_at = expires_at + interval '1 hour'`, deferred, order.Superseded},
		"creation, and still unknown": {`created_at = '-infinity'`, deferred, order.Superseded},
		"expiry, but paid":            {`expires_at = expires_at + interval '1 hour'`, settled, order.Settled},
		"another column":              {`tid = '88880002', updated_at = now()`, settled, order.Settled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			d.insert(t, 1)
			out := tt.outcome(d.claimOne(t))
			d.exec(t, `UPDATE orders SET `+tt.meanwhile)
			if got := d.record(t, out)[0].Decision; got != tt.want {
				t.Errorf("decision %s, want %s", got, tt.want)
			}
			if n := scan[int](t, d, `SELECT count(*) FROM order_queries WHERE decision = $1`, tt.want); n != 1 {
				t.Errorf("%d rows in the ledger, want 1", n)
			}
			if booked := scan[int](t, d, `SELECT count(*) FROM orders WHERE total_amount IS NOT NULL`); (booked == 1) != (tt.want == order.Settled) {
				t.Errorf("%d orders booked", booked)
			}
		})
	}
}

// Times beyond those of Go do not keep an answer from being written.
func TestRecordOfOrdersWithExtremeTimes(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 2)
	d.exec(t, `UPDATE orders SET created_at = '-infinity', expires_at = 'infinity', last_queried_at = 'infinity' WHERE id = 1`)
	d.exec(t, `UPDATE orders SET created_at = '4713-01-01 BC', expires_at = '294276-01-01', last_queried_at = '294276-01-01',
		next_query_at = '-infinity', lease_until = '-infinity' WHERE id = 2`)
	for _, o := range d.claim(t, 2) {
		if got := d.record(t, deferred(o))[0].Decision; got != order.Deferred {
			t.Errorf("order %d: %s, want deferred", o.ID, got)
		}
	}
}

// An order that something reopened after its settlement is settled again, and its event says so.
func TestRecordTellsOfASecondSettlement(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 3)
	orders := d.claim(t, 3)
	d.record(t, settled(orders[0]), deferred(orders[1]), settled(orders[2]))
	d.exec(t, `UPDATE orders SET status = 'UNKNOWN', next_query_at = now(), total_amount = NULL WHERE id = 1`) // a stale copy is saved
	d.exec(t, `UPDATE orders SET next_query_at = now() WHERE id = 2`)
	again := d.claim(t, 2)
	d.record(t, settled(again[0]), settled(again[1]))
	got := scan[string](t, d, `SELECT string_agg(concat_ws(' ', order_id, event, payload->>'settled_by', payload->>'settled_before'), ', ' ORDER BY id) FROM order_events`)
	if want := "1 order.paid query, 3 order.paid query, 1 order.paid query true, 2 order.paid query"; got != want {
		t.Errorf("events %s\nwant   %s", got, want)
	}
	if n := scan[int](t, d, `SELECT count(*) FROM orders WHERE settled_by = 'query' AND settled_at <= now()`); n != 3 {
		t.Errorf("%d orders with settled_by and settled_at, want 3", n)
	}
	// A conflict's event says so as well.
	d.exec(t, `UPDATE orders SET status = 'UNKNOWN', next_query_at = now() WHERE id = 3`)
	late := settled(d.claimOne(t))
	d.exec(t, `UPDATE orders SET status = 'TRADE_CLOSED' WHERE id = 3`)
	d.record(t, late)
	if got := scan[string](t, d, `SELECT concat_ws(' ', event, payload->>'settled_by', payload->>'settled_before') FROM order_events WHERE order_id = 3 AND event = 'order.review'`); got != "order.review true" {
		t.Errorf("event of the conflict: %q", got)
	}
}

// columnOf is a field's name in snake case, as the tables have it.
func columnOf(field string) string {
	field = strings.ReplaceAll(field, "IDs", "Ids")
	return strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(field, "${1}_${2}"))
}

// Every field of a booking is written to the column of its name. Every column of the table is
// either a field or one of those that are listed here.
func TestRecordBooksEveryField(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	out := settled(d.claimOne(t))
	booking := reflect.ValueOf(&out.Booking).Elem()
	want := make(map[string]string)
	for i := range booking.NumField() {
		field, name := booking.Field(i), columnOf(booking.Type().Field(i).Name)
		switch field.Type() {
		case reflect.TypeFor[*int64]():
			field.Set(reflect.ValueOf(new(int64(1000 + i))))
			want[name] = strconv.Itoa(1000 + i)
		case reflect.TypeFor[*string]():
			field.Set(reflect.ValueOf(new("value of " + name)))
			want[name] = "value of " + name
		default:
			at := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
			field.Set(reflect.ValueOf(&at))
			want[name] = "2026-01-02"
		}
	}
	want["mer_order_id"] = out.Order.MerOrderID // it has one already
	d.record(t, out)
	for name, value := range want {
		if got := scan[string](t, d, `SELECT coalesce(left(to_jsonb(o)->>$1, length($2)), '(null)') FROM orders AS o`, name, value); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if got := scan[string](t, d, `SELECT concat_ws(' ', status, next_query_at, query_count, lease_until, claim_no, claimed_by, unrecorded_claims, review_reason) FROM orders`); got != "TRADE_SUCCESS 0 1 0" {
		t.Errorf("the rest of the row: %q", got)
	}
	others := []string{
		"id", "mid", "tid", "inst_mid", "order_amount", "created_at", "expires_at", "updated_at", "status",
		"next_query_at", "query_count", "last_queried_at", "last_error", "lease_until", "claim_no", "claimed_by",
		"review_reason", "review_note", "settled_at", "settled_by", "unrecorded_claims",
	}
	columns := scan[[]string](t, d, `SELECT array_agg(column_name::text) FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = 'orders'`)
	for _, name := range columns {
		if _, booked := want[name]; !booked && !slices.Contains(others, name) {
			t.Errorf("the column %s is neither booked nor listed", name)
		}
	}
}

// shapes are other shapes of the table orders, each with 40 due orders beside settled ones.
func shapes() map[string]func(t *testing.T, d database) {
	return map[string]func(t *testing.T, d database){
		"with children": func(t *testing.T, d database) {
			t.Helper()
			// Rows lie at the same places as in the parent.
			d.exec(t, `CREATE TABLE orders_archive (note text) INHERITS (orders)`)
			d.exec(t, `CREATE TABLE orders_other (LIKE orders INCLUDING ALL) INHERITS (orders)`)
			d.exec(t, `INSERT INTO orders_archive (id, mid, tid, mer_order_id, order_amount, status, next_query_at)
				SELECT 1000 + i, $1, $2, '3195' || lpad(i::text, 8, '0'), 100, 'TRADE_SUCCESS', now() - interval '1 day' FROM generate_series(1, 200) i`, mid, tid)
			d.insert(t, 20)
			d.exec(t, `INSERT INTO orders_other (id, mid, tid, mer_order_id, order_amount, next_query_at)
				SELECT 2000 + i, $1, $2, '3196' || lpad(i::text, 8, '0'), 100, now() - interval '1 day' FROM generate_series(1, 20) i`, mid, tid)
		},
		"partitioned": func(t *testing.T, d database) {
			t.Helper()
			d.exec(t, `ALTER TABLE orders RENAME TO orders_plain`)
			d.exec(t, `CREATE TABLE orders (LIKE orders_plain INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING IDENTITY, region text) PARTITION BY LIST (region)`)
			for _, region := range []string{"north", "south"} {
				d.exec(t, `CREATE TABLE orders_`+region+` PARTITION OF orders FOR VALUES IN ('`+region+`')`)
			}
			d.exec(t, `CREATE INDEX ON orders (id)`)
			for i, region := range []string{"north", "south"} {
				d.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at, region)
					SELECT $1, $2, $3 || lpad(i::text, 8, '0'), 100, now() - interval '1 hour', $4 FROM generate_series(1, 20) i`,
					mid, tid, []string{"3194", "3196"}[i], region)
				d.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, status, next_query_at, region)
					SELECT $1, $2, $3 || lpad(i::text, 8, '0'), 100, 'TRADE_SUCCESS', now() - interval '1 hour', $4 FROM generate_series(21, 220) i`,
					mid, tid, []string{"3194", "3196"}[i], region)
			}
		},
	}
}

// The same number of a page and a line names a row in each child table. Only the due ones are asked
// about and written.
func TestOrdersWithChildTablesAndPartitions(t *testing.T) {
	t.Parallel()
	for name, build := range shapes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			build(t, d)
			const settledRows = `SELECT md5(string_agg(to_jsonb(o)::text, ',' ORDER BY id)) FROM orders AS o WHERE status = 'TRADE_SUCCESS' AND claim_no = 0`
			before := scan[string](t, d, settledRows)
			claimed := 0
			for {
				orders := d.claimWith(t, store.Claim{Limit: 7, Lanes: true})
				if len(orders) == 0 {
					break
				}
				claimed += len(orders)
				if err := d.Release(t.Context(), orders[:1]); err != nil {
					t.Fatal(err)
				}
				claimed--
				group := make([]order.Outcome, 0, len(orders))
				for _, o := range orders[1:] {
					group = append(group, settled(o))
				}
				if len(orders) == 1 {
					d.exec(t, `UPDATE orders SET lease_until = NULL, next_query_at = now() + interval '1 hour' WHERE id = $1`, orders[0].ID)
					claimed++
				}
				for _, o := range orders {
					if o.Status != order.StatusUnknown {
						t.Fatalf("claimed an order that is %s", o.Status)
					}
				}
				d.record(t, group...)
			}
			if after := scan[string](t, d, settledRows); claimed != 40 || after != before {
				t.Errorf("claimed %d orders, want 40; settled rows unchanged: %t", claimed, after == before)
			}
			if n := scan[int](t, d, `SELECT count(*) FROM order_events`); n != 39 {
				t.Errorf("%d events, want 39", n)
			}
		})
	}
}

func TestFailureReason(t *testing.T) {
	t.Parallel()
	got := map[string]string{"": store.FailureReason(nil), "-": store.FailureReason(errors.New("unexpected EOF"))}
	for _, code := range []string{"42501", "42P01", "25006", "53100", "53200", "53300", "58030", "57P01", "08006", "40P01", "55P03", "P0001", "23505"} {
		got[code] = store.FailureReason(&pgconn.PgError{Code: code})
	}
	want := map[string]string{
		"": "", "-": "connection", "42501": "rights", "42P01": "rights", "25006": "read_only", "53100": "room", "53200": "room",
		"53300": "connection", "58030": "room", "57P01": "connection", "08006": "connection", "40P01": "locked", "55P03": "locked",
		"P0001": "refused", "23505": "refused",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}
