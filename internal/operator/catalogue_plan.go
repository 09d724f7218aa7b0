package operator

// The plan.
const (
	msgPlanOf         message = "plan of order %d: %s" + zh + "订单 %d 的查询计划：%s"
	msgPlanWords      message = "%s, then ×%g up to %s, ±%g %%; daily from %s of age; a person at %s" + zh + "%s，其后每次 ×%g，最长 %s，±%g %%；下单 %s后每天一次；%s后转人工"
	msgPlanNone       message = "it is not asked by itself" + zh + "不会自动查询"
	msgPlanDaily      message = "daily" + zh + "每天一次"
	msgPlanNth        message = "question %d" + zh + "第 %d 次"
	msgPlanMore       message = "… until it goes to a person at %s" + zh + "…… 直至 %s 转人工"
	msgPlanWait       message = "wait %d" + zh + "等待 %d"
	msgPlanHour       message = "HOUR FROM" + zh + "时段开始"
	msgPlanQuestions  message = "QUESTIONS" + zh + "查询次数"
	msgPlanShare      message = "OF THE RATE" + zh + "占速率"
	msgSimulated      message = "an order that no answer settles: %d questions, %d in its first hour, %d in its first day; a person after %s" + zh + "一笔始终没有结果的订单：共查询 %d 次，第一小时 %d 次，第一天 %d 次；%s后转人工"
	msgSimulatedAll   message = "%s: at most %s questions" + zh + "%s：最多 %s 次查询"
	msgSimulatedHours message = "at the rate of one app id that takes %.1f hours in all" + zh + "按一个应用的速率共需 %.1f 小时"
)
