package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"reconciler/internal/operator"
	"reconciler/internal/order"
	"reconciler/internal/store"
)

type reviewCommand struct {
	List    reviewList    `cmd:"" help:"List the orders that need a person, and what to do about each."`
	Resolve reviewResolve `cmd:"" help:"Settle an order by hand: the order, its event and the record are written together."`
	Retry   reviewRetry   `cmd:"" help:"Clear the review of orders and make them due, after a correction if need be."`
}

type reviewList struct {
	deskSettings

	Reason string `name:"reason" placeholder:"REASON" help:"Those of one review reason, such as amount_mismatch."`
	MID    string `name:"mid" placeholder:"MID" help:"Those of one merchant."`
	Limit  int    `name:"limit" default:"1000" placeholder:"N" help:"At most this many."`
}

// Run lists what needs a person.
func (c *reviewList) Run(p *process) error {
	return showAnswer(c.deskSettings, p, nil, func(ctx context.Context, d *operator.Desk) (operator.Reviews, error) {
		return d.Reviews(ctx, store.ReviewFilter{Reason: c.Reason, MID: c.MID, Limit: c.Limit})
	}, checkLimit(c.Limit))
}

type reviewResolve struct {
	deskSettings
	orderArgument

	As           string `name:"as" required:"" placeholder:"STATUS" help:"TRADE_SUCCESS, TRADE_REFUND or TRADE_CLOSED."`
	Amount       *int64 `name:"amount" placeholder:"FEN" help:"total_amount in fen. Without: order_amount, or none for TRADE_CLOSED."`
	RefundAmount *int64 `name:"refund-amount" placeholder:"FEN" help:"refund_amount in fen."`
	AcceptAmount bool   `name:"accept-amount" help:"Accept an amount other than order_amount."`
	PayTime      string `name:"pay-time" placeholder:"TIME" help:"When it was paid: RFC 3339, or 2026-01-31 09:00 in --tz."`
	SettleDate   string `name:"settle-date" placeholder:"DATE" help:"The day of clearing, such as 2026-01-31."`
	Reason       string `name:"reason" required:"" help:"Why, for the record."`
	Evidence     string `name:"evidence" help:"What it is based on, such as a serial number of the merchant platform."`
	Yes          bool   `name:"yes" help:"Do not ask for confirmation; required without a terminal."`
}

// Run shows before and after, asks for confirmation, and settles the order.
func (c *reviewResolve) Run(p *process) error {
	name, nameErr := c.parseName()
	zone, _ := c.People.timeZone() // judged with the other settings
	resolution, err := c.parseResolution(zone)
	if err := errors.Join(nameErr, err); err != nil {
		return usageError{err}
	}
	return c.withDesk(p, nil, func(ctx context.Context, d *operator.Desk) error {
		settlement, err := d.PrepareResolve(ctx, name, resolution)
		if err != nil {
			return asUsage(err)
		}
		if err := printPage(p.stderr, settlement.Page(d.Locale, d), false); err != nil {
			return err
		}
		if err := p.confirmChange(d.Question(), c.Yes); err != nil {
			return err
		}
		change, err := d.Resolve(ctx, settlement)
		if err != nil {
			return err
		}
		return p.printResult(c.Output, change, change.Page(d.Locale))
	})
}

func (c *reviewResolve) parseResolution(zone *time.Location) (operator.Resolution, error) {
	r := operator.Resolution{
		As: order.Status(c.As), Amount: c.Amount, RefundAmount: c.RefundAmount, AcceptAmount: c.AcceptAmount, Reason: c.Reason, Evidence: c.Evidence,
	}
	var payErr, dateErr error
	if c.PayTime != "" && zone != nil {
		at, err := operator.ParseTime(c.PayTime, zone)
		r.PayTime, payErr = &at, err
	}
	if c.SettleDate != "" {
		day, err := time.Parse(time.DateOnly, c.SettleDate)
		if err != nil {
			dateErr = fmt.Errorf("--settle-date must be a date such as 2026-01-31, not %q", c.SettleDate)
		}
		r.SettleDate = &day
	}
	return r, errors.Join(payErr, dateErr)
}

// confirmChange asks the person on the terminal. Without one, --yes is required.
func (p *process) confirmChange(question string, yes bool) error {
	if yes {
		return nil
	}
	if !isTerminal(os.Stdin) {
		return usageError{errors.New("there is no terminal to confirm on: look at what is shown, then add --yes")}
	}
	fmt.Fprint(p.stderr, question)
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n') // the end of the input is a no
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("not confirmed; nothing was written")
	}
	return nil
}

type reviewRetry struct {
	deskSettings

	Orders []string `arg:"" name:"order" help:"The orders: the merchant's number, the channel's number, or #id (quote it: '#12')."`
	MID    string   `name:"mid" placeholder:"MID" help:"The merchant, where several have an order of that number."`
	Set    []string `name:"set" sep:"none" placeholder:"COLUMN=VALUE" help:"Correct tid, inst_mid, mer_order_id or target_order_id first; may be given more than once."`
	Reason string   `name:"reason" required:"" help:"Why, for the record."`
}

// Run makes the orders due. It fails if one could not be.
func (c *reviewRetry) Run(p *process) error {
	correction, err := c.parseCorrection()
	names := make([]store.OrderName, len(c.Orders))
	for i, text := range c.Orders {
		name, nameErr := operator.ParseOrderName(text, c.MID)
		names[i], err = name, errors.Join(err, nameErr)
	}
	if err != nil {
		return usageError{err}
	}
	return c.withDesk(p, nil, func(ctx context.Context, d *operator.Desk) error {
		done, err := d.Retry(ctx, names, correction, c.Reason)
		if err == nil || len(done.Retries) > 0 {
			err = errors.Join(err, p.printResult(c.Output, done, done.Page(d.Locale)))
		}
		return asUsage(err)
	})
}

func (c *reviewRetry) parseCorrection() (store.Correction, error) {
	var correction store.Correction
	for _, set := range c.Set {
		column, value, found := strings.Cut(set, "=")
		target := map[string]*string{
			"tid": &correction.TID, "inst_mid": &correction.InstMID, "mer_order_id": &correction.MerOrderID, "target_order_id": &correction.TargetOrderID,
		}[column]
		if !found || target == nil || value == "" {
			return correction, fmt.Errorf("--set must be tid=…, inst_mid=…, mer_order_id=… or target_order_id=…, not %q", set)
		}
		*target = value
	}
	return correction, nil
}
