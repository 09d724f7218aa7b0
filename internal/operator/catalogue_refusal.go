package operator

// Why an action was refused, as a page says it: by its fields and buttons. The command line has its
// own words, with flags.
const (
	msgRefusedStatus     message = "Choose the outcome: TRADE_SUCCESS, TRADE_REFUND or TRADE_CLOSED." + zh + "请选择结果：TRADE_SUCCESS、TRADE_REFUND 或 TRADE_CLOSED。"
	msgRefusedNegative   message = "An amount must not be negative." + zh + "金额不能为负数。"
	msgRefusedAmount     message = "An amount must be such as 1290.50, not %q." + zh + "金额格式应如 1290.50，而不是 %q。"
	msgRefusedAccept     message = "%s is not the amount that the payer was asked for, %s. Tick the box below the amount to accept it." + zh + "%s 与应付金额 %s 不一致。如确认无误，请勾选金额下方的选项。"
	msgRefusedFuture     message = "The pay time, %s, is in the future." + zh + "支付时间 %s 晚于当前时间。"
	msgRefusedRefund     message = "The refund, %s, is greater than the amount, %s." + zh + "退款金额 %s 大于订单金额 %s。"
	msgRefusedTime       message = "A time must be such as 2026-01-31 15:04, not %q." + zh + "时间格式应如 2026-01-31 15:04，而不是 %q。"
	msgRefusedDay        message = "A day must be such as 2026-01-31, not %q." + zh + "日期格式应如 2026-01-31，而不是 %q。"
	msgRefusedPast       message = "%s has passed." + zh + "%s 已经过去。"
	msgRefusedActor      message = "Nobody can act under the name %q." + zh + "不能以 %q 的名义操作。"
	msgRefusedInFlight   message = "A question about this order is in flight, by %s, until %s at the latest. Try again when it has ended." + zh + "%s 正在查询此订单，最迟至 %s。请在查询结束后重试。"
	msgRefusedSettled    message = "The order is settled already, as %s." + zh + "此订单已有结果：%s。"
	msgRefusedNotAsked   message = "The order is settled, as %s, and is not asked again." + zh + "此订单已有结果（%s），不再查询。"
	msgRefusedNoReview   message = "The order is not under review. It is asked by itself." + zh + "此订单不在人工复核中，系统会自动查询。"
	msgRefusedNumber     message = "Another order of the merchant has this number." + zh + "该商户的另一笔订单已使用此订单号。"
	msgRefusedLength     message = "%s must have %d to %d characters." + zh + "%s 的长度应为 %d 到 %d 个字符。"
	msgRefusedInvisible  message = "%s holds a character that cannot be seen." + zh + "%s 含有不可见字符。"
	msgRefusedTarget     message = "Choose a merchant or an app id, and give its number." + zh + "请选择商户或应用，并填写编号。"
	msgRefusedNoMerchant message = "No order is of merchant %s. Check the number." + zh + "没有商户 %s 的订单，请核对商户号。"
	msgRefusedNotLooked  message = "It could not be looked up whether merchant %s has orders. Try again." + zh + "无法查询商户 %s 是否有订单，请稍后重试。"
	msgRefusedNoApp      message = "App id %s is neither in the settings of this console nor used by an instance. Check it." + zh + "应用 %s 既不在本控制台的配置中，也没有实例使用，请核对。"
	msgRefusedPaused     message = "Another person's pause is in force: %s. Tick the box to replace it." + zh + "他人设置的暂停仍在生效：%s。如需替换，请勾选相应选项。"
	msgRefusedNotPaused  message = "There is nothing to resume: %s is not paused." + zh + "无需恢复：%s未被暂停。"
	msgRefusedPage       message = "A page of a list begins at a number, not at %q." + zh + "列表分页应从编号开始，而不是 %q。"
	msgRefusedWord       message = "There is no %q. There are: %s." + zh + "没有 %q，可选值：%s。"
	msgRefusedByDatabase message = "The database did not accept this. Nothing was written." + zh + "数据库未接受此操作，未写入任何内容。"
)
