package main

import (
	"context"
	"errors"

	"reconciler/internal/operator"
	"reconciler/internal/store"
)

type eventsCommand struct {
	List   eventsListCommand   `cmd:"" help:"List what the application was told, when, and with which answer."`
	Resend eventsResendCommand `cmd:"" help:"Let the daemon deliver events by HTTP again; recorded in operator_actions."`
}

// eventChoice narrows the events.
type eventChoice struct {
	Failed bool    `name:"failed" help:"Only those that were set aside, or that fail at present."`
	Since  *moment `name:"since" placeholder:"TIME" help:"Only those written at or after this time (RFC 3339), or since this age (36h, 7d)."`
}

type eventsListCommand struct {
	deskSettings
	eventChoice

	MID   string `name:"mid" placeholder:"MID" help:"Those of one merchant."`
	Order string `name:"order" placeholder:"NUMBER" help:"Those of one order, by either of its numbers."`
	Limit int    `name:"limit" default:"100" placeholder:"N" help:"At most this many, the latest first."`
}

// Run lists events.
func (c *eventsListCommand) Run(p *process) error {
	return showAnswer(c.deskSettings, p, nil, func(ctx context.Context, d *operator.Desk) (list operator.Events, err error) {
		f, err := c.eventFilter(ctx, d)
		if err != nil {
			return list, err
		}
		f.MID, f.Order, f.Limit = c.MID, c.Order, c.Limit
		return d.Events(ctx, f)
	}, checkLimit(c.Limit))
}

func (c eventChoice) eventFilter(ctx context.Context, d *operator.Desk) (store.EventFilter, error) {
	f := store.EventFilter{Failed: c.Failed}
	if c.Since == nil {
		return f, nil
	}
	now, err := d.Store.Now(ctx)
	f.Since = c.Since.timeBefore(now)
	return f, err
}

type eventsResendCommand struct {
	deskSettings
	eventChoice

	IDs    []int64 `arg:"" name:"id" optional:"" help:"Numbers of events."`
	Reason string  `name:"reason" placeholder:"TEXT" help:"Why, for the record."`
}

// Run makes deliveries due again.
func (c *eventsResendCommand) Run(p *process) error {
	var choice error
	if len(c.IDs) == 0 && !c.Failed && c.Since == nil {
		choice = errors.New("name the events: their ids, --failed or --since")
	}
	return showAnswer(c.deskSettings, p, nil, func(ctx context.Context, d *operator.Desk) (resent operator.Resent, err error) {
		f, err := c.eventFilter(ctx, d)
		if err != nil {
			return resent, err
		}
		f.IDs = c.IDs
		return d.Resend(ctx, f, c.Reason)
	}, choice)
}
