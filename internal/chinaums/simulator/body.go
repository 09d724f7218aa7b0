package simulator

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"

	"reconciler/internal/chinaums"
)

// live is the shape of real bodies. An unpaid order has a payTime and a settleDate all the same, and a SUCCESS that says
// 交易不存在.
func (f *facts) live(in *incoming, s Step) fields {
	var b fields
	b.text("payTime", f.payTime.Format(chinaums.DateTimeLayout))
	b.text("connectSys", "OPENCHANNEL")
	b.text("delegatedFlag", "N")
	b.text(messageField(s.Code), s.message(f.usualMessage(s.Status)))
	b.text("merName", f.MerchantName)
	b.text("mid", f.MID)
	b.text("settleDate", f.payTime.Format(chinaums.DateLayout))
	b.text("settleRefId", f.seqID())
	b.text("tid", f.TID)
	b.number("totalAmount", f.total)
	b.text("chnlCost", f.digits("chnlCost", 16))
	b.text("targetMid", f.digits("targetMid", 9))
	b.text("responseTimestamp", in.now.Format(chinaums.DateTimeLayout))
	b.text("targetStatus", f.targetStatus())
	b.text("errCode", s.code())
	b.text("seqId", f.seqID())
	b.text("merOrderId", f.MerOrderID)
	b.number("refundAmount", f.refund)
	b.text("status", string(s.Status))
	b.text("targetSys", f.TargetSys)
	in.echo(&b)
	if !f.closeTime.IsZero() {
		b.text("closeTime", f.closeTime.Format(chinaums.DateTimeLayout))
		b.number("couponAmount", f.coupons())
	}
	if f.paid {
		f.livePaid(&b)
	}
	return b
}

// livePaid adds what only a paid order has.
func (f *facts) livePaid(b *fields) {
	b.text("targetOrderId", f.TargetOrderID)
	b.text("refId", f.digits("refId", 12))
	b.text("buyerId", f.BuyerID)
	b.text("subBuyerId", f.subBuyerID())
	b.text("bankInfo", "OTHERS")
	b.text("cardAttr", "BALANCE")
	b.text("billFunds", f.billFunds())
	b.text("billFundsDesc", "微信支付"+strconv.FormatInt(f.buyerPays(), 10)+"分")
	b.number("buyerPayAmount", f.buyerPays())
	b.number("buyerCashPayAmt", f.buyerPays())
	b.number("receiptAmount", f.receipt())
	b.number("invoiceAmount", f.buyerPays())
	b.set("couponAmount", strconv.FormatInt(f.coupons(), 10))
	b.positive("couponMerchantContribute", f.MerchantCoupon)
	b.positive("couponOtherContribute", f.OtherCoupon)
	b.positive("yxlmAmount", f.AllianceCoupon)
	if f.coupons() > 0 {
		b.text("activityIds", f.digits("activityIds", 8))
	}
}

// document is the shape of the vendor's page: its fields, their order and their types, even where they contradict its own table.
func (f *facts) document(in *incoming, s Step) fields {
	paid := func(text string) string {
		if f.paid {
			return text
		}
		return ""
	}
	amount := func(n int64) int64 {
		if f.paid {
			return n
		}
		return 0
	}
	var b fields
	b.text("errCode", s.code())
	b.text(messageField(s.Code), s.message("成功"))
	b.text("msgId", in.query.MsgID)
	b.text("srcReserve", in.query.SrcReserve)
	b.text("responseTimeStamp", in.now.Format(chinaums.DateTimeLayout))
	b.text("mid", f.MID)
	b.text("tid", f.TID)
	b.text("instMid", "")
	b.text("seqId", paid(f.seqID()))
	b.text("settleRefId", paid(f.seqID()))
	b.text("refId", paid(f.digits("refId", 12)))
	b.text("status", string(s.Status))
	b.text("totalAmount", strconv.FormatInt(f.total, 10))
	b.number("merName", 0)
	b.text("merOrderId", f.MerOrderID)
	b.text("targetOrderId", paid(f.TargetOrderID))
	b.text("targetSys", paid(f.TargetSys))
	b.text("targetStatus", paid(f.targetStatus()))
	b.text("buyerId", paid(f.BuyerID))
	b.text("targetMid", paid(f.digits("targetMid", 9)))
	b.text("bankCardNo", "")
	b.text("bankInfo", paid("OTHERS"))
	b.text("billFunds", paid(f.billFunds()))
	b.text("billFundsDesc", "")
	b.number("buyerPayAmount", amount(f.buyerPays()))
	b.raw("billPayment", "{}")
	b.text("buyerUsername", "")
	b.number("couponAmount", amount(f.coupons()))
	b.number("invoiceAmount", amount(f.buyerPays()))
	b.text("payTime", paid(f.payTime.Format(chinaums.DateTimeLayout)))
	b.number("receiptAmount", amount(f.receipt()))
	b.text("settleDate", paid(f.payTime.Format(chinaums.DateLayout)))
	b.text("subBuyerId", paid(f.subBuyerID()))
	b.text("activityIds", "")
	b.number("yxlmAmount", amount(f.AllianceCoupon))
	b.number("couponMerchantContribute", amount(f.MerchantCoupon))
	b.number("couponOtherContribute", amount(f.OtherCoupon))
	b.text("buyerCashPayAmt", paid(strconv.FormatInt(f.buyerPays(), 10)))
	b.text("cardAttr", paid("BALANCE"))
	return b
}

func (f *facts) usualMessage(s chinaums.Status) string {
	if f.paid || s == chinaums.StatusTradeClosed {
		return "查询成功"
	}
	return "交易不存在"
}

// targetStatus is the result of the channel's call, not of the payment: WeChat says SUCCESS of an unpaid order too.
func (f *facts) targetStatus() string {
	switch {
	case !strings.HasPrefix(f.TargetSys, "Alipay"):
		return "SUCCESS"
	case f.paid:
		return "10000"
	}
	return "40004|ACQ.TRADE_NOT_EXIST"
}

func (f *facts) coupons() int64 { return f.MerchantCoupon + f.OtherCoupon }

func (f *facts) buyerPays() int64 { return max(0, f.total-f.coupons()-f.AllianceCoupon) }

// receipt is what the merchant gets: all but its own coupon.
func (f *facts) receipt() int64 { return max(0, f.total-f.MerchantCoupon) }

func (f *facts) billFunds() string {
	funds := "WXPAY:" + strconv.FormatInt(f.buyerPays(), 10)
	if n := f.coupons() + f.AllianceCoupon; n > 0 {
		funds += "|COUPON:" + strconv.FormatInt(n, 10)
	}
	return funds
}

func (o Order) seqID() string { return o.digits("seqId", 11) + "N" }

func (o Order) subBuyerID() string { return "o" + o.letters("subBuyerId", 27) }

// hash is what is derived from the order's number for one purpose.
func (o Order) hash(purpose string) []byte {
	hash := sha256.Sum256([]byte(purpose + "|" + o.MID + "|" + o.MerOrderID))
	return hash[:]
}

// digits derives up to 32 digits.
func (o Order) digits(purpose string, n int) string {
	digits := o.hash(purpose)[:n]
	for i, b := range digits {
		digits[i] = '0' + b%10
	}
	return string(digits)
}

// letters derives up to 43 characters of the alphabet of WeChat's openids.
func (o Order) letters(purpose string, n int) string {
	return base64.RawURLEncoding.EncodeToString(o.hash(purpose))[:n]
}
