package policy

import (
	"strings"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/order"
)

// paid settles an order that the gateway calls paid, if the amount is the one that the payer was
// asked for.
func (r Rules) paid(o order.Order, t chinaums.Trade, now time.Time) order.Outcome {
	switch {
	case t.TotalAmount.Err != nil || !t.TotalAmount.Present:
		return review(o, order.ReviewAmountMissing, r.amountMissingNote(t))
	case t.TotalAmount.Value != o.OrderAmount:
		return review(o, order.ReviewAmountMismatch, r.amountMismatchNote(o, t))
	}
	b := booker{remarks: implausible(o, t, now)}
	b.numbers(o, t)
	b.money(t)
	b.references(t)
	event := order.EventPaid
	if t.Status.Value == chinaums.StatusTradeRefund {
		event = order.EventRefunded
	}
	return b.outcome(o, t, event)
}

// closed settles an order that the gateway has closed: never paid, or paid and refunded in full
// since. The two share one status, and payTime stands on unpaid orders too. So money is booked only
// where a refund proves that there was some, and only the right amount.
func closed(o order.Order, t chinaums.Trade, now time.Time) order.Outcome {
	b := booker{}
	b.numbers(o, t)
	refunded := t.RefundAmount.Err == nil && t.RefundAmount.Value > 0
	total := t.TotalAmount.Err == nil && t.TotalAmount.Present
	switch {
	case !refunded:
	case total && t.TotalAmount.Value == o.OrderAmount:
		b.remarks = implausible(o, t, now)
		b.money(t)
	default:
		b.remarks = append(b.remarks, "refundAmount stands beside another total than order_amount: no amount was booked")
	}
	b.references(t)
	return b.outcome(o, t, order.EventClosed)
}

// booker collects the values to write, those that cannot be read, and remarks about the rest.
type booker struct {
	booking    order.Booking
	unreadable []string
	remarks    []string
}

func (b *booker) outcome(o order.Order, t chinaums.Trade, event string) order.Outcome {
	out := order.Outcome{
		Order: o, Decision: order.Settled, Reason: strings.ToLower(string(t.Status.Value)),
		Status: order.Status(t.Status.Value), Booking: b.booking, Event: event,
	}
	if len(b.unreadable) > 0 {
		b.remarks = append(b.remarks, "not readable and left empty: "+strings.Join(b.unreadable, "; "))
	}
	if len(b.remarks) > 0 {
		out.LastError = "settled, but " + strings.Join(b.remarks, "; ")
	}
	return out
}

// numbers books the order number that the row lacks.
func (b *booker) numbers(o order.Order, t chinaums.Trade) {
	if o.MerOrderID == "" {
		b.booking.MerOrderID = book(b, "merOrderId", t.MerOrderID)
	}
	if o.TargetOrderID == "" {
		b.booking.TargetOrderID = book(b, "targetOrderId", t.TargetOrderID)
	}
}

func (b *booker) money(t chinaums.Trade) {
	s := &b.booking
	s.TotalAmount = book(b, "totalAmount", t.TotalAmount)
	s.BuyerPayAmount = book(b, "buyerPayAmount", t.BuyerPayAmount)
	s.ReceiptAmount = book(b, "receiptAmount", t.ReceiptAmount)
	s.InvoiceAmount = book(b, "invoiceAmount", t.InvoiceAmount)
	s.CouponAmount = book(b, "couponAmount", t.CouponAmount)
	s.YxlmAmount = book(b, "yxlmAmount", t.YxlmAmount)
	s.CouponMerchantContribute = book(b, "couponMerchantContribute", t.CouponMerchantContribute)
	s.CouponOtherContribute = book(b, "couponOtherContribute", t.CouponOtherContribute)
	s.BuyerCashPayAmt = book(b, "buyerCashPayAmt", t.BuyerCashPayAmt)
	if s.RefundAmount = book(b, "refundAmount", t.RefundAmount); s.RefundAmount != nil && s.TotalAmount != nil && *s.RefundAmount > *s.TotalAmount {
		s.RefundAmount = nil
		b.remarks = append(b.remarks, "refundAmount is greater than totalAmount and was left out")
	}
	s.PayTime = book(b, "payTime", t.PayTime)
	s.SettleDate = book(b, "settleDate", t.SettleDate)
}

func (b *booker) references(t chinaums.Trade) {
	s := &b.booking
	s.SeqID = book(b, "seqId", t.SeqID)
	s.RefID = book(b, "refId", t.RefID)
	s.SettleRefID = book(b, "settleRefId", t.SettleRefID)
	s.TargetSys = book(b, "targetSys", t.TargetSys)
	s.TargetStatus = book(b, "targetStatus", t.TargetStatus)
	s.TargetMID = book(b, "targetMid", t.TargetMID)
	s.BuyerID = book(b, "buyerId", t.BuyerID)
	s.SubBuyerID = book(b, "subBuyerId", t.SubBuyerID)
	s.BankInfo = book(b, "bankInfo", t.BankInfo)
	s.CardAttr = book(b, "cardAttr", t.CardAttr)
	s.BillFunds = book(b, "billFunds", t.BillFunds)
	s.BillFundsDesc = book(b, "billFundsDesc", t.BillFundsDesc)
	s.ActivityIDs = book(b, "activityIds", t.ActivityIDs)
}

// book returns the value to write. It is nil where the value is absent or cannot be read.
func book[T int64 | string | time.Time](b *booker, name string, f chinaums.Field[T]) *T {
	switch {
	case f.Err != nil:
		b.unreadable = append(b.unreadable, name+": "+f.Err.Error())
		return nil
	case !f.Present:
		return nil
	}
	return &f.Value
}
