package poller

import (
	"context"
	"errors"
	"log/slog"

	"reconciler/internal/store"
)

// share tells the other instances, through the store, what a question has shown
// of the app and of the merchant: a pause that begins, or whose probe has come
// back. A failure to tell is logged and no more: the pauses end by themselves.
func (x *pass) share(ctx context.Context, o store.Order, out store.Outcome, opened bool) {
	if x.dryRun {
		return
	}
	trouble := troubleOf(out)
	failed := errors.Is(trouble, errFailed) || errors.Is(trouble, errCredentials)
	var err error
	switch {
	case opened || (o.AppProbe && failed):
		err = x.Store.Trip(ctx, store.ScopeApp, x.AppID, out.LastError, pause)
	case o.AppProbe && errors.Is(trouble, errExcluded):
		err = x.Store.EndProbe(ctx, store.ScopeApp, x.AppID)
	case o.AppProbe:
		err = x.Store.Heal(ctx, store.ScopeApp, x.AppID)
	}
	switch {
	case errors.Is(trouble, errMerchant):
		err = errors.Join(err, x.Store.Trip(ctx, store.ScopeMerchant, o.MID, out.LastError, pause))
	case o.MerchantProbe && trouble == nil:
		err = errors.Join(err, x.Store.Heal(ctx, store.ScopeMerchant, o.MID))
	case o.MerchantProbe:
		err = errors.Join(err, x.Store.EndProbe(ctx, store.ScopeMerchant, o.MID))
	}
	if err != nil {
		x.Logger.LogAttrs(ctx, slog.LevelWarn, "a pause could not be shared", slog.Any("error", err))
	}
}

// endProbes lets others probe: these orders are given back without a question.
func (x *pass) endProbes(ctx context.Context, orders []store.Order) error {
	var errs []error
	for _, o := range orders {
		if o.AppProbe {
			errs = append(errs, x.Store.EndProbe(ctx, store.ScopeApp, x.AppID))
		}
		if o.MerchantProbe {
			errs = append(errs, x.Store.EndProbe(ctx, store.ScopeMerchant, o.MID))
		}
	}
	return errors.Join(errs...)
}
