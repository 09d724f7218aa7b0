package main

import (
	"context"
	"errors"

	"reconciler/internal/operator"
	"reconciler/internal/store"
)

// orderArgument names one order.
type orderArgument struct {
	Order string `arg:"" name:"order" help:"The order: the merchant's number, the channel's number, or #id (quote it: '#12')."`
	MID   string `name:"mid" placeholder:"MID" help:"The merchant, where several have an order of that number."`
}

func (a orderArgument) parse() (store.OrderName, error) {
	return operator.ParseOrderName(a.Order, a.MID)
}

type whyCommand struct {
	deskSettings
	orderArgument

	Poll pollSettings `embed:"" group:"Polling:"`
}

// Run tells one order's story.
func (c *whyCommand) Run(p *process) error {
	name, err := c.parse()
	if err != nil {
		return usageError{err}
	}
	return c.with(p, &c.Poll, func(ctx context.Context, d *operator.Desk) error {
		why, err := d.Why(ctx, name)
		if err != nil {
			return asUsage(err)
		}
		return c.print(p, why, why.Page(d.Locale))
	})
}

// asUsage gives a mistake of the person its exit code.
func asUsage(err error) error {
	if errors.Is(err, operator.ErrUsage) {
		return usageError{err}
	}
	return err
}
