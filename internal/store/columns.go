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

func newColumn[T any](name string, e arrays.Encoder[T], of func(o *order.Outcome) T) column {
	return arrays.NewColumn(name, e, of)
}

// outcomeColumns are the guard of an outcome and the values that it writes to its order.
func outcomeColumns() []column {
	return slices.Concat(guardColumns(), []column{
		newColumn("status", arrays.Text(), func(o *order.Outcome) string { return string(o.Status) }),
		newColumn("next_query_at", arrays.Nullable(arrays.Timestamptz()), func(o *order.Outcome) *time.Time { return o.NextQueryAt }),
		newColumn("spent", arrays.Bigint(), planSpent).As("int"),
		newColumn("queried_at", arrays.Timestamptz(), func(o *order.Outcome) time.Time { return o.Question.At }),
		newColumn("last_error", arrays.EmptyIsNull(arrays.Text()), func(o *order.Outcome) string { return validText(o.LastError) }),
		newColumn("resolves", arrays.Boolean(), func(o *order.Outcome) bool { return o.Resolves() }),
		newColumn("review_reason", arrays.EmptyIsNull(arrays.Text()), func(o *order.Outcome) string { return o.ReviewReason }),
		newColumn("review_note", arrays.EmptyIsNull(arrays.Text()), func(o *order.Outcome) string { return validText(o.ReviewNote) }),
		newColumn("mer_order_id", arrays.Nullable(arrays.Text()), func(o *order.Outcome) *string { return o.Booking.MerOrderID }),
		newColumn("target_order_id", arrays.Nullable(arrays.Text()), func(o *order.Outcome) *string { return o.Booking.TargetOrderID }),
	}, bookedColumns())
}

// questionColumns are the columns of order_queries. Its texts are made safe, because
// evidence must never fail to be written.
func questionColumns() []column {
	word := func(name string, of func(*order.Outcome) string) column {
		return newColumn(name, arrays.EmptyIsNull(arrays.Text()), func(o *order.Outcome) string { return validText(of(o)) })
	}
	return []column{
		newColumn("order_id", arrays.Bigint(), func(o *order.Outcome) int64 { return o.Order.ID }),
		newColumn("claim_no", arrays.Bigint(), func(o *order.Outcome) int64 { return o.Order.ClaimNo }),
		newColumn("queried_at", arrays.Timestamptz(), func(o *order.Outcome) time.Time { return o.Question.At }),
		newColumn("duration_ms", arrays.Bigint(), func(o *order.Outcome) int64 { return o.Question.Duration.Milliseconds() }),
		newColumn("round_trips", arrays.Bigint(), func(o *order.Outcome) int64 { return int64(o.Question.RoundTrips) }).As("int"),
		word("worker", func(o *order.Outcome) string { return o.Question.Worker }),
		newColumn("http_status", arrays.Nullable(arrays.Bigint()), func(o *order.Outcome) *int64 { return orNull(int64(o.Question.HTTPStatus)) }).As("int"),
		word("err_code", func(o *order.Outcome) string { return shortText(o.Question.ErrCode) }),
		word("err_msg", func(o *order.Outcome) string { return shortText(o.Question.ErrMsg) }),
		word("trade_status", func(o *order.Outcome) string { return shortText(o.Question.TradeStatus) }),
		word("decision", func(o *order.Outcome) string { return string(o.Decision) }),
		word("reason", func(o *order.Outcome) string { return o.Reason }),
		newColumn("next_query_at", arrays.Nullable(arrays.Timestamptz()), func(o *order.Outcome) *time.Time { return o.NextQueryAt }),
		newColumn("response", arrays.EmptyIsNull(arrays.Bytes()), func(o *order.Outcome) []byte { return o.Question.Response }).As("jsonb"),
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

// validText replaces what a text column cannot hold.
func validText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// shortText bounds what a hostile answer can put into a column that is meant to be read; the whole
// of it stands in the response.
func shortText(s string) string {
	const most = 1000
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…" // without half a character
}

// plainWords is the server's word without its decoration.
func plainWords(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Message
	}
	return err.Error()
}
