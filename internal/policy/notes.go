package policy

import (
	"fmt"
	"strings"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/order"
)

// The review notes say what happened and what a person can do. They are written into review_note
// and into the event.

func (r Rules) identityNote(i identity) string {
	why := i.contradiction
	if why == "" {
		why = i.missing
	}
	return why + " Nothing was booked. Compare the order's numbers with the merchant platform, and tell ChinaUMS."
}

func (r Rules) badRequestNote(trouble string) string {
	return fmt.Sprintf("The gateway refuses the question itself: %s. "+
		"Check the order's mid, tid, inst_mid and numbers and correct them. Then ask again with run-once --review.", trouble)
}

func (r Rules) unconfirmedNote(o order.Order) string {
	return fmt.Sprintf("The gateway has answered NO_ORDER for %s. This is no proof: either the order has not expired, "+
		"or no order of merchant %s was found in the last day. The merchant number, the business type or the credentials may be wrong. "+
		"Check them. Then ask again with run-once --review.", r.Plan.GiveUpAfter, o.MID)
}

func (r Rules) windowOverNote(lastWord string) string {
	return fmt.Sprintf("The order is older than %s and the gateway's last word is: %s. "+
		"Look it up on the merchant platform and settle it by hand, or ask again with run-once --review.", r.Plan.GiveUpAfter, lastWord)
}

func (r Rules) poisonNote(claims int) string {
	return fmt.Sprintf("The process that asked about the order ended %d times before the answer was recorded. "+
		"Nothing was asked or booked now. Look into the logs of those times. "+
		"Then set review_reason to null and next_query_at to now(), or ask again with run-once --review.", claims)
}

func (r Rules) noCredentialsNote(mid string) string {
	return fmt.Sprintf("No app id of the credentials file lists the merchant %s. Nothing was asked or booked. "+
		"Correct the order's mid, or add the merchant to the file and send the reconciler a SIGHUP: "+
		"the order then comes back by itself.", mid)
}

func (r Rules) amountMissingNote(t chinaums.Trade) string {
	return fmt.Sprintf("The gateway says %s but its totalAmount %s.%s Nothing was booked. "+
		"Look the amount up on the merchant platform and settle the order by hand, or ask again with run-once --review.",
		t.Status.Value, whyUnreadable(t.TotalAmount), amountParts(t))
}

func (r Rules) amountMismatchNote(o order.Order, t chinaums.Trade) string {
	return fmt.Sprintf("The payer was asked for %d fen, the gateway says %s with a total of %d fen (difference %+d).%s "+
		"Nothing was booked. Find out why the amounts differ, then settle the order by hand.",
		o.OrderAmount, t.Status.Value, t.TotalAmount.Value, t.TotalAmount.Value-o.OrderAmount, amountParts(t))
}

// amountParts explains a total by its parts, in fen.
func amountParts(t chinaums.Trade) string {
	var parts []string
	for _, part := range []struct {
		name  string
		field chinaums.Field[int64]
	}{
		{"buyer paid", t.BuyerPayAmount},
		{"coupon", t.CouponAmount},
		{"coupon paid by the merchant", t.CouponMerchantContribute},
		{"coupon paid by others", t.CouponOtherContribute},
		{"alliance discount", t.YxlmAmount},
		{"received", t.ReceiptAmount},
		{"refunded", t.RefundAmount},
	} {
		if part.field.Present && part.field.Err == nil {
			parts = append(parts, fmt.Sprintf("%s %d", part.name, part.field.Value))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " Its parts in fen: " + strings.Join(parts, ", ") + "."
}

func whyUnreadable(f chinaums.Field[int64]) string {
	if f.Err != nil {
		return "cannot be read (" + f.Err.Error() + ")"
	}
	return "is missing"
}

func lastWord(status order.Status, trouble string) string {
	if trouble != "" {
		return trouble
	}
	return string(status)
}

func showField(f chinaums.Field[string]) string {
	switch {
	case f.Err != nil:
		return f.Err.Error()
	case !f.Present:
		return "(none)"
	}
	return quoteText(f.Value)
}

// quoteText bounds foreign text and shows its control characters as escapes.
func quoteText(text string) string {
	const maxQuoted = 200
	if len(text) > maxQuoted {
		return fmt.Sprintf("%q…", text[:maxQuoted])
	}
	return fmt.Sprintf("%q", text)
}

// implausibleValues lists values that are booked or left out although they cannot be right. They never
// keep an order from being settled.
func implausibleValues(o order.Order, t chinaums.Trade, now time.Time) []string {
	var list []string
	if t.PayTime.Present && t.PayTime.Err == nil {
		switch at := t.PayTime.Value; {
		case at.Before(o.CreatedAt.Add(-maxPayTimeLead)):
			list = append(list, "payTime is more than a day before the order's creation")
		case at.After(now.Add(maxClockDifference)):
			list = append(list, "payTime is in the future")
		}
	}
	return list
}
