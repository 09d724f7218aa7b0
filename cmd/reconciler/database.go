package main

import (
	"context"
	"log/slog"
	"strings"

	"reconciler/internal/store"
)

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
