package operator

// Orders that need a person.
const (
	msgColID       message = "ID" + zh + "编号"
	msgColMerchant message = "MERCHANT" + zh + "商户"
	msgColOrder    message = "ORDER" + zh + "订单号"
	msgColAskedFor message = "ASKED FOR" + zh + "应付"
	msgColGateway  message = "GATEWAY SAYS" + zh + "网关答复"
	msgColReason   message = "REASON" + zh + "原因"
	msgColSince    message = "SINCE" + zh + "起始时间"
	msgColDo       message = "WHAT TO DO" + zh + "处理办法"

	msgResolveHead    message = "order %d (%s), merchant %s, %s   times are %s" + zh + "订单 %d（%s），商户 %s，%s   时间均为 %s"
	msgResolveEvent   message = "  the application hears %s, settled_by \"hand\"" + zh + "  将通知商户应用 %s，settled_by 为 \"hand\""
	msgResolveBefore  message = "  it was settled before, at %s: the event says settled_before" + zh + "  此前已于 %s 有结果：事件中带 settled_before"
	msgResolveActor   message = "  recorded as %s, reason %q, evidence %q" + zh + "  记录为 %s，原因 %q，依据 %q"
	msgResolveConfirm message = "Settle it? The application may ship goods. [y/N] " + zh + "确定吗？商户应用可能因此发货。[y/N] "
	msgResolved       message = "order %d is settled; action %d, event %d" + zh + "订单 %d 已确定；操作 %d，事件 %d"
	msgRetried        message = "order %d is due again; action %d" + zh + "订单 %d 将重新查询；操作 %d"
)

// What people did.
const (
	msgWhatEvents  message = "events %s" + zh + "事件 %s"
	msgWhatOrders  message = "orders %s" + zh + "订单 %s"
	msgWhatPruned  message = "%d questions, %d events" + zh + "查询 %d 次，事件 %d 个"
	msgNoActions   message = "no action" + zh + "没有记录"
	msgColAt       message = "AT" + zh + "时间"
	msgColWho      message = "WHO (DATABASE USER)" + zh + "操作人（数据库用户）"
	msgColVia      message = "VIA" + zh + "途径"
	msgColAction   message = "ACTION" + zh + "操作"
	msgColChange   message = "CHANGE" + zh + "变更"
	msgColEvidence message = "EVIDENCE" + zh + "依据"
)
