package main

import (
	"context"

	"reconciler/internal/operator"
)

type pausesCommand struct {
	deskSettings
}

// Run lists the pauses in force.
func (c *pausesCommand) Run(p *process) error {
	return c.with(p, nil, func(ctx context.Context, d *operator.Desk) error {
		list, err := d.Pauses(ctx)
		if err != nil {
			return err
		}
		return c.print(p, list, list.Page(d.Locale))
	})
}
