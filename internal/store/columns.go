package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// column is one array of an unnest: a whole group of outcomes is one statement
// with as many parameters as there are columns, however many outcomes it has.
type column struct {
	name  string
	typ   string
	array func(group []Outcome) any
}

// col makes a column. The element type T is one that the driver knows without
// asking the server, for behind a pooler it may not ask.
func col[T any](name, typ string, of func(o *Outcome) T) column {
	return column{name, typ, func(group []Outcome) any {
		values := make([]T, len(group))
		for i := range group {
			values[i] = of(&group[i])
		}
		return values
	}}
}

// outcomeColumns is what a write of orders needs of an outcome.
func outcomeColumns() []column {
	return append([]column{
		col("id", "bigint", func(o *Outcome) int64 { return o.Order.ID }),
		col("claim_no", "bigint", func(o *Outcome) int64 { return o.Order.ClaimNo }),
		col("status_read", "text", func(o *Outcome) string { return string(o.Order.Status) }),
		col("review_read", "text", func(o *Outcome) *string { return nullText(o.Order.ReviewReason) }),
		col("status", "text", func(o *Outcome) string { return string(o.Status) }),
		col("next_query_at", "timestamptz", func(o *Outcome) *time.Time { return o.NextQueryAt }),
		col("spent", "int", func(o *Outcome) int32 { return o.spent() }),
		col("queried_at", "timestamptz", func(o *Outcome) time.Time { return o.Question.At }),
		col("last_error", "text", func(o *Outcome) *string { return nullText(safe(o.LastError)) }),
		col("resolves", "boolean", func(o *Outcome) bool { return o.resolves() }),
		col("settles", "boolean", func(o *Outcome) bool { return o.Decision == Settled }),
		col("review_reason", "text", func(o *Outcome) *string { return nullText(o.ReviewReason) }),
		col("review_note", "text", func(o *Outcome) *string { return nullText(safe(o.ReviewNote)) }),
		col("mer_order_id", "text", func(o *Outcome) *string { return o.Settlement.MerOrderID }),
		col("target_order_id", "text", func(o *Outcome) *string { return o.Settlement.TargetOrderID }),
	}, settlementColumns()...)
}

// settlementColumns are the columns of orders that only a settlement fills.
func settlementColumns() []column {
	amount := func(name string, of func(*Settlement) *int64) column {
		return col(name, "bigint", func(o *Outcome) *int64 { return of(&o.Settlement) })
	}
	text := func(name string, of func(*Settlement) *string) column {
		return col(name, "text", func(o *Outcome) *string { return of(&o.Settlement) })
	}
	return []column{
		amount("total_amount", func(s *Settlement) *int64 { return s.TotalAmount }),
		amount("buyer_pay_amount", func(s *Settlement) *int64 { return s.BuyerPayAmount }),
		amount("receipt_amount", func(s *Settlement) *int64 { return s.ReceiptAmount }),
		amount("invoice_amount", func(s *Settlement) *int64 { return s.InvoiceAmount }),
		amount("coupon_amount", func(s *Settlement) *int64 { return s.CouponAmount }),
		amount("yxlm_amount", func(s *Settlement) *int64 { return s.YxlmAmount }),
		amount("coupon_merchant_contribute", func(s *Settlement) *int64 { return s.CouponMerchantContribute }),
		amount("coupon_other_contribute", func(s *Settlement) *int64 { return s.CouponOtherContribute }),
		amount("buyer_cash_pay_amt", func(s *Settlement) *int64 { return s.BuyerCashPayAmt }),
		amount("refund_amount", func(s *Settlement) *int64 { return s.RefundAmount }),
		col("pay_time", "timestamptz", func(o *Outcome) *time.Time { return o.Settlement.PayTime }),
		col("settle_date", "date", func(o *Outcome) *string { return o.settleDate() }),
		text("seq_id", func(s *Settlement) *string { return s.SeqID }),
		text("ref_id", func(s *Settlement) *string { return s.RefID }),
		text("settle_ref_id", func(s *Settlement) *string { return s.SettleRefID }),
		text("target_sys", func(s *Settlement) *string { return s.TargetSys }),
		text("target_status", func(s *Settlement) *string { return s.TargetStatus }),
		text("target_mid", func(s *Settlement) *string { return s.TargetMID }),
		text("buyer_id", func(s *Settlement) *string { return s.BuyerID }),
		text("sub_buyer_id", func(s *Settlement) *string { return s.SubBuyerID }),
		text("bank_info", func(s *Settlement) *string { return s.BankInfo }),
		text("card_attr", func(s *Settlement) *string { return s.CardAttr }),
		text("bill_funds", func(s *Settlement) *string { return s.BillFunds }),
		text("bill_funds_desc", func(s *Settlement) *string { return s.BillFundsDesc }),
		text("activity_ids", func(s *Settlement) *string { return s.ActivityIDs }),
	}
}

// questionColumns are the columns of order_queries. Its texts are made safe, for
// evidence must never fail to be written.
func questionColumns() []column {
	text := func(name string, of func(*Outcome) string) column {
		return col(name, "text", func(o *Outcome) *string { return nullText(safe(of(o))) })
	}
	return []column{
		col("order_id", "bigint", func(o *Outcome) int64 { return o.Order.ID }),
		col("claim_no", "bigint", func(o *Outcome) int64 { return o.Order.ClaimNo }),
		col("queried_at", "timestamptz", func(o *Outcome) time.Time { return o.Question.At }),
		col("duration_ms", "bigint", func(o *Outcome) int64 { return o.Question.Duration.Milliseconds() }),
		col("round_trips", "int", func(o *Outcome) int32 { return int32(o.Question.RoundTrips) }),
		text("worker", func(o *Outcome) string { return o.Question.Worker }),
		col("http_status", "int", func(o *Outcome) *int32 { return nullInt(o.Question.HTTPStatus) }),
		text("err_code", func(o *Outcome) string { return short(o.Question.ErrCode) }),
		text("err_msg", func(o *Outcome) string { return short(o.Question.ErrMsg) }),
		text("trade_status", func(o *Outcome) string { return short(o.Question.TradeStatus) }),
		text("decision", func(o *Outcome) string { return string(o.Decision) }),
		text("reason", func(o *Outcome) string { return o.Reason }),
		col("next_query_at", "timestamptz", func(o *Outcome) *time.Time { return o.NextQueryAt }),
		col("response", "jsonb", func(o *Outcome) *string { return nullText(string(o.Question.Response)) }),
	}
}

// eventColumns are the columns of order_events, and the claim that they are of.
func eventColumns() []column {
	return []column{
		col("order_id", "bigint", func(o *Outcome) int64 { return o.Order.ID }),
		col("mid", "text", func(o *Outcome) string { return o.Order.MID }),
		col("mer_order_id", "text", func(o *Outcome) *string { return nullText(o.merOrderID()) }),
		col("event", "text", func(o *Outcome) string { return o.Event }),
		col("payload", "jsonb", func(o *Outcome) string { return string(o.payload()) }),
		col("claim_no", "bigint", func(o *Outcome) int64 { return o.Order.ClaimNo }),
	}
}

// payload is what the application is told, in the columns' names.
func (o *Outcome) payload() []byte {
	s := o.Settlement
	payload := struct {
		OrderID       int64      `json:"order_id"`
		MID           string     `json:"mid"`
		TID           string     `json:"tid"`
		MerOrderID    string     `json:"mer_order_id,omitempty"`
		TargetOrderID string     `json:"target_order_id,omitempty"`
		From          Status     `json:"from"`
		To            Status     `json:"to"`
		OrderAmount   int64      `json:"order_amount"`
		TotalAmount   *int64     `json:"total_amount,omitempty"`
		RefundAmount  *int64     `json:"refund_amount,omitempty"`
		PayTime       *time.Time `json:"pay_time,omitempty"`
		SettleDate    string     `json:"settle_date,omitempty"`
		ReviewReason  string     `json:"review_reason,omitempty"`
		ReviewNote    string     `json:"review_note,omitempty"`
		ClaimNo       int64      `json:"claim_no"`
	}{
		OrderID: o.Order.ID, MID: o.Order.MID, TID: o.Order.TID,
		MerOrderID: o.merOrderID(), TargetOrderID: first(o.Order.TargetOrderID, s.TargetOrderID),
		From: o.Order.Status, To: o.Status, OrderAmount: o.Order.OrderAmount,
		TotalAmount: s.TotalAmount, RefundAmount: s.RefundAmount, PayTime: s.PayTime,
		ReviewReason: o.ReviewReason, ReviewNote: safe(o.ReviewNote), ClaimNo: o.Order.ClaimNo,
	}
	if day := o.settleDate(); day != nil {
		payload.SettleDate = *day
	}
	text, err := json.Marshal(payload)
	if err != nil { // only a time beyond the year 9999 can do that, and the decoder has none
		return []byte("{}")
	}
	return text
}

func (o *Outcome) merOrderID() string { return first(o.Order.MerOrderID, o.Settlement.MerOrderID) }

// settleDate is the day as text: a time would be turned by the session's zone.
func (o *Outcome) settleDate() *string {
	if o.Settlement.SettleDate == nil {
		return nil
	}
	return new(o.Settlement.SettleDate.Format(time.DateOnly))
}

// spent is 1 where the answer spent a step of the plan.
func (o *Outcome) spent() int32 {
	if o.Decision == Deferred {
		return 1
	}
	return 0
}

// arrays turns a group into one array a column, each a parameter.
func arrays(columns []column, group []Outcome) []any {
	params := make([]any, len(columns))
	for i, c := range columns {
		params[i] = c.array(group)
	}
	return params
}

// unnest are the rows of columns whose parameters follow so many others, under a name. The arrays are read side by side,
// as they are in a list of results; in FROM, each would be stored on its own first, which cost a tenth of the statement.
// What is sent as text is cast row by row, for what the server needs to read a JSON text it keeps until the end of the
// row, or, if the array were cast, of the whole array: that was another tenth.
func unnest(as string, columns []column, before int) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		sent := c.typ
		if c.typ == "date" || c.typ == "jsonb" {
			sent = "text"
		}
		list[i] = fmt.Sprintf("unnest($%d::%s[])::%s AS %s", before+i+1, sent, c.typ, c.name)
	}
	return fmt.Sprintf("(SELECT %s) AS %s", strings.Join(list, ", "), as)
}

func names(columns []column) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c.name
	}
	return strings.Join(list, ", ")
}

func insertSQL(table string, columns []column) string {
	return fmt.Sprintf("INSERT INTO %s (%s) SELECT * FROM %s", table, names(columns), unnest("r", columns, 0))
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

func nullInt(n int) *int32 {
	if n == 0 {
		return nil
	}
	return new(int32(n))
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
