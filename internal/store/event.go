package store

import (
	"encoding/json"
	"slices"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store/arrays"
)

// settledByQuery is orders.settled_by of orders that were settled by an answer of the gateway.
const settledByQuery = "query"

// withEvents returns the outcomes that have an event: in a backlog of paid orders, all.
func withEvents(group []order.Outcome) []order.Outcome {
	silent := func(o order.Outcome) bool { return o.Event == "" }
	if !slices.ContainsFunc(group, silent) {
		return group
	}
	return slices.DeleteFunc(slices.Clone(group), silent)
}

// eventColumns are the columns of order_events, and the claim that they are of.
func eventColumns() []column {
	return []column{
		newColumn("order_id", arrays.Bigint(), func(o *order.Outcome) int64 { return o.Order.ID }),
		newColumn("mid", arrays.Text(), func(o *order.Outcome) string { return o.Order.MID }),
		newColumn("mer_order_id", arrays.EmptyIsNull(arrays.Text()), merOrderID),
		newColumn("event", arrays.Text(), func(o *order.Outcome) string { return o.Event }),
		newColumn("payload", arrays.Bytes(), eventPayload).As("jsonb"),
		newColumn("claim_no", arrays.Bigint(), func(o *order.Outcome) int64 { return o.Order.ClaimNo }),
	}
}

// eventPayload is the payload of an event, in the names of the columns.
func eventPayload(o *order.Outcome) []byte {
	b, settledBy := o.Booking, (*string)(nil)
	if o.Decision == order.Settled {
		settledBy = new(settledByQuery)
	}
	payload := struct {
		OrderID       int64        `json:"order_id"`
		MID           string       `json:"mid"`
		TID           string       `json:"tid"`
		MerOrderID    string       `json:"mer_order_id,omitempty"`
		TargetOrderID string       `json:"target_order_id,omitempty"`
		From          order.Status `json:"from"`
		To            order.Status `json:"to"`
		OrderAmount   int64        `json:"order_amount"`
		TotalAmount   *int64       `json:"total_amount,omitempty"`
		RefundAmount  *int64       `json:"refund_amount,omitempty"`
		PayTime       *time.Time   `json:"pay_time,omitempty"`
		SettleDate    string       `json:"settle_date,omitempty"`
		ReviewReason  string       `json:"review_reason,omitempty"`
		ReviewNote    string       `json:"review_note,omitempty"`
		SettledBy     *string      `json:"settled_by"` // null: it is not settled
		ClaimNo       int64        `json:"claim_no"`
	}{
		OrderID: o.Order.ID, MID: o.Order.MID, TID: o.Order.TID,
		MerOrderID: merOrderID(o), TargetOrderID: knownOrAnswered(o.Order.TargetOrderID, b.TargetOrderID),
		From: o.Order.Status, To: o.Status, OrderAmount: o.Order.OrderAmount,
		TotalAmount: b.TotalAmount, RefundAmount: b.RefundAmount, PayTime: b.PayTime,
		SettleDate: settleDate(o), ReviewReason: o.ReviewReason, ReviewNote: validText(o.ReviewNote), SettledBy: settledBy, ClaimNo: o.Order.ClaimNo,
	}
	text, err := json.Marshal(payload)
	if err != nil { // only a time beyond the year 9999 can do that, and the decoder has none
		return []byte("{}")
	}
	return text
}

func merOrderID(o *order.Outcome) string {
	return knownOrAnswered(o.Order.MerOrderID, o.Booking.MerOrderID)
}

// knownOrAnswered is the number that the order has, or else the answered one.
func knownOrAnswered(known string, answered *string) string {
	if known == "" && answered != nil {
		return *answered
	}
	return known
}
