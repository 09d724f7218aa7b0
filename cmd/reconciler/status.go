package main

import (
	"context"

	"reconciler/internal/operator"
)

// maxRowsShown bounds each list of status on a terminal.
const maxRowsShown = 20

type statusCommand struct {
	deskSettings
}

// Run prints the verdict first. It exits 3 where something needs attention, 4 where it is critical.
func (c *statusCommand) Run(p *process) error {
	return c.withAnySchema(p, nil, func(ctx context.Context, d *operator.Desk) error {
		status := d.Status(ctx)
		maxRows := 0
		if p.onTerminal() {
			maxRows = maxRowsShown
		}
		if err := p.printResult(c.Output, status, status.Page(d.Locale, maxRows)); err != nil {
			return err
		}
		switch status.Verdict {
		case operator.StateCritical:
			return exitCritical
		case operator.StateAttention:
			return exitAttention
		}
		return nil
	})
}
