package store

import (
	"errors"
	"slices"
	"strings"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store/arrays"

	"github.com/jackc/pgx/v5/pgconn"
)

// column is one array of a statement for a whole group of outcomes.
type column = arrays.Column[order.Outcome]

func col[T any](name string, e arrays.Encoder[T], of func(o *order.Outcome) T) column {
	return arrays.NewColumn(name, e, of)
}

// outcomeColumns are the guard of an outcome and the values that it writes to its order.
func outcomeColumns() []column {
	return slices.Concat(guardColumns(), []column{
		col("status", arrays.Text(), func(o *order.Outcome) string { return string(o.Status) }),
		col("next_query_at", arrays.Nullable(arrays.Timestamptz()), func(o *order.Outcome) *time.Time { return o.NextQueryAt }),
		col("spent", arrays.Bigint(), func(o *order.Outcome) int64 { return planSpent(o) }).As("int"),
		col("queried_at", arrays.Timestamptz(), func(o *order.Outcome) time.Time { return o.Question.At }),
		col("last_error", arrays.EmptyIsNull(arrays.Text()), func(o *order.Outcome) string { return safe(o.LastError) }),
		col("resolves", arrays.Boolean(), func(o *order.Outcome) bool { return o.Resolves() }),
		col("review_reason", arrays.EmptyIsNull(arrays.Text()), func(o *order.Outcome) string { return o.ReviewReason }),
		col("review_note", arrays.EmptyIsNull(arrays.Text()), func(o *order.Outcome) string { return safe(o.ReviewNote) }),
		col("mer_order_id", arrays.Nullable(arrays.Text()), func(o *order.Outcome) *string { return o.Booking.MerOrderID }),
		col("target_order_id", arrays.Nullable(arrays.Text()), func(o *order.Outcome) *string { return o.Booking.TargetOrderID }),
	}, bookedColumns())
}

// questionColumns are the columns of order_queries. Its texts are made safe, for
// evidence must never fail to be written.
func questionColumns() []column {
	word := func(name string, of func(*order.Outcome) string) column {
		return col(name, arrays.EmptyIsNull(arrays.Text()), func(o *order.Outcome) string { return safe(of(o)) })
	}
	return []column{
		col("order_id", arrays.Bigint(), func(o *order.Outcome) int64 { return o.Order.ID }),
		col("claim_no", arrays.Bigint(), func(o *order.Outcome) int64 { return o.Order.ClaimNo }),
		col("queried_at", arrays.Timestamptz(), func(o *order.Outcome) time.Time { return o.Question.At }),
		col("duration_ms", arrays.Bigint(), func(o *order.Outcome) int64 { return o.Question.Duration.Milliseconds() }),
		col("round_trips", arrays.Bigint(), func(o *order.Outcome) int64 { return int64(o.Question.RoundTrips) }).As("int"),
		word("worker", func(o *order.Outcome) string { return o.Question.Worker }),
		col("http_status", arrays.Nullable(arrays.Bigint()), func(o *order.Outcome) *int64 { return orNull(int64(o.Question.HTTPStatus)) }).As("int"),
		word("err_code", func(o *order.Outcome) string { return short(o.Question.ErrCode) }),
		word("err_msg", func(o *order.Outcome) string { return short(o.Question.ErrMsg) }),
		word("trade_status", func(o *order.Outcome) string { return short(o.Question.TradeStatus) }),
		word("decision", func(o *order.Outcome) string { return string(o.Decision) }),
		word("reason", func(o *order.Outcome) string { return o.Reason }),
		col("next_query_at", arrays.Nullable(arrays.Timestamptz()), func(o *order.Outcome) *time.Time { return o.NextQueryAt }),
		col("response", arrays.EmptyIsNull(arrays.Bytes()), func(o *order.Outcome) []byte { return o.Question.Response }).As("jsonb"),
	}
}

// planSpent is 1 where the answer spent a step of the plan.
func planSpent(o *order.Outcome) int64 {
	if o.Decision == order.Deferred {
		return 1
	}
	return 0
}

// orNull is nil for a zero value.
func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// safe replaces what a text column cannot hold.
func safe(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// short bounds what a hostile answer can put into a column that is meant to be
// read; the whole of it stands in the response.
func short(s string) string {
	const most = 1000
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// plain is the server's word without its decoration.
func plain(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Message
	}
	return err.Error()
}
