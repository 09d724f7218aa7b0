package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"reconciler/internal/store"
)

// Retries are orders that were made due again.
type Retries struct {
	Retries []Change `json:"retries"`
}

// Retry clears the reviews of orders, corrects them and makes them due. Each is a transaction of
// its own. It goes on after an error, and returns all errors.
func (d *Desk) Retry(ctx context.Context, names []store.OrderName, c store.Correction, reason string) (Retries, error) {
	done := Retries{Retries: []Change{}}
	if err := checkReason(reason); err != nil {
		return done, err
	}
	names = Distinct(names)
	if len(names) > 1 && (c.MerOrderID != "" || c.TargetOrderID != "") {
		return done, fmt.Errorf("%w: an order number can be set for one order at a time", ErrUsage)
	}
	if err := d.checkActor(); err != nil {
		return done, err
	}
	var errs []error
	for _, name := range names {
		change, err := d.retryOrder(ctx, name, c, reason)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		done.Retries = append(done.Retries, change)
	}
	return done, errors.Join(errs...)
}

// Distinct keeps the first of equal names.
func Distinct[Name comparable](names []Name) []Name {
	seen := make(map[Name]bool, len(names))
	return slices.DeleteFunc(slices.Clone(names), func(name Name) bool {
		twice := seen[name]
		seen[name] = true
		return twice
	})
}

func (d *Desk) retryOrder(ctx context.Context, name store.OrderName, c store.Correction, reason string) (Change, error) {
	r, err := d.PrepareRetry(ctx, name, c, reason)
	if err != nil {
		return Change{}, err
	}
	return d.RetryShown(ctx, r)
}

// Retrial is a retry of one order, checked and ready to be confirmed.
type Retrial struct {
	shown      store.Detail
	correction store.Correction
	action     store.Action
}

// PrepareRetry checks a retry against the order.
func (d *Desk) PrepareRetry(ctx context.Context, name store.OrderName, c store.Correction, reason string) (Retrial, error) {
	if err := errors.Join(d.checkActor(), checkReason(reason), checkCorrection(c)); err != nil {
		return Retrial{}, err
	}
	o, err := d.findOrder(ctx, name)
	if err != nil {
		return Retrial{}, err
	}
	switch {
	case o.Status.Settled():
		return Retrial{}, refuse(fmt.Errorf("order %d is settled, as %s: it is not asked again; review resolve ends a conflict", o.ID, o.Status), msgRefusedNotAsked, o.Status)
	case o.LeaseUntil != nil:
		return Retrial{}, d.checkResolvable(o)
	case o.ReviewReason == "":
		return Retrial{}, refuse(fmt.Errorf("order %d is not under review; run-once asks it now", o.ID), msgRefusedNoReview)
	}
	return Retrial{shown: o, correction: c, action: d.newAction("retry", reason)}, nil
}

// checkCorrection refuses what the columns do not take.
func checkCorrection(c store.Correction) error {
	var errs []error
	for _, f := range []struct {
		column, text string
		minLength    int
		maxLength    int
	}{{"tid", c.TID, 2, 32}, {"inst_mid", c.InstMID, 8, 32}, {"mer_order_id", c.MerOrderID, minNumberLength, 64}, {"target_order_id", c.TargetOrderID, minNumberLength, 64}} {
		if n := utf8.RuneCountInString(f.text); n != 0 && (n < f.minLength || n > f.maxLength) {
			errs = append(errs, refuseUsage(msgRefusedLength, "%s must have %d to %d characters", f.column, f.minLength, f.maxLength))
		}
		if strings.ContainsFunc(f.text, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(f.text) {
			errs = append(errs, refuseUsage(msgRefusedInvisible, "%s holds a character that cannot be seen", f.column))
		}
	}
	return errors.Join(errs...)
}

// RetryShown writes a retry that was shown.
func (d *Desk) RetryShown(ctx context.Context, r Retrial) (Change, error) {
	trace, err := d.Store.Retry(ctx, r.shown, r.correction, r.action)
	if err != nil {
		return Change{}, d.refusalOf(err)
	}
	return changeOf(r.shown, trace), nil
}

// Page tells what was done.
func (r Retries) Page(l Locale) Page {
	var p Page
	for _, c := range r.Retries {
		p.Rows = append(p.Rows, c.Page(l).Rows...)
	}
	return p
}
