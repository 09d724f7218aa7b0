package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/operator"
	"reconciler/internal/store"
)

type doctorCommand struct {
	daemonSettings

	For        string `name:"for" default:"daemon" enum:"daemon,operator,viewer" help:"Whose rights the database role must have: daemon, operator or viewer."`
	Fix        bool   `name:"fix" help:"Make orders due that have neither a due time nor a review."`
	AskGateway bool   `name:"ask-gateway" help:"Ask one signed question about an order that does not exist, with each app id."`
	AskMID     string `name:"ask-mid" placeholder:"MID" default:"898000000000000" help:"Merchant number of that question."`
	Output     string `name:"output" default:"text" enum:"text,json" help:"Format of the output on stdout: text or json."`
}

// Run checks before and while the daemon runs. Bad settings are a failed check.
func (c *doctorCommand) Run(p *process) error {
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
		options.AskGateway = func(ctx context.Context) (string, error) { return c.askGateway(ctx, resolved.resolved, d.Locale) }
	}
	found := d.Doctor(p.ctx, options)
	var err error
	if c.Output == "json" {
		err = writeJSON(p.stdout, found)
	} else {
		err = printPage(p.stdout, found.Page(d.Locale), p.usesColour())
	}
	if err == nil && found.Failed() {
		return exitCode(exitFailed)
	}
	return err
}

// askGateway asks with each app id about an order that does not exist. Any answer that is not about
// our credentials shows that they work.
func (c *doctorCommand) askGateway(ctx context.Context, r resolved, l operator.Locale) (string, error) {
	if _, err := r.clients.useApps(r.clients.apps); err != nil {
		return "", err
	}
	defer r.clients.closeAll()
	var told []string
	for _, app := range r.clients.apps {
		client, err := r.clients.openClient(app.Credentials)
		if err != nil {
			return "", err
		}
		mid := c.AskMID
		if len(app.MIDs) > 0 {
			mid = app.MIDs[0]
		}
		ctx, cancel := context.WithTimeout(ctx, c.Gateway.RequestTimeout.T+time.Second)
		answer, err := client.Query(ctx, chinaums.Request{
			MID: mid, TID: "00000000", InstMID: "MINIDEFAULT", MerOrderID: fmt.Sprintf("doctor%d", time.Now().UnixNano()),
		})
		cancel()
		trouble, isOurs := errors.AsType[*chinaums.Error](err)
		if err != nil && (!isOurs || trouble.Class == chinaums.ClassCredentials || answer.Code == "") {
			return "", fmt.Errorf("app id %s: %w", app.AppID, err)
		}
		told = append(told, l.AskedGateway(app.AppID, cmp.Or(answer.Code, "SUCCESS")))
	}
	return strings.Join(told, "; "), nil
}
