package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"reconciler/internal/store"
)

type migrateCommand struct {
	Up     migrateUp     `cmd:"" help:"Apply every migration that is missing."`
	Down   migrateDown   `cmd:"" help:"Take one step back. Steps back drop tables."`
	Status migrateStatus `cmd:"" help:"List the migrations and which of them are applied."`
}

type (
	migrateUp struct {
		Database databaseSettings `embed:"" group:"Database:"`
	}
	migrateDown struct {
		Database databaseSettings `embed:"" group:"Database:"`
	}
	migrateStatus struct {
		Database databaseSettings `embed:"" group:"Database:"`
	}
)

// Run applies what is missing.
func (c migrateUp) Run(p *process) error {
	return c.Database.with(p, func(ctx context.Context, s *store.Store) error {
		applied, err := s.MigrateUp(ctx)
		tellSteps(p.stdout, "applied", applied)
		if err == nil && len(applied) == 0 {
			fmt.Fprintln(p.stdout, "nothing to do: the schema is up to date")
		}
		return err
	})
}

// Run takes one step back.
func (c migrateDown) Run(p *process) error {
	return c.Database.with(p, func(ctx context.Context, s *store.Store) error {
		undone, err := s.MigrateDown(ctx)
		tellSteps(p.stdout, "undone", undone)
		if err == nil && len(undone) == 0 {
			fmt.Fprintln(p.stdout, "nothing to do: no migration is applied")
		}
		return err
	})
}

// Run lists all steps.
func (c migrateStatus) Run(p *process) error {
	return c.Database.with(p, func(ctx context.Context, s *store.Store) error {
		list, err := s.MigrationStatus(ctx)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "MIGRATION\tAPPLIED AT")
		for _, m := range list {
			at := m.AppliedAt
			if !m.Applied {
				at = "pending"
			}
			fmt.Fprintf(table, "%s\t%s\n", m.Name, at)
		}
		return table.Flush()
	})
}

// with opens the database for do.
func (s databaseSettings) with(p *process, do func(context.Context, *store.Store) error) error {
	if err := p.check(s.validate(p.getenv)); err != nil {
		return err
	}
	orders, err := store.Open(p.ctx, s.URL)
	if err != nil {
		return usageError{err}
	}
	defer orders.Close()
	return do(p.ctx, orders)
}

func tellSteps(w io.Writer, done string, list []store.Migration) {
	for _, m := range list {
		fmt.Fprintln(w, done, m.Name)
	}
}
