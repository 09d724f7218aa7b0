package store

import (
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store/arrays"
)

// bookedColumns are the columns of orders that only a settlement fills: the fields of
// [order.Booking] without the order's two numbers. A test compares them with the struct, with the
// table, and with the booking of a complete answer.
func bookedColumns() []column {
	amount := func(name string, of func(*order.Booking) *int64) column {
		return newColumn(name, arrays.Nullable(arrays.Bigint()), func(o *order.Outcome) *int64 { return of(&o.Booking) })
	}
	word := func(name string, of func(*order.Booking) *string) column {
		return newColumn(name, arrays.Nullable(arrays.Text()), func(o *order.Outcome) *string { return of(&o.Booking) })
	}
	return []column{
		amount("total_amount", func(b *order.Booking) *int64 { return b.TotalAmount }),
		amount("buyer_pay_amount", func(b *order.Booking) *int64 { return b.BuyerPayAmount }),
		amount("receipt_amount", func(b *order.Booking) *int64 { return b.ReceiptAmount }),
		amount("invoice_amount", func(b *order.Booking) *int64 { return b.InvoiceAmount }),
		amount("coupon_amount", func(b *order.Booking) *int64 { return b.CouponAmount }),
		amount("yxlm_amount", func(b *order.Booking) *int64 { return b.YxlmAmount }),
		amount("coupon_merchant_contribute", func(b *order.Booking) *int64 { return b.CouponMerchantContribute }),
		amount("coupon_other_contribute", func(b *order.Booking) *int64 { return b.CouponOtherContribute }),
		amount("buyer_cash_pay_amt", func(b *order.Booking) *int64 { return b.BuyerCashPayAmt }),
		amount("refund_amount", func(b *order.Booking) *int64 { return b.RefundAmount }),
		newColumn("pay_time", arrays.Nullable(arrays.Timestamptz()), func(o *order.Outcome) *time.Time { return o.Booking.PayTime }),
		newColumn("settle_date", arrays.EmptyIsNull(arrays.Text()), settleDate).As("date"),
		word("seq_id", func(b *order.Booking) *string { return b.SeqID }),
		word("ref_id", func(b *order.Booking) *string { return b.RefID }),
		word("settle_ref_id", func(b *order.Booking) *string { return b.SettleRefID }),
		word("target_sys", func(b *order.Booking) *string { return b.TargetSys }),
		word("target_status", func(b *order.Booking) *string { return b.TargetStatus }),
		word("target_mid", func(b *order.Booking) *string { return b.TargetMID }),
		word("buyer_id", func(b *order.Booking) *string { return b.BuyerID }),
		word("sub_buyer_id", func(b *order.Booking) *string { return b.SubBuyerID }),
		word("bank_info", func(b *order.Booking) *string { return b.BankInfo }),
		word("card_attr", func(b *order.Booking) *string { return b.CardAttr }),
		word("bill_funds", func(b *order.Booking) *string { return b.BillFunds }),
		word("bill_funds_desc", func(b *order.Booking) *string { return b.BillFundsDesc }),
		word("activity_ids", func(b *order.Booking) *string { return b.ActivityIDs }),
	}
}

// settleDate is the day as text, because the session's zone would shift a time; "" is none.
func settleDate(o *order.Outcome) string {
	if o.Booking.SettleDate == nil {
		return ""
	}
	return o.Booking.SettleDate.Format(time.DateOnly)
}
