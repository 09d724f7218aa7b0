package order

import "time"

// Booking holds the values that a settled order's row takes from the answer. A nil is null there.
type Booking struct {
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
