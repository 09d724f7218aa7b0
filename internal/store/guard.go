package store

import (
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store/arrays"
)

// guardColumns are the claim of an outcome and the values that it was decided from. They guard its
// write: see [guardHolds].
func guardColumns() []column {
	return []column{
		newColumn("id", arrays.Bigint(), func(o *order.Outcome) int64 { return o.Order.ID }),
		newColumn("claim_no", arrays.Bigint(), func(o *order.Outcome) int64 { return o.Order.ClaimNo }),
		newColumn("settles", arrays.Boolean(), func(o *order.Outcome) bool { return o.Decision == order.Settled }),
		newColumn("status_read", arrays.Text(), func(o *order.Outcome) string { return string(o.Order.Status) }),
		newColumn("review_read", arrays.Text(), func(o *order.Outcome) string { return o.Order.ReviewReason }),
		newColumn("mid_read", arrays.Text(), func(o *order.Outcome) string { return o.Order.MID }),
		newColumn("mer_order_id_read", arrays.Text(), func(o *order.Outcome) string { return o.Order.MerOrderID }),
		newColumn("target_order_id_read", arrays.Text(), func(o *order.Outcome) string { return o.Order.TargetOrderID }),
		newColumn("order_amount_read", arrays.Bigint(), func(o *order.Outcome) int64 { return o.Order.OrderAmount }),
		newColumn("created_at_read", arrays.Timestamptz(), func(o *order.Outcome) time.Time { return o.Order.CreatedAt }),
		newColumn("expires_at_read", arrays.Timestamptz(), func(o *order.Outcome) time.Time { return o.Order.ExpiresAt }),
	}
}

// guardHolds is the one condition under which an outcome r may be written to its order o. The claim
// is still the last one and not given back. Nobody has settled the order. Everything that the
// decision was made from is as it was read. A settlement does not depend on the order's times.
const guardHolds = `o.claim_no = r.claim_no AND o.lease_until IS NOT NULL
    AND ` + isOpen + ` AND o.status = r.status_read
    AND coalesce(o.review_reason, '') = r.review_read
    AND o.mid = r.mid_read
    AND coalesce(o.mer_order_id, '') = r.mer_order_id_read
    AND coalesce(o.target_order_id, '') = r.target_order_id_read
    AND o.order_amount = r.order_amount_read
    AND (r.settles OR (` + createdAt + ` = r.created_at_read AND ` + expiresAt + ` = r.expires_at_read))`
