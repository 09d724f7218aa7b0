package operator

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// maxThen bounds the further questions in an order's future.
const maxThen = 6

// foresight is how far the future of an order is reckoned.
const foresight = 10 * 365 * 24 * time.Hour

// stepsToCome lists what is to come, if each answer defers the order.
func (d *Desk) stepsToCome(f findings) []Then {
	o := f.order.Order
	list := []Then{}
	add := func(at *time.Time, what string) {
		if at != nil {
			list = append(list, Then{At: d.localTime(*at), What: what})
		}
	}
	addFuture := func(at *time.Time, what string) {
		if at != nil && at.After(f.now) {
			add(at, what)
		}
	}
	s := d.Rules.Schedule(o, f.now, f.now.Add(foresight), maxThen+1)
	if len(s.Questions) == 0 {
		return list
	}
	for _, at := range s.Questions[1:] {
		addFuture(&at, "question")
	}
	if o.Status != order.StatusNotFound {
		addFuture(&o.ExpiresAt, "expiry")
	}
	addFuture(s.SlowFrom, "slow_lane")
	// The last question of an order stays to come while it is due.
	add(s.ReviewAt, "give_up")
	add(s.LateCheckAt, "late_check")
	slices.SortStableFunc(list, func(a, b Then) int { return a.At.Compare(b.At) })
	return list
}

// Then is something that is to come, in words.
func (l Locale) Then(what string) string {
	return translate(l, map[string]message{
		"question": msgThenQuestion, "expiry": msgThenExpiry, "slow_lane": msgThenSlow, "give_up": msgThenGiveUp, "late_check": msgThenLateCheck,
	}, what)
}

// storyOf is what happened, the oldest first.
func (d *Desk) storyOf(f findings) []Moment {
	o := f.order
	list := []Moment{{At: d.localTime(o.CreatedAt), Kind: "created", Text: d.say(msgCreated, Yuan(o.OrderAmount))}}
	for i, q := range f.history.Questions {
		row := f.history.Questions[i]
		row.QueriedAt, row.NextQueryAt = d.localTime(q.QueriedAt), d.localOf(q.NextQueryAt)
		list = append(list, Moment{At: row.QueriedAt, Kind: "asked", Text: d.questionInWords(q), LedgerRow: &row})
	}
	for _, e := range f.history.Events {
		list = append(list, Moment{At: d.localTime(e.CreatedAt), Kind: "event", Text: d.eventInWords(e)})
	}
	for _, a := range f.history.Actions {
		list = append(list, Moment{At: d.localTime(a.At), Kind: "action", Text: d.actionInWords(a)})
	}
	for _, i := range f.incidents {
		if o.Status.Settled() && i.OpenedAt.After(o.UpdatedAt) {
			continue // the order was settled before
		}
		if !i.OpenedAt.Before(o.CreatedAt) {
			list = append(list, Moment{At: d.localTime(i.OpenedAt), Kind: "paused", Text: d.say(msgStoryPaused, d.Target(i.Scope, i.Key), d.PersonName(i.OpenedBy), i.Cause)})
		}
		if i.ClosedAt != nil {
			list = append(list, Moment{At: d.localTime(*i.ClosedAt), Kind: "resumed", Text: d.say(msgStoryResumed, d.Target(i.Scope, i.Key), d.PersonName(i.ClosedBy))})
		}
	}
	slices.SortStableFunc(list, func(a, b Moment) int { return a.At.Compare(b.At) })
	return list
}

// questionInWords is a question in one line.
func (d *Desk) questionInWords(q store.LedgerRow) string {
	code, text := codeShown(q)
	answer := strings.Join(slices.DeleteFunc([]string{d.tradeStatus(textOf(q.TradeStatus)), code, text}, func(s string) bool { return s == "" }), " ")
	if answer == "" {
		answer = d.say(msgNothingCame)
	}
	text = d.say(msgStoryAsked, answer, d.Decision(q.Decision), textOf(q.Reason))
	if q.NextQueryAt != nil {
		text += d.say(msgStoryNext, d.Age(q.NextQueryAt.Sub(q.QueriedAt)))
	}
	return text + d.say(msgStoryBy, textOf(q.Worker), q.DurationMS)
}

// codeShown leaves out code and message of an ordinary answer. The gateway says 交易不存在 (no such
// trade) there of an order that is merely unpaid.
func codeShown(q store.LedgerRow) (code, text string) {
	if textOf(q.ErrCode) == "SUCCESS" {
		return "", ""
	}
	return textOf(q.ErrCode), textOf(q.ErrMsg)
}

// tradeStatus is a status of the gateway, with its meaning where the order stays open. What a final
// status means depends on the decision.
func (l Locale) tradeStatus(status string) string {
	m, known := map[order.Status]message{
		order.StatusUnknown: msgStatusUnknown, order.StatusNewOrder: msgStatusNew, order.StatusWaitBuyerPay: msgStatusWaits,
	}[order.Status(status)]
	if !known {
		return status
	}
	return l.say(msgStatusInWords, status, l.say(m))
}

// Decision is what a question led to, in one word.
func (l Locale) Decision(d order.Decision) string {
	return translate(l, map[order.Decision]message{
		order.Settled: msgDecisionSettled, order.Deferred: msgDecisionDeferred, order.NotFound: msgDecisionNotFound, order.Review: msgDecisionReview,
		order.NoAnswer: msgDecisionNoAnswer, order.Refused: msgDecisionRefused, order.Superseded: msgDecisionSuperseded,
	}, d)
}

// eventInWords is an event in one line.
func (d *Desk) eventInWords(e store.EventRow) string {
	var payload struct {
		ReviewReason  string `json:"review_reason"`
		SettledBefore bool   `json:"settled_before"`
	}
	_ = json.Unmarshal(e.Payload, &payload) // an unreadable payload is not shown
	text := d.say(msgStoryEvent, e.Event)
	if payload.ReviewReason != "" {
		text += " " + payload.ReviewReason
	}
	if payload.SettledBefore {
		text += d.say(msgStoryAgain)
	}
	return text
}

// actionInWords is an action in one line.
func (d *Desk) actionInWords(a store.Action) string {
	text := d.say(msgStoryAction, a.Actor, a.Action, a.Reason)
	if a.Evidence != "" {
		text += d.say(msgStoryEvidence, a.Evidence)
	}
	return text
}

// commandsFor lists what a person can do now.
func commandsFor(f findings) []string {
	o := f.order
	name := quoteShell("#" + formatInt(o.ID))
	again := "reconciler run-once --mid " + quoteShell(o.MID) + " --mer-order-id " + quoteShell(o.MerOrderID)
	list := []string{}
	switch outcome := OutcomeOf(o.Status, o.ReviewReason); {
	case o.LeaseUntil != nil:
		return list // run-once leaves it, review refuses
	case outcome == OutcomeReview && o.Status.Settled():
		return []string{"reconciler review resolve " + name + " --as " + string(o.Status) + " --reason '…' --evidence '…'"}
	case outcome == OutcomeReview:
		list = append(list, "reconciler review retry "+name+" --reason '…'",
			"reconciler review resolve "+name+" --as TRADE_SUCCESS --reason '…' --evidence '…'")
	case o.Status.Settled():
		return list
	case f.pause != nil:
		target := "--mid " + quoteShell(f.pause.Key)
		if f.pause.Scope == store.ScopeApp {
			target = "--app-id " + quoteShell(f.pause.Key)
		}
		list = append(list, "reconciler resume "+target)
		if o.MerOrderID != "" {
			list = append(list, again+" --despite-pause")
		}
	case o.MerOrderID != "":
		list = append(list, again)
	}
	if OutcomeOf(o.Status, o.ReviewReason) != OutcomeReview {
		list = append(list, "reconciler review resolve "+name+" --as TRADE_SUCCESS --reason '…' --evidence '…'")
	}
	return list
}

// quoteShell makes a text one word of a shell.
func quoteShell(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:", r)
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
