package operator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// A skin that shows an action on one page and writes it from the next keeps nothing in between. It
// prepares the action twice. Their digests differ where the state or the action has changed.

// Digest identifies the settlement with the state that it was made from.
func (s Settlement) Digest() string { return digestOf(s.write) }

// Digest identifies the retry with the state that it was made from.
func (r Retrial) Digest() string { return digestOf(r) }

// digestOf hashes what is shown. The clock of the look is not part of it.
func digestOf(values any) string {
	text := ""
	switch v := values.(type) {
	case store.HandSettlement:
		v.Shown = steadyPart(v.Shown)
		text = jsonOf(v)
	case Retrial:
		text = jsonOf([]any{steadyPart(v.shown), v.correction, v.action})
	case PausePlan:
		text = jsonOf([]any{v.Scope, v.Key, v.Until, v.reason, v.replace, v.before})
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func jsonOf(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error() // it differs from every digest that was shown
	}
	return string(text)
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

// PausePlan is a pause or its end, checked and ready to be confirmed.
type PausePlan struct {
	Scope store.Scope
	Key   string
	Until *time.Time // of the new pause; nil: until somebody resumes
	Held  Pause      // the orders that wait for it, or will

	reason  string
	replace bool
	before  *store.Control
	resumes bool
}

// Digest identifies the plan with the state that it was made from.
func (p PausePlan) Digest() string { return digestOf(p) }

// PreparePause checks a pause and shows what it would change.
func (d *Desk) PreparePause(ctx context.Context, r PauseRequest) (PausePlan, error) {
	p := PausePlan{Scope: r.Scope, Key: r.Key, reason: r.Reason, replace: r.Replace}
	if err := d.checkActor(); err != nil {
		return p, err
	}
	until, err := d.checkPause(ctx, r)
	if err != nil {
		return p, err
	}
	if until != nil {
		p.Until = new(until.UTC().Truncate(time.Second))
	}
	if err := d.lookAtPause(ctx, &p); err != nil {
		return p, err
	}
	if b := p.before; b != nil && b.SetBy != store.Breaker && b.SetBy != d.Actor && !r.Replace {
		return p, &store.PausedError{Control: *b}
	}
	return p, nil
}

// PrepareResume shows what the end of a pause would change.
func (d *Desk) PrepareResume(ctx context.Context, scope store.Scope, key, reason string) (PausePlan, error) {
	p := PausePlan{Scope: scope, Key: key, reason: reason, resumes: true}
	if err := d.checkActor(); err != nil {
		return p, err
	}
	if err := d.lookAtPause(ctx, &p); err != nil {
		return p, err
	}
	if p.before == nil {
		return p, refuse(fmt.Errorf("%w: %s %s is not paused", ErrStale, scope, key), msgRefusedNotPaused, d.Target(scope, key))
	}
	return p, nil
}

func (d *Desk) lookAtPause(ctx context.Context, p *PausePlan) error {
	shown, err := d.Store.StandingPause(ctx, p.Scope, p.Key)
	if err != nil {
		return err
	}
	if p.before = shown.Control; p.before != nil {
		p.before.SetAt = p.before.SetAt.UTC()
		if p.before.PausedUntil != nil {
			p.before.PausedUntil = new(p.before.PausedUntil.UTC())
		}
	}
	p.Held, err = d.holdOf(ctx, p.Scope, p.Key)
	return err
}

// DoPause writes a pause, or its end, that was shown.
func (d *Desk) DoPause(ctx context.Context, p PausePlan) (PauseChange, error) {
	shown := &store.ShownPause{Control: p.before}
	if p.resumes {
		return d.resumeShown(ctx, p.Scope, p.Key, p.reason, shown)
	}
	r := PauseRequest{Scope: p.Scope, Key: p.Key, Reason: p.reason, Replace: p.replace, Unknown: true, shown: shown}
	if p.Until != nil {
		r.Until = p.Until.Format(time.RFC3339)
	}
	return d.Pause(ctx, r)
}

// Fields are what the plan changes.
func (p PausePlan) Fields(l Locale) []Field {
	before := l.say(msgPausedNone)
	if p.before != nil {
		before = l.newPause(*p.before).inWords(l)
	}
	after := l.say(msgPausedNone)
	if !p.resumes {
		after = strings.TrimSpace(l.Target(p.Scope, p.Key) + " " + l.UntilWhen(p.Until))
	}
	return []Field{{l.Target(p.Scope, p.Key), before, after}}
}

// IsPausedByOther reports whether a pause was refused because another person's is in force.
func IsPausedByOther(err error) bool { return errors.As(err, new(*store.PausedError)) }

// Amount reads yuan as people write them, such as 1290 or ¥1,290.50, as fen.
func Amount(text string) (int64, error) {
	clean := strings.NewReplacer(",", "", "¥", "", "￥", "", " ", "").Replace(text)
	whole, rest, _ := strings.Cut(clean, ".")
	for len(rest) < 2 {
		rest += "0"
	}
	digits := whole + rest
	fen, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || len(rest) != 2 || whole == "" || len(digits) > 15 {
		return 0, refuseUsage(msgRefusedAmount, "an amount must be such as 1290.50, not %q", text)
	}
	return int64(fen), nil
}
