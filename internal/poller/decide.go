package poller

import (
	"errors"
	"fmt"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/store"
)

// The reasons for which a person is needed that an answer alone can give.
const (
	reviewIdentity    = "identity_mismatch"
	reviewNoAmount    = "amount_missing"
	reviewAmount      = "amount_mismatch"
	reviewBadRequest  = "bad_request"
	reviewUnconfirmed = "not_found_unconfirmed"
	reviewWindowOver  = "query_window_over"
	reviewPoison      = "poison" // given without an answer

	reviewNoCredentials = "no_credentials" // given without a question
)

// The reasons of questions without an answer that the breaker reads.
const (
	reasonTransient   = "transient"
	reasonCredentials = "credentials"
	reasonMerchant    = "merchant"
)

// The reasons of answers that this program does not understand.
const (
	reasonUnknownCode      = "unknown_code"
	reasonNoCode           = "no_code"
	reasonUnknownStatus    = "unknown_status"
	reasonNoStatus         = "no_status"
	reasonUnreadableStatus = "unreadable_status"
)

// reply is what one round trip brought.
type reply struct {
	answer  chinaums.Answer
	trouble error // nil: HTTP 200 and SUCCESS
	// evidence is what the ledger says beside a NO_ORDER answer; nil while it is
	// not needed or cannot be read.
	evidence *store.Evidence
}

// decide is the whole policy of what an answer means: one pure function of the
// order, the reply and the time. Only its path through [Plan.byStatus] can settle
// an order, and only a reply without trouble gets there.
func (p Plan) decide(o store.Order, r reply, now time.Time) store.Outcome {
	if r.answer.Trade.HasStatus() {
		if why := mismatch(o, r.answer.Trade); why != "" {
			return review(o, reviewIdentity, why+
				" Nothing was booked. Compare the order's numbers with the merchant platform, and tell ChinaUMS.")
		}
	}
	if r.trouble == nil {
		return p.byStatus(o, r.answer.Trade, now)
	}
	var trouble *chinaums.Error
	if !errors.As(r.trouble, &trouble) {
		return p.unasked(o, store.NoAnswer, "internal_error", r.trouble.Error(), now)
	}
	if trouble.Class == chinaums.ClassNoOrder && r.answer.Trade.HasStatus() {
		return p.deferred(o, o.Status, "no_order", "the answer says both NO_ORDER and "+quote(string(r.answer.Trade.Status.Value)), now)
	}
	return p.byClass(o, trouble, r.evidence, now)
}

func (p Plan) byClass(o store.Order, trouble *chinaums.Error, e *store.Evidence, now time.Time) store.Outcome {
	switch trouble.Class {
	case chinaums.ClassNoOrder:
		return p.noOrder(o, e, now)
	case chinaums.ClassProcessing:
		out := p.deferred(o, o.Status, "order_processing", "another operation holds the order at the gateway", now)
		return notBefore(out, now.Add(processingLeast))
	case chinaums.ClassBadRequest:
		return review(o, reviewBadRequest, fmt.Sprintf("The gateway refuses the question itself: %s. "+
			"Check the order's mid, tid, inst_mid and numbers, correct them, and ask again with run-once --review.", trouble))
	case chinaums.ClassCredentials:
		return p.unasked(o, store.Refused, reasonCredentials, trouble.Error(), now)
	case chinaums.ClassMerchant:
		return p.unasked(o, store.Refused, reasonMerchant, trouble.Error(), now)
	case chinaums.ClassUnknownCode:
		return p.unread(o, reasonUnknownCode, trouble.Error(), now)
	case chinaums.ClassNoCode:
		return p.unread(o, reasonNoCode, trouble.Error(), now)
	default:
		return p.unasked(o, store.NoAnswer, reasonTransient, trouble.Error(), now)
	}
}

// byStatus reads the trade status of an answer that was handled (HTTP 200,
// SUCCESS) and whose identity holds.
func (p Plan) byStatus(o store.Order, t chinaums.Trade, now time.Time) store.Outcome {
	switch {
	case t.Status.Err != nil:
		return p.deferred(o, o.Status, reasonUnreadableStatus, "status: "+t.Status.Err.Error(), now)
	case !t.Status.Present:
		return p.unread(o, reasonNoStatus, "the answer has no status", now)
	}
	switch t.Status.Value {
	case chinaums.StatusTradeSuccess, chinaums.StatusTradeRefund:
		return paid(o, t)
	case chinaums.StatusTradeClosed:
		return closed(o, t)
	case chinaums.StatusNewOrder, chinaums.StatusWaitBuyerPay, chinaums.StatusUnknown:
		out := p.deferred(o, store.Status(t.Status.Value), "unresolved", "", now)
		return byExpiry(o, out, now)
	default:
		return p.deferred(o, o.Status, reasonUnknownStatus, "the status "+quote(string(t.Status.Value))+" is not known to this program", now)
	}
}

// mismatch says why an answer is not about the order; "" if it is. The merchant
// must be answered and equal, at least one number that the row holds as well,
// and none that it holds may be answered differently.
func mismatch(o store.Order, t chinaums.Trade) string {
	if !t.MID.Present || t.MID.Value != o.MID {
		return fmt.Sprintf("The answer is about merchant %s, the order's is %s.", answered(t.MID), o.MID)
	}
	matched := false
	for _, number := range []struct {
		name, held string
		answer     chinaums.Field[string]
	}{
		{"mer_order_id", o.MerOrderID, t.MerOrderID},
		{"target_order_id", o.TargetOrderID, t.TargetOrderID},
	} {
		if number.held == "" || !number.answer.Present {
			continue
		}
		if number.answer.Err != nil || number.answer.Value != number.held {
			return fmt.Sprintf("The answer is about %s %s, the order's is %s.", number.name, answered(number.answer), number.held)
		}
		matched = true
	}
	if !matched {
		return "The answer names neither of the order's numbers."
	}
	return ""
}

func answered(f chinaums.Field[string]) string {
	switch {
	case f.Err != nil:
		return f.Err.Error()
	case !f.Present:
		return "(none)"
	}
	return quote(f.Value)
}

// quote bounds foreign text.
func quote(text string) string {
	const most = 200
	if len(text) > most {
		return fmt.Sprintf("%q…", text[:most])
	}
	return fmt.Sprintf("%q", text)
}

// unread is an answer that says nothing of the order. It ends the late check of a
// NOT_FOUND order like NO_ORDER, and is deferred otherwise.
func (p Plan) unread(o store.Order, reason, trouble string, now time.Time) store.Outcome {
	if o.Status == store.StatusNotFound && o.ReviewReason == "" {
		out := lateCheck(o, now)
		out.Decision, out.Reason, out.LastError = store.Deferred, reason, trouble
		return out
	}
	return p.deferred(o, o.Status, reason, trouble, now)
}

// noOrder handles NO_ORDER. It is believed only of an old and expired order, at
// the third time, and only of a merchant for which other questions find orders:
// the same answer comes for a wrong merchant number or business type.
func (p Plan) noOrder(o store.Order, e *store.Evidence, now time.Time) store.Outcome {
	if o.Status == store.StatusNotFound && o.ReviewReason == "" {
		return lateCheck(o, now)
	}
	old := age(o, now) > p.NotFoundAfter && expired(o, now)
	confirmed := old && e != nil && e.MerchantFound
	switch {
	case o.ReviewReason != "" && o.ReviewReason != reviewUnconfirmed:
		// Someone is looking at it for another reason.
	case confirmed && e.NoOrders+1 >= noOrdersNeeded:
		next := now.Add(lateCheckAfter)
		return store.Outcome{
			Order: o, Decision: store.NotFound, Reason: "not_found", Status: store.StatusNotFound,
			NextQueryAt: &next, Event: store.EventNotFound,
		}
	case !confirmed && e != nil && age(o, now) > p.GiveUpAfter:
		return review(o, reviewUnconfirmed, fmt.Sprintf("The gateway has not known the order for %s (NO_ORDER), but either it has not expired, or no order of merchant %s was found in the last day either, "+
			"so that the merchant number, the business type or the credentials may be wrong. Check them; then ask again with run-once --review.", p.GiveUpAfter, o.MID))
	}
	return p.postponed(o, o.Status, "no_order", "the gateway does not know the order (NO_ORDER)", now)
}

// needsEvidence tells whether a NO_ORDER answer could end the order, so that the
// ledger is read only then.
func (p Plan) needsEvidence(o store.Order, trouble error, now time.Time) bool {
	var e *chinaums.Error
	return errors.As(trouble, &e) && e.Class == chinaums.ClassNoOrder &&
		o.Status != store.StatusNotFound && age(o, now) > p.NotFoundAfter
}

// lateCheck ends the last check of a NOT_FOUND order. Asked before its time, by
// hand, the order keeps it.
func lateCheck(o store.Order, now time.Time) store.Outcome {
	out := store.Outcome{Order: o, Decision: store.NotFound, Reason: "still_not_found", Status: store.StatusNotFound}
	if o.NextQueryAt != nil && o.NextQueryAt.After(now) {
		out.NextQueryAt = o.NextQueryAt
	}
	return out
}

// deferred asks again by the plan, or gives the order to a person when it is too
// old: the present answer has not resolved it.
func (p Plan) deferred(o store.Order, status store.Status, reason, trouble string, now time.Time) store.Outcome {
	if o.ReviewReason == "" && age(o, now) > p.GiveUpAfter {
		out := review(o, reviewWindowOver, fmt.Sprintf("The order is older than %s and the gateway's last word is: %s. "+
			"Look it up on the merchant platform and settle it by hand; or ask again with run-once --review.", p.GiveUpAfter, words(status, trouble)))
		out.Status, out.LastError = status, trouble
		return out
	}
	return p.postponed(o, status, reason, trouble, now)
}

// postponed asks again by the plan, at any age: NO_ORDER has its own give-up.
func (p Plan) postponed(o store.Order, status store.Status, reason, trouble string, now time.Time) store.Outcome {
	out := store.Outcome{Order: o, Decision: store.Deferred, Reason: reason, Status: status, LastError: trouble}
	return again(out, p.Wait(o, now), now)
}

// unasked is a question that brought no answer about the order: the plan is not
// spent, and the order waits a short while.
func (p Plan) unasked(o store.Order, decision store.Decision, reason, trouble string, now time.Time) store.Outcome {
	out := store.Outcome{Order: o, Decision: decision, Reason: reason, Status: o.Status, LastError: trouble}
	return again(out, min(p.Wait(o, now), noAnswerMost), now)
}

// again sets the next question. An order under review has none. A NOT_FOUND
// order that was asked about by hand keeps what it had: its late check, or none.
func again(out store.Outcome, wait time.Duration, now time.Time) store.Outcome {
	o := out.Order
	byHand := o.NextQueryAt == nil || o.NextQueryAt.After(now)
	switch {
	case o.ReviewReason != "":
	case out.Status == store.StatusNotFound && byHand:
		out.NextQueryAt = o.NextQueryAt
	default:
		next := now.Add(wait)
		out.NextQueryAt = &next
	}
	return out
}

// byExpiry brings the next question forward to just after the order's expiry,
// when its outcome is most likely known.
func byExpiry(o store.Order, out store.Outcome, now time.Time) store.Outcome {
	latest := o.ExpiresAt.Add(expiryMargin)
	if out.NextQueryAt != nil && !expired(o, now) && out.NextQueryAt.After(latest) {
		out.NextQueryAt = &latest
	}
	return out
}

func notBefore(out store.Outcome, earliest time.Time) store.Outcome {
	if out.Decision == store.Deferred && out.NextQueryAt != nil && out.NextQueryAt.Before(earliest) {
		out.NextQueryAt = &earliest
	}
	return out
}

// review gives the order to a person. The application hears of it once.
func review(o store.Order, reason, note string) store.Outcome {
	out := store.Outcome{
		Order: o, Decision: store.Review, Reason: reason, Status: o.Status,
		ReviewReason: reason, ReviewNote: note,
	}
	if o.ReviewReason != reason {
		out.Event = store.EventReview
	}
	return out
}

func words(status store.Status, trouble string) string {
	if trouble != "" {
		return trouble
	}
	return string(status)
}
