package main

import (
	"fmt"
	"strings"
	"time"

	"reconciler/internal/chinaums"
)

// answered is an order with the gateway's answer.
type answered struct {
	order    order
	at       time.Time
	took     time.Duration
	worker   string
	answer   chinaums.Answer
	response string // masked JSON
}

// column is one that is written, of one answer or of a group as an array.
type column struct {
	name, typ string
	one       func(a *answered) any
	many      func(group []answered) any
}

func newColumn[T any](name, typ string, of func(a *answered) T) column {
	return column{
		name: name, typ: typ,
		one: func(a *answered) any { return of(a) },
		many: func(group []answered) any {
			values := make([]T, len(group))
			for i := range group {
				values[i] = of(&group[i])
			}
			return values
		},
	}
}

// settlementColumns are the columns of orders that a paid order gets. The product writes the same.
func settlementColumns() []column {
	amount := func(name string, of func(*chinaums.Trade) chinaums.Field[int64]) column {
		return newColumn(name, "bigint", func(a *answered) *int64 { return valueOf(of(&a.answer.Trade)) })
	}
	text := func(name string, of func(*chinaums.Trade) chinaums.Field[string]) column {
		return newColumn(name, "text", func(a *answered) *string { return valueOf(of(&a.answer.Trade)) })
	}
	moment := func(name, typ string, of func(*chinaums.Trade) chinaums.Field[time.Time]) column {
		return newColumn(name, typ, func(a *answered) *time.Time { return valueOf(of(&a.answer.Trade)) })
	}
	return []column{
		newColumn("status", "text", func(a *answered) string { return string(a.answer.Trade.Status.Value) }),
		newColumn("last_queried_at", "timestamptz", func(a *answered) time.Time { return a.at }),
		text("target_order_id", func(t *chinaums.Trade) chinaums.Field[string] { return t.TargetOrderID }),
		amount("total_amount", func(t *chinaums.Trade) chinaums.Field[int64] { return t.TotalAmount }),
		amount("buyer_pay_amount", func(t *chinaums.Trade) chinaums.Field[int64] { return t.BuyerPayAmount }),
		amount("receipt_amount", func(t *chinaums.Trade) chinaums.Field[int64] { return t.ReceiptAmount }),
		amount("invoice_amount", func(t *chinaums.Trade) chinaums.Field[int64] { return t.InvoiceAmount }),
		amount("coupon_amount", func(t *chinaums.Trade) chinaums.Field[int64] { return t.CouponAmount }),
		amount("yxlm_amount", func(t *chinaums.Trade) chinaums.Field[int64] { return t.YxlmAmount }),
		amount("coupon_merchant_contribute", func(t *chinaums.Trade) chinaums.Field[int64] { return t.CouponMerchantContribute }),
		amount("coupon_other_contribute", func(t *chinaums.Trade) chinaums.Field[int64] { return t.CouponOtherContribute }),
		amount("buyer_cash_pay_amt", func(t *chinaums.Trade) chinaums.Field[int64] { return t.BuyerCashPayAmt }),
		amount("refund_amount", func(t *chinaums.Trade) chinaums.Field[int64] { return t.RefundAmount }),
		moment("pay_time", "timestamptz", func(t *chinaums.Trade) chinaums.Field[time.Time] { return t.PayTime }),
		moment("settle_date", "date", func(t *chinaums.Trade) chinaums.Field[time.Time] { return t.SettleDate }),
		text("seq_id", func(t *chinaums.Trade) chinaums.Field[string] { return t.SeqID }),
		text("ref_id", func(t *chinaums.Trade) chinaums.Field[string] { return t.RefID }),
		text("settle_ref_id", func(t *chinaums.Trade) chinaums.Field[string] { return t.SettleRefID }),
		text("target_sys", func(t *chinaums.Trade) chinaums.Field[string] { return t.TargetSys }),
		text("target_status", func(t *chinaums.Trade) chinaums.Field[string] { return t.TargetStatus }),
		text("target_mid", func(t *chinaums.Trade) chinaums.Field[string] { return t.TargetMID }),
		text("buyer_id", func(t *chinaums.Trade) chinaums.Field[string] { return t.BuyerID }),
		text("sub_buyer_id", func(t *chinaums.Trade) chinaums.Field[string] { return t.SubBuyerID }),
		text("bank_info", func(t *chinaums.Trade) chinaums.Field[string] { return t.BankInfo }),
		text("card_attr", func(t *chinaums.Trade) chinaums.Field[string] { return t.CardAttr }),
		text("bill_funds", func(t *chinaums.Trade) chinaums.Field[string] { return t.BillFunds }),
		text("bill_funds_desc", func(t *chinaums.Trade) chinaums.Field[string] { return t.BillFundsDesc }),
		text("activity_ids", func(t *chinaums.Trade) chinaums.Field[string] { return t.ActivityIDs }),
	}
}

// questionColumns are the columns of order_queries.
func questionColumns() []column {
	return []column{
		newColumn("order_id", "bigint", func(a *answered) int64 { return a.order.ID }),
		newColumn("claim_no", "bigint", func(*answered) int64 { return 1 }),
		newColumn("queried_at", "timestamptz", func(a *answered) time.Time { return a.at }),
		newColumn("duration_ms", "bigint", func(a *answered) int64 { return a.took.Milliseconds() }),
		newColumn("round_trips", "int", func(*answered) int32 { return 1 }),
		newColumn("worker", "text", func(a *answered) string { return a.worker }),
		newColumn("http_status", "int", func(a *answered) int32 { return int32(a.answer.HTTPStatus) }),
		newColumn("err_code", "text", func(a *answered) string { return a.answer.Code }),
		newColumn("err_msg", "text", func(a *answered) *string { return textOrNull(a.answer.Message) }),
		newColumn("trade_status", "text", func(a *answered) string { return string(a.answer.Trade.Status.Value) }),
		newColumn("decision", "text", func(*answered) string { return "settled" }),
		newColumn("reason", "text", func(*answered) string { return "trade_success" }),
		newColumn("response", "jsonb", func(a *answered) string { return a.response }),
	}
}

// eventColumns are the columns of order_events.
func eventColumns() []column {
	return []column{
		newColumn("order_id", "bigint", func(a *answered) int64 { return a.order.ID }),
		newColumn("mid", "text", func(a *answered) string { return a.order.MID }),
		newColumn("mer_order_id", "text", func(a *answered) string { return a.order.MerOrderID }),
		newColumn("event", "text", func(*answered) string { return "order.paid" }),
		newColumn("payload", "jsonb", func(a *answered) string { return a.eventPayload() }),
	}
}

// eventPayload is as long as the product's, and says the same.
func (a *answered) eventPayload() string {
	t := a.answer.Trade
	return fmt.Sprintf(`{"order_id":%d,"mid":%q,"tid":%q,"mer_order_id":%q,"target_order_id":%q,"from":"UNKNOWN","to":%q,`+
		`"order_amount":%d,"total_amount":%d,"refund_amount":%d,"pay_time":%q,"settle_date":%q,"claim_no":1}`,
		a.order.ID, a.order.MID, a.order.TID, a.order.MerOrderID, t.TargetOrderID.Value, t.Status.Value,
		a.order.OrderAmount, t.TotalAmount.Value, t.RefundAmount.Value,
		t.PayTime.Value.Format(time.RFC3339), t.SettleDate.Value.Format(time.DateOnly))
}

func countOnes(columns []column, a *answered) []any {
	values := make([]any, len(columns))
	for i, c := range columns {
		values[i] = c.one(a)
	}
	return values
}

func columnArrays(columns []column, group []answered) []any {
	values := make([]any, len(columns))
	for i, c := range columns {
		values[i] = c.many(group)
	}
	return values
}

// listOf joins the columns, each written by a format of its number (1), name (2), type (3) and the
// type that is sent (4).
func listOf(columns []column, format string) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		sent := c.typ
		if sent == "jsonb" {
			sent = "text" // cast row by row: that of a whole array keeps all that the reading of JSON takes
		}
		parts[i] = fmt.Sprintf(format, i+1, c.name, c.typ, sent)
	}
	return strings.Join(parts, ", ")
}

func valueOf[T any](f chinaums.Field[T]) *T {
	if !f.Present || f.Err != nil {
		return nil
	}
	return &f.Value
}

func textOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
