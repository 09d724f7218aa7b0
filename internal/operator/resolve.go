package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// Resolution is the outcome that a person gives an order.
type Resolution struct {
	As           order.Status
	Amount       *int64 // fen; nil: order_amount, or none for TRADE_CLOSED
	RefundAmount *int64
	AcceptAmount bool // the amount may differ from order_amount
	PayTime      *time.Time
	SettleDate   *time.Time // midnight UTC of the day
	Reason       string
	Evidence     string
}

// Settlement is a resolution of one order, checked and ready to be confirmed.
type Settlement struct {
	write store.HandSettlement
}

// Change is an action about an order, done.
type Change struct {
	ID         int64           `json:"id"`
	MID        string          `json:"mid"`
	MerOrderID *string         `json:"mer_order_id"`
	Before     json.RawMessage `json:"before"`
	After      json.RawMessage `json:"after"`
	Event      *string         `json:"event"`
	EventID    *int64          `json:"event_id"`
	ActionID   int64           `json:"action_id"`
}

// eventOf is the event of a settlement; "" where the status is none.
func eventOf(s order.Status) string {
	return map[order.Status]string{
		order.StatusTradeSuccess: order.EventPaid, order.StatusTradeRefund: order.EventRefunded, order.StatusTradeClosed: order.EventClosed,
	}[s]
}

// validate names what is wrong with a resolution by itself.
func (r Resolution) validate() error {
	var errs []error
	if eventOf(r.As) == "" {
		errs = append(errs, refuse(fmt.Errorf("%w: --as must be TRADE_SUCCESS, TRADE_REFUND or TRADE_CLOSED, not %q", ErrUsage, r.As), msgRefusedStatus))
	}
	errs = append(errs, checkReason(r.Reason))
	for name, amount := range map[string]*int64{"--amount": r.Amount, "--refund-amount": r.RefundAmount} {
		if amount != nil && *amount < 0 {
			errs = append(errs, refuse(fmt.Errorf("%w: %s must not be negative", ErrUsage, name), msgRefusedNegative))
		}
	}
	return errors.Join(errs...)
}

// PrepareResolve checks a resolution against the order and shows what it would write.
func (d *Desk) PrepareResolve(ctx context.Context, name store.OrderName, r Resolution) (Settlement, error) {
	if err := errors.Join(r.validate(), d.checkActor()); err != nil {
		return Settlement{}, err
	}
	o, err := d.findOrder(ctx, name)
	if err != nil {
		return Settlement{}, err
	}
	if err := d.checkResolvable(o); err != nil {
		return Settlement{}, err
	}
	total := r.Amount
	if total == nil && r.As != order.StatusTradeClosed {
		total = &o.OrderAmount
	}
	if err := r.checkValues(o, total); err != nil {
		return Settlement{}, err
	}
	action := d.newAction("resolve", r.Reason)
	action.Evidence = r.Evidence
	return Settlement{store.HandSettlement{
		Shown: o, Status: r.As, Event: eventOf(r.As), TotalAmount: total, RefundAmount: r.RefundAmount, PayTime: r.PayTime, SettleDate: r.SettleDate,
		Action: action,
	}}, nil
}

// checkValues refuses what cannot be true of the order, most likely a slip of the hand.
func (r Resolution) checkValues(o store.Detail, total *int64) error {
	if total != nil && *total != o.OrderAmount && !r.AcceptAmount {
		return refuseUsage(msgRefusedAccept, "%s is not the amount that the payer was asked for, %s; --accept-amount settles the order all the same",
			Yuan(*total), Yuan(o.OrderAmount))
	}
	paid := o.OrderAmount
	if total != nil {
		paid = *total
	}
	if r.RefundAmount != nil && *r.RefundAmount > paid {
		return refuseUsage(msgRefusedRefund, "the refund, %s, is greater than the amount, %s", Yuan(*r.RefundAmount), Yuan(paid))
	}
	if r.PayTime != nil && r.PayTime.After(o.ClaimedAt.Add(time.Minute)) { // clocks differ
		return refuseUsage(msgRefusedFuture, "the pay time, %s, is in the future", r.PayTime.Format(time.RFC3339))
	}
	return nil
}

// checkActor refuses a name that the records use for the circuit breaker.
func (d *Desk) checkActor() error {
	if d.Actor == store.Breaker || strings.TrimSpace(d.Actor) == "" {
		return refuseUsage(msgRefusedActor, "nobody can act under the name %q: set --actor", d.Actor)
	}
	return nil
}

// checkReason refuses an action without one.
func checkReason(reason string) error {
	if strings.TrimSpace(reason) == "" {
		return refuseUsage(msgWebNoReason, "--reason is required")
	}
	return nil
}

// checkResolvable refuses an order that is in flight, or settled without a conflict.
func (d *Desk) checkResolvable(o store.Detail) error {
	if o.LeaseUntil != nil {
		return fmt.Errorf("order %d: %w", o.ID, &store.InFlightError{ClaimedBy: o.ClaimedBy, Until: d.localTime(*o.LeaseUntil)})
	}
	if o.Status.Settled() && o.ReviewReason != order.ReviewConflict {
		return refuse(fmt.Errorf("order %d is settled already, as %s", o.ID, o.Status), msgRefusedSettled, o.Status)
	}
	return nil
}

// Resolve writes a settlement that was shown.
func (d *Desk) Resolve(ctx context.Context, s Settlement) (Change, error) {
	trace, err := d.Store.SettleByHand(ctx, s.write)
	if err != nil {
		return Change{}, d.refusalOf(err)
	}
	c := changeOf(s.write.Shown, trace)
	c.Event, c.EventID = &s.write.Event, &trace.EventID
	return c, nil
}

func changeOf(o store.Detail, t store.Trace) Change {
	return Change{ID: o.ID, MID: o.MID, MerOrderID: nullText(o.MerOrderID), Before: t.Before, After: t.After, ActionID: t.ActionID}
}

// refusalOf tells the person what to do about a guard that did not hold.
func (d *Desk) refusalOf(err error) error {
	flight, inFlight := errors.AsType[*store.InFlightError](err)
	switch {
	case errors.Is(err, store.ErrChanged):
		return fmt.Errorf("%w, by another person, the daemon or the application; nothing was written: look at it again", err)
	case store.IsDuplicate(err):
		return refuse(errors.New("another order of the merchant has this number; nothing was written"), msgRefusedNumber)
	case inFlight:
		return &store.InFlightError{ClaimedBy: flight.ClaimedBy, Until: d.localTime(flight.Until)}
	}
	return err
}

// Page shows what a settlement would write.
func (s Settlement) Page(l Locale, d *Desk) Page {
	var p Page
	w := s.write
	o := w.Shown
	p.addLine(Strong, l.say(msgResolveHead, o.ID, o.MerOrderID, o.MID, Yuan(o.OrderAmount), l.ZoneName(o.ClaimedAt)))
	for _, f := range s.Fields(l) {
		p.addRow("  "+f.Name, f.Before, "→", f.After)
	}
	p.addLine(Plain, l.say(msgResolveEvent, w.Event))
	if o.SettledAt != nil {
		p.addLine(Warning, l.say(msgResolveBefore, l.Stamp(*o.SettledAt)))
	}
	p.addLine(Plain, l.say(msgResolveActor, d.Actor, w.Action.Reason, w.Action.Evidence))
	return p
}

// Page tells what was done.
func (c Change) Page(l Locale) Page {
	var p Page
	text := l.say(msgRetried, c.ID, c.ActionID)
	if c.EventID != nil {
		text = l.say(msgResolved, c.ID, c.ActionID, *c.EventID)
	}
	p.addLine(Good, text)
	return p
}

// Question is what a person confirms before a settlement is written.
func (l Locale) Question() string { return l.say(msgResolveConfirm) }
