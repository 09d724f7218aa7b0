package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"reconciler/internal/store"
)

// withStore opens the database for do, once all settings are good. An old schema, and a schema or a
// right that is missing, end the program with exit code 2.
func (s databaseSettings) withStore(p *process, do func(context.Context, *store.Store) error, problems ...error) error {
	if err := p.checkSettings(append([]error{s.validate(p.getenv)}, problems...)...); err != nil {
		return err
	}
	orders, err := store.Open(p.ctx, s.URL)
	if err != nil {
		return usageError{err}
	}
	defer orders.Close()
	err = do(p.ctx, orders)
	for _, lasting := range []error{store.ErrNoSchema, store.ErrSearchPath, store.ErrOldSchema, store.ErrRights} {
		if errors.Is(err, lasting) {
			return usageError{err}
		}
	}
	if store.LacksRight(err) {
		return usageError{err}
	}
	return err
}

// tellWait is for a person who waits for a lock without knowing it.
func (p *process) tellWait(blocker string) { p.tell("waiting: %s", blocker) }

// checkDatabase refuses a database whose schema is old, and a role that lacks the audience's
// rights.
func checkDatabase(ctx context.Context, orders *store.Store, audience store.Audience) error {
	if err := orders.CheckRights(ctx, audience); err != nil {
		return err
	}
	return orders.CheckSchema(ctx)
}

// warnAboutRowSecurity names the tables of which our role may not see every row. Orders that it
// does not see are never asked.
func warnAboutRowSecurity(ctx context.Context, orders *store.Store, logger *slog.Logger) {
	tables, err := orders.RowSecurity(ctx)
	if err != nil {
		logger.LogAttrs(ctx, slog.LevelWarn, "row-level security could not be checked", slog.Any("error", err))
	}
	if len(tables) > 0 {
		logger.LogAttrs(ctx, slog.LevelWarn, "row-level security applies to our role: orders that its policies hide are never asked",
			slog.String("tables", strings.Join(tables, ", ")))
	}
}
