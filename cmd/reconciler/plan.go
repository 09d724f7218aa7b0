package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"reconciler/internal/operator"
	"reconciler/internal/policy"
)

type planCommand struct {
	deskSettings

	Order string `arg:"" name:"order" optional:"" help:"The order: the merchant's number, the channel's number, or #id (quote it: '#12'). Without: the curve, and what falls due."`
	MID   string `name:"mid" placeholder:"MID" help:"The merchant, where several have an order of that number."`

	Poll     pollSettings `embed:"" group:"Polling:"`
	Next     duration     `name:"next" default:"24h" help:"How far to look at what falls due, at most 168h."`
	Simulate *int         `name:"simulate" placeholder:"N" help:"Tell how many questions N orders cost over their life with these settings; needs no database."`
}

// Run lists the coming questions.
func (c *planCommand) Run(p *process) error {
	if c.Simulate != nil {
		return c.simulatePlan(p)
	}
	if c.Order != "" {
		return c.planOrder(p)
	}
	var nextErr error
	if c.Next.T <= 0 || c.Next.T > 168*time.Hour {
		nextErr = badSetting{"next", fmt.Sprintf("must be more than 0 and at most 168h, not %s", c.Next.T)}
	}
	return showAnswer(c.deskSettings, p, &c.Poll, func(ctx context.Context, d *operator.Desk) (operator.Plan, error) {
		return d.Plan(ctx, c.Next.T)
	}, nextErr)
}

func (c *planCommand) planOrder(p *process) error {
	name, err := operator.ParseOrderName(c.Order, c.MID)
	if err != nil {
		return usageError{err}
	}
	return showAnswer(c.deskSettings, p, &c.Poll, func(ctx context.Context, d *operator.Desk) (operator.OrderPlan, error) {
		return d.PlanOrder(ctx, name)
	})
}

func (c *planCommand) simulatePlan(p *process) error {
	zone, zoneErr := c.People.timeZone()
	lang, langErr := c.People.language(p.getenv)
	rules := policy.Rules{Plan: c.Poll.plan()}
	if err := p.checkSettings(zoneErr, langErr, c.Poll.validatePlan()); err != nil {
		return err
	}
	if c.Order != "" {
		return usageError{errors.New("--simulate is about no order: leave out " + c.Order)}
	}
	d := &operator.Desk{Locale: operator.Locale{Lang: lang, Zone: zone}, Rules: rules, Rate: c.Poll.Rate.T}
	simulation, err := d.Simulate(*c.Simulate)
	if err != nil {
		return asUsage(err)
	}
	return p.printResult(c.Output, simulation, simulation.Page(d.Locale))
}
