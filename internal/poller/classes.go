package poller

import (
	"reconciler/internal/chinaums"
	"reconciler/internal/order"
)

// AnswerClasses lists the classes that an observer may be told of. "ok" is no trouble.
func AnswerClasses() []string {
	classes := []string{"ok", order.ReasonInternalError}
	for _, class := range chinaums.Classes() {
		classes = append(classes, class.String())
	}
	return classes
}
