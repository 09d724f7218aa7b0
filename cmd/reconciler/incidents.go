package main

import (
	"context"

	"reconciler/internal/operator"
	"reconciler/internal/store"
)

type incidentsCommand struct {
	deskSettings

	Since *moment `name:"since" default:"168h" placeholder:"TIME" help:"Those that had not ended before this time (RFC 3339), or this age (36h)."`
	MID   string  `name:"mid" placeholder:"MID" help:"Those of one merchant."`
	Limit int     `name:"limit" default:"1000" placeholder:"N" help:"At most this many, the latest first."`
}

// Run lists the pauses of the past and those that go on.
func (c *incidentsCommand) Run(p *process) error {
	return c.with(p, nil, func(ctx context.Context, d *operator.Desk) error {
		now, err := d.Store.Now(ctx)
		if err != nil {
			return err
		}
		f := store.IncidentFilter{Since: c.Since.before(now), Key: c.MID, Limit: c.Limit}
		if c.MID != "" {
			f.Scope = store.ScopeMerchant
		}
		list, err := d.Incidents(ctx, f)
		if err != nil {
			return err
		}
		return c.print(p, list, list.Page(d.Locale))
	}, checkLimit(c.Limit))
}

func checkLimit(n int) error {
	if n < 1 || n > 100_000 {
		return badSetting{"limit", "must be from 1 to 100000"}
	}
	return nil
}
