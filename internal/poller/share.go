package poller

import (
	"context"
	"errors"
	"log/slog"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// share tells the other instances, through the store, what a question has shown
// of the app and of the merchant: a pause that begins, or whose probe has come
// back. A failure to tell is logged and no more: the pauses end by themselves.
func (x *pass) share(ctx context.Context, c claimed, out order.Outcome, opened bool) {
	if x.dryRun {
		return
	}
	trouble := troubleOf(out)
	failed := errors.Is(trouble, errFailed) || errors.Is(trouble, errCredentials)
	var err error
	switch {
	case opened || (c.AppProbe && failed):
		err = x.Store.Trip(ctx, store.ScopeApp, c.app.AppID, out.LastError, pause)
	case c.AppProbe && errors.Is(trouble, errExcluded):
		err = x.Store.EndProbe(ctx, store.ScopeApp, c.app.AppID)
	case c.AppProbe:
		err = x.Store.Heal(ctx, store.ScopeApp, c.app.AppID)
	}
	switch {
	case errors.Is(trouble, errMerchant):
		err = errors.Join(err, x.Store.Trip(ctx, store.ScopeMerchant, c.MID, out.LastError, pause))
	case c.MerchantProbe && trouble == nil:
		err = errors.Join(err, x.Store.Heal(ctx, store.ScopeMerchant, c.MID))
	case c.MerchantProbe:
		err = errors.Join(err, x.Store.EndProbe(ctx, store.ScopeMerchant, c.MID))
	}
	if err != nil {
		x.Logger.LogAttrs(ctx, slog.LevelWarn, "a pause could not be shared", slog.Any("error", err))
	}
}

// endProbes lets others probe: these orders are given back without a question.
func (x *pass) endProbes(ctx context.Context, orders []claimed) error {
	var errs []error
	for _, c := range orders {
		if c.AppProbe {
			errs = append(errs, x.Store.EndProbe(ctx, store.ScopeApp, c.app.AppID))
		}
		if c.MerchantProbe {
			errs = append(errs, x.Store.EndProbe(ctx, store.ScopeMerchant, c.MID))
		}
	}
	return errors.Join(errs...)
}
