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

// All other mutations. Where a member is given twice, the right value comes last, where a careless reader finds it.
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
	for _, m := range mutations() {
		names = append(names, m.name)
	}
	return names
}

type change func(*fields)

type mutation struct {
	name  Mutation
	apply change
}

// apply returns what the mutation does, nil if there is no such.
func (m Mutation) apply() change {
	all := mutations()
	if i := slices.IndexFunc(all, func(o mutation) bool { return o.name == m }); i >= 0 {
		return all[i].apply
	}
	return nil
}

func mutations() []mutation {
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
				if i := f.index(name); i >= 0 {
					(*f)[i].value = form((*f)[i].amount())
				}
			}
		}
	}
	same := func(text string) func(int64) string { return func(int64) string { return text } }
	plain := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []mutation{
		{prefix + asText, each(func(n int64) string { return quote(plain(n)) })},
		{prefix + asDecimal, each(func(n int64) string { return plain(n) + ".0" })},
		{prefix + asDecimalText, each(func(n int64) string { return quote(plain(n) + ".00") })},
		{prefix + asExponent, each(func(n int64) string { return strconv.FormatFloat(float64(n), 'e', -1, 64) })},
		{prefix + asFraction, each(func(n int64) string { return plain(n) + ".5" })},
		{prefix + asFractionText, each(same(`"1.5"`))},
		{prefix + asNull, each(same("null"))},
		{prefix + asMissing, func(f *fields) { f.remove(names...) }},
		{prefix + asNegative, each(func(n int64) string { return plain(-max(n, 1)) })},
		{prefix + asTooBig, each(same("92233720368547758080"))},
		{prefix + asWord, each(same(`"abc"`))},
	}
}

// amount reads an amount of either profile; an empty text is 0.
func (m field) amount() int64 {
	n, _ := strconv.ParseInt(strings.Trim(m.value, `"`), 10, 64)
	return n
}

func twiceMutations() []mutation {
	again := func(name string) change {
		return func(f *fields) {
			if i := f.index(name); i >= 0 {
				f.before(name, (*f)[i].value)
			}
		}
	}
	return []mutation{
		{MutationTotalTwice, again("totalAmount")},
		{MutationTotalTwiceDifferent, func(f *fields) {
			if i := f.index("totalAmount"); i >= 0 {
				f.before("totalAmount", strconv.FormatInt((*f)[i].amount()+1, 10))
			}
		}},
		{MutationStatusTwice, again("status")},
		{MutationStatusTwiceDifferent, func(f *fields) {
			other := quote(string(chinaums.StatusTradeSuccess))
			if i := f.index("status"); i >= 0 && (*f)[i].value == other {
				other = quote(string(chinaums.StatusTradeClosed))
			}
			f.before("status", other)
		}},
	}
}

func statusMutations() []mutation {
	to := func(value string) change {
		return func(f *fields) { f.set("status", value) }
	}
	return []mutation{
		{MutationStatusUnknown, to(quote("TRADE_FAIL"))},
		{MutationStatusEmpty, to(quote(""))},
		{MutationStatusMissing, without("status")},
		{MutationStatusNull, to("null")},
		{MutationStatusNumber, to("1")},
		{MutationErrCodeMissing, without("errCode")},
	}
}

func identityMutations() []mutation {
	return []mutation{
		{MutationOtherOrder, with("merOrderId", quote("3194OTHERORDER"))},
		{MutationOtherTargetOrder, with("targetOrderId", quote("4200000000000000000000000000"))},
		{MutationOtherMID, with("mid", quote("898000000000000"))},
		{MutationNoMID, without("mid")},
		{MutationNoMerOrderID, without("merOrderId")},
		{MutationNoOrderNumber, without("merOrderId", "targetOrderId")},
	}
}

func otherMutations() []mutation {
	return []mutation{
		{MutationBillPaymentObject, with("billPayment", `{"billBizType":"bills","payDetail":{"totalAmount":7,"buyerPayAmount":7}}`)},
		{MutationBillPaymentEmpty, with("billPayment", "{}")},
		{MutationBillPaymentText, with("billPayment", quote(`{"totalAmount":7}`))},
		{MutationBillPaymentMissing, without("billPayment")},
		{MutationUnknownFields, func(f *fields) {
			f.raw("mchntUuid", quote("2d9081bd6a8b3f0e"))
			f.raw("x8Gk2", `[{"deep":[null,true,1.5]}]`)
		}},
		{MutationStampSpelling, respellStamp},
		{MutationPersonalData, func(f *fields) {
			f.set("bankCardNo", quote("6222020200112230000"))
			f.set("buyerUsername", quote("张三"))
		}},
		{MutationNUL, with("bankInfo", `"ICBC\u0000DEBIT"`)},
		{MutationInvalidUTF8, with("bankInfo", "\"ICBC\xff\xfe\"")},
		{MutationLoneSurrogate, with("bankInfo", `"ICBC\ud800"`)},
		{MutationBadPayTime, with("payTime", quote("2026-02-30 25:61:00"))},
		{MutationBadSettleDate, with("settleDate", quote("20260230"))},
	}
}

func with(name, value string) change {
	return func(f *fields) { f.set(name, value) }
}

func without(names ...string) change {
	return func(f *fields) { f.remove(names...) }
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
