package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"reconciler/internal/store"
)

// PauseRequest is what a person wants paused.
type PauseRequest struct {
	Scope   store.Scope
	Key     string
	Until   string // as [ParseUntil] reads it; "": until somebody resumes
	Reason  string
	Replace bool     // another person's pause too
	Unknown bool     // also a merchant without orders, or an app id that nobody uses
	AppIDs  []string // of the settings at hand

	shown *store.ShownPause // nil: the person was not shown the pause that there is
}

// PauseChange is a pause or its end, done.
type PauseChange struct {
	Scope       store.Scope     `json:"scope"`
	Key         string          `json:"key"`
	PausedUntil *time.Time      `json:"paused_until"` // null: until somebody resumes, or it is over
	Before      json.RawMessage `json:"before"`       // the former pause; null: there was none
	After       json.RawMessage `json:"after"`        // null: resumed
	ActionID    int64           `json:"action_id"`
	Orders      int             `json:"orders"` // unresolved orders that wait for it, or waited
	AmountFen   int64           `json:"amount_fen"`
}

// Pause pauses an app id or a merchant for all instances.
func (d *Desk) Pause(ctx context.Context, r PauseRequest) (PauseChange, error) {
	if err := errors.Join(d.checkActor(), checkReason(r.Reason)); err != nil {
		return PauseChange{}, err
	}
	until, err := d.checkPause(ctx, r)
	if err != nil {
		return PauseChange{}, err
	}
	c := store.Control{Scope: r.Scope, Key: r.Key, PausedUntil: until, Reason: r.Reason, SetBy: d.Actor}
	trace, err := d.Store.PauseByPerson(ctx, store.PersonPause{
		Control: c, Replace: r.Replace, Shown: r.shown, Action: d.newAction("pause", r.Reason),
	})
	if paused, ok := errors.AsType[*store.PausedError](err); ok {
		paused.Control.SetAt = d.localTime(paused.Control.SetAt)
		return PauseChange{}, fmt.Errorf("%w; --replace puts yours in its place", paused)
	}
	if err != nil {
		return PauseChange{}, err
	}
	change := PauseChange{Scope: r.Scope, Key: r.Key, PausedUntil: d.localOf(c.PausedUntil), Before: trace.Before, After: trace.After, ActionID: trace.ActionID}
	held, err := d.holdOf(ctx, r.Scope, r.Key)
	change.Orders, change.AmountFen = held.Orders, held.AmountFen
	return change, err
}

// checkPause checks what is to be paused, and reads until when; nil: until somebody resumes.
func (d *Desk) checkPause(ctx context.Context, r PauseRequest) (until *time.Time, err error) {
	if r.Until != "" {
		now, err := d.Store.Now(ctx)
		if err != nil {
			return nil, err
		}
		end, err := ParseUntil(r.Until, now, d.Zone)
		if err != nil {
			return nil, fmt.Errorf("--until: %w", err)
		}
		until = &end
	}
	if r.Unknown {
		return until, nil
	}
	return until, d.checkPauseKey(ctx, r)
}

// checkPauseKey refuses what is most likely a mistyped number.
func (d *Desk) checkPauseKey(ctx context.Context, r PauseRequest) error {
	if r.Scope == store.ScopeMerchant {
		known, err := d.Store.HasMerchant(ctx, r.Key)
		switch {
		case err != nil:
			return refuse(fmt.Errorf("%w; --unknown pauses it without looking", err), msgRefusedNotLooked, r.Key)
		case !known:
			return refuse(fmt.Errorf("no order is of merchant %s; --unknown pauses it all the same", r.Key), msgRefusedNoMerchant, r.Key)
		}
		return nil
	}
	instances, err := d.Store.Instances(ctx)
	if err != nil {
		return err
	}
	known := slices.Contains(r.AppIDs, r.Key)
	for _, i := range instances {
		known = known || slices.ContainsFunc(appsOf([]store.Instance{i}), func(app InstanceApp) bool { return app.AppID == r.Key })
	}
	if known {
		return nil
	}
	return refuse(fmt.Errorf("app id %s is neither in the settings nor used by an instance; --unknown pauses it all the same", r.Key), msgRefusedNoApp, r.Key)
}

// holdOf is a pause with the orders that it holds, or would hold if it were in force.
func (d *Desk) holdOf(ctx context.Context, scope store.Scope, key string) (Pause, error) {
	controls, err := d.Store.Controls(ctx)
	if err != nil {
		return Pause{}, err
	}
	at := slices.IndexFunc(controls, func(c store.Control) bool { return c.Scope == scope && c.Key == key })
	if at < 0 {
		at = len(controls)
		controls = append(controls, store.Control{Scope: scope, Key: key})
	}
	list, err := d.countHeld(ctx, controls)
	if err != nil {
		return Pause{}, err
	}
	return list[at], nil
}

// Resume ends anybody's pause.
func (d *Desk) Resume(ctx context.Context, scope store.Scope, key, reason string) (PauseChange, error) {
	return d.resumeShown(ctx, scope, key, reason, nil)
}

func (d *Desk) resumeShown(ctx context.Context, scope store.Scope, key, reason string, shown *store.ShownPause) (PauseChange, error) {
	if err := d.checkActor(); err != nil {
		return PauseChange{}, err
	}
	held, err := d.holdOf(ctx, scope, key)
	if err != nil {
		return PauseChange{}, err
	}
	former, trace, err := d.Store.ResumeByPerson(ctx, scope, key, shown, d.newAction("resume", reason))
	if err != nil {
		return PauseChange{}, err
	}
	if former == nil {
		return PauseChange{}, refuse(fmt.Errorf("nothing to resume: %s %s is not paused", scope, key), msgRefusedNotPaused, d.Target(scope, key))
	}
	return PauseChange{
		Scope: scope, Key: key, Before: trace.Before, ActionID: trace.ActionID, Orders: held.Orders, AmountFen: held.AmountFen,
	}, nil
}

// Page tells what was done.
func (c PauseChange) Page(l Locale) Page {
	var p Page
	text := l.say(msgResumedNow, l.Target(c.Scope, c.Key), l.CountOrders(c.Orders), Yuan(c.AmountFen))
	if c.After != nil {
		text = l.say(msgPausedNow, l.Target(c.Scope, c.Key), l.UntilWhen(c.PausedUntil), l.CountOrders(c.Orders), Yuan(c.AmountFen))
		if c.PausedUntil != nil {
			text += " (" + l.ZoneName(*c.PausedUntil) + ")"
		}
	}
	p.addLine(Plain, text)
	return p
}
