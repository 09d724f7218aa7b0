package store

import (
	"encoding/json"
	"errors"
	"fmt"
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

// outcomeColumns is what a write of orders needs of an outcome.
func outcomeColumns() []column {
	return append([]column{
		col("id", bigint(), func(o *order.Outcome) int64 { return o.Order.ID }),
		col("claim_no", bigint(), func(o *order.Outcome) int64 { return o.Order.ClaimNo }),
		col("status_read", text(), func(o *order.Outcome) string { return string(o.Order.Status) }),
		col("review_read", filled(text()), func(o *order.Outcome) string { return o.Order.ReviewReason }),
		col("status", text(), func(o *order.Outcome) string { return string(o.Status) }),
		col("next_query_at", nullable(timestamptz()), func(o *order.Outcome) *time.Time { return o.NextQueryAt }),
		col("spent", bigint(), func(o *order.Outcome) int64 { return planSpent(o) }).as("int"),
		col("queried_at", timestamptz(), func(o *order.Outcome) time.Time { return o.Question.At }),
		col("last_error", filled(text()), func(o *order.Outcome) string { return safe(o.LastError) }),
		col("resolves", boolean(), func(o *order.Outcome) bool { return o.Resolves() }),
		col("settles", boolean(), func(o *order.Outcome) bool { return o.Decision == order.Settled }),
		col("review_reason", filled(text()), func(o *order.Outcome) string { return o.ReviewReason }),
		col("review_note", filled(text()), func(o *order.Outcome) string { return safe(o.ReviewNote) }),
		col("mer_order_id", nullable(text()), func(o *order.Outcome) *string { return o.Booking.MerOrderID }),
		col("target_order_id", nullable(text()), func(o *order.Outcome) *string { return o.Booking.TargetOrderID }),
	}, settlementColumns()...)
}

// settlementColumns are the columns of orders that only a settlement fills.
func settlementColumns() []column {
	amount := func(name string, of func(*order.Booking) *int64) column {
		return col(name, nullable(bigint()), func(o *order.Outcome) *int64 { return of(&o.Booking) })
	}
	word := func(name string, of func(*order.Booking) *string) column {
		return col(name, nullable(text()), func(o *order.Outcome) *string { return of(&o.Booking) })
	}
	return []column{
		amount("total_amount", func(s *order.Booking) *int64 { return s.TotalAmount }),
		amount("buyer_pay_amount", func(s *order.Booking) *int64 { return s.BuyerPayAmount }),
		amount("receipt_amount", func(s *order.Booking) *int64 { return s.ReceiptAmount }),
		amount("invoice_amount", func(s *order.Booking) *int64 { return s.InvoiceAmount }),
		amount("coupon_amount", func(s *order.Booking) *int64 { return s.CouponAmount }),
		amount("yxlm_amount", func(s *order.Booking) *int64 { return s.YxlmAmount }),
		amount("coupon_merchant_contribute", func(s *order.Booking) *int64 { return s.CouponMerchantContribute }),
		amount("coupon_other_contribute", func(s *order.Booking) *int64 { return s.CouponOtherContribute }),
		amount("buyer_cash_pay_amt", func(s *order.Booking) *int64 { return s.BuyerCashPayAmt }),
		amount("refund_amount", func(s *order.Booking) *int64 { return s.RefundAmount }),
		col("pay_time", nullable(timestamptz()), func(o *order.Outcome) *time.Time { return o.Booking.PayTime }),
		col("settle_date", filled(text()), func(o *order.Outcome) string { return settleDate(o) }).as("date"),
		word("seq_id", func(s *order.Booking) *string { return s.SeqID }),
		word("ref_id", func(s *order.Booking) *string { return s.RefID }),
		word("settle_ref_id", func(s *order.Booking) *string { return s.SettleRefID }),
		word("target_sys", func(s *order.Booking) *string { return s.TargetSys }),
		word("target_status", func(s *order.Booking) *string { return s.TargetStatus }),
		word("target_mid", func(s *order.Booking) *string { return s.TargetMID }),
		word("buyer_id", func(s *order.Booking) *string { return s.BuyerID }),
		word("sub_buyer_id", func(s *order.Booking) *string { return s.SubBuyerID }),
		word("bank_info", func(s *order.Booking) *string { return s.BankInfo }),
		word("card_attr", func(s *order.Booking) *string { return s.CardAttr }),
		word("bill_funds", func(s *order.Booking) *string { return s.BillFunds }),
		word("bill_funds_desc", func(s *order.Booking) *string { return s.BillFundsDesc }),
		word("activity_ids", func(s *order.Booking) *string { return s.ActivityIDs }),
	}
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

// eventColumns are the columns of order_events, and the claim that they are of.
func eventColumns() []column {
	return []column{
		col("order_id", bigint(), func(o *order.Outcome) int64 { return o.Order.ID }),
		col("mid", text(), func(o *order.Outcome) string { return o.Order.MID }),
		col("mer_order_id", filled(text()), func(o *order.Outcome) string { return merOrderID(o) }),
		col("event", text(), func(o *order.Outcome) string { return o.Event }),
		col("payload", raw(), func(o *order.Outcome) []byte { return eventPayload(o) }).as("jsonb"),
		col("claim_no", bigint(), func(o *order.Outcome) int64 { return o.Order.ClaimNo }),
	}
}

// payload is what the application is told, in the columns' names.
func eventPayload(o *order.Outcome) []byte {
	s := o.Booking
	payload := struct {
		OrderID       int64        `json:"order_id"`
		MID           string       `json:"mid"`
		TID           string       `json:"tid"`
		MerOrderID    string       `json:"mer_order_id,omitempty"`
		TargetOrderID string       `json:"target_order_id,omitempty"`
		From          order.Status `json:"from"`
		To            order.Status `json:"to"`
		OrderAmount   int64        `json:"order_amount"`
		TotalAmount   *int64       `json:"total_amount,omitempty"`
		RefundAmount  *int64       `json:"refund_amount,omitempty"`
		PayTime       *time.Time   `json:"pay_time,omitempty"`
		SettleDate    string       `json:"settle_date,omitempty"`
		ReviewReason  string       `json:"review_reason,omitempty"`
		ReviewNote    string       `json:"review_note,omitempty"`
		ClaimNo       int64        `json:"claim_no"`
	}{
		OrderID: o.Order.ID, MID: o.Order.MID, TID: o.Order.TID,
		MerOrderID: merOrderID(o), TargetOrderID: first(o.Order.TargetOrderID, s.TargetOrderID),
		From: o.Order.Status, To: o.Status, OrderAmount: o.Order.OrderAmount,
		TotalAmount: s.TotalAmount, RefundAmount: s.RefundAmount, PayTime: s.PayTime,
		SettleDate: settleDate(o), ReviewReason: o.ReviewReason, ReviewNote: safe(o.ReviewNote), ClaimNo: o.Order.ClaimNo,
	}
	text, err := json.Marshal(payload)
	if err != nil { // only a time beyond the year 9999 can do that, and the decoder has none
		return []byte("{}")
	}
	return text
}

func merOrderID(o *order.Outcome) string { return first(o.Order.MerOrderID, o.Booking.MerOrderID) }

// settleDate is the day as text, for a time would be turned by the session's zone; "" is none.
func settleDate(o *order.Outcome) string {
	if o.Booking.SettleDate == nil {
		return ""
	}
	return o.Booking.SettleDate.Format(time.DateOnly)
}

// spent is 1 where the answer spent a step of the plan.
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

func first(held string, answered *string) string {
	if held == "" && answered != nil {
		return *answered
	}
	return held
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
