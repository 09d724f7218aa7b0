package operator

import "reconciler/internal/order"

// Outcome is an order's fate in one word.
type Outcome string

// The outcomes.
const (
	OutcomePaid     Outcome = "paid"
	OutcomeRefunded Outcome = "refunded"
	OutcomeClosed   Outcome = "closed"
	OutcomeNotFound Outcome = "not_found"
	OutcomeUnknown  Outcome = "unknown"
	OutcomeReview   Outcome = "review"
)

// OutcomeOf reads status and review reason. A review of an order that the application has settled
// since is over, unless it is a conflict.
func OutcomeOf(status order.Status, review string) Outcome {
	if review != "" && (!status.Settled() || review == order.ReviewConflict) {
		return OutcomeReview
	}
	switch status {
	case order.StatusTradeSuccess:
		return OutcomePaid
	case order.StatusTradeRefund:
		return OutcomeRefunded
	case order.StatusTradeClosed:
		return OutcomeClosed
	case order.StatusNotFound:
		return OutcomeNotFound
	}
	return OutcomeUnknown
}

// Tone says how an outcome is meant.
func (o Outcome) Tone() Tone {
	switch o {
	case OutcomePaid, OutcomeRefunded, OutcomeClosed:
		return Good
	case OutcomeReview:
		return Bad
	}
	return Warning
}

// Outcome is an order's fate in one word.
func (l Locale) Outcome(o Outcome) string {
	switch o {
	case OutcomePaid:
		return l.say(msgPaid)
	case OutcomeRefunded:
		return l.say(msgRefunded)
	case OutcomeClosed:
		return l.say(msgClosed)
	case OutcomeNotFound:
		return l.say(msgNotFound)
	case OutcomeReview:
		return l.say(msgReview)
	}
	return l.say(msgUnknown)
}
