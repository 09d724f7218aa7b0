package operator

// Pauses.
const (
	msgColUntil   message = "UNTIL" + zh + "截止时间"
	msgPausedNow  message = "paused %s %s; %s, %s wait" + zh + "已暂停%s，%s；%s，%s 在等待"
	msgResumedNow message = "resumed %s; %s, %s waited" + zh + "已恢复%s；此前 %s，%s 在等待"
)
