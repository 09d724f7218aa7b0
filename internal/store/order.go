package store

import "time"

// Status is the state of an order.
type Status string

// The first three mean that the outcome is unknown; the next three are the
// gateway's word and settle the order; the last is the reconciler's own.
const (
	StatusUnknown      Status = "UNKNOWN"
	StatusNewOrder     Status = "NEW_ORDER"
	StatusWaitBuyerPay Status = "WAIT_BUYER_PAY"
	StatusTradeSuccess Status = "TRADE_SUCCESS"
	StatusTradeRefund  Status = "TRADE_REFUND"
	StatusTradeClosed  Status = "TRADE_CLOSED"
	StatusNotFound     Status = "NOT_FOUND"
)

// Settled reports whether the gateway's word has ended the order.
func (s Status) Settled() bool { return s.Paid() || s == StatusTradeClosed }

// Paid reports whether the payer's money was taken, refunded since or not.
func (s Status) Paid() bool { return s == StatusTradeSuccess || s == StatusTradeRefund }

// Order is a row of orders as it was claimed. Texts that are null are "".
type Order struct {
	ID            int64
	MID           string
	TID           string
	InstMID       string
	MerOrderID    string
	TargetOrderID string
	OrderAmount   int64 // fen
	CreatedAt     time.Time
	ExpiresAt     time.Time
	Status        Status
	NextQueryAt   *time.Time
	QueryCount    int
	ReviewReason  string
	LeaseUntil    *time.Time
	ClaimNo       int64
	// UnrecordedClaims counts the claims since a question was last recorded, this
	// one included.
	UnrecordedClaims int
	ClaimedAt        time.Time // the database's clock when the row was read
	// AppProbe and MerchantProbe are set on the one order that is to find out
	// whether the app, or the merchant, can be asked again.
	AppProbe      bool
	MerchantProbe bool
}

// orderColumns is what an [Order] is read from; o is the orders table. Times are
// kept within what a Go time can hold, since Postgres also knows infinity: one
// such row must not make its whole page unreadable.
const orderColumns = `
	o.id, o.mid, o.tid, o.inst_mid,
	coalesce(o.mer_order_id, '') AS mer_order_id,
	coalesce(o.target_order_id, '') AS target_order_id,
	o.order_amount,
	least(greatest(o.created_at, '0001-01-01Z'), '9999-12-31Z') AS created_at,
	least(greatest(o.expires_at, '0001-01-01Z'), '9999-12-31Z') AS expires_at,
	o.status,
	CASE WHEN isfinite(o.next_query_at) THEN o.next_query_at END AS next_query_at,
	o.query_count,
	coalesce(o.review_reason, '') AS review_reason,
	o.lease_until, o.claim_no, o.unrecorded_claims, now() AS claimed_at`

// Settlement is what a settled order's row takes from the answer; what is nil is
// null there.
type Settlement struct {
	MerOrderID    *string // a number that the row lacked, nil where it has one
	TargetOrderID *string

	TotalAmount              *int64 // fen, as all amounts
	BuyerPayAmount           *int64
	ReceiptAmount            *int64
	InvoiceAmount            *int64
	CouponAmount             *int64
	YxlmAmount               *int64
	CouponMerchantContribute *int64
	CouponOtherContribute    *int64
	BuyerCashPayAmt          *int64
	RefundAmount             *int64

	PayTime    *time.Time
	SettleDate *time.Time // midnight UTC of the day

	SeqID         *string
	RefID         *string
	SettleRefID   *string
	TargetSys     *string
	TargetStatus  *string
	TargetMID     *string
	BuyerID       *string
	SubBuyerID    *string
	BankInfo      *string
	CardAttr      *string
	BillFunds     *string
	BillFundsDesc *string
	ActivityIDs   *string
}

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

// The events that the application may hear of.
const (
	EventPaid     = "order.paid"
	EventRefunded = "order.refunded"
	EventClosed   = "order.closed"
	EventNotFound = "order.not_found"
	EventReview   = "order.review"
)

// Review reasons that are decided at the write itself.
const (
	ReviewConflict   = "conflict"   // two settlements contradict each other
	ReviewUnwritable = "unwritable" // the answer has a value that the table refuses
)

// Question is the ledger's part of an [Outcome]: what was asked and answered.
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

// Outcome is what one question decided, ready to be written.
type Outcome struct {
	Order        Order // as claimed: its id, claim number and status guard the write
	Question     Question
	Decision     Decision
	Reason       string     // the rule that decided, for the ledger
	Status       Status     // after the write
	NextQueryAt  *time.Time // nil: not asked again by itself
	LastError    string     // "": none
	ReviewReason string     // "": none; a settlement clears what was there
	ReviewNote   string
	Settlement   Settlement
	Event        string // "": none
	Locked       bool   // not written yet: somebody else holds the row
}

// resolves reports whether the outcome ends a review as well: the order has got
// a status that needs no further answer.
func (o Outcome) resolves() bool { return o.Decision == Settled || o.Decision == NotFound }

// Changes reports whether the order's status or review is another than before.
func (o Outcome) Changes() bool {
	review := o.Order.ReviewReason
	if o.ReviewReason != "" || o.resolves() {
		review = o.ReviewReason
	}
	return o.Status != o.Order.Status || review != o.Order.ReviewReason
}
