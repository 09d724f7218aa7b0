package chinaums

import (
	"errors"
	"time"
)

var errNotObject = errors.New("the body is not exactly one JSON object")

// object lists every occurrence of every key of a JSON object, in order, with the value as it is
// written. Decoding into a struct would not do: it matches keys whatever their case and keeps only
// the last of two, and the gateway's own sample gives totalAmount twice. A map would do, but costs
// more than a search through some forty members that are read once each.
type object []member

type member struct{ key, value string }

// usualMembers is more than a usual answer has.
const usualMembers = 48

func (o *object) addMember(key, value string) {
	if *o == nil {
		*o = make(object, 0, usualMembers)
	}
	*o = append(*o, member{key, value})
}

// decodeBody fills an answer with what the body says. Texts that the scan finds are withheld from
// it.
func (a *Answer) decodeBody(body []byte, scan *secretScan) error {
	o, kept, err := readBody(body, scan)
	a.Redacted = kept
	if err != nil {
		return err
	}
	a.readEnvelope(o)
	a.Trade = o.readTrade()
	return nil
}

func (a *Answer) readEnvelope(o object) {
	a.Code = o.textOf("errCode").Value
	a.Message = cleanText(o.textOf("errMsg").Value)
	if a.Message == "" {
		a.Message = cleanText(o.textOf("errInfo").Value)
	}
}

func (o object) readTrade() Trade {
	return Trade{
		Status:                   readField(o, "status", readStatus),
		MID:                      o.textOf("mid"),
		MerOrderID:               o.textOf("merOrderId"),
		TargetOrderID:            o.textOf("targetOrderId"),
		TotalAmount:              o.amountOf("totalAmount"),
		BuyerPayAmount:           o.amountOf("buyerPayAmount"),
		ReceiptAmount:            o.amountOf("receiptAmount"),
		InvoiceAmount:            o.amountOf("invoiceAmount"),
		CouponAmount:             o.amountOf("couponAmount"),
		YxlmAmount:               o.amountOf("yxlmAmount"),
		CouponMerchantContribute: o.amountOf("couponMerchantContribute"),
		CouponOtherContribute:    o.amountOf("couponOtherContribute"),
		BuyerCashPayAmt:          o.amountOf("buyerCashPayAmt"),
		RefundAmount:             o.amountOf("refundAmount"),
		PayTime:                  o.timeOf("payTime"),
		ResponseTime:             o.responseTime(),
		SettleDate:               readField(o, "settleDate", readDate),
		SeqID:                    o.textOf("seqId"),
		RefID:                    o.textOf("refId"),
		SettleRefID:              o.textOf("settleRefId"),
		TargetSys:                o.textOf("targetSys"),
		TargetStatus:             o.textOf("targetStatus"),
		TargetMID:                o.textOf("targetMid"),
		BuyerID:                  o.textOf("buyerId"),
		SubBuyerID:               o.textOf("subBuyerId"),
		BankInfo:                 o.textOf("bankInfo"),
		CardAttr:                 o.textOf("cardAttr"),
		BillFunds:                o.textOf("billFunds"),
		BillFundsDesc:            o.textOf("billFundsDesc"),
		ActivityIDs:              o.textOf("activityIds"),
	}
}

func (o object) textOf(key string) Field[string]    { return readField(o, key, readText) }
func (o object) amountOf(key string) Field[int64]   { return readField(o, key, readAmount) }
func (o object) timeOf(key string) Field[time.Time] { return readField(o, key, readDateTime) }

// responseTime prefers the spelling of real answers to the documents'.
func (o object) responseTime() Field[time.Time] {
	if f := o.timeOf("responseTimestamp"); f.Present {
		return f
	}
	return o.timeOf("responseTimeStamp")
}

// allTexts lists what a key says, once for each time that it is given.
func (o object) allTexts(key string) []string {
	var all []string
	for _, m := range o {
		if text, err := readText(m.value); m.key == key && err == nil {
			all = append(all, text)
		}
	}
	return all
}

// readField reads every occurrence of a key and makes one field of them.
func readField[T comparable](o object, key string, read func(string) (T, error)) Field[T] {
	var all Field[T]
	found := false
	for i := range o {
		if o[i].key != key {
			continue
		}
		one := readOne(o[i].value, read)
		if !found {
			all, found = one, true
		}
		all = mergeFields(all, one)
	}
	return all
}

func readOne[T any](value string, read func(string) (T, error)) Field[T] {
	if isAbsent(value) {
		return Field[T]{}
	}
	v, err := read(value)
	if err != nil {
		return Field[T]{Present: true, Err: err}
	}
	return Field[T]{Value: v, Present: true}
}

// mergeFields makes one field of two occurrences. Equal ones are one. A value beside anything else
// is a conflict, also beside an empty one. Without a value on either side, the error of the
// unreadable one stays.
func mergeFields[T comparable](a, b Field[T]) Field[T] {
	switch {
	case a == b || errors.Is(a.Err, ErrConflict):
		return a
	case a.hasValue() || b.hasValue():
		return Field[T]{Present: true, Err: ErrConflict}
	case a.Present:
		return a
	}
	return b
}

func (f Field[T]) hasValue() bool { return f.Present && f.Err == nil }

func isAbsent(value string) bool {
	return value == "null" || value == `""`
}

// readText also takes a number, as it is written: the documents' sample has a number for a name.
func readText(value string) (string, error) {
	if c := value[0]; c == '-' || '0' <= c && c <= '9' {
		return value, nil
	}
	return readString(value)
}

func readString(value string) (string, error) {
	if value[0] != '"' {
		return "", ErrNotText
	}
	return unquoteText(value), nil
}

func readStatus(value string) (Status, error) {
	s, err := readString(value)
	return Status(s), err
}

func readAmount(value string) (int64, error) {
	s, err := readText(value)
	if err != nil {
		return 0, ErrNotAmount
	}
	return parseAmount(s)
}

func readDateTime(value string) (time.Time, error) {
	return parseTime(value, DateTimeLayout, China())
}

func readDate(value string) (time.Time, error) {
	return parseTime(value, DateLayout, time.UTC)
}

// parseTime takes nothing that it would not write itself: time.Parse alone allows fractions of a
// second and short hours, and moves an hour that the zone skipped.
func parseTime(value string, layout string, zone *time.Location) (time.Time, error) {
	s, err := readString(value)
	if err != nil {
		return time.Time{}, ErrNotTime
	}
	t, err := time.ParseInLocation(layout, s, zone)
	if err != nil || t.Format(layout) != s || t.Year() < 1 {
		return time.Time{}, ErrNotTime
	}
	return t, nil
}
