package store_test

import (
	"testing"
	"time"

	"reconciler/internal/order"
)

// TestRecordInEveryQueryMode writes under each way in which the driver may be told to run
// statements: prepared, which is usual, and those that work behind a pooler.
func TestRecordInEveryQueryMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			d := openWith(t, "default_query_exec_mode", mode)
			d.insert(t, 3)
			orders := d.claim(t, 3)
			d.exec(t, `UPDATE orders SET status = 'TRADE_CLOSED', lease_until = NULL WHERE id = $1`, orders[2].ID)
			written := d.record(t, settled(orders[0]), deferred(orders[1]), settled(orders[2]))
			if got := written[2].Decision; got != order.Review {
				t.Errorf("the answer that contradicts the application was %s, want %s", got, order.Review)
			}
			d.record(t, written...) // also a prepared statement that is there

			for sql, want := range map[string]string{
				`SELECT string_agg(concat_ws(' ', status, total_amount, query_count, review_reason), ', ' ORDER BY id) FROM orders`: "TRADE_SUCCESS 100 0, NEW_ORDER 1, TRADE_CLOSED 0 conflict",
				`SELECT string_agg(concat_ws(' ', order_id, decision, http_status, response->>'status'), ', ' ORDER BY order_id) FROM order_queries`: "1 settled 200 TRADE_SUCCESS, " +
					"2 deferred 200 TRADE_SUCCESS, 3 review 200 TRADE_SUCCESS",
				`SELECT string_agg(concat_ws(' ', order_id, event, payload->>'to'), ', ' ORDER BY order_id) FROM order_events`: "1 order.paid TRADE_SUCCESS, 3 order.review TRADE_CLOSED",
			} {
				if got := scan[string](t, d, sql); got != want {
					t.Errorf("%s:\n got %q\nwant %q", sql, got, want)
				}
			}
		})
	}
}

func TestRecordKeepsEveryTime(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, want := range []time.Time{
		time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(1969, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
		time.Date(1999, 12, 31, 23, 59, 59, 1000, time.UTC),
		time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 11, 25, 8, 0, 0, 123_456_000, time.FixedZone("China", 8*60*60)),
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	} {
		d.insert(t, 1)
		out := settled(d.claimOne(t))
		out.Booking.PayTime = &want
		d.record(t, out)
		if got := scan[time.Time](t, d, `DELETE FROM orders RETURNING pay_time`); !got.Equal(want) {
			t.Errorf("pay_time %v, want %v", got, want)
		}
	}
}

// TestRecordTellsNullFromEmpty: where the gateway's word was an empty one it stays that.
func TestRecordTellsNullFromEmpty(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `INSERT INTO orders (mid, tid, target_order_id, order_amount) VALUES ($1, $2, '4200000000000000000000000001', 100)`, mid, tid)
	out := settled(d.claimOne(t))
	out.Booking.BankInfo, out.Booking.CardAttr = new(""), nil
	out.Question.Response, out.Question.HTTPStatus = nil, 0
	d.record(t, out)
	if got := scan[bool](t, d, `SELECT o.bank_info = '' AND o.card_attr IS NULL AND o.mer_order_id IS NULL AND o.review_note IS NULL
		AND q.response IS NULL AND q.http_status IS NULL AND q.err_msg IS NULL AND e.mer_order_id IS NULL
		FROM orders o JOIN order_queries q ON q.order_id = o.id JOIN order_events e ON e.order_id = o.id`); !got {
		t.Error("a null became an empty text, or the other way round")
	}
}

// A statement that the server has forgotten costs one group its try, and no more.
func TestRecordPreparesAgain(t *testing.T) {
	t.Parallel()
	d := openWith(t, "default_query_exec_mode", "cache_statement", "pool_max_conns", "1")
	d.insert(t, 2)
	orders := d.claim(t, 2)
	d.record(t, settled(orders[0]))
	if err := d.Exec(t.Context(), "DEALLOCATE ALL"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Record(t.Context(), []order.Outcome{settled(orders[1])}); err == nil {
		t.Fatal("the server still has the statement")
	}
	d.record(t, settled(orders[1]))
}
