package main

import (
	"context"

	"reconciler/internal/operator"
	"reconciler/internal/store"
)

type auditCommand struct {
	deskSettings

	Since  *moment `name:"since" placeholder:"TIME" help:"Those at or after this time (RFC 3339), or of at most this age (36h)."`
	By     string  `name:"by" placeholder:"NAME" help:"Those of one person."`
	Action string  `name:"action" placeholder:"ACTION" help:"Those of one kind, such as resolve, retry, pause, resume."`
	Limit  int     `name:"limit" default:"1000" placeholder:"N" help:"At most this many, the latest first."`
}

// Run lists what people did.
func (c *auditCommand) Run(p *process) error {
	return c.with(p, nil, func(ctx context.Context, d *operator.Desk) error {
		now, err := d.Store.Now(ctx)
		if err != nil {
			return err
		}
		list, err := d.Actions(ctx, store.ActionFilter{Since: c.Since.before(now), Actor: c.By, Action: c.Action, Limit: c.Limit})
		if err != nil {
			return err
		}
		return c.print(p, list, list.Page(d.Locale))
	}, checkLimit(c.Limit))
}
