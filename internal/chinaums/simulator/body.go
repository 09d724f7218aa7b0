package simulator

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"

	"reconciler/internal/chinaums"
)

// liveFields is the shape of real bodies. An unpaid order has a payTime and a settleDate all the
// same, and a SUCCESS that says 交易不存在.
func (f *facts) liveFields(in *incoming, s Step) fields {
	var b fields
	b.addText("payTime", f.payTime.Format(chinaums.DateTimeLayout))
	b.addText("connectSys", "OPENCHANNEL")
	b.addText("delegatedFlag", "N")
	b.addText(messageField(s.Code), s.messageOr(f.usualMessage(s.Status)))
	b.addText("merName", f.MerchantName)
	b.addText("mid", f.MID)
	b.addText("settleDate", f.payTime.Format(chinaums.DateLayout))
	b.addText("settleRefId", f.seqID())
	b.addText("tid", f.TID)
	b.addNumber("totalAmount", f.total)
	b.addText("chnlCost", f.deriveDigits("chnlCost", 16))
	b.addText("targetMid", f.deriveDigits("targetMid", 9))
	b.addText("responseTimestamp", in.now.Format(chinaums.DateTimeLayout))
	b.addText("targetStatus", f.targetStatus())
	b.addText("errCode", s.errCode())
	b.addText("seqId", f.seqID())
	b.addText("merOrderId", f.MerOrderID)
	b.addNumber("refundAmount", f.refund)
	b.addText("status", string(s.Status))
	b.addText("targetSys", f.TargetSys)
	in.echoFields(&b)
	if !f.closeTime.IsZero() {
		b.addText("closeTime", f.closeTime.Format(chinaums.DateTimeLayout))
		b.addNumber("couponAmount", f.couponTotal())
	}
	if f.paid {
		f.livePaid(&b)
	}
	return b
}

// livePaid adds what only a paid order has.
func (f *facts) livePaid(b *fields) {
	b.addText("targetOrderId", f.TargetOrderID)
	b.addText("refId", f.deriveDigits("refId", 12))
	b.addText("buyerId", f.BuyerID)
	b.addText("subBuyerId", f.subBuyerID())
	b.addText("bankInfo", "OTHERS")
	b.addText("cardAttr", "BALANCE")
	b.addText("billFunds", f.billFunds())
	b.addText("billFundsDesc", "微信支付"+strconv.FormatInt(f.buyerPays(), 10)+"分")
	b.addNumber("buyerPayAmount", f.buyerPays())
	b.addNumber("buyerCashPayAmt", f.buyerPays())
	b.addNumber("receiptAmount", f.receiptAmount())
	b.addNumber("invoiceAmount", f.buyerPays())
	b.setValue("couponAmount", strconv.FormatInt(f.couponTotal(), 10))
	b.addPositive("couponMerchantContribute", f.MerchantCoupon)
	b.addPositive("couponOtherContribute", f.OtherCoupon)
	b.addPositive("yxlmAmount", f.AllianceCoupon)
	if f.couponTotal() > 0 {
		b.addText("activityIds", f.deriveDigits("activityIds", 8))
	}
}

// documentFields is the shape of the vendor's page: its fields, their order and their types, even
// where they contradict its own table.
func (f *facts) documentFields(in *incoming, s Step) fields {
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
	b.addText("errCode", s.errCode())
	b.addText(messageField(s.Code), s.messageOr("成功"))
	b.addText("msgId", in.query.MsgID)
	b.addText("srcReserve", in.query.SrcReserve)
	b.addText("responseTimeStamp", in.now.Format(chinaums.DateTimeLayout))
	b.addText("mid", f.MID)
	b.addText("tid", f.TID)
	b.addText("instMid", "")
	b.addText("seqId", paid(f.seqID()))
	b.addText("settleRefId", paid(f.seqID()))
	b.addText("refId", paid(f.deriveDigits("refId", 12)))
	b.addText("status", string(s.Status))
	b.addText("totalAmount", strconv.FormatInt(f.total, 10))
	b.addNumber("merName", 0)
	b.addText("merOrderId", f.MerOrderID)
	b.addText("targetOrderId", paid(f.TargetOrderID))
	b.addText("targetSys", paid(f.TargetSys))
	b.addText("targetStatus", paid(f.targetStatus()))
	b.addText("buyerId", paid(f.BuyerID))
	b.addText("targetMid", paid(f.deriveDigits("targetMid", 9)))
	b.addText("bankCardNo", "")
	b.addText("bankInfo", paid("OTHERS"))
	b.addText("billFunds", paid(f.billFunds()))
	b.addText("billFundsDesc", "")
	b.addNumber("buyerPayAmount", amount(f.buyerPays()))
	b.addRaw("billPayment", "{}")
	b.addText("buyerUsername", "")
	b.addNumber("couponAmount", amount(f.couponTotal()))
	b.addNumber("invoiceAmount", amount(f.buyerPays()))
	b.addText("payTime", paid(f.payTime.Format(chinaums.DateTimeLayout)))
	b.addNumber("receiptAmount", amount(f.receiptAmount()))
	b.addText("settleDate", paid(f.payTime.Format(chinaums.DateLayout)))
	b.addText("subBuyerId", paid(f.subBuyerID()))
	b.addText("activityIds", "")
	b.addNumber("yxlmAmount", amount(f.AllianceCoupon))
	b.addNumber("couponMerchantContribute", amount(f.MerchantCoupon))
	b.addNumber("couponOtherContribute", amount(f.OtherCoupon))
	b.addText("buyerCashPayAmt", paid(strconv.FormatInt(f.buyerPays(), 10)))
	b.addText("cardAttr", paid("BALANCE"))
	return b
}

func (f *facts) usualMessage(s chinaums.Status) string {
	if f.paid || s == chinaums.StatusTradeClosed {
		return "查询成功"
	}
	return "交易不存在"
}

// targetStatus is the result of the channel's call, not of the payment: WeChat says SUCCESS of an
// unpaid order too.
func (f *facts) targetStatus() string {
	switch {
	case !strings.HasPrefix(f.TargetSys, "Alipay"):
		return "SUCCESS"
	case f.paid:
		return "10000"
	}
	return "40004|ACQ.TRADE_NOT_EXIST"
}

func (f *facts) couponTotal() int64 { return f.MerchantCoupon + f.OtherCoupon }

func (f *facts) buyerPays() int64 { return max(0, f.total-f.couponTotal()-f.AllianceCoupon) }

// receiptAmount is what the merchant gets: all but its own coupon.
func (f *facts) receiptAmount() int64 { return max(0, f.total-f.MerchantCoupon) }

func (f *facts) billFunds() string {
	funds := "WXPAY:" + strconv.FormatInt(f.buyerPays(), 10)
	if n := f.couponTotal() + f.AllianceCoupon; n > 0 {
		funds += "|COUPON:" + strconv.FormatInt(n, 10)
	}
	return funds
}

func (o Order) seqID() string { return o.deriveDigits("seqId", 11) + "N" }

func (o Order) subBuyerID() string { return "o" + o.deriveLetters("subBuyerId", 27) }

// deriveHash is what is derived from the order's number for one purpose.
func (o Order) deriveHash(purpose string) []byte {
	hash := sha256.Sum256([]byte(purpose + "|" + o.MID + "|" + o.MerOrderID))
	return hash[:]
}

// deriveDigits derives up to 32 digits.
func (o Order) deriveDigits(purpose string, n int) string {
	digits := o.deriveHash(purpose)[:n]
	for i, b := range digits {
		digits[i] = '0' + b%10
	}
	return string(digits)
}

// deriveLetters derives up to 43 characters of the alphabet of WeChat's openids.
func (o Order) deriveLetters(purpose string, n int) string {
	return base64.RawURLEncoding.EncodeToString(o.deriveHash(purpose))[:n]
}
