package order

import "time"

// Decision says what became of a question.
type Decision string

// The decisions of the ledger.
const (
	Settled    Decision = "settled"    // the order has its final status
	Deferred   Decision = "deferred"   // asked again by the plan
	NotFound   Decision = "not_found"  // the gateway does not know the order
	Review     Decision = "review"     // a person is needed
	NoAnswer   Decision = "no_answer"  // nothing usable came; the plan is not spent
	Refused    Decision = "refused"    // the gateway would not answer us; the plan is not spent
	Superseded Decision = "superseded" // the order had changed meanwhile
)

// Decisions lists all of them.
func Decisions() []Decision {
	return []Decision{Settled, Deferred, NotFound, Review, NoAnswer, Refused, Superseded}
}

// The events that the application may hear of.
const (
	EventPaid     = "order.paid"
	EventRefunded = "order.refunded"
	EventClosed   = "order.closed"
	EventNotFound = "order.not_found"
	EventReview   = "order.review"
)

// Question is the ledger's part of an [Outcome]: what was asked and what was answered.
type Question struct {
	At          time.Time // the database's clock
	Duration    time.Duration
	RoundTrips  int
	Worker      string
	HTTPStatus  int    // 0: nothing came
	ErrCode     string // "": none
	ErrMsg      string
	TradeStatus string
	Response    []byte // valid JSON, masked; nil: nothing came
}

// Outcome is the result of one question, ready to be written.
type Outcome struct {
	Order        Order // as it was read: all that the decision was made from guards the write
	Question     Question
	Decision     Decision
	Reason       string     // the rule that decided, for the ledger
	Status       Status     // after the write
	NextQueryAt  *time.Time // nil: not asked again by itself
	LastError    string     // "": none
	ReviewReason string     // "": none; a settlement clears the one that was there
	ReviewNote   string
	Booking      Booking
	Event        string // "": none
}

// Resolves reports whether the outcome ends a review as well: the order has a status that needs no
// further answer.
func (o Outcome) Resolves() bool { return o.Decision == Settled || o.Decision == NotFound }

// ChangesOrder reports whether the order's status or review differs from before.
func (o Outcome) ChangesOrder() bool {
	review := o.Order.ReviewReason
	if o.ReviewReason != "" || o.Resolves() {
		review = o.ReviewReason
	}
	return o.Status != o.Order.Status || review != o.Order.ReviewReason
}
