package policy

import (
	"strings"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/order"
)

// decidePaid settles an order that the gateway calls paid, if the amount is the one that the payer
// was asked for.
func (r Rules) decidePaid(o order.Order, t chinaums.Trade, now time.Time) order.Outcome {
	switch {
	case t.TotalAmount.Err != nil || !t.TotalAmount.Present:
		return giveToReview(o, order.ReviewAmountMissing, r.amountMissingNote(t))
	case t.TotalAmount.Value != o.OrderAmount:
		return giveToReview(o, order.ReviewAmountMismatch, r.amountMismatchNote(o, t))
	}
	b := booker{remarks: implausibleValues(o, t, now)}
	b.bookNumbers(o, t)
	b.bookMoney(t)
	b.bookReferences(t)
	event := order.EventPaid
	if t.Status.Value == chinaums.StatusTradeRefund {
		event = order.EventRefunded
	}
	return b.settledOutcome(o, t, event)
}

// decideClosed settles an order that the gateway has closed: never paid, or paid and refunded in
// full since. The two share one status, and payTime stands on unpaid orders too. So money is booked
// only where a refund proves that there was some, and only the right amount.
func decideClosed(o order.Order, t chinaums.Trade, now time.Time) order.Outcome {
	b := booker{}
	b.bookNumbers(o, t)
	refunded := t.RefundAmount.Err == nil && t.RefundAmount.Value > 0
	total := t.TotalAmount.Err == nil && t.TotalAmount.Present
	switch {
	case !refunded:
	case total && t.TotalAmount.Value == o.OrderAmount:
		b.remarks = implausibleValues(o, t, now)
		b.bookMoney(t)
	default:
		b.remarks = append(b.remarks, "refundAmount stands beside another total than order_amount: no amount was booked")
	}
	b.bookReferences(t)
	return b.settledOutcome(o, t, order.EventClosed)
}

// booker collects the values to write, those that cannot be read, and remarks about the rest.
type booker struct {
	booking    order.Booking
	unreadable []string
	remarks    []string
}

func (b *booker) settledOutcome(o order.Order, t chinaums.Trade, event string) order.Outcome {
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

// bookNumbers books the order number that the row lacks.
func (b *booker) bookNumbers(o order.Order, t chinaums.Trade) {
	if o.MerOrderID == "" {
		b.booking.MerOrderID = bookValue(b, "merOrderId", t.MerOrderID)
	}
	if o.TargetOrderID == "" {
		b.booking.TargetOrderID = bookValue(b, "targetOrderId", t.TargetOrderID)
	}
}

func (b *booker) bookMoney(t chinaums.Trade) {
	s := &b.booking
	s.TotalAmount = bookValue(b, "totalAmount", t.TotalAmount)
	s.BuyerPayAmount = bookValue(b, "buyerPayAmount", t.BuyerPayAmount)
	s.ReceiptAmount = bookValue(b, "receiptAmount", t.ReceiptAmount)
	s.InvoiceAmount = bookValue(b, "invoiceAmount", t.InvoiceAmount)
	s.CouponAmount = bookValue(b, "couponAmount", t.CouponAmount)
	s.YxlmAmount = bookValue(b, "yxlmAmount", t.YxlmAmount)
	s.CouponMerchantContribute = bookValue(b, "couponMerchantContribute", t.CouponMerchantContribute)
	s.CouponOtherContribute = bookValue(b, "couponOtherContribute", t.CouponOtherContribute)
	s.BuyerCashPayAmt = bookValue(b, "buyerCashPayAmt", t.BuyerCashPayAmt)
	if s.RefundAmount = bookValue(b, "refundAmount", t.RefundAmount); s.RefundAmount != nil && s.TotalAmount != nil && *s.RefundAmount > *s.TotalAmount {
		s.RefundAmount = nil
		b.remarks = append(b.remarks, "refundAmount is greater than totalAmount and was left out")
	}
	s.PayTime = bookValue(b, "payTime", t.PayTime)
	s.SettleDate = bookValue(b, "settleDate", t.SettleDate)
}

func (b *booker) bookReferences(t chinaums.Trade) {
	s := &b.booking
	s.SeqID = bookValue(b, "seqId", t.SeqID)
	s.RefID = bookValue(b, "refId", t.RefID)
	s.SettleRefID = bookValue(b, "settleRefId", t.SettleRefID)
	s.TargetSys = bookValue(b, "targetSys", t.TargetSys)
	s.TargetStatus = bookValue(b, "targetStatus", t.TargetStatus)
	s.TargetMID = bookValue(b, "targetMid", t.TargetMID)
	s.BuyerID = bookValue(b, "buyerId", t.BuyerID)
	s.SubBuyerID = bookValue(b, "subBuyerId", t.SubBuyerID)
	s.BankInfo = bookValue(b, "bankInfo", t.BankInfo)
	s.CardAttr = bookValue(b, "cardAttr", t.CardAttr)
	s.BillFunds = bookValue(b, "billFunds", t.BillFunds)
	s.BillFundsDesc = bookValue(b, "billFundsDesc", t.BillFundsDesc)
	s.ActivityIDs = bookValue(b, "activityIds", t.ActivityIDs)
}

// bookValue returns the value to write. It is nil where the value is absent or cannot be read.
func bookValue[T int64 | string | time.Time](b *booker, name string, f chinaums.Field[T]) *T {
	switch {
	case f.Err != nil:
		b.unreadable = append(b.unreadable, name+": "+f.Err.Error())
		return nil
	case !f.Present:
		return nil
	}
	return &f.Value
}
