package operator

import (
	"context"
	"encoding/json"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/policy"
	"reconciler/internal/store"
)

// Why is one order's story, when it is asked next, and why not now.
type Why struct {
	Order    json.RawMessage `json:"order"` // its columns
	Outcome  Outcome         `json:"outcome"`
	Sentence string          `json:"sentence"`
	Next     Next            `json:"next"`
	Then     []Then          `json:"then"`
	Story    []Moment        `json:"story"`
	Commands []string        `json:"commands"`

	detail store.Detail
	at     time.Time
}

// NextState says where an order stands in the queue.
type NextState string

// The states.
const (
	NextDue         NextState = "due"
	NextWaiting     NextState = "waiting"
	NextInFlight    NextState = "in_flight"
	NextPaused      NextState = "paused"
	NextUnderReview NextState = "under_review"
	NextSettled     NextState = "settled"
	NextClosedCase  NextState = "closed_case"
)

// Next is the next question about an order.
type Next struct {
	At      *time.Time `json:"at"` // the row's next_query_at; null where there is none
	State   NextState  `json:"state"`
	Because string     `json:"because"`
	Ahead   int        `json:"ahead"` // due orders before it
}

// Comes reports whether the order is asked at that time. A row that the application settled keeps
// its time.
func (n Next) Comes() bool {
	return n.At != nil && n.State != NextSettled && n.State != NextUnderReview && n.State != NextClosedCase
}

// Then is something that is to come.
type Then struct {
	At   time.Time `json:"at"`
	What string    `json:"what"` // question, expiry, slow_lane, give_up, late_check
}

// Moment is something that happened.
type Moment struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"` // created, asked, event, action, paused, resumed
	Text string    `json:"text"`

	*store.LedgerRow // where it was asked
}

// findings are what the story of an order is told from.
type findings struct {
	now       time.Time
	order     store.Detail
	history   store.History
	instances []store.Instance
	apps      []InstanceApp
	pause     *store.Control
	incidents []store.Incident
	foundAt   *time.Time // of the merchant, where the order's last answer was NO_ORDER
}

// Why tells the story of an order.
func (d *Desk) Why(ctx context.Context, name store.OrderName) (Why, error) {
	o, err := d.findOrder(ctx, name)
	if err != nil {
		return Why{}, err
	}
	f, err := d.collectFindings(ctx, o)
	if err != nil {
		return Why{}, err
	}
	w := Why{
		Order: o.Columns, Outcome: OutcomeOf(o.Status, o.ReviewReason), detail: o, at: f.now,
		Sentence: d.verdictSentence(f), Next: d.nextQuestion(f), Then: d.stepsToCome(f), Story: d.storyOf(f), Commands: commandsFor(f),
	}
	return w, nil
}

func (d *Desk) collectFindings(ctx context.Context, o store.Detail) (f findings, err error) {
	f.order, f.now = o, o.ClaimedAt
	if f.history, err = d.Store.History(ctx, o.Order); err != nil {
		return f, err
	}
	if f.instances, err = d.Store.Instances(ctx); err != nil {
		return f, err
	}
	f.apps = appsOf(f.instances)
	controls, err := d.Store.Controls(ctx)
	if err != nil {
		return f, err
	}
	f.pause = pauseOf(controls, f.apps, o.MID)
	filter := store.IncidentFilter{Since: new(o.CreatedAt), ForMID: o.MID, Limit: 200}
	if app := appOf(f.apps, o.MID); app != "" {
		filter.ForAppIDs = []string{app}
	}
	if f.incidents, err = d.Store.Incidents(ctx, filter); err != nil {
		return f, err
	}
	if last := f.lastQuestion(); last != nil && textOf(last.ErrCode) == noOrderCode && o.Status != order.StatusNotFound {
		f.foundAt, err = d.Store.FoundAt(ctx, o.MID, policy.EvidenceSince(f.now))
	}
	return f, err
}

// noOrderCode is the gateway's word that it does not know an order.
const noOrderCode = "NO_ORDER"

// lastQuestion is the latest question, nil where there is none.
func (f findings) lastQuestion() *store.LedgerRow {
	if len(f.history.Questions) == 0 {
		return nil
	}
	return &f.history.Questions[len(f.history.Questions)-1]
}

// lastAnswer is the latest question that brought an answer about the order.
func (f findings) lastAnswer() *store.LedgerRow {
	for i := len(f.history.Questions) - 1; i >= 0; i-- {
		if q := &f.history.Questions[i]; q.Decision != order.NoAnswer && q.Decision != order.Refused {
			return q
		}
	}
	return nil
}

// hasDaemon reports whether a daemon was seen within a minute.
func (f findings) hasDaemon() bool {
	for _, i := range f.instances {
		if f.now.Sub(i.SeenAt) <= seenWithin {
			return true
		}
	}
	return false
}

func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// verdictSentence is the verdict in words.
func (d *Desk) verdictSentence(f findings) string {
	o := f.order
	switch OutcomeOf(o.Status, o.ReviewReason) {
	case OutcomePaid:
		return d.say(msgIsPaid, Yuan(amountOf(o))) + d.paidAt(o) + d.settledHow(o)
	case OutcomeRefunded:
		return d.say(msgIsRefunded, Yuan(amountOf(o)), yuanOf(o.RefundAmount)) + d.settledHow(o)
	case OutcomeClosed:
		return d.say(msgIsClosed) + d.settledHow(o)
	case OutcomeNotFound:
		return d.say(msgIsNotFound)
	case OutcomeReview:
		return d.say(msgIsReview, o.ReviewReason) + d.say(whatToDo(o.ReviewReason))
	}
	return d.say(msgIsUnknown) + d.lastWord(f)
}

// amountOf is what was paid: an order may be settled by hand with another amount than was asked
// for.
func amountOf(o store.Detail) int64 {
	if o.TotalAmount != nil {
		return *o.TotalAmount
	}
	return o.OrderAmount
}

func (d *Desk) paidAt(o store.Detail) string {
	if o.PayTime == nil {
		return d.say(msgStop)
	}
	return d.say(msgPaidAt, d.Stamp(*o.PayTime))
}

func (d *Desk) settledHow(o store.Detail) string {
	switch {
	case o.SettledAt == nil:
		return d.say(msgSettledByShop)
	case o.SettledBy == "hand":
		return d.say(msgSettledByHand, d.Stamp(*o.SettledAt))
	}
	return d.say(msgSettledByQuery, d.Stamp(*o.SettledAt), d.Age(o.SettledAt.Sub(o.CreatedAt)))
}

// lastWord is what the gateway said last about an order that is open.
func (d *Desk) lastWord(f findings) string {
	last, answer := f.lastQuestion(), f.lastAnswer()
	switch {
	case last == nil:
		return d.say(msgNeverAsked)
	case answer == nil:
		return d.say(msgNoAnswerYet, f.history.Asked, textOf(last.ErrMsg))
	case textOf(answer.ErrCode) == noOrderCode:
		text := d.say(msgSaysNoOrder, f.history.Asked)
		if f.foundAt == nil {
			return text + d.say(msgNoneFound)
		}
		return text + d.say(msgOthersFound, d.Stamp(*f.foundAt))
	case answer.TradeStatus != nil:
		return d.say(msgSaysStatus, d.tradeStatus(*answer.TradeStatus), f.history.Asked)
	}
	return d.say(msgSaysCode, textOf(answer.ErrCode), f.history.Asked)
}

// nextQuestion says when the order is asked next, and why not now.
func (d *Desk) nextQuestion(f findings) Next {
	o := f.order
	n := Next{At: d.localOf(o.NextQueryAt), Ahead: f.history.Ahead}
	switch {
	case OutcomeOf(o.Status, o.ReviewReason) == OutcomeReview:
		n.State, n.Because = NextUnderReview, d.say(msgNextReview, o.ReviewReason)
	case o.Status.Settled():
		n.State, n.Because = NextSettled, d.say(msgNextSettled)
	case o.LeaseUntil != nil:
		n.State, n.Because = NextInFlight, d.say(msgNextInFlight, o.ClaimedBy, d.Stamp(*o.LeaseUntil))
	case o.NextQueryAt == nil && o.Status == order.StatusNotFound:
		n.State, n.Because = NextClosedCase, d.say(msgNextClosedCase)
	case f.pause != nil:
		n.State, n.Because = NextPaused, d.newPause(*f.pause).inWords(d.Locale)
	case o.NextQueryAt == nil:
		n.State, n.Because = NextDue, d.say(msgNextOrphan)
	case o.NextQueryAt.After(f.now):
		n.State, n.Ahead = NextWaiting, 0
		n.Because = d.say(msgNextWaiting, d.Age(o.NextQueryAt.Sub(f.now)))
		if o.Status == order.StatusNotFound {
			n.Because = d.say(msgNextLateCheck, d.Age(o.NextQueryAt.Sub(f.now)))
		}
	case !f.hasDaemon():
		n.State, n.Because = NextDue, d.say(msgNextNobody, d.Age(f.now.Sub(*o.NextQueryAt)))
	default:
		n.State, n.Because = NextDue, d.say(msgNextDue, d.Age(f.now.Sub(*o.NextQueryAt)), d.CountOrders(n.Ahead))
		if d.Rate > 0 {
			n.Because += d.say(msgNextWithin, d.Age(time.Duration(float64(n.Ahead)/d.Rate*float64(time.Second))), d.Rate)
		}
	}
	return n
}
