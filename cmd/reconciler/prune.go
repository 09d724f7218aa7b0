package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"reconciler/internal/store"
)

type pruneCommand struct {
	Database databaseSettings `embed:"" group:"Database:"`

	OlderThan days `name:"older-than" required:"" placeholder:"AGE" help:"Rows older than this: 90d, or a duration such as 2160h."`
}

// days is a duration that may be given in days.
type days time.Duration

// UnmarshalText reads 90d or a Go duration.
func (d *days) UnmarshalText(text []byte) error {
	var age time.Duration
	var err error
	if number, found := strings.CutSuffix(string(text), "d"); found {
		var n int
		n, err = strconv.Atoi(number)
		age = time.Duration(n) * 24 * time.Hour
	} else {
		age, err = time.ParseDuration(string(text))
	}
	if err != nil || age <= 0 || age > 100*365*24*time.Hour {
		return fmt.Errorf("must be an age such as 90d or 2160h, not %q", text)
	}
	*d = days(age)
	return nil
}

// Run deletes in small batches, beside the daemon.
func (c *pruneCommand) Run(p *process) error {
	return c.Database.with(p, func(ctx context.Context, s *store.Store) error {
		now, err := s.Now(ctx)
		if err != nil {
			return err
		}
		progress := func(questions, events int) {
			if isTerminal(p.stderr) {
				fmt.Fprintf(p.stderr, "\r%d questions, %d events", questions, events)
			}
		}
		questions, events, err := s.Prune(ctx, now.Add(-time.Duration(c.OlderThan)), progress)
		_, printErr := fmt.Fprintf(p.stdout, "pruned %s and %s of finished orders\n",
			plural(questions, "question", "questions"), plural(events, "event", "events"))
		return errors.Join(err, printErr)
	})
}
