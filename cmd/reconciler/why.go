package main

import (
	"context"

	"reconciler/internal/operator"
	"reconciler/internal/store"
)

// orderArgument names one order.
type orderArgument struct {
	Order string `arg:"" name:"order" help:"The order: the merchant's number, the channel's number, or #id (quote it: '#12')."`
	MID   string `name:"mid" placeholder:"MID" help:"The merchant, where several have an order of that number."`
}

func (a orderArgument) parseName() (store.OrderName, error) {
	return operator.ParseOrderName(a.Order, a.MID)
}

type whyCommand struct {
	deskSettings
	orderArgument

	Poll pollSettings `embed:"" group:"Polling:"`
}

// Run tells one order's story.
func (c *whyCommand) Run(p *process) error {
	name, err := c.parseName()
	if err != nil {
		return usageError{err}
	}
	return showAnswer(c.deskSettings, p, &c.Poll, func(ctx context.Context, d *operator.Desk) (operator.Why, error) { return d.Why(ctx, name) })
}
