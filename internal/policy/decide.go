// Package policy decides: the meaning of an answer, the values to book, and the time of the next
// question. It is pure. It has no clock and no I/O, and one call depends on its arguments alone.
//
// # Two layers
//
// An answer has an envelope (HTTP status, errCode) and a trade status. The envelope says whether
// the question was answered. Only the trade status says something about the payment.
// [Rules.Decide] reads the trade status of an answer without trouble and of no other, so that no
// error can become a settlement.
//
// The numbers in comments are the rows of the decision table in docs/decisions.md.
package policy

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/order"
)

// Rules are the settings that decisions depend on.
type Rules struct {
	Plan Plan
	Lang string // of the review notes: "en" or "zh"; anything else is English
}

// Reply is the result of one round trip, with what is known beside it.
type Reply struct {
	Answer  chinaums.Answer
	Trouble error // nil: HTTP 200 and SUCCESS
	// Evidence is the ledger's part of a NO_ORDER answer. It is nil where it is not needed or
	// cannot be read; see [Rules.NeedsEvidence].
	Evidence *order.Evidence
	// OthersAnsweredAt is the time of the app's last usable answer about another order, by the
	// database's clock. It is zero where none is known.
	OthersAnsweredAt time.Time
}

// Decide is the whole meaning of a reply about an order, now being the database's clock.
func (r Rules) Decide(o order.Order, reply Reply, now time.Time) order.Outcome {
	out := r.decideReply(o, reply, now)
	if out.Decision == order.NoAnswer && hasOwnTrouble(o, reply.OthersAnsweredAt) {
		return r.deferOrder(o, o.Status, order.ReasonUnusableAnswer, out.LastError, now)
	}
	return out
}

// hasOwnTrouble reports whether the trouble is the order's alone: others of its app were answered
// since its last question. A NOT_FOUND order has no plan to spend: nothing but an answer ends its
// late check.
func hasOwnTrouble(o order.Order, othersAnsweredAt time.Time) bool {
	return o.Status != order.StatusNotFound && o.LastQueriedAt != nil && othersAnsweredAt.After(*o.LastQueriedAt)
}

func (r Rules) decideReply(o order.Order, reply Reply, now time.Time) order.Outcome {
	trade := reply.Answer.Trade
	if trade.HasStatus() { // row 1
		switch claim := compareIdentity(o, trade); {
		case claim.proven:
		case claim.contradiction != "" || isSettlement(trade):
			return giveToReview(o, order.ReviewIdentityMismatch, r.identityNote(claim))
		case !gatewayFailed(reply.Trouble): // else the envelope decides: an overloaded gateway's status says nothing
			return r.deferOrder(o, o.Status, order.ReasonIdentityUnproven, claim.missing, now)
		}
	}
	if reply.Trouble == nil {
		return r.byStatus(o, trade, now)
	}
	trouble, found := errors.AsType[*chinaums.Error](reply.Trouble)
	if !found {
		return r.notAnswered(o, order.NoAnswer, order.ReasonInternalError, reply.Trouble.Error(), now)
	}
	if trouble.Class == chinaums.ClassNoOrder && trade.HasStatus() {
		text := "the answer says both NO_ORDER and " + quoteText(string(trade.Status.Value))
		return r.deferOrder(o, o.Status, order.ReasonNoOrder, text, now)
	}
	return r.byClass(o, trouble, reply, now)
}

// byClass reads the envelope of an answer that brought no trade status to act on.
func (r Rules) byClass(o order.Order, trouble *chinaums.Error, reply Reply, now time.Time) order.Outcome {
	text := trouble.Error()
	switch trouble.Class {
	case chinaums.ClassNoOrder: // row 10
		return r.noOrder(o, reply.Evidence, now)
	case chinaums.ClassProcessing: // row 11
		return r.busyOrder(o, now)
	case chinaums.ClassBadRequest: // row 12
		return giveToReview(o, order.ReviewBadRequest, r.badRequestNote(text))
	case chinaums.ClassCredentials: // row 13
		return r.notAnswered(o, order.Refused, order.ReasonCredentials, text, now)
	case chinaums.ClassMerchant: // row 14
		return r.notAnswered(o, order.Refused, order.ReasonMerchant, text, now)
	case chinaums.ClassUnknownCode: // row 16
		return r.decideUninformative(o, order.ReasonUnknownCode, text, now)
	case chinaums.ClassNoCode: // row 9
		if reply.Answer.Trade.HasStatus() {
			return r.deferOrder(o, o.Status, order.ReasonNoCode, text, now)
		}
		return r.decideUninformative(o, order.ReasonNoCode, text, now)
	default: // row 15
		return r.notAnswered(o, order.NoAnswer, order.ReasonTransient, text, now)
	}
}

// byStatus reads the trade status of an answer that was handled (HTTP 200, SUCCESS) and whose
// identity holds.
func (r Rules) byStatus(o order.Order, t chinaums.Trade, now time.Time) order.Outcome {
	switch {
	case t.Status.Err != nil:
		return r.deferOrder(o, o.Status, order.ReasonUnreadableStatus, "status: "+t.Status.Err.Error(), now)
	case !t.Status.Present:
		return r.decideUninformative(o, order.ReasonNoStatus, "the answer has no status", now)
	}
	switch t.Status.Value {
	case chinaums.StatusTradeSuccess, chinaums.StatusTradeRefund: // rows 2 to 5
		return r.decidePaid(o, t, now)
	case chinaums.StatusTradeClosed: // row 6
		return decideClosed(o, t, now)
	case chinaums.StatusNewOrder, chinaums.StatusWaitBuyerPay, chinaums.StatusUnknown: // row 7
		return r.deferUnresolved(o, order.Status(t.Status.Value), now)
	default:
		text := "the status " + quoteText(string(t.Status.Value)) + " is not known to this program"
		return r.deferOrder(o, o.Status, order.ReasonUnknownStatus, text, now)
	}
}

// deferUnresolved is the decision about an answer that leaves the order open (row 7).
func (r Rules) deferUnresolved(o order.Order, status order.Status, now time.Time) order.Outcome {
	return beforeExpiry(o, r.deferOrder(o, status, order.ReasonUnresolved, "", now), now)
}

// isSettlement reports whether the status would settle an order.
func isSettlement(t chinaums.Trade) bool {
	return t.Status.Err == nil && order.Status(t.Status.Value).Settled()
}

// identity is the comparison of an answer with the order that was asked about.
type identity struct {
	proven        bool   // the merchant and at least one number are answered and equal
	contradiction string // the value that is answered differently; "": none
	field         string // of the contradiction, with the answer and what the order holds
	answered      string
	held          string
	missing       string // the value that is not answered; "": none
}

// compareIdentity compares merchant and numbers. A number that the row lacks proves and contradicts
// nothing.
func compareIdentity(o order.Order, t chinaums.Trade) identity {
	matched := 0
	for _, part := range []struct {
		name, held string
		answer     chinaums.Field[string]
	}{
		{"merchant", o.MID, t.MID},
		{"mer_order_id", o.MerOrderID, t.MerOrderID},
		{"target_order_id", o.TargetOrderID, t.TargetOrderID},
	} {
		switch {
		case part.held == "" || !part.answer.Present:
		case part.answer.Err != nil || part.answer.Value != part.held:
			answered := showField(part.answer)
			return identity{
				contradiction: fmt.Sprintf("The answer is about %s %s, the order's is %s.", part.name, answered, part.held),
				field:         part.name, answered: answered, held: part.held,
			}
		default:
			matched++
		}
	}
	switch {
	case !t.MID.Present:
		return identity{missing: fmt.Sprintf("The answer is about merchant (none), the order's is %s.", o.MID)}
	case matched < 2:
		return identity{missing: "The answer names neither of the order's numbers."}
	}
	return identity{proven: true}
}

// IsAboutAnother reports whether an answer is about another order than the one that was asked
// about. Such an answer shows that its connection is out of step.
func IsAboutAnother(o order.Order, a chinaums.Answer) bool {
	return a.Trade.HasStatus() && compareIdentity(o, a.Trade).contradiction != ""
}

// busyOrder handles ORDER_PROCESSING. It does not end a late check, at any age: the check has yet to
// take place.
func (r Rules) busyOrder(o order.Order, now time.Time) order.Outcome {
	deferBy := r.deferOrder
	if o.Status == order.StatusNotFound {
		deferBy = r.rescheduleOrder
	}
	out := deferBy(o, o.Status, order.ReasonOrderProcessing, "another operation holds the order at the gateway", now)
	return notBefore(out, now.Add(minProcessingWait))
}

// decideUninformative handles an answer that says nothing about the order. Like NO_ORDER, it ends
// the late check of a NOT_FOUND order; any other order is deferred.
func (r Rules) decideUninformative(o order.Order, reason, trouble string, now time.Time) order.Outcome {
	if o.Status == order.StatusNotFound && o.ReviewReason == "" {
		return endLateCheck(o, reason, trouble, now)
	}
	return r.deferOrder(o, o.Status, reason, trouble, now)
}

// noOrder handles NO_ORDER. It is believed only about an old and expired order, at the third time,
// and only for a merchant of which other orders were found: a wrong merchant number or business
// type gets the same answer.
func (r Rules) noOrder(o order.Order, e *order.Evidence, now time.Time) order.Outcome {
	if o.Status == order.StatusNotFound && o.ReviewReason == "" {
		return endLateCheck(o, order.ReasonStillNotFound, "", now)
	}
	confirmed := ageOf(o, now) > r.Plan.NotFoundAfter && isExpired(o, now) && e != nil && e.MerchantFound
	switch {
	case o.ReviewReason != "" && o.ReviewReason != order.ReviewNotFoundUnconfirmed:
		// A person looks at it for another reason.
	case confirmed && e.NoOrders+1 >= minNoOrders:
		next := now.Add(lateCheckAfter)
		return order.Outcome{
			Order: o, Decision: order.NotFound, Reason: order.ReasonNotFound, Status: order.StatusNotFound,
			NextQueryAt: &next, Event: order.EventNotFound,
		}
	case !confirmed && e != nil && ageOf(o, now) > r.Plan.GiveUpAfter:
		return giveToReview(o, order.ReviewNotFoundUnconfirmed, r.unconfirmedNote(o))
	}
	return r.rescheduleOrder(o, o.Status, order.ReasonNoOrder, "the gateway does not know the order (NO_ORDER)", now)
}

// NeedsEvidence reports whether a NO_ORDER answer could end the order, so that the ledger is read
// only then.
func (r Rules) NeedsEvidence(o order.Order, trouble error, now time.Time) bool {
	e, found := errors.AsType[*chinaums.Error](trouble)
	return found && e.Class == chinaums.ClassNoOrder &&
		o.Status != order.StatusNotFound && ageOf(o, now) > r.Plan.NotFoundAfter
}

// EvidenceSince is the earliest found answer of a merchant that still counts as evidence.
func EvidenceSince(now time.Time) time.Time { return now.Add(-foundWithin) }

// endLateCheck ends the last check of a NOT_FOUND order. An order that is asked by hand before its
// time keeps its late check.
func endLateCheck(o order.Order, reason, trouble string, now time.Time) order.Outcome {
	out := order.Outcome{
		Order: o, Decision: order.NotFound, Reason: reason, Status: order.StatusNotFound, LastError: trouble,
	}
	if o.NextQueryAt != nil && o.NextQueryAt.After(now) {
		out.NextQueryAt = o.NextQueryAt
	}
	return out
}

// deferOrder asks again by the plan, or gives an order that is too old to a person (row 17).
func (r Rules) deferOrder(o order.Order, status order.Status, reason, trouble string, now time.Time) order.Outcome {
	if o.ReviewReason == "" && ageOf(o, now) > r.Plan.GiveUpAfter {
		out := giveToReview(o, order.ReviewWindowOver, r.windowOverNote(cmp.Or(trouble, string(status))))
		out.Status, out.LastError = status, trouble
		return out
	}
	return r.rescheduleOrder(o, status, reason, trouble, now)
}

// rescheduleOrder asks again by the plan, at any age: NO_ORDER has a give-up of its own.
func (r Rules) rescheduleOrder(o order.Order, status order.Status, reason, trouble string, now time.Time) order.Outcome {
	out := order.Outcome{Order: o, Decision: order.Deferred, Reason: reason, Status: status, LastError: trouble}
	return scheduleNext(out, r.Plan.Wait(o, now), now)
}

// NotAnswered is the outcome of a question that brought no answer about the order because of a
// fault of our own, such as a panic.
func (r Rules) NotAnswered(o order.Order, reason, trouble string, now time.Time) order.Outcome {
	return r.notAnswered(o, order.NoAnswer, reason, trouble, now)
}

// notAnswered leaves the plan unspent. The order waits for the plan's present wait, at most five
// minutes.
func (r Rules) notAnswered(o order.Order, decision order.Decision, reason, trouble string, now time.Time) order.Outcome {
	out := order.Outcome{Order: o, Decision: decision, Reason: reason, Status: o.Status, LastError: trouble}
	return scheduleNext(out, min(r.Plan.Wait(o, now), maxNoAnswerWait), now)
}

// scheduleNext sets the next question. An order under review has none. A NOT_FOUND order that was
// asked by hand keeps what it had: its late check, or none.
func scheduleNext(out order.Outcome, wait time.Duration, now time.Time) order.Outcome {
	o := out.Order
	byHand := o.NextQueryAt == nil || o.NextQueryAt.After(now)
	switch {
	case o.ReviewReason != "":
	case out.Status == order.StatusNotFound && byHand:
		out.NextQueryAt = o.NextQueryAt
	default:
		next := now.Add(wait)
		out.NextQueryAt = &next
	}
	return out
}

// beforeExpiry brings the next question forward to just after the order's expiry, when its outcome
// is most likely known.
func beforeExpiry(o order.Order, out order.Outcome, now time.Time) order.Outcome {
	latest := o.ExpiresAt.Add(expiryMargin)
	if out.NextQueryAt != nil && !isExpired(o, now) && out.NextQueryAt.After(latest) {
		out.NextQueryAt = &latest
	}
	return out
}

func notBefore(out order.Outcome, earliest time.Time) order.Outcome {
	if out.Decision == order.Deferred && out.NextQueryAt != nil && out.NextQueryAt.Before(earliest) {
		out.NextQueryAt = &earliest
	}
	return out
}

// giveToReview gives the order to a person. The application hears of each reason once.
func giveToReview(o order.Order, reason, note string) order.Outcome {
	out := order.Outcome{
		Order: o, Decision: order.Review, Reason: reason, Status: o.Status,
		ReviewReason: reason, ReviewNote: note,
	}
	if o.ReviewReason != reason {
		out.Event = order.EventReview
	}
	return out
}

// Poison sets aside an order whose last questions ended with their process. It is not asked.
func (r Rules) Poison(o order.Order) order.Outcome {
	return giveToReview(o, order.ReviewPoison, r.poisonNote(o.UnrecordedClaims-1))
}

// NoCredentials sets aside an order whose merchant is in nobody's list. It is not asked.
func (r Rules) NoCredentials(o order.Order) order.Outcome {
	return giveToReview(o, order.ReviewNoCredentials, r.noCredentialsNote(o.MID))
}

// Request names the order to the gateway.
func Request(o order.Order) chinaums.Request {
	return chinaums.Request{
		MID: o.MID, TID: o.TID, InstMID: o.InstMID,
		MerOrderID: o.MerOrderID, TargetOrderID: o.TargetOrderID,
	}
}
