package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"reconciler/internal/operator"
	"reconciler/internal/store"
)

type migrateCommand struct {
	Up     migrateUp     `cmd:"" help:"Apply every migration that is missing, beside a running application."`
	Down   migrateDown   `cmd:"" help:"Take one step back. A step back can drop tables."`
	Status migrateStatus `cmd:"" help:"List the migrations and which of them are applied. Exit code 3: some are pending."`
}

type (
	migrateUp struct {
		Database databaseSettings `embed:"" group:"Database:"`
	}
	migrateDown struct {
		Database databaseSettings `embed:"" group:"Database:"`

		DropData bool `name:"drop-data" help:"Drop tables also when they have rows."`
	}
	migrateStatus struct{ deskSettings }
)

// newMigrator returns one that tells on stderr who is in the way.
func (p *process) newMigrator(s *store.Store) store.Migrator {
	return store.Migrator{Store: s, Tell: p.tellWait}
}

// migrateWith runs a change of the schema, which only the owner may do.
func (s databaseSettings) migrateWith(p *process, do func(context.Context, store.Migrator) error) error {
	return s.withStore(p, func(ctx context.Context, orders *store.Store) error {
		err := do(ctx, p.newMigrator(orders))
		if store.LacksRight(err) {
			return fmt.Errorf("%w: run it under the role that owns the tables and the schema", err)
		}
		return err
	})
}

// Run applies the missing migrations.
func (c migrateUp) Run(p *process) error {
	return c.Database.migrateWith(p, func(ctx context.Context, m store.Migrator) error {
		applied, err := m.Up(ctx)
		for _, m := range applied {
			fmt.Fprintln(p.stdout, "applied", m.Name)
		}
		if err == nil && len(applied) == 0 {
			fmt.Fprintln(p.stdout, "nothing to do: the schema is up to date")
		}
		return err
	})
}

// Run takes one step back.
func (c migrateDown) Run(p *process) error {
	return c.Database.migrateWith(p, func(ctx context.Context, m store.Migrator) error {
		undone, err := m.Down(ctx, c.DropData)
		switch {
		case err != nil:
			return err
		case undone == nil:
			fmt.Fprintln(p.stdout, "nothing to do: no migration is applied")
		default:
			fmt.Fprintln(p.stdout, "undone", undone.Name)
		}
		return nil
	})
}

// Run lists all steps.
func (c migrateStatus) Run(p *process) error {
	return c.withAnySchema(p, nil, func(ctx context.Context, d *operator.Desk) error {
		list, err := d.Store.MigrationStatus(ctx)
		if err != nil {
			return err
		}
		err = p.printResult(c.Output, migrationsDocument(list), migrationsPage(list, d.Zone))
		if err == nil && slices.ContainsFunc(list, func(m store.Migration) bool { return !m.Applied }) {
			return exitAttention
		}
		return err
	})
}

func migrationsPage(list []store.Migration, zone *time.Location) operator.Page {
	rows := []operator.Row{operator.RowOf("MIGRATION", fmt.Sprintf("APPLIED AT (%s)", zone))}
	for _, m := range list {
		name, at := m.Name, "pending"
		if m.AppliedAt != nil {
			at = m.AppliedAt.In(zone).Format(time.DateTime)
		}
		if !m.Known {
			name = fmt.Sprintf("%05d (newer than this program)", m.Version)
		}
		rows = append(rows, operator.RowOf(name, at))
	}
	return operator.Page{Rows: rows}
}

func migrationsDocument(list []store.Migration) any {
	type migration struct {
		Version   int64      `json:"version"`
		Name      string     `json:"name"`
		Applied   bool       `json:"applied"`
		AppliedAt *time.Time `json:"applied_at"`
		Known     bool       `json:"known"`
	}
	migrations := make([]migration, len(list))
	for i, m := range list {
		migrations[i] = migration(m)
	}
	return map[string][]migration{"migrations": migrations}
}
