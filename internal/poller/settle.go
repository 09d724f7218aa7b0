package poller

import (
	"fmt"
	"strings"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/store"
)

// paid settles an order that the gateway calls paid, provided that the amount is
// the one that the payer was asked for.
func paid(o store.Order, t chinaums.Trade) store.Outcome {
	switch {
	case t.TotalAmount.Err != nil || !t.TotalAmount.Present:
		return review(o, reviewNoAmount, fmt.Sprintf("The gateway says %s but its totalAmount %s. Nothing was booked. "+
			"Look the amount up on the merchant platform and settle the order by hand, or ask again with run-once --review.", t.Status.Value, unread(t.TotalAmount)))
	case t.TotalAmount.Value != o.OrderAmount:
		return review(o, reviewAmount, amountNote(o, t))
	}
	b := booking{}
	b.numbers(o, t)
	b.money(t)
	b.references(t)
	event := store.EventPaid
	if t.Status.Value == chinaums.StatusTradeRefund {
		event = store.EventRefunded
	}
	return b.outcome(o, t, event)
}

// closed settles an order that the gateway has closed: never paid, or paid and
// wholly refunded since. The two share one status, and payTime stands on unpaid
// orders too, so that money is booked only where a refund proves that there was
// some, and only the right amount.
func closed(o store.Order, t chinaums.Trade) store.Outcome {
	b := booking{}
	b.numbers(o, t)
	refunded := t.RefundAmount.Err == nil && t.RefundAmount.Value > 0
	if refunded && t.TotalAmount.Err == nil && t.TotalAmount.Present && t.TotalAmount.Value == o.OrderAmount {
		b.money(t)
	}
	b.references(t)
	return b.outcome(o, t, store.EventClosed)
}

// booking collects what is written of an answer, and what of it could not be read.
type booking struct {
	settlement store.Settlement
	unreadable []string
}

func (b *booking) outcome(o store.Order, t chinaums.Trade, event string) store.Outcome {
	out := store.Outcome{
		Order: o, Decision: store.Settled, Reason: strings.ToLower(string(t.Status.Value)),
		Status: store.Status(t.Status.Value), Settlement: b.settlement, Event: event,
	}
	if len(b.unreadable) > 0 {
		out.LastError = "settled, but not readable and left empty: " + strings.Join(b.unreadable, "; ")
	}
	return out
}

// numbers fills in the order number that the row lacks.
func (b *booking) numbers(o store.Order, t chinaums.Trade) {
	if o.MerOrderID == "" {
		b.settlement.MerOrderID = book(b, "merOrderId", t.MerOrderID)
	}
	if o.TargetOrderID == "" {
		b.settlement.TargetOrderID = book(b, "targetOrderId", t.TargetOrderID)
	}
}

func (b *booking) money(t chinaums.Trade) {
	s := &b.settlement
	s.TotalAmount = book(b, "totalAmount", t.TotalAmount)
	s.BuyerPayAmount = book(b, "buyerPayAmount", t.BuyerPayAmount)
	s.ReceiptAmount = book(b, "receiptAmount", t.ReceiptAmount)
	s.InvoiceAmount = book(b, "invoiceAmount", t.InvoiceAmount)
	s.CouponAmount = book(b, "couponAmount", t.CouponAmount)
	s.YxlmAmount = book(b, "yxlmAmount", t.YxlmAmount)
	s.CouponMerchantContribute = book(b, "couponMerchantContribute", t.CouponMerchantContribute)
	s.CouponOtherContribute = book(b, "couponOtherContribute", t.CouponOtherContribute)
	s.BuyerCashPayAmt = book(b, "buyerCashPayAmt", t.BuyerCashPayAmt)
	s.RefundAmount = book(b, "refundAmount", t.RefundAmount)
	s.PayTime = book(b, "payTime", t.PayTime)
	s.SettleDate = book(b, "settleDate", t.SettleDate)
}

func (b *booking) references(t chinaums.Trade) {
	s := &b.settlement
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

// book is the value to write, nil where it is absent or cannot be read.
func book[T int64 | string | time.Time](b *booking, name string, f chinaums.Field[T]) *T {
	switch {
	case f.Err != nil:
		b.unreadable = append(b.unreadable, name+": "+f.Err.Error())
		return nil
	case !f.Present:
		return nil
	}
	return &f.Value
}

func unread(f chinaums.Field[int64]) string {
	if f.Err != nil {
		return "cannot be read (" + f.Err.Error() + ")"
	}
	return "is missing"
}

// amountNote explains a total that is not what was asked for, by its parts.
func amountNote(o store.Order, t chinaums.Trade) string {
	var parts []string
	for _, part := range []struct {
		name  string
		field chinaums.Field[int64]
	}{
		{"buyer paid", t.BuyerPayAmount},
		{"coupon", t.CouponAmount},
		{"of it by the merchant", t.CouponMerchantContribute},
		{"of it by others", t.CouponOtherContribute},
		{"alliance discount", t.YxlmAmount},
		{"received", t.ReceiptAmount},
		{"refunded", t.RefundAmount},
	} {
		if part.field.Present && part.field.Err == nil {
			parts = append(parts, fmt.Sprintf("%s %d", part.name, part.field.Value))
		}
	}
	note := fmt.Sprintf("The payer was asked for %d fen, the gateway says %s with a total of %d fen (difference %+d).",
		o.OrderAmount, t.Status.Value, t.TotalAmount.Value, t.TotalAmount.Value-o.OrderAmount)
	if len(parts) > 0 {
		note += " Its parts in fen: " + strings.Join(parts, ", ") + "."
	}
	return note + " Nothing was booked. Find out why the amounts differ, then settle the order by hand."
}
