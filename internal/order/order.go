// Package order is the vocabulary: orders, the questions about them, what came of a question, and
// every status, decision, reason and event, each spelled once. It has no behaviour beyond that and
// imports nothing of ours. [reconciler/internal/policy] decides, [reconciler/internal/store]
// writes.
//
// Amounts are integer fen. Times are instants; the gateway's own texts mean China time.
package order

import (
	"slices"
	"time"
)

// Status is the state of an order.
type Status string

// The first three mean that the outcome is unknown. The next three are the gateway's word and
// settle the order. The last is the reconciler's own.
const (
	StatusUnknown      Status = "UNKNOWN"
	StatusNewOrder     Status = "NEW_ORDER"
	StatusWaitBuyerPay Status = "WAIT_BUYER_PAY"
	StatusTradeSuccess Status = "TRADE_SUCCESS"
	StatusTradeRefund  Status = "TRADE_REFUND"
	StatusTradeClosed  Status = "TRADE_CLOSED"
	StatusNotFound     Status = "NOT_FOUND"
)

// UnresolvedStatuses lists the statuses of an order whose outcome is unknown.
func UnresolvedStatuses() []Status {
	return []Status{StatusUnknown, StatusNewOrder, StatusWaitBuyerPay}
}

// SettledStatuses lists those that settle an order.
func SettledStatuses() []Status {
	return []Status{StatusTradeSuccess, StatusTradeRefund, StatusTradeClosed}
}

// Statuses lists all of them, the unresolved first.
func Statuses() []Status {
	return slices.Concat(UnresolvedStatuses(), []Status{StatusNotFound}, SettledStatuses())
}

// Settled reports whether the gateway's word has ended the order.
func (s Status) Settled() bool { return s.Paid() || s == StatusTradeClosed }

// Paid reports whether the payer's money was taken, refunded since or not.
func (s Status) Paid() bool { return s == StatusTradeSuccess || s == StatusTradeRefund }

// Order is a row of orders as it was read, usually by a claim. Texts that are null are "".
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
	LastQueriedAt *time.Time
	ReviewReason  string
	LeaseUntil    *time.Time
	ClaimNo       int64
	// UnrecordedClaims counts the claims since a question was last recorded, this one included.
	UnrecordedClaims int
	ClaimedAt        time.Time // the database's clock when the row was read
	// AppProbe and MerchantProbe are set on the one order that is to find out whether the app, or
	// the merchant, can be asked again.
	AppProbe      bool
	MerchantProbe bool
}

// Evidence is the part of the ledger that bears on a NO_ORDER answer.
type Evidence struct {
	// NoOrders counts the earlier NO_ORDER answers about the order.
	NoOrders int
	// MerchantFound reports whether the merchant has had an answer with a trade status in the last
	// day: its number and its settings work.
	MerchantFound bool
}
