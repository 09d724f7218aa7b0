package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"reconciler/internal/chinaums"
	"reconciler/internal/operator"
	"reconciler/internal/poller"
	"reconciler/internal/store"
)

type doctorCommand struct {
	daemonSettings

	For        string `name:"for" default:"daemon" enum:"daemon,operator,viewer" help:"Whose rights the database role must have: daemon, operator or viewer."`
	Fix        bool   `name:"fix" help:"Make orders due that have neither a due time nor a review."`
	AskGateway bool   `name:"ask-gateway" help:"Ask one signed question about an order that does not exist, with each app id."`
	AskMID     string `name:"ask-mid" placeholder:"MID" help:"Merchant number of that question. Without: 898000000000000."`
	Output     string `name:"output" default:"text" enum:"text,json" help:"Format of the output on stdout: text or json."`
}

// Run checks before and while the daemon runs. Bad settings are a failed check.
func (c *doctorCommand) Run(p *process) error {
	if c.AskMID != "" && !c.AskGateway {
		return usageError{errors.New("--ask-mid is the merchant of the question of --ask-gateway: give both, or neither")}
	}
	d := &operator.Desk{Locale: c.People.locale(p.getenv), Actor: c.People.actorName(p.getenv), Via: "cli"}
	resolved, settingsErr := c.resolveDaemon(p)
	if c.Database.validate(p.getenv) == nil {
		if orders, err := store.Open(p.ctx, c.Database.URL); err == nil {
			defer orders.Close()
			defer orders.WatchLocks(p.ctx, p.tellWait)()
			d.Store = orders
		}
	}
	options := operator.DoctorOptions{
		SettingsErr: settingsErr, SettingsRead: len(p.settings), FileWarnings: resolved.warnings, Audience: store.Audience(c.For), Fix: c.Fix,
	}
	for _, unknown := range unknownVariables(os.Environ(), knownVariables(p.model)) {
		options.Unknown = append(options.Unknown, fmt.Sprintf("%s is no setting; the nearest is %s", unknown.name, unknown.nearest))
	}
	if c.AskGateway && settingsErr == nil {
		options.AskGateway = func(ctx context.Context) ([]string, bool) { return c.askGateway(ctx, resolved.resolved, d.Locale) }
	}
	found := d.Doctor(p.ctx, options)
	err := p.printResult(c.Output, found, found.Page(d.Locale))
	if err == nil && found.Failed() {
		return exitCode(exitFailed)
	}
	return err
}

// askGateway asks with each app id about an order that does not exist, also where one fails. It asks
// side by side: a gateway that hangs must not take one timeout for each app id.
func (c *doctorCommand) askGateway(ctx context.Context, r resolved, l operator.Locale) (told []string, well bool) {
	apps, err := r.clients.useApps(r.clients.apps)
	if err != nil {
		return []string{err.Error()}, false
	}
	defer r.clients.closeAll()
	told = make([]string, len(apps))
	var asking errgroup.Group
	asking.SetLimit(c.Poll.Concurrency.T)
	for i, app := range apps {
		asking.Go(func() error {
			code, err := c.askWith(ctx, app)
			if err != nil {
				told[i] = fmt.Sprintf("app id %s: %v", app.AppID, err)
				return err
			}
			told[i] = l.AskedGateway(app.AppID, code)
			return nil
		})
	}
	return told, asking.Wait() == nil
}

// askWith asks with one app id. Any answer that is not about our credentials shows that they work.
func (c *doctorCommand) askWith(ctx context.Context, app poller.App) (code string, err error) {
	mid := cmp.Or(c.AskMID, "898000000000000")
	if len(app.MIDs) > 0 && !slices.Contains(app.MIDs, mid) {
		mid = app.MIDs[0]
	}
	ctx, cancel := context.WithTimeout(ctx, c.Gateway.RequestTimeout.T+time.Second)
	defer cancel()
	answer, err := app.Gateway.Query(ctx, chinaums.Request{
		MID: mid, TID: "00000000", InstMID: "MINIDEFAULT", MerOrderID: fmt.Sprintf("doctor%d", time.Now().UnixNano()),
	})
	trouble, isOurs := errors.AsType[*chinaums.Error](err)
	if err != nil && (!isOurs || trouble.Class == chinaums.ClassCredentials || answer.Code == "") {
		return "", err
	}
	return cmp.Or(answer.Code, "SUCCESS"), nil
}
