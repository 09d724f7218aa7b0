package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"reconciler/internal/operator"
	"reconciler/internal/store"
)

// minPruneAge is the age below which prune wants to be forced.
const minPruneAge = 168 * time.Hour

type pruneCommand struct {
	deskSettings

	OlderThan days `name:"older-than" required:"" placeholder:"AGE" help:"Rows older than this: 90d, or a duration such as 2160h. Less than 168h needs --force."`
	Force     bool `name:"force" help:"Accept an age of less than 168h."`
	DryRun    bool `name:"dry-run" help:"Count what would be deleted, and delete nothing."`
}

// days is a duration that may be given in days.
type days time.Duration

// UnmarshalText reads 90d or a Go duration.
func (d *days) UnmarshalText(text []byte) error {
	age, err := operator.ParseAge(string(text))
	if err != nil || age <= 0 || age > 100*365*24*time.Hour {
		return fmt.Errorf("must be an age such as 90d or 2160h, not %q", text)
	}
	*d = days(age)
	return nil
}

// pruneReport is the result as it is printed and recorded.
type pruneReport struct {
	OlderThanSeconds float64  `json:"older_than_seconds"`
	Questions        int      `json:"questions"`
	Events           int      `json:"events"`
	KeptEvents       int      `json:"kept_events"`
	WaitingConsumers []string `json:"waiting_consumers"`
	DryRun           bool     `json:"dry_run"`
}

// Run deletes in small batches, beside the daemon. The action records the deleted rows, also after
// a stop.
func (c *pruneCommand) Run(p *process) error {
	age := time.Duration(c.OlderThan)
	if age < minPruneAge && !c.Force {
		return usageError{fmt.Errorf("--older-than %v is less than 168h: add --force to delete rows that are so young", age)}
	}
	return c.withDesk(p, nil, func(ctx context.Context, d *operator.Desk) error {
		if err := d.Store.CheckRights(ctx, store.ForPrune); err != nil {
			return err
		}
		now, err := d.Store.Now(ctx)
		if err != nil {
			return err
		}
		done, err := d.Store.Prune(ctx, store.Pruning{Before: now.Add(-age), DryRun: c.DryRun, Tell: p.tellPruned})
		report := pruneReport{
			OlderThanSeconds: age.Seconds(), Questions: done.Questions, Events: done.Events,
			KeptEvents: done.Kept, WaitingConsumers: append([]string{}, done.Waiting...), DryRun: c.DryRun,
		}
		return errors.Join(err, c.recordAction(ctx, d, report), c.printReport(p.stdout, report))
	})
}

func (p *process) tellPruned(done store.Pruned) {
	if isTerminal(p.stderr) {
		fmt.Fprintf(p.stderr, "\r%d questions, %d events", done.Questions, done.Events)
	}
}

func (c *pruneCommand) recordAction(ctx context.Context, d *operator.Desk, report pruneReport) error {
	if report.DryRun {
		return nil
	}
	after, err := json.Marshal(report)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, err = d.Store.AddAction(ctx, store.Action{Actor: d.Actor, Via: d.Via, Action: "prune", After: after})
	return err
}

func (c *pruneCommand) printReport(w io.Writer, report pruneReport) error {
	if c.Output == "json" {
		return writeJSON(w, report)
	}
	done := "pruned"
	if report.DryRun {
		done = "would prune"
	}
	text := fmt.Sprintf("%s %s and %s of finished orders\n", done,
		pluralOf(report.Questions, "question", "questions"), pluralOf(report.Events, "event", "events"))
	if report.KeptEvents > 0 {
		text += fmt.Sprintf("kept %s that nobody has acknowledged yet; waiting for: %s\n", pluralOf(report.KeptEvents, "event", "events"),
			visibleText(strings.Join(report.WaitingConsumers, ", ")))
	}
	_, err := io.WriteString(w, text)
	return err
}
