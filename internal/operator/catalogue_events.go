package operator

// The events and their delivery.
const (
	msgNoEvents         message = "there is no such event" + zh + "没有符合条件的事件"
	msgColEvent         message = "EVENT" + zh + "事件"
	msgColEventOrder    message = "ORDER" + zh + "订单"
	msgColWritten       message = "WRITTEN" + zh + "产生时间"
	msgColDelivery      message = "DELIVERY" + zh + "推送"
	msgColLastAnswer    message = "LAST ANSWER" + zh + "最近应答"
	msgDelivered        message = "delivered %s" + zh + "已于 %s 送达"
	msgSetAsideAt       message = "set aside %s after %d attempts" + zh + "已于 %s 搁置，共尝试 %d 次"
	msgFailing          message = "failures: %d, next %s" + zh + "已失败 %d 次，下次 %s"
	msgWaitsForDelivery message = "waits" + zh + "等待推送"
	msgNotSent          message = "not sent by HTTP" + zh + "不经 HTTP 推送"
	msgResent           message = "events to be sent again: %d" + zh + "将重新推送的事件数：%d"
)
