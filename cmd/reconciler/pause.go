package main

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"time"

	"reconciler/internal/store"
)

// pauseTarget says what is paused or resumed.
type pauseTarget struct {
	Database databaseSettings `embed:"" group:"Database:"`

	MID   string `name:"mid" placeholder:"MID" xor:"target" required:"" help:"Merchant number."`
	AppID string `name:"app-id" placeholder:"ID" xor:"target" required:"" help:"App id: everything that is asked with its credentials."`
}

type pauseCommand struct {
	pauseTarget

	Reason string `name:"reason" required:"" help:"Reason, for gateway_controls and the log."`
	Until  *until `name:"until" placeholder:"TIME" help:"End of the pause: RFC 3339, or a duration from now such as 2h. Without: until resume."`
	By     string `name:"by" placeholder:"NAME" help:"Who pauses. Without: the user's name."`
}

type resumeCommand struct {
	pauseTarget
}

// until is a time to come, given as such or as a duration from now.
type until struct{ moment }

// in is the time itself.
func (u *until) in(now time.Time) *time.Time {
	switch {
	case u == nil:
		return nil
	case u.at.IsZero():
		at := now.Add(u.age)
		return &at
	}
	return &u.at
}

func (t pauseTarget) scope() (store.Scope, string) {
	if t.MID != "" {
		return store.ScopeMerchant, t.MID
	}
	return store.ScopeApp, t.AppID
}

// Run pauses, for all instances, until the time given or until resume.
func (c *pauseCommand) Run(p *process) error {
	return c.Database.with(p, func(ctx context.Context, s *store.Store) error {
		now, err := s.Now(ctx)
		if err != nil {
			return err
		}
		end := c.Until.in(now)
		if end != nil && !end.After(now) {
			return usageError{fmt.Errorf("--until %s has passed", end.Format(time.RFC3339))}
		}
		scope, key := c.scope()
		err = s.Pause(ctx, store.Control{Scope: scope, Key: key, PausedUntil: end, Reason: c.Reason, SetBy: c.actorName()})
		if err != nil {
			return err
		}
		when := "until it is resumed"
		if end != nil {
			when = "until " + end.Format(time.RFC3339)
		}
		_, err = fmt.Fprintf(p.stdout, "paused %s %s %s\n", scope, key, when)
		return err
	})
}

// actorName is never the breaker's name: the pauses of the breaker end in another way.
func (c *pauseCommand) actorName() string {
	if c.By != "" && c.By != store.Breaker {
		return c.By
	}
	if u, err := user.Current(); err == nil && u.Username != store.Breaker {
		return u.Username
	}
	return "operator"
}

// Run ends a pause, whoever made it.
func (c *resumeCommand) Run(p *process) error {
	return c.Database.with(p, func(ctx context.Context, s *store.Store) error {
		scope, key := c.scope()
		was, err := s.Resume(ctx, scope, key)
		if err == nil && !was {
			err = errors.New("nothing to resume: " + string(scope) + " " + key + " is not paused")
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.stdout, "resumed %s %s\n", scope, key)
		return err
	})
}
