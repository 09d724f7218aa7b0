package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"reconciler/internal/order"

	"github.com/jackc/pgx/v5/pgconn"
)

// column is one array of an unnest: a whole group of outcomes is one statement
// with as many parameters as there are columns, however many outcomes it has.
type column struct {
	name string
	typ  string // in the table
	sent wire   // in the parameter
	cell func(buf []byte, o *order.Outcome) []byte
}

// col makes a column of the type that its values are sent as.
func col[T any](name string, k kind[T], of func(o *order.Outcome) T) column {
	return column{name, k.name, k.wire, func(buf []byte, o *order.Outcome) []byte { return k.cell(buf, of(o)) }}
}

// as casts a column to another type.
func (c column) as(typ string) column {
	c.typ = typ
	return c
}

// outcomeColumns are the guard of an outcome and the values that it writes to its order.
func outcomeColumns() []column {
	return slices.Concat(guardColumns(), []column{
		col("status", text(), func(o *order.Outcome) string { return string(o.Status) }),
		col("next_query_at", nullable(timestamptz()), func(o *order.Outcome) *time.Time { return o.NextQueryAt }),
		col("spent", bigint(), func(o *order.Outcome) int64 { return planSpent(o) }).as("int"),
		col("queried_at", timestamptz(), func(o *order.Outcome) time.Time { return o.Question.At }),
		col("last_error", filled(text()), func(o *order.Outcome) string { return safe(o.LastError) }),
		col("resolves", boolean(), func(o *order.Outcome) bool { return o.Resolves() }),
		col("review_reason", filled(text()), func(o *order.Outcome) string { return o.ReviewReason }),
		col("review_note", filled(text()), func(o *order.Outcome) string { return safe(o.ReviewNote) }),
		col("mer_order_id", nullable(text()), func(o *order.Outcome) *string { return o.Booking.MerOrderID }),
		col("target_order_id", nullable(text()), func(o *order.Outcome) *string { return o.Booking.TargetOrderID }),
	}, bookedColumns())
}

// questionColumns are the columns of order_queries. Its texts are made safe, for
// evidence must never fail to be written.
func questionColumns() []column {
	word := func(name string, of func(*order.Outcome) string) column {
		return col(name, filled(text()), func(o *order.Outcome) string { return safe(of(o)) })
	}
	return []column{
		col("order_id", bigint(), func(o *order.Outcome) int64 { return o.Order.ID }),
		col("claim_no", bigint(), func(o *order.Outcome) int64 { return o.Order.ClaimNo }),
		col("queried_at", timestamptz(), func(o *order.Outcome) time.Time { return o.Question.At }),
		col("duration_ms", bigint(), func(o *order.Outcome) int64 { return o.Question.Duration.Milliseconds() }),
		col("round_trips", bigint(), func(o *order.Outcome) int64 { return int64(o.Question.RoundTrips) }).as("int"),
		word("worker", func(o *order.Outcome) string { return o.Question.Worker }),
		col("http_status", nullable(bigint()), func(o *order.Outcome) *int64 { return nullInt(o.Question.HTTPStatus) }).as("int"),
		word("err_code", func(o *order.Outcome) string { return short(o.Question.ErrCode) }),
		word("err_msg", func(o *order.Outcome) string { return short(o.Question.ErrMsg) }),
		word("trade_status", func(o *order.Outcome) string { return short(o.Question.TradeStatus) }),
		word("decision", func(o *order.Outcome) string { return string(o.Decision) }),
		word("reason", func(o *order.Outcome) string { return o.Reason }),
		col("next_query_at", nullable(timestamptz()), func(o *order.Outcome) *time.Time { return o.NextQueryAt }),
		col("response", filled(raw()), func(o *order.Outcome) []byte { return o.Question.Response }).as("jsonb"),
	}
}

// planSpent is 1 where the answer spent a step of the plan.
func planSpent(o *order.Outcome) int64 {
	if o.Decision == order.Deferred {
		return 1
	}
	return 0
}

// unnest are the rows of columns whose parameters follow so many others, under a name. The arrays are read side by side,
// as they are in a list of results; in FROM, each would be stored on its own first, which cost a tenth of the statement.
// What is sent as text is cast row by row, for what the server needs to read a JSON text it keeps until the end of the
// row, or, if the array were cast, of the whole array: that was another tenth.
func unnest(as string, columns []column, before int) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = fmt.Sprintf("unnest($%d::%s[])::%s AS %s", before+i+1, c.sent.name, c.typ, c.name)
	}
	return fmt.Sprintf("(SELECT %s) AS %s", strings.Join(list, ", "), as)
}

func nullText(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func nullInt(n int) *int64 {
	if n == 0 {
		return nil
	}
	return new(int64(n))
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
