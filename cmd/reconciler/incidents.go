package main

import (
	"context"

	"reconciler/internal/operator"
	"reconciler/internal/store"
)

type incidentsCommand struct {
	deskSettings

	Since *moment `name:"since" default:"168h" placeholder:"TIME" help:"Those that had not ended before this time (RFC 3339), or this age (36h, 7d)."`
	MID   string  `name:"mid" placeholder:"MID" help:"Those of one merchant."`

	latestFirst
}

// Run lists the pauses of the past and those that go on.
func (c *incidentsCommand) Run(p *process) error {
	return showAnswer(c.deskSettings, p, nil, func(ctx context.Context, d *operator.Desk) (list operator.Incidents, err error) {
		now, err := d.Store.Now(ctx)
		if err != nil {
			return list, err
		}
		f := store.IncidentFilter{Since: c.Since.timeBefore(now), Key: c.MID, Limit: c.Limit}
		if c.MID != "" {
			f.Scope = store.ScopeMerchant
		}
		return d.Incidents(ctx, f)
	}, c.check())
}
