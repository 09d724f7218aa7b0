package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"reconciler/migrations"
)

// ErrOldSchema means that the database lacks migrations that this program needs.
var ErrOldSchema = errors.New("the database's schema is older than this program: run `reconciler migrate up` first")

// Migration is one step of the schema and whether the database has it.
type Migration struct {
	Version int64
	Name    string
	Applied bool
	// AppliedAt is the database's local time, empty while it is not applied.
	AppliedAt string
}

// MigrateUp applies the migrations that are missing and returns them. Several
// instances may do so at once: a session lock makes them wait for each other,
// which needs a direct connection, not a pooler in transaction mode.
func (s *Store) MigrateUp(ctx context.Context) ([]Migration, error) {
	var applied []Migration
	err := s.withProvider(func(p *goose.Provider) error {
		results, err := p.Up(ctx)
		applied = steps(results)
		return err
	})
	return applied, err
}

// MigrateDown takes one step back and returns it; none where there is nothing.
func (s *Store) MigrateDown(ctx context.Context) ([]Migration, error) {
	var undone []Migration
	err := s.withProvider(func(p *goose.Provider) error {
		result, err := p.Down(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			return nil
		}
		if result != nil {
			undone = steps([]*goose.MigrationResult{result})
		}
		return err
	})
	return undone, err
}

// MigrationStatus lists every step that this program knows.
func (s *Store) MigrationStatus(ctx context.Context) ([]Migration, error) {
	var list []Migration
	err := s.withProvider(func(p *goose.Provider) error {
		states, err := p.Status(ctx)
		for _, state := range states {
			m := Migration{Version: state.Source.Version, Name: state.Source.Path, Applied: state.State == goose.StateApplied}
			if m.Applied {
				m.AppliedAt = state.AppliedAt.Format("2006-01-02 15:04:05")
			}
			list = append(list, m)
		}
		return err
	})
	return list, err
}

// CheckSchema returns [ErrOldSchema] where a migration is missing. A newer
// schema than this program knows is accepted, so that a release can be rolled
// back without its schema. It writes nothing.
func (s *Store) CheckSchema(ctx context.Context) error {
	versions, err := knownVersions()
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	var present bool
	err = s.pool.QueryRow(ctx, "SELECT to_regclass('goose_db_version') IS NOT NULL").Scan(&present)
	if err != nil {
		return fmt.Errorf("check the schema: %w", err)
	}
	if !present {
		return ErrOldSchema
	}
	var applied int
	err = s.pool.QueryRow(ctx, `
		SELECT count(DISTINCT version_id) FROM goose_db_version
		WHERE is_applied AND version_id = ANY ($1)`, versions).Scan(&applied)
	if err != nil {
		return fmt.Errorf("check the schema: %w", err)
	}
	if applied < len(versions) {
		return ErrOldSchema
	}
	return nil
}

// knownVersions are the numbers of the migrations in this program.
func knownVersions() ([]int64, error) {
	files, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		return nil, err
	}
	versions := make([]int64, len(files))
	for i, name := range files {
		if versions[i], err = goose.NumericComponent(name); err != nil {
			return nil, err
		}
	}
	return versions, nil
}

func (s *Store) withProvider(do func(*goose.Provider) error) error {
	// A waiter looks again every second, for two minutes.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	db := stdlib.OpenDBFromPool(s.pool)
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS, goose.WithSessionLocker(locker))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if err := errors.Join(do(provider), provider.Close()); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

func steps(results []*goose.MigrationResult) []Migration {
	list := make([]Migration, 0, len(results))
	for _, r := range results {
		list = append(list, Migration{Version: r.Source.Version, Name: r.Source.Path, Applied: r.Direction == "up"})
	}
	return list
}
