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
	return showAnswer(c.deskSettings, p, nil, func(ctx context.Context, d *operator.Desk) (operator.Pauses, error) { return d.Pauses(ctx) })
}
