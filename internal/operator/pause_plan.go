package operator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"reconciler/internal/store"
)

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
func (p PausePlan) Digest() string {
	return digestOf([]any{p.Scope, p.Key, p.Until, p.reason, p.replace, p.before})
}

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
