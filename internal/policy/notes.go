package policy

import (
	"fmt"
	"strings"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/order"
)

// The review notes say what happened and what a person can do. They are written into review_note
// and into the event, in the language of the rules.

// note is a format in the language of the rules. Both formats take the same arguments.
func (r Rules) note(english, chinese string, args ...any) string {
	if r.Lang == "zh" {
		return fmt.Sprintf(chinese, args...)
	}
	return fmt.Sprintf(english, args...)
}

func (r Rules) identityNote(i identity) string {
	english, chinese := i.missing, "网关的答复没有给出商户号或订单号，无法证明是本订单。"
	if i.contradiction != "" {
		english, chinese = i.contradiction, fmt.Sprintf("网关答复的 %s 为 %s，本订单为 %s。", i.field, i.answered, i.held)
	}
	return r.note("%[1]s Nothing was booked. Compare the order's numbers with the merchant platform, and tell ChinaUMS.",
		"%[2]s未入账。请与商户平台核对订单号，并联系银联商务。", english, chinese)
}

func (r Rules) badRequestNote(trouble string) string {
	return r.note("The gateway refuses the question itself: %s. "+
		"Check the order's mid, tid, inst_mid and numbers and correct them. Then ask again with run-once --review.",
		"网关拒绝该查询：%s。请检查并更正订单的 mid、tid、inst_mid 和订单号，然后用 run-once --review 重新查询。", trouble)
}

func (r Rules) unconfirmedNote(o order.Order) string {
	return r.note("The gateway has answered NO_ORDER for %s. This is no proof: either the order has not expired, "+
		"or no order of merchant %s was found in the last day. The merchant number, the business type or the credentials may be wrong. "+
		"Check them. Then ask again with run-once --review.",
		"网关在 %s 内一直答复 NO_ORDER，但不能作为依据：订单尚未过期，或商户 %s 一天内没有其他订单被查到。"+
			"商户号、业务类型或凭据可能有误，请检查后用 run-once --review 重新查询。", r.Plan.GiveUpAfter, o.MID)
}

func (r Rules) windowOverNote(lastWord string) string {
	return r.note("The order is older than %s and the gateway's last word is: %s. "+
		"Look it up on the merchant platform and settle it by hand, or ask again with run-once --review.",
		"订单已超过 %s，网关最近的答复是：%s。请在商户平台查明后人工确定，或用 run-once --review 重新查询。", r.Plan.GiveUpAfter, lastWord)
}

func (r Rules) poisonNote(claims int) string {
	return r.note("The process that asked about the order ended %d times before the answer was recorded. "+
		"Nothing was asked or booked now. Look into the logs of those times. "+
		"Then ask again with review retry, or with run-once --review.",
		"查询该订单的进程曾 %d 次在记录答复之前中止。此次未查询，也未入账。请查看当时的日志，然后用 review retry 或 run-once --review 重新查询。", claims)
}

func (r Rules) noCredentialsNote(mid string) string {
	return r.note("No app id of the credentials file lists the merchant %s. Nothing was asked or booked. "+
		"Correct the order's mid and ask again with review retry. Or add the merchant to the file and let the reconciler "+
		"read it again (SIGHUP, or a restart): the order then comes back by itself.",
		"凭据文件中没有应用包含商户 %s。未查询，也未入账。请更正订单的 mid，再用 review retry 重新查询；或将商户加入该文件，让对账程序重新读取（SIGHUP 或重启），订单随后会自动恢复。", mid)
}

func (r Rules) amountMissingNote(t chinaums.Trade) string {
	return r.note("The gateway says %s but its totalAmount %s.%s Nothing was booked. "+
		"Look the amount up on the merchant platform and settle the order by hand, or ask again with run-once --review.",
		"网关答复 %s，但 totalAmount %s。%s未入账。请在商户平台查明金额后人工确定，或用 run-once --review 重新查询。",
		t.Status.Value, r.whyUnreadable(t.TotalAmount), r.amountParts(t))
}

func (r Rules) amountMismatchNote(o order.Order, t chinaums.Trade) string {
	return r.note("The payer was asked for %d fen, the gateway says %s with a total of %d fen (difference %+d).%s "+
		"Nothing was booked. Find out why the amounts differ, then settle the order by hand.",
		"应付 %d 分，网关答复 %s，总额 %d 分（相差 %+d）。%s未入账。请查明金额不一致的原因后人工确定。",
		o.OrderAmount, t.Status.Value, t.TotalAmount.Value, t.TotalAmount.Value-o.OrderAmount, r.amountParts(t))
}

// amountParts explains a total by its parts, in fen.
func (r Rules) amountParts(t chinaums.Trade) string {
	var parts []string
	for _, part := range []struct {
		name  string
		field chinaums.Field[int64]
	}{
		{r.note("buyer paid", "买家实付"), t.BuyerPayAmount},
		{r.note("coupon", "优惠"), t.CouponAmount},
		{r.note("coupon paid by the merchant", "商户承担的优惠"), t.CouponMerchantContribute},
		{r.note("coupon paid by others", "其他方承担的优惠"), t.CouponOtherContribute},
		{r.note("alliance discount", "营销联盟优惠"), t.YxlmAmount},
		{r.note("received", "实收"), t.ReceiptAmount},
		{r.note("refunded", "已退款"), t.RefundAmount},
	} {
		if part.field.Present && part.field.Err == nil {
			parts = append(parts, fmt.Sprintf("%s %d", part.name, part.field.Value))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return r.note(" Its parts in fen: %s.", "其组成（分）：%s。", strings.Join(parts, ", "))
}

func (r Rules) whyUnreadable(f chinaums.Field[int64]) string {
	if f.Err != nil {
		return r.note("cannot be read (%s)", "无法读取（%s）", f.Err)
	}
	return r.note("is missing", "缺失")
}

func showField(f chinaums.Field[string]) string {
	if f.Err != nil {
		return f.Err.Error()
	}
	return quoteText(f.Value)
}

// quoteText bounds foreign text and shows its control characters as escapes.
func quoteText(text string) string {
	const maxQuoted = 200
	if len(text) > maxQuoted {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(text[:maxQuoted], "")) // without half a character
	}
	return fmt.Sprintf("%q", text)
}

// implausibleValues lists values that are booked or left out although they cannot be right. They
// never keep an order from being settled.
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
