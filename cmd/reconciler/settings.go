package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	"golang.org/x/term"

	"reconciler/internal/chinaums"
	"reconciler/internal/credentials"
	"reconciler/internal/ops"
	"reconciler/internal/policy"
	"reconciler/internal/poller"
	"reconciler/internal/store"
	"reconciler/internal/webhook"
)

type databaseSettings struct {
	URL string `name:"database-url" env:"DATABASE_URL" placeholder:"URL" help:"URL of the orders' database, in any form that pgx reads. The standard PG* variables fill the gaps."`
}

// validate wants a database to be named, so that a forgotten setting does not
// end up in whatever server happens to run here.
func (s databaseSettings) validate(getenv func(string) string) error {
	if s.URL != "" {
		if err := store.CheckURL(s.URL); err != nil {
			return badSetting{"database-url", "cannot be used: " + err.Error()}
		}
		return nil
	}
	for _, name := range []string{"PGHOST", "PGDATABASE", "PGSERVICE"} {
		if getenv(name) != "" {
			return nil
		}
	}
	return errors.New("no database is named: set DATABASE_URL (or --database-url, or the PG* variables)")
}

type gatewaySettings struct {
	AppID          string   `name:"app-id" env:"CHINAUMS_APP_ID" placeholder:"ID" help:"App id from ChinaUMS. Its key comes from CHINAUMS_APP_KEY or --app-key-file."`
	AppKeyFile     string   `name:"app-key-file" env:"CHINAUMS_APP_KEY_FILE" placeholder:"FILE" help:"File with the app's key, instead of CHINAUMS_APP_KEY."`
	Credentials    string   `name:"credentials-file" env:"CHINAUMS_CREDENTIALS_FILE" placeholder:"FILE" help:"Several app ids instead of one: a YAML list of app_id, app_key or app_key_file, and mids. The daemon reads it again on SIGHUP."`
	Auth           string   `name:"auth" env:"CHINAUMS_AUTH" default:"body-sig" help:"How requests are authenticated: body-sig signs each one; access-token uses a token of this process, renewed before it ends."`
	URL            string   `name:"gateway-url" env:"CHINAUMS_BASE_URL" default:"https://api-mop.chinaums.com" help:"Address of the gateway. https://test-api-open.chinaums.com is the test gateway."`
	QueryPath      string   `name:"query-path" env:"CHINAUMS_QUERY_PATH" default:"/v1/netpay/wx/mini-pre-query" help:"Path of the endpoint."`
	InsecureHTTP   toggle   `name:"insecure-http" env:"RECONCILER_INSECURE_HTTP" help:"Allow plain http to another machine."`
	RequestTimeout duration `name:"request-timeout" env:"RECONCILER_REQUEST_TIMEOUT" default:"10s" help:"Maximum duration of one round trip."`
}

// clientOptions are those of the clients, without their credentials; every problem is named.
func (s gatewaySettings) clientOptions(getenv func(string) string, concurrency int) (chinaums.Options, error) {
	options := chinaums.Options{
		BaseURL: s.URL, Path: s.QueryPath, Timeout: s.RequestTimeout.T, Concurrency: concurrency, Auth: chinaums.Auth(s.Auth),
	}
	probe := options
	probe.Credentials = chinaums.Credentials{AppID: "any", AppKey: "any"}
	probe.Concurrency, probe.Timeout = 1, time.Second // the poller judges them
	return options, errors.Join(checkClient(probe), s.checkURL(), checkProxy(getenv, s.URL))
}

func checkClient(options chinaums.Options) error {
	client, err := chinaums.New(options)
	if err == nil {
		client.Close()
	}
	return err
}

// readApps reads the credentials file, or the one app id of the settings, which asks for all
// merchants. The warnings are for the log.
func (s gatewaySettings) readApps(getenv func(string) string) (apps []credentials.App, warnings []string, err error) {
	if s.Credentials != "" {
		var bothErr error
		if s.AppID != "" || s.AppKeyFile != "" || getenv("CHINAUMS_APP_KEY") != "" {
			bothErr = errors.New("CHINAUMS_CREDENTIALS_FILE is set beside CHINAUMS_APP_ID, CHINAUMS_APP_KEY or CHINAUMS_APP_KEY_FILE: set the file, or one app id and its key")
		}
		apps, warnings, err = credentials.ReadFile(s.Credentials)
		return apps, warnings, errors.Join(bothErr, err)
	}
	key, warning, keyErr := s.readKey(getenv)
	if warning != "" {
		warnings = []string{warning}
	}
	pair := chinaums.Credentials{AppID: s.AppID, AppKey: key}
	var idErr error
	probe := pair // a missing value has its own words
	if s.AppID == "" {
		idErr = errors.New("no app id: set CHINAUMS_APP_ID (or --app-id), or CHINAUMS_CREDENTIALS_FILE for several")
		probe.AppID = "missing"
	}
	if keyErr != nil {
		probe.AppKey = "missing"
	}
	formErr := checkClient(chinaums.Options{BaseURL: "https://gateway", Path: "/", Credentials: probe, Timeout: time.Second, Concurrency: 1})
	return []credentials.App{{Credentials: pair}}, warnings, errors.Join(idErr, keyErr, formErr)
}

func (s gatewaySettings) readKey(getenv func(string) string) (key, warning string, err error) {
	key = getenv("CHINAUMS_APP_KEY")
	switch {
	case key != "" && s.AppKeyFile != "":
		return "", "", errors.New("CHINAUMS_APP_KEY and CHINAUMS_APP_KEY_FILE are both set: set one")
	case key != "":
		return key, "", nil
	case s.AppKeyFile == "":
		return "", "", errors.New("no app key: set CHINAUMS_APP_KEY, or CHINAUMS_APP_KEY_FILE (or --app-key-file)")
	}
	key, warning, err = credentials.ReadKeyFile(s.AppKeyFile)
	if err != nil {
		return "", "", badSetting{"app-key-file", fmt.Sprintf("%s %v", s.AppKeyFile, err)}
	}
	if warning != "" {
		warning = s.AppKeyFile + " " + warning
	}
	return key, warning, nil
}

// warnAboutFiles logs what is wrong, but not forbidden, about the files of secrets.
func warnAboutFiles(ctx context.Context, logger *slog.Logger, warnings []string) {
	for _, warning := range warnings {
		logger.LogAttrs(ctx, slog.LevelWarn, "file of secrets", slog.String("warning", warning))
	}
}

// checkURL refuses plain http to other machines: answers are not signed, so that
// trust in them rests on TLS alone.
func (s gatewaySettings) checkURL() error {
	u, err := url.Parse(s.URL)
	if err != nil || u.Host == "" {
		return nil // the client says what is wrong with it
	}
	if u.Scheme == "http" && !webhook.IsLoopback(u.Hostname()) && !s.InsecureHTTP.T {
		return badSetting{"gateway-url", fmt.Sprintf("%s is plain http to another machine, so anybody in between could forge answers: "+
			"use https, or --insecure-http for a test network", s.URL)}
	}
	return nil
}

type pollSettings struct {
	Concurrency    integer  `name:"concurrency" env:"RECONCILER_CONCURRENCY" default:"32" help:"Maximum number of questions in flight."`
	Rate           decimal  `name:"rate" env:"RECONCILER_RATE" default:"50" help:"Round trips a second per app id, retries included, of all instances together; 0 = no limit."`
	Lease          duration `name:"lease" env:"RECONCILER_LEASE" default:"1m" help:"How long a claimed order is reserved for one instance."`
	PlanInitial    duration `name:"plan-initial" env:"RECONCILER_PLAN_INITIAL" default:"15s" help:"First wait between two questions about an order."`
	PlanMultiplier decimal  `name:"plan-multiplier" env:"RECONCILER_PLAN_MULTIPLIER" default:"2" help:"Factor by which the wait grows after each answer."`
	PlanMax        duration `name:"plan-max" env:"RECONCILER_PLAN_MAX" default:"1h" help:"Maximum wait."`
	PlanJitter     decimal  `name:"plan-jitter" env:"RECONCILER_PLAN_JITTER" default:"0.1" help:"Random-looking spread of the waits, as a fraction."`
	SlowAfter      duration `name:"slow-after" env:"RECONCILER_SLOW_AFTER" default:"24h" help:"Orders older than this are asked about once a day."`
	GiveUpAfter    duration `name:"give-up-after" env:"RECONCILER_GIVE_UP_AFTER" default:"168h" help:"Unresolved orders older than this go to review."`
	NotFoundAfter  duration `name:"not-found-after" env:"RECONCILER_NOT_FOUND_AFTER" default:"2h" help:"Orders younger than this are never marked NOT_FOUND."`
}

func (s pollSettings) plan() policy.Plan {
	return policy.Plan{
		Initial: s.PlanInitial.T, Multiplier: s.PlanMultiplier.T, Max: s.PlanMax.T, Jitter: s.PlanJitter.T,
		SlowAfter: s.SlowAfter.T, GiveUpAfter: s.GiveUpAfter.T, NotFoundAfter: s.NotFoundAfter.T,
	}
}

// validatePlan judges those settings that people see in a plan, and no others.
func (s pollSettings) validatePlan() error {
	return errors.Join(s.plan().Validate(), poller.CheckRate(s.Rate.T))
}

// service holds the settings that run and run-once share.
type service struct {
	Database databaseSettings `embed:"" group:"Database:"`
	Gateway  gatewaySettings  `embed:"" group:"Gateway:"`
	Poll     pollSettings     `embed:"" group:"Polling:"`
	People   peopleSettings   `embed:"" group:"People:"`
}

// resolved are settings that hold together.
type resolved struct {
	clients  *gatewayClients
	options  poller.Options // without store, apps and logger
	warnings []string       // for the log
}

// resolveSettings checks all settings and names every problem, those given included.
func (s service) resolveSettings(p *process, others ...error) (resolved, error) {
	client, gatewayErr := s.Gateway.clientOptions(p.getenv, s.Poll.Concurrency.T)
	apps, warnings, credentialsErr := s.Gateway.readApps(p.getenv)
	lang, langErr := s.People.language(p.getenv)
	_, zoneErr := s.People.timeZone()
	r := resolved{clients: newGatewayClients(client, apps), warnings: warnings, options: poller.Options{
		Worker: workerName(), Concurrency: s.Poll.Concurrency.T, Rate: s.Poll.Rate.T,
		RequestTimeout: s.Gateway.RequestTimeout.T, Lease: s.Poll.Lease.T, Rules: policy.Rules{Plan: s.Poll.plan(), Lang: lang},
	}}
	return r, p.checkSettings(append([]error{s.Database.validate(p.getenv), credentialsErr, gatewayErr, r.options.Validate(), langErr, zoneErr}, others...)...)
}

// workerName tells processes apart in claimed_by and in the ledger. It is never used again: in a
// container host and pid can be those of the process before, whose claims are not ours.
func workerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d-%s", host, os.Getpid(), rand.Text()[:6])
}

// daemonSettings are all settings of the daemon.
type daemonSettings struct {
	service

	Schedule scheduleSetting `embed:"" group:"Polling:"`
	Webhook  webhookSettings `embed:"" group:"Webhook:"`
	Listen   string          `name:"listen" env:"RECONCILER_LISTEN" default:"127.0.0.1:9464" group:"Operations:" help:"Address of /healthz, /readyz and /metrics; off turns them off."`
	Profiles toggle          `name:"pprof" env:"RECONCILER_PPROF" group:"Operations:" help:"Serve Go profiles at that address too, under /debug/pprof."`
}

// resolveDaemon checks all settings and names every problem, those given included.
func (s daemonSettings) resolveDaemon(p *process, others ...error) (daemon, error) {
	schedule, scheduleErr := s.Schedule.parse()
	d := daemon{schedule: schedule, listen: s.Listen}
	if d.listen == "off" {
		d.listen = ""
	}
	switch err := ops.CheckAddress(d.listen); {
	case s.Listen == "":
		others = append(others, badSetting{"listen", "must not be empty. off turns it off"})
	case err != nil:
		others = append(others, badSetting{"listen", err.Error() + ". off turns it off"})
	}
	secret, warnings, webhookErr := s.Webhook.resolveWebhook(p.getenv, s.Gateway.InsecureHTTP.T)
	r, err := s.resolveSettings(p, append(others, scheduleErr, webhookErr)...)
	d.resolved, d.webhookSecret = r, secret
	d.warnings = append(d.warnings, warnings...)
	return d, err
}

// daemon holds the daemon's settings, checked and read.
type daemon struct {
	resolved

	schedule      cron.Schedule
	listen        string // "" = off
	webhookSecret string // "" = no webhook
}

type logSettings struct {
	Level  string `name:"level" env:"RECONCILER_LOG_LEVEL" default:"info" help:"Minimum level: debug, info, warn or error."`
	Format string `name:"format" env:"RECONCILER_LOG_FORMAT" default:"auto" help:"Format: json, text or auto (text on a terminal, else json)."`
}

func (s logSettings) validate() error {
	var level, format error
	if new(slog.Level).UnmarshalText([]byte(s.Level)) != nil || strings.ContainsAny(s.Level, "+-") {
		level = badSetting{"log-level", fmt.Sprintf("must be debug, info, warn or error, not %q", s.Level)}
	}
	if s.Format != "auto" && s.Format != "json" && s.Format != "text" {
		format = badSetting{"log-format", fmt.Sprintf("must be auto, json or text, not %q", s.Format)}
	}
	return errors.Join(level, format)
}

// newLogger returns one that writes to stderr, so that stdout is left to results.
func (p *process) newLogger() *slog.Logger { return p.log.newLogger(p.stderr, isTerminal(p.stderr)) }

func (s logSettings) newLogger(w io.Writer, terminal bool) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.Level)) // validated; else info
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: spellDuration}
	if s.Format == "text" || (s.Format == "auto" && terminal) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(visibleJSON{w}, options))
}

// spellDuration writes a duration as people do, such as 1m30s. In JSON slog writes nanoseconds.
func spellDuration(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().Round(time.Millisecond).String())
	}
	return a
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
