package main

import (
	"context"

	"reconciler/internal/operator"
	"reconciler/internal/store"
)

type auditCommand struct {
	deskSettings

	Since  *moment `name:"since" placeholder:"TIME" help:"Those at or after this time (RFC 3339), or of at most this age (36h, 7d)."`
	By     string  `name:"by" placeholder:"NAME" help:"Those of one person."`
	Action string  `name:"action" placeholder:"ACTION" help:"Those of one kind, such as resolve, retry, pause, resume."`

	latestFirst
}

// Run lists what people did.
func (c *auditCommand) Run(p *process) error {
	return showAnswer(c.deskSettings, p, nil, func(ctx context.Context, d *operator.Desk) (list operator.Actions, err error) {
		now, err := d.Store.Now(ctx)
		if err != nil {
			return list, err
		}
		return d.Actions(ctx, store.ActionFilter{Since: c.Since.timeBefore(now), Actor: c.By, Action: c.Action, Limit: c.Limit})
	}, c.check())
}
