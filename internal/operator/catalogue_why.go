package operator

import "reconciler/internal/order"

// The verdict of why.
const (
	msgIsPaid         message = "PAID, %s" + zh + "已支付，%s"
	msgIsRefunded     message = "PAID, %s, AND REFUNDED, %s." + zh + "已支付 %s，已退款 %s。"
	msgIsClosed       message = "CLOSED: the gateway has closed the order; the payer does not owe and has not lost money." + zh + "已关闭：网关已关闭此订单，付款人没有损失。"
	msgIsNotFound     message = "NOT FOUND: the gateway does not know the order. Nobody has paid by it." + zh + "网关无此订单：没有人通过此订单付款。"
	msgIsReview       message = "NEEDS A PERSON (%s). " + zh + "需要人工处理（%s）。"
	msgIsUnknown      message = "NOT KNOWN YET whether it was paid. " + zh + "尚不清楚是否已支付。"
	msgPaidAt         message = ", at %s." + zh + "，支付时间 %s。"
	msgStop           message = "." + zh + "。"
	msgSettledByShop  message = " The application settled it." + zh + "由商户应用自行确定。"
	msgSettledByHand  message = " A person settled it at %s." + zh + "由人工于 %s 确定。"
	msgSettledByQuery message = " The reconciler learned it from the gateway at %s, %s after the order was created." + zh + "由对账程序于 %s 向网关查明，距下单 %s。"

	msgNeverAsked    message = "The gateway has not been asked yet." + zh + "尚未向网关查询。"
	msgNoAnswerYet   message = "No usable answer, questions so far: %d. %s" + zh + "已查询 %d 次，没有可用的应答：%s"
	msgSaysNoOrder   message = "The gateway does not know the order (NO_ORDER); questions so far: %d." + zh + "网关查无此订单（NO_ORDER），已查询 %d 次。"
	msgNoneFound     message = " No other order of the merchant was found in the last day, so that proves nothing." + zh + "该商户一天内没有其他订单被查到，因此不能作为依据。"
	msgOthersFound   message = " Another order of the merchant was found at %s." + zh + "该商户的其他订单于 %s 被查到。"
	msgSaysStatus    message = "The gateway says %s; questions so far: %d." + zh + "网关答复 %s，已查询 %d 次。"
	msgStatusInWords message = "%s (%s)" + zh + "%s（%s）"
	msgStatusUnknown message = "the gateway does not know" + zh + "状态不明"
	msgStatusNew     message = "not paid yet" + zh + "尚未付款"
	msgStatusWaits   message = "waits for the payer" + zh + "等待付款"
	msgSaysCode      message = "The gateway answers with the code %q; questions so far: %d." + zh + "网关答复代码 %q，已查询 %d 次。"
)

// Why not now.
const (
	msgNextReview     message = "it is under review (%s) and is not asked by itself" + zh + "正在人工复核（%s），不会自动查询"
	msgNextSettled    message = "it is settled and is not asked any more" + zh + "已有结果，不再查询"
	msgNextInFlight   message = "a question is in flight, by %s, until %s at the latest" + zh + "%s 正在查询，最迟至 %s"
	msgNextClosedCase message = "the late check is done; it is not asked any more" + zh + "最后一次复查已完成，不再查询"
	msgNextOrphan     message = "it has no due time, which the trigger on orders should not allow: reconciler doctor --fix" + zh + "没有到期时间，orders 上的触发器本不应允许：reconciler doctor --fix"
	msgNextWaiting    message = "not due for another %s" + zh + "还有 %s到期"
	msgNextLateCheck  message = "the late check comes in %s" + zh + "最后一次复查在 %s后"
	msgNextNobody     message = "due for %s, but no daemon was seen in the last minute" + zh + "已到期 %s，但一分钟内没有实例上报"
	msgNextDue        message = "due for %s; %s due before it" + zh + "已到期 %s；在它之前有 %s"
	msgNextWithin     message = ", about %s at %g questions a second" + zh + "，约需 %s，每秒 %g 次查询"

	msgThenQuestion  message = "asked again" + zh + "再次查询"
	msgThenExpiry    message = "the payer can no longer pay" + zh + "付款人不能再付款"
	msgThenSlow      message = "from now on daily" + zh + "此后每天查询一次"
	msgThenGiveUp    message = "goes to a person, query_window_over" + zh + "转人工处理，query_window_over"
	msgThenLateCheck message = "asked one last time" + zh + "最后一次查询"
)

// The story.
const (
	msgWhyHead   message = "order %d  %s   merchant %s  terminal %s   %s" + zh + "订单 %d  %s   商户 %s  终端 %s   %s"
	msgWhyTimes  message = "created %s (%s ago), expires %s   %s" + zh + "创建 %s（%s前），过期 %s   %s"
	msgWhyNext   message = "next" + zh + "下次"
	msgWhyNoNext message = "never" + zh + "不再"
	msgWhyThen   message = "then" + zh + "之后"
	msgWhyStory  message = "what happened" + zh + "经过"
	msgWhyDo     message = "what you can do" + zh + "可执行的操作"

	msgCreated       message = "the application created it, %s" + zh + "商户应用创建，%s"
	msgNothingCame   message = "nothing came" + zh + "没有应答"
	msgStoryAsked    message = "%s: %s (%s)" + zh + "%s：%s（%s）"
	msgStoryNext     message = ", next after %s" + zh + "，%s后再查"
	msgStoryBy       message = "   by %s, %d ms" + zh + "   %s，%d 毫秒"
	msgStoryEvent    message = "the application was told %s" + zh + "已通知商户应用 %s"
	msgStoryAgain    message = " (settled before)" + zh + "（此前已有结果）"
	msgStoryAction   message = "%s: %s, %q" + zh + "%s：%s，%q"
	msgStoryEvidence message = ", evidence %q" + zh + "，依据 %q"
	msgStoryPaused   message = "%s, by %s: %s" + zh + "%s，%s：%s"
	msgStoryResumed  message = "%s, by %s" + zh + "%s，%s"

	msgKindCreated message = "created" + zh + "创建"
	msgKindAsked   message = "asked" + zh + "查询"
	msgKindEvent   message = "event" + zh + "事件"
	msgKindAction  message = "action" + zh + "操作"
	msgKindPaused  message = "paused" + zh + "暂停"
	msgKindResumed message = "resumed" + zh + "恢复"

	msgDecisionSettled    message = "settled" + zh + "已确定"
	msgDecisionDeferred   message = "deferred" + zh + "推迟"
	msgDecisionNotFound   message = "not found" + zh + "无此订单"
	msgDecisionReview     message = "needs a person" + zh + "需人工处理"
	msgDecisionNoAnswer   message = "no answer" + zh + "无应答"
	msgDecisionRefused    message = "refused" + zh + "被拒绝"
	msgDecisionSuperseded message = "superseded" + zh + "已被取代"
)

// What to do about an order under review.
const (
	msgDoIdentity    message = "The answer is about another order: compare the numbers with the merchant platform and tell ChinaUMS." + zh + "答复的是另一笔订单：请与商户平台核对订单号，并联系银联商务。"
	msgDoNoAmount    message = "Paid, but the amount cannot be read: look it up on the merchant platform, then settle by hand." + zh + "已支付但金额无法读取：请在商户平台查明金额后人工确定。"
	msgDoAmount      message = "Paid with another amount: find out why the amounts differ, then settle by hand." + zh + "支付金额不一致：请查明原因后人工确定。"
	msgDoBadRequest  message = "The gateway refuses the question: correct mid, tid, inst_mid or the numbers, then ask again." + zh + "网关拒绝该查询：请更正 mid、tid、inst_mid 或订单号后重新查询。"
	msgDoUnconfirmed message = "The gateway does not know the order, but no other order of the merchant was found: check the merchant's settings, then ask again." + zh + "网关查无此订单，但该商户也没有其他订单被查到：请检查商户设置后重新查询。"
	msgDoWindow      message = "Still open at the give-up age: look it up on the merchant platform and settle by hand, or ask again." + zh + "超过查询期限仍无结果：请在商户平台查明后人工确定，或重新查询。"
	msgDoPoison      message = "Its questions ended the daemon: look into the logs of those times, then ask again." + zh + "查询该订单时程序曾中止：请查看当时的日志后重新查询。"
	msgDoNoCreds     message = "No app id lists the merchant: correct the order's mid, or add the merchant to the credentials file." + zh + "没有应用包含该商户：请更正订单的 mid，或将商户加入凭据文件。"
	msgDoConflict    message = "The application and the gateway contradict each other: compare both with the merchant platform, then settle by hand." + zh + "商户应用与网关的结果相矛盾：请与商户平台核对后人工确定。"
	msgDoUnwritable  message = "The table refuses a value of the answer: see the note, mend the cause, then ask again." + zh + "数据表拒绝写入答复中的某个值：请查看备注，排除原因后重新查询。"
	msgDoOther       message = "See the note." + zh + "请查看备注。"
)

// whatToDo is the advice for a review reason.
func whatToDo(reason string) message {
	m, known := map[string]message{
		order.ReviewIdentityMismatch: msgDoIdentity, order.ReviewAmountMissing: msgDoNoAmount, order.ReviewAmountMismatch: msgDoAmount,
		order.ReviewBadRequest: msgDoBadRequest, order.ReviewNotFoundUnconfirmed: msgDoUnconfirmed, order.ReviewWindowOver: msgDoWindow,
		order.ReviewPoison: msgDoPoison, order.ReviewNoCredentials: msgDoNoCreds, order.ReviewConflict: msgDoConflict, order.ReviewUnwritable: msgDoUnwritable,
	}[reason]
	if !known {
		return msgDoOther
	}
	return m
}
