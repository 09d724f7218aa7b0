package main

import (
	"context"
	"errors"
	"fmt"

	"reconciler/internal/operator"
	"reconciler/internal/policy"
	"reconciler/internal/store"
)

// deskSettings are those of the commands by which people read and change the tables.
type deskSettings struct {
	Database databaseSettings `embed:"" group:"Database:"`
	People   peopleSettings   `embed:"" group:"People:"`

	Output string `name:"output" default:"text" enum:"text,json" help:"Format of the output on stdout: text or json."`
}

// withDesk opens a desk for do. The plan is that of the settings at hand; nil where the command has
// none. The schema has to be as new as the program, except for those that judge it themselves.
func (s deskSettings) withDesk(p *process, poll *pollSettings, do func(context.Context, *operator.Desk) error, problems ...error) error {
	return s.withAnySchema(p, poll, func(ctx context.Context, d *operator.Desk) error {
		if err := d.Store.CheckSchema(ctx); err != nil {
			return err
		}
		return do(ctx, d)
	}, problems...)
}

func (s deskSettings) withAnySchema(p *process, poll *pollSettings, do func(context.Context, *operator.Desk) error, problems ...error) error {
	zone, zoneErr := s.People.timeZone()
	lang, langErr := s.People.language(p.getenv)
	d := &operator.Desk{Actor: s.People.actorName(p.getenv), Via: "cli"}
	if poll != nil {
		d.Rate, d.Rules = poll.Rate.T, policy.Rules{Plan: poll.plan()}
		problems = append(problems, poll.validatePlan())
	}
	return s.Database.withStore(p, func(ctx context.Context, orders *store.Store) error {
		defer orders.WatchLocks(ctx, p.tellWait)()
		d.Store, d.Locale = orders, operator.Locale{Lang: lang, Zone: zone}
		err := do(ctx, d)
		if store.LacksRight(err) {
			return fmt.Errorf("%w: `reconciler grants --role ROLE --for operator` prints what people need, --for viewer what those need who only look", err)
		}
		return err
	}, append(problems, zoneErr, langErr)...)
}

// paged is a result that people can read.
type paged interface {
	Page(l operator.Locale) operator.Page
}

// showAnswer opens a desk, asks it and prints what it answers.
func showAnswer[R paged](s deskSettings, p *process, poll *pollSettings, ask func(context.Context, *operator.Desk) (R, error), problems ...error) error {
	return s.withDesk(p, poll, func(ctx context.Context, d *operator.Desk) error {
		result, err := ask(ctx, d)
		if err != nil {
			return asUsage(err)
		}
		return p.printResult(s.Output, result, result.Page(d.Locale))
	}, problems...)
}

// asUsage gives a mistake of the person its exit code.
func asUsage(err error) error {
	if errors.Is(err, operator.ErrUsage) {
		return usageError{err}
	}
	return err
}

// latestFirst bounds a list.
type latestFirst struct {
	Limit int `name:"limit" default:"1000" placeholder:"N" help:"At most this many, the latest first."`
}

func (l latestFirst) check() error { return checkLimit(l.Limit) }

func checkLimit(n int) error {
	if n < 1 || n > 100_000 {
		return badSetting{"limit", "must be from 1 to 100000"}
	}
	return nil
}
