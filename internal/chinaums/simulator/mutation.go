package simulator

import (
	"slices"
	"strconv"
	"strings"

	"reconciler/internal/chinaums"
)

// Mutation is a single change of a body. Mutations are applied one after the other.
type Mutation string

// Ways to write an amount. The first four still say the same whole number, the others say none.
const (
	asText         Mutation = "-text"          // "100"
	asDecimal      Mutation = "-decimal"       // 100.0
	asDecimalText  Mutation = "-decimal-text"  // "100.00"
	asExponent     Mutation = "-exponent"      // 1e+02
	asFraction     Mutation = "-fraction"      // 100.5
	asFractionText Mutation = "-fraction-text" // "1.5"
	asNull         Mutation = "-null"
	asMissing      Mutation = "-missing"
	asNegative     Mutation = "-negative" // -100
	asTooBig       Mutation = "-too-big"  // beyond 64 bits
	asWord         Mutation = "-word"     // "abc"
)

// Mutations of totalAmount.
const (
	MutationTotalText         = "total" + asText
	MutationTotalDecimal      = "total" + asDecimal
	MutationTotalDecimalText  = "total" + asDecimalText
	MutationTotalExponent     = "total" + asExponent
	MutationTotalFraction     = "total" + asFraction
	MutationTotalFractionText = "total" + asFractionText
	MutationTotalNull         = "total" + asNull
	MutationTotalMissing      = "total" + asMissing
	MutationTotalNegative     = "total" + asNegative
	MutationTotalTooBig       = "total" + asTooBig
	MutationTotalWord         = "total" + asWord
)

// Mutations of all other amounts that the body has.
const (
	MutationPartsText         = "parts" + asText
	MutationPartsDecimal      = "parts" + asDecimal
	MutationPartsDecimalText  = "parts" + asDecimalText
	MutationPartsExponent     = "parts" + asExponent
	MutationPartsFraction     = "parts" + asFraction
	MutationPartsFractionText = "parts" + asFractionText
	MutationPartsNull         = "parts" + asNull
	MutationPartsMissing      = "parts" + asMissing
	MutationPartsNegative     = "parts" + asNegative
	MutationPartsTooBig       = "parts" + asTooBig
	MutationPartsWord         = "parts" + asWord
)

// All other mutations. Where a member is given twice, the right value comes last, where a careless
// reader finds it.
const (
	MutationTotalTwice           Mutation = "total-twice"            // the same value
	MutationTotalTwiceDifferent  Mutation = "total-twice-different"  // one fen more first
	MutationStatusTwice          Mutation = "status-twice"           // the same value
	MutationStatusTwiceDifferent Mutation = "status-twice-different" // TRADE_SUCCESS first, or TRADE_CLOSED before TRADE_SUCCESS
	MutationStatusUnknown        Mutation = "status-unknown"         // a word of no document
	MutationStatusEmpty          Mutation = "status-empty"
	MutationStatusMissing        Mutation = "status-missing"
	MutationStatusNull           Mutation = "status-null"
	MutationStatusNumber         Mutation = "status-number"
	MutationErrCodeMissing       Mutation = "err-code-missing"
	MutationOtherOrder           Mutation = "other-order"        // another merOrderId
	MutationOtherTargetOrder     Mutation = "other-target-order" // another targetOrderId
	MutationOtherMID             Mutation = "other-mid"
	MutationNoMID                Mutation = "no-mid"
	MutationNoMerOrderID         Mutation = "no-mer-order-id"
	MutationNoOrderNumber        Mutation = "no-order-number" // neither merOrderId nor targetOrderId
	MutationBillPaymentObject    Mutation = "bill-payment-object"
	MutationBillPaymentEmpty     Mutation = "bill-payment-empty" // {}
	MutationBillPaymentText      Mutation = "bill-payment-text"
	MutationBillPaymentMissing   Mutation = "bill-payment-missing"
	MutationUnknownFields        Mutation = "unknown-fields"
	MutationStampSpelling        Mutation = "stamp-spelling" // responseTimeStamp for responseTimestamp, and the other way round
	MutationPersonalData         Mutation = "personal-data"  // bankCardNo and buyerUsername
	MutationNUL                  Mutation = "nul"            // in bankInfo
	MutationInvalidUTF8          Mutation = "invalid-utf8"   // in bankInfo
	MutationLoneSurrogate        Mutation = "lone-surrogate" // in bankInfo
	MutationBadPayTime           Mutation = "bad-pay-time"
	MutationBadSettleDate        Mutation = "bad-settle-date"
)

// Mutations returns all mutations.
func Mutations() []Mutation {
	var names []Mutation
	for _, m := range allMutations() {
		names = append(names, m.name)
	}
	return names
}

type change func(*fields)

type mutation struct {
	name  Mutation
	apply change
}

// changeOf returns what the mutation does, nil if there is no such.
func (m Mutation) changeOf() change {
	all := allMutations()
	if i := slices.IndexFunc(all, func(o mutation) bool { return o.name == m }); i >= 0 {
		return all[i].apply
	}
	return nil
}

func allMutations() []mutation {
	return slices.Concat(
		amountMutations("total", totalAmounts()),
		amountMutations("parts", partAmounts()),
		twiceMutations(), statusMutations(), identityMutations(), otherMutations(),
	)
}

func totalAmounts() []string { return []string{"totalAmount"} }

func partAmounts() []string {
	return []string{
		"buyerPayAmount", "receiptAmount", "invoiceAmount", "couponAmount", "yxlmAmount",
		"couponMerchantContribute", "couponOtherContribute", "buyerCashPayAmt", "refundAmount",
	}
}

func amountMutations(prefix Mutation, names []string) []mutation {
	each := func(form func(int64) string) change {
		return func(f *fields) {
			for _, name := range names {
				if i := f.indexOf(name); i >= 0 {
					(*f)[i].value = form((*f)[i].readAmount())
				}
			}
		}
	}
	same := func(text string) func(int64) string { return func(int64) string { return text } }
	plain := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []mutation{
		{prefix + asText, each(func(n int64) string { return quoteJSON(plain(n)) })},
		{prefix + asDecimal, each(func(n int64) string { return plain(n) + ".0" })},
		{prefix + asDecimalText, each(func(n int64) string { return quoteJSON(plain(n) + ".00") })},
		{prefix + asExponent, each(func(n int64) string { return strconv.FormatFloat(float64(n), 'e', -1, 64) })},
		{prefix + asFraction, each(func(n int64) string { return plain(n) + ".5" })},
		{prefix + asFractionText, each(same(`"1.5"`))},
		{prefix + asNull, each(same("null"))},
		{prefix + asMissing, func(f *fields) { f.removeAll(names...) }},
		{prefix + asNegative, each(func(n int64) string { return plain(-max(n, 1)) })},
		{prefix + asTooBig, each(same("92233720368547758080"))},
		{prefix + asWord, each(same(`"abc"`))},
	}
}

// readAmount reads an amount of either profile; an empty text is 0.
func (m field) readAmount() int64 {
	n, _ := strconv.ParseInt(strings.Trim(m.value, `"`), 10, 64)
	return n
}

func twiceMutations() []mutation {
	again := func(name string) change {
		return func(f *fields) {
			if i := f.indexOf(name); i >= 0 {
				f.insertBefore(name, (*f)[i].value)
			}
		}
	}
	return []mutation{
		{MutationTotalTwice, again("totalAmount")},
		{MutationTotalTwiceDifferent, func(f *fields) {
			if i := f.indexOf("totalAmount"); i >= 0 {
				f.insertBefore("totalAmount", strconv.FormatInt((*f)[i].readAmount()+1, 10))
			}
		}},
		{MutationStatusTwice, again("status")},
		{MutationStatusTwiceDifferent, func(f *fields) {
			other := quoteJSON(string(chinaums.StatusTradeSuccess))
			if i := f.indexOf("status"); i >= 0 && (*f)[i].value == other {
				other = quoteJSON(string(chinaums.StatusTradeClosed))
			}
			f.insertBefore("status", other)
		}},
	}
}

func statusMutations() []mutation {
	to := func(value string) change {
		return func(f *fields) { f.setValue("status", value) }
	}
	return []mutation{
		{MutationStatusUnknown, to(quoteJSON("TRADE_FAIL"))},
		{MutationStatusEmpty, to(quoteJSON(""))},
		{MutationStatusMissing, withoutFields("status")},
		{MutationStatusNull, to("null")},
		{MutationStatusNumber, to("1")},
		{MutationErrCodeMissing, withoutFields("errCode")},
	}
}

func identityMutations() []mutation {
	return []mutation{
		{MutationOtherOrder, withValue("merOrderId", quoteJSON("3194OTHERORDER"))},
		{MutationOtherTargetOrder, withValue("targetOrderId", quoteJSON("4200000000000000000000000000"))},
		{MutationOtherMID, withValue("mid", quoteJSON("898000000000000"))},
		{MutationNoMID, withoutFields("mid")},
		{MutationNoMerOrderID, withoutFields("merOrderId")},
		{MutationNoOrderNumber, withoutFields("merOrderId", "targetOrderId")},
	}
}

func otherMutations() []mutation {
	return []mutation{
		{MutationBillPaymentObject, withValue("billPayment", `{"billBizType":"bills","payDetail":{"totalAmount":7,"buyerPayAmount":7}}`)},
		{MutationBillPaymentEmpty, withValue("billPayment", "{}")},
		{MutationBillPaymentText, withValue("billPayment", quoteJSON(`{"totalAmount":7}`))},
		{MutationBillPaymentMissing, withoutFields("billPayment")},
		{MutationUnknownFields, func(f *fields) {
			f.addRaw("mchntUuid", quoteJSON("2d9081bd6a8b3f0e"))
			f.addRaw("x8Gk2", `[{"deep":[null,true,1.5]}]`)
		}},
		{MutationStampSpelling, respellStamp},
		{MutationPersonalData, func(f *fields) {
			f.setValue("bankCardNo", quoteJSON("6222020200112230000"))
			f.setValue("buyerUsername", quoteJSON("张三"))
		}},
		{MutationNUL, withValue("bankInfo", `"ICBC\u0000DEBIT"`)},
		{MutationInvalidUTF8, withValue("bankInfo", "\"ICBC\xff\xfe\"")},
		{MutationLoneSurrogate, withValue("bankInfo", `"ICBC\ud800"`)},
		{MutationBadPayTime, withValue("payTime", quoteJSON("2026-02-30 25:61:00"))},
		{MutationBadSettleDate, withValue("settleDate", quoteJSON("20260230"))},
	}
}

func withValue(name, value string) change {
	return func(f *fields) { f.setValue(name, value) }
}

func withoutFields(names ...string) change {
	return func(f *fields) { f.removeAll(names...) }
}

func respellStamp(f *fields) {
	const live, documented = "responseTimestamp", "responseTimeStamp"
	for i := range *f {
		switch (*f)[i].name {
		case live:
			(*f)[i].name = documented
		case documented:
			(*f)[i].name = live
		}
	}
}
