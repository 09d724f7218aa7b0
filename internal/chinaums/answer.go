package chinaums

import (
	"encoding/json"
	"errors"
	"time"
)

// The errors of a field of an answer; Field.Err is one of these.
var (
	ErrConflict  = errors.New("given twice with different values")
	ErrNotText   = errors.New("not a text")
	ErrNotAmount = errors.New("not a whole, non-negative number of fen that fits 64 bits")
	ErrNotTime   = errors.New("not a time of the documented form")
)

// Answer is one answer of the gateway, filled as far as it is known also where an error comes with
// it.
type Answer struct {
	HTTPStatus int             // 0 when nothing came
	Code       string          // errCode; "" when missing, not readable, or given twice with different values
	Message    string          // errMsg, which the business layer writes, else errInfo, which the platform in front of it writes
	Trade      Trade           // read whenever the body is one JSON object, whatever the HTTP status and the code
	Redacted   json.RawMessage // what may be kept of the body, at most 1 MiB: JSON for jsonb; nil when nothing came
}

// Field is one field of an answer: absent (missing, "" or null; the zero Field), readable (Present,
// Value), or unreadable (Present, Err, zero Value). One unreadable field leaves the others alone.
type Field[T any] struct {
	Value   T
	Present bool
	Err     error // ErrConflict, ErrNotText, ErrNotAmount or ErrNotTime
}

// Status is a trade status, the only thing in an answer that says what became of a payment.
type Status string

// The trade statuses of the vendor's enumeration.
const (
	StatusNewOrder     Status = "NEW_ORDER"      // registered; the channel knows of no trade yet
	StatusWaitBuyerPay Status = "WAIT_BUYER_PAY" // the trade exists; the payer has not paid
	StatusUnknown      Status = "UNKNOWN"        // not determined; never a failure
	StatusTradeSuccess Status = "TRADE_SUCCESS"  // paid; may still be refunded or closed
	StatusTradeRefund  Status = "TRADE_REFUND"   // paid once, and a refund, partial or full, has begun
	StatusTradeClosed  Status = "TRADE_CLOSED"   // not paid in time, failed, or paid and refunded in full
)

// Trade is the part of an answer that speaks of the payment. Bank card number and buyer name are
// left out on purpose: nothing needs them. PayTime, SettleDate and TargetStatus SUCCESS appear on
// unpaid orders too, and prove nothing.
type Trade struct {
	Status                                          Field[Status] // text only: a number is ErrNotText; unknown words are kept
	MID, MerOrderID, TargetOrderID                  Field[string]
	TotalAmount, BuyerPayAmount, ReceiptAmount      Field[int64] // fen, like all amounts
	InvoiceAmount, CouponAmount, YxlmAmount         Field[int64]
	CouponMerchantContribute, CouponOtherContribute Field[int64]
	BuyerCashPayAmt, RefundAmount                   Field[int64]
	PayTime                                         Field[time.Time] // China time
	SettleDate                                      Field[time.Time] // midnight UTC of that date
	ResponseTime                                    Field[time.Time] // China time; responseTimestamp, documented responseTimeStamp

	SeqID, RefID, SettleRefID, TargetSys, TargetStatus, TargetMID Field[string]
	BuyerID, SubBuyerID, BankInfo, CardAttr                       Field[string]
	BillFunds, BillFundsDesc, ActivityIDs                         Field[string]
}

// HasStatus reports whether some trade status was answered, known or not, also when given twice
// with different values. A status that is empty, missing, null or not text is none.
func (t Trade) HasStatus() bool {
	return t.Status.Present && !errors.Is(t.Status.Err, ErrNotText)
}
