package operator

// message is a sentence in both languages: the English format, [zh], the Chinese format. Both take
// the same arguments. A test holds every message against that.
type message string

// zh parts the languages of a message.
const zh = "\x00"

// Durations, counts and names.
const (
	msgDaysHours      message = "%d d %d h" + zh + "%d 天 %d 小时"
	msgHoursMinutes   message = "%d h %d min" + zh + "%d 小时 %d 分"
	msgMinutesSeconds message = "%d min %d s" + zh + "%d 分 %d 秒"
	msgSeconds        message = "%d s" + zh + "%d 秒"
	msgPartsOfSecond  message = "%g s" + zh + "%g 秒"
	msgMilliseconds   message = "%d ms" + zh + "%d 毫秒"
	msgAppID          message = "app id %s" + zh + "应用 %s"
	msgMerchant       message = "merchant %s" + zh + "商户 %s"
	msgBreaker        message = "the circuit breaker" + zh + "熔断器"
	msgUntil          message = "until %s" + zh + "至 %s"
	msgUntilResumed   message = "until somebody resumes" + zh + "直至有人恢复"
	msgPausedBy       message = "%s is paused by %s %s: %s" + zh + "%s 由 %s 暂停，%s：%s"
	msgOneOrder       message = "1 order" + zh + "1 笔订单"
	msgManyOrders     message = "%s orders" + zh + "%s 笔订单"
	msgTotal          message = "total" + zh + "合计"
	msgZone           message = "times are %s" + zh + "时间均为 %s"
)

// The verdict of status, and the states of checks.
const (
	msgVerdictOK        message = "OK" + zh + "正常"
	msgVerdictAttention message = "ATTENTION" + zh + "需要关注"
	msgVerdictCritical  message = "CRITICAL" + zh + "严重"
	msgVerdictAll       message = "all %d checks are well" + zh + "全部 %d 项检查正常"
	msgVerdictOne       message = "1 of %d checks needs a person" + zh + "%d 项检查中有 1 项需要人处理"
	msgVerdictSome      message = "%d of %d checks need a person" + zh + "%[2]d 项检查中有 %[1]d 项需要人处理"

	msgStateOK        message = "ok" + zh + "正常"
	msgStateNote      message = "note" + zh + "提示"
	msgStateAttention message = "attention" + zh + "关注"
	msgStateCritical  message = "CRITICAL" + zh + "严重"
	msgStateWarn      message = "warn" + zh + "警告"
	msgStateFail      message = "FAIL" + zh + "失败"
)

// The checks of status.
const (
	msgNotLookedAt     message = "not looked at" + zh + "未检查"
	msgCannotBeRead    message = "cannot be read: %s" + zh + "无法读取：%s"
	msgDatabaseAnswers message = "answers" + zh + "可以连接"
	msgDatabaseFails   message = "the database cannot be reached: %s" + zh + "无法连接数据库：%s"
	msgSchemaCurrent   message = "up to date" + zh + "已是最新"
	msgSchemaNewer     message = "newer than this program, which works with it: migration %d" + zh + "比本程序新（迁移 %d），可以继续使用"
	msgSchemaOld       message = "older than this program: run reconciler migrate up" + zh + "比本程序旧：请运行 reconciler migrate up"

	msgInstancesAlive message = "%d alive: %s" + zh + "%d 个实例在运行：%s"
	msgInstanceSeen   message = "%s (%s, seen %s ago)" + zh + "%s（%s，%s前）"
	msgInstancesDead  message = "no daemon was seen in the last minute; the last one was %s, %s ago" + zh + "一分钟内没有实例上报；最后一个是 %s，%s前"
	msgInstancesNone  message = "no daemon was seen in the last day" + zh + "一天内没有任何实例上报"
	msgVersionsDiffer message = "versions differ" + zh + "版本不一致"

	msgPassEnded    message = "the last one ended %s ago" + zh + "最近一轮于 %s前结束"
	msgPassGoesOn   message = "one goes on; the last question began %s ago" + zh + "一轮正在进行；最近一次查询于 %s前开始"
	msgPassNotYet   message = "none has ended yet; the daemon started %s ago" + zh + "尚无一轮结束；实例于 %s前启动"
	msgPassTooOld   message = "none has ended for %s" + zh + "已有 %s没有一轮结束"
	msgPassNobody   message = "no daemon is there to do one" + zh + "没有实例执行"
	msgWritingWell  message = "no daemon reports trouble" + zh + "没有实例报告故障"
	msgWritingFails message = "%s: %s" + zh + "%s：%s"

	msgGatewayAnswers message = "%.1f %% of the latest questions (%s) were answered, p95 %.0f ms" + zh + "最近 %[2]s 次查询有 %.1[1]f %% 得到应答，p95 %.0[3]f 毫秒"
	msgGatewaySilent  message = "no question in the last hour" + zh + "最近一小时没有查询"
	msgGatewayPaused  message = "%s is paused since %s: %s" + zh + "%s 自 %s 起暂停：%s"

	msgOverdueNone   message = "no order waits longer than it should" + zh + "没有逾期的订单"
	msgOverdueSome   message = "%s, the longest for %s" + zh + "%s，最久 %s"
	msgPausedNone    message = "nothing is paused" + zh + "没有暂停"
	msgPausedByNone  message = "no pause by a person" + zh + "没有人工暂停"
	msgPausedWaiting message = "%s (%s, %s wait)" + zh + "%s（%s，%s 在等待）"
	msgReviewNone    message = "no order needs a person" + zh + "没有需要人工处理的订单"
	msgReviewSome    message = "%s, %s, the oldest %s old: reconciler review list" + zh + "%s，%s，最早的已有 %s：reconciler review list"
	msgEventsNobody  message = "no consumer is registered" + zh + "没有登记的消费者"
	msgEventsRead    message = "consumers: %d, nothing unread for longer than 15 min" + zh + "%d 个消费者，没有超过 15 分钟未读的事件"
	msgEventsUnread  message = "%s has not acknowledged an event of %s ago" + zh + "%s 尚未确认 %s前的事件"
	msgEventsAside   message = "deliveries set aside: %s: reconciler events resend --failed" + zh + "%s 次投递被搁置：reconciler events resend --failed"
)

// The names of the checks, and the rest of the page of status.
const (
	msgCheckDatabase  message = "database" + zh + "数据库"
	msgCheckSchema    message = "schema" + zh + "表结构"
	msgCheckInstances message = "instances" + zh + "实例"
	msgCheckPasses    message = "passes" + zh + "轮次"
	msgCheckWriting   message = "writing" + zh + "写入"
	msgCheckGateway   message = "gateway" + zh + "网关"
	msgCheckOverdue   message = "overdue" + zh + "逾期"
	msgCheckPaused    message = "paused" + zh + "暂停"
	msgCheckReview    message = "review" + zh + "人工复核"
	msgCheckEvents    message = "events" + zh + "事件"

	msgOpenMoney     message = "open money" + zh + "未决金额"
	msgUnder10m      message = "<10 min" + zh + "10 分钟内"
	msgUnder1h       message = "10 min-1 h" + zh + "10 分钟至 1 小时"
	msgUnder24h      message = "1 h-24 h" + zh + "1 至 24 小时"
	msgOlder         message = ">24 h" + zh + "超过 24 小时"
	msgOrders        message = "orders" + zh + "订单数"
	msgAmount        message = "amount" + zh + "金额"
	msgPausedMark    message = "%s (paused)" + zh + "%s（已暂停）"
	msgMoreMerchants message = "and %s more merchants (pipe the output to see all)" + zh + "另有 %s 个商户（用管道输出可看全部）"
	msgMoreIncidents message = "and %s more: reconciler incidents" + zh + "另有 %s 条：reconciler incidents"
	msgOpenUnread    message = "what is open could not be read" + zh + "无法读取未决订单"
	msgNothingOpen   message = "nothing is open" + zh + "没有未决订单"

	msgLearned      message = "last 7 days: %s outcomes that the shop had not heard of" + zh + "最近 7 天：查明了商户未收到通知的 %s 笔订单"
	msgLearnedAfter message = "learned after %s (median), %s (95 %%)" + zh + "查明用时 %s（中位数），%s（95 %%）"
	msgPaid         message = "paid" + zh + "已支付"
	msgRefunded     message = "refunded" + zh + "已退款"
	msgClosed       message = "closed" + zh + "已关闭"

	msgIncidents    message = "incidents of the last 7 days" + zh + "最近 7 天的事件记录"
	msgGoesOn       message = "goes on" + zh + "进行中"
	msgQuestionLost message = "1 question lost" + zh + "1 次查询无应答"
	msgManyLost     message = "%s questions lost" + zh + "%s 次查询无应答"
)

// Outcomes and lists.
const (
	msgNotFound message = "not found" + zh + "网关无此订单"
	msgReview   message = "needs a person" + zh + "需人工处理"
	msgUnknown  message = "not known yet" + zh + "尚不清楚"

	msgNoIncidents message = "no incident" + zh + "没有记录"
	msgColOpened   message = "BEGAN" + zh + "开始"
	msgColClosed   message = "ENDED" + zh + "结束"
	msgColWhat     message = "WHAT" + zh + "对象"
	msgColDuration message = "LASTED" + zh + "持续"
	msgColLost     message = "LOST" + zh + "损失"
	msgColBy       message = "BY" + zh + "操作人"
	msgColCause    message = "CAUSE" + zh + "原因"
)
