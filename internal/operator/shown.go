package operator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// A skin that shows an action on one page and writes it from the next keeps nothing in between. It
// prepares the action twice. Their digests differ where the state or the action has changed.

// Digest identifies the settlement with the state that it was made from.
func (s Settlement) Digest() string {
	w := s.write
	w.Shown = steadyPart(w.Shown)
	return digestOf(w)
}

// Digest identifies the retry with the state that it was made from.
func (r Retrial) Digest() string {
	return digestOf([]any{steadyPart(r.shown), r.correction, r.action})
}

// digestOf hashes what is shown. The clock of the look is not part of it.
func digestOf(values any) string {
	text, err := json.Marshal(values)
	if err != nil {
		return err.Error() // no values of ours
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// steadyPart is the part of an order that does not change by itself, in one zone.
func steadyPart(o store.Detail) store.Detail {
	d := store.Detail{UpdatedAt: o.UpdatedAt.UTC(), TotalAmount: o.TotalAmount, RefundAmount: o.RefundAmount, SettleDate: o.SettleDate, SettledBy: o.SettledBy}
	if o.PayTime != nil {
		d.PayTime = new(o.PayTime.UTC())
	}
	d.ID, d.MID, d.TID, d.InstMID, d.MerOrderID, d.TargetOrderID = o.ID, o.MID, o.TID, o.InstMID, o.MerOrderID, o.TargetOrderID
	d.OrderAmount, d.Status, d.ReviewReason, d.ClaimNo = o.OrderAmount, o.Status, o.ReviewReason, o.ClaimNo
	return d
}

// ErrStale means that what was shown is not so any more. Nothing was written.
var ErrStale = errors.New("what was shown has changed meanwhile")

// IsStale reports whether an action was refused because the state is not as it was shown.
func IsStale(err error) bool {
	return errors.Is(err, ErrStale) || errors.Is(err, store.ErrChanged) || errors.Is(err, store.ErrPauseChanged) ||
		errors.As(err, new(*store.InFlightError))
}

// Field is one line of what an action changes.
type Field struct{ Name, Before, After string }

// Fields are what the settlement changes.
func (s Settlement) Fields(l Locale) []Field {
	w := s.write
	o, closed := w.Shown, w.Status == order.StatusTradeClosed
	list := []Field{
		{"status", statusInWords(o), string(w.Status)},
		{"total_amount", yuanOf(o.TotalAmount), yuanOf(w.TotalAmount)},
	}
	for _, f := range []Field{
		{"refund_amount", yuanOf(o.RefundAmount), yuanOf(keptBy(closed, w.RefundAmount, o.RefundAmount))},
		{"pay_time", l.stampOf(o.PayTime), l.stampOf(keptBy(closed, w.PayTime, o.PayTime))},
		{"settle_date", dayOf(o.SettleDate), dayOf(keptBy(closed, w.SettleDate, o.SettleDate))},
	} {
		if f.Before != f.After {
			list = append(list, f)
		}
	}
	return append(list, Field{"settled_by", orDash(o.SettledBy), "hand"})
}

// keptBy is a value after a settlement: the one that was given, else the old one. A closed order
// keeps none.
func keptBy[T any](closed bool, given, old *T) *T {
	if given != nil || closed {
		return given
	}
	return old
}

func (l Locale) stampOf(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return l.Stamp(*t)
}

func dayOf(day *time.Time) string {
	if day == nil {
		return "-"
	}
	return day.Format(time.DateOnly)
}

// Event is what the application hears of the settlement.
func (s Settlement) Event() string { return s.write.Event }

// Again reports whether the order had an outcome before.
func (s Settlement) Again() bool { return s.write.Shown.SettledAt != nil }

// Fields are what the retry changes.
func (r Retrial) Fields(l Locale) []Field {
	o, c := r.shown, r.correction
	list := []Field{
		{"review_reason", orDash(o.ReviewReason), "-"},
		{"next_query_at", l.stampOf(o.NextQueryAt), l.say(msgNow)},
	}
	for _, f := range []Field{
		{"tid", o.TID, c.TID}, {"inst_mid", o.InstMID, c.InstMID}, {"mer_order_id", o.MerOrderID, c.MerOrderID}, {"target_order_id", o.TargetOrderID, c.TargetOrderID},
	} {
		if f.After != "" {
			list = append(list, Field{f.Name, orDash(f.Before), f.After})
		}
	}
	return list
}

func statusInWords(o store.Detail) string {
	if o.ReviewReason != "" {
		return string(o.Status) + " (" + o.ReviewReason + ")"
	}
	return string(o.Status)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
