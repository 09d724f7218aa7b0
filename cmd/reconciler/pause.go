package main

import (
	"cmp"
	"context"

	"reconciler/internal/credentials"
	"reconciler/internal/operator"
	"reconciler/internal/store"
)

// pauseTarget says what is paused or resumed.
type pauseTarget struct {
	deskSettings

	MID   givenText `name:"mid" placeholder:"MID" xor:"target" required:"" help:"Merchant number. Give either this or --app-id."`
	AppID givenText `name:"app-id" placeholder:"ID" xor:"target" required:"" help:"App id: everything that is asked with its credentials."`
	By    string    `name:"by" hidden:"" help:"The same as --actor, as in former versions."`
}

type pauseCommand struct {
	pauseTarget

	Reason  string    `name:"reason" required:"" help:"Why, for the record and for the readers of the pauses."`
	Until   givenText `name:"until" placeholder:"TIME" help:"End of the pause: 2026-01-31 09:00 or a date in --tz, RFC 3339, or an age such as 2h or 3d. Without: until resume."`
	Replace bool      `name:"replace" help:"Replace another person's pause."`
	Unknown bool      `name:"unknown" help:"Pause a merchant that no order has, or an app id that nobody uses."`
}

type resumeCommand struct {
	pauseTarget

	Reason string `name:"reason" help:"Why, for the record."`
}

// showChange shows a change of the target, under the name of --by where it is given.
func (t pauseTarget) showChange(p *process, do func(ctx context.Context, d *operator.Desk, scope store.Scope, key string) (operator.PauseChange, error)) error {
	return showAnswer(t.deskSettings, p, nil, func(ctx context.Context, d *operator.Desk) (operator.PauseChange, error) {
		d.Actor = cmp.Or(t.By, d.Actor)
		if t.MID != "" {
			return do(ctx, d, store.ScopeMerchant, string(t.MID))
		}
		return do(ctx, d, store.ScopeApp, string(t.AppID))
	})
}

// Run pauses, for all instances, until the time given or until resume.
func (c *pauseCommand) Run(p *process) error {
	return c.showChange(p, func(ctx context.Context, d *operator.Desk, scope store.Scope, key string) (operator.PauseChange, error) {
		return d.Pause(ctx, operator.PauseRequest{
			Scope: scope, Key: key, Until: string(c.Until), Reason: c.Reason, Replace: c.Replace, Unknown: c.Unknown, AppIDs: appIDsAtHand(p),
		})
	})
}

// appIDsAtHand are those of the environment, as far as they can be read.
func appIDsAtHand(p *process) []string {
	ids := []string{p.getenv("CHINAUMS_APP_ID")}
	if file := p.getenv("CHINAUMS_CREDENTIALS_FILE"); file != "" {
		apps, _, _ := credentials.ReadFile(file) // a file that cannot be read names none
		for _, app := range apps {
			ids = append(ids, app.AppID)
		}
	}
	return ids
}

// Run ends anybody's pause.
func (c *resumeCommand) Run(p *process) error {
	return c.showChange(p, func(ctx context.Context, d *operator.Desk, scope store.Scope, key string) (operator.PauseChange, error) {
		return d.Resume(ctx, scope, key, c.Reason)
	})
}
