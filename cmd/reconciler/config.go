package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"reconciler/internal/operator"
)

// setting is one setting in force, by the name of its environment variable.
type setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"` // flag, environment, default
}

// withheld stands for a value that holds or may hold a secret.
const withheld = "[withheld]"

// settingsInForce lists the settings of the selected command, sorted by name.
func settingsInForce(selected *kong.Context, getenv func(string) string) []setting {
	var onCommandLine []*kong.Flag
	for _, part := range selected.Path {
		if part.Flag != nil {
			onCommandLine = append(onCommandLine, part.Flag)
		}
	}
	var list []setting
	for _, flag := range selected.Flags() {
		if len(flag.Envs) == 0 {
			continue
		}
		s := setting{Name: flag.Envs[0], Value: shownValue(flag, getenv), Source: "default"}
		switch {
		case slices.Contains(onCommandLine, flag):
			s.Source = "flag"
		case getenv(s.Name) != "":
			s.Source = "environment"
		}
		list = append(list, s)
		if secret := secretBeside(s.Name); secret != "" && getenv(secret) != "" {
			list = append(list, setting{Name: secret, Value: withheld, Source: "environment"})
		}
	}
	slices.SortFunc(list, func(a, b setting) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// secretBeside is the variable that holds the secret itself, where the setting is a file of it.
func secretBeside(file string) string {
	switch file {
	case "CHINAUMS_APP_KEY_FILE":
		return appKeyVariable
	case "RECONCILER_WEBHOOK_SECRET_FILE":
		return webhookSecretVariable
	}
	return ""
}

// shownValue leaves out what may hold a password: the database's URL has it in several forms. Of
// the settings of people it is what stands in for an empty one.
func shownValue(flag *kong.Flag, getenv func(string) string) string {
	value := fmt.Sprint(flag.Target.Interface())
	switch flag.Name {
	case "database-url":
		if value != "" {
			return withheld
		}
	case "lang":
		if lang, err := (peopleSettings{Lang: value}).language(getenv); err == nil {
			return lang
		}
	case "actor":
		return peopleSettings{Actor: value}.actorName(getenv)
	case "gateway-url", "webhook-url":
		if u, err := url.Parse(value); err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return withheld
		}
	}
	return value
}

// logSettings writes one line with all settings in force.
func (p *process) logSettings(ctx context.Context, logger *slog.Logger) {
	var attrs []slog.Attr
	for _, s := range p.settings {
		attrs = append(attrs, slog.Any(strings.ToLower(s.Name), s)) // keys of the log are in lower case
	}
	logger.LogAttrs(ctx, slog.LevelInfo, "settings", attrs...)
}

// LogValue is the value with its source.
func (s setting) LogValue() slog.Value {
	return slog.GroupValue(slog.String("value", s.Value), slog.String("source", s.Source))
}

type configCommand struct {
	daemonSettings

	Console consoleSettings `embed:"" group:"Console:"`
	Output  string          `name:"output" default:"text" enum:"text,json" help:"Format of the list on stdout: text or json."`
}

// Run lists the settings, and then fails if something is wrong with them.
func (c *configCommand) Run(p *process) error {
	rows := []operator.Row{operator.RowOf("SETTING", "VALUE", "SOURCE")}
	for _, s := range p.settings {
		rows = append(rows, operator.RowOf(s.Name, s.Value, s.Source))
	}
	err := p.printResult(c.Output, map[string][]setting{"settings": p.settings}, operator.Page{Rows: rows})
	_, _, usersErr := c.Console.readUsers()
	_, settingsErr := c.resolveDaemon(p, c.Console.checkListen(), usersErr)
	return errors.Join(err, settingsErr)
}
