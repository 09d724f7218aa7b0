package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"reconciler/migrations"
)

const (
	// versionTable is ours alone: the application may migrate with goose as well.
	versionTable = "reconciler_migrations"
	// sharedVersionTable is goose's default name, which our first releases used.
	sharedVersionTable = "goose_db_version"
	// maxSharedVersion is the last migration that was ever recorded there.
	maxSharedVersion = 5
)

// ErrOldSchema means that the database lacks migrations that this program needs.
var ErrOldSchema = errors.New("the database's schema is older than this program: run `reconciler migrate up` first")

// ErrHasRows means that a step back would drop a table that has rows.
var ErrHasRows = errors.New("the step back would drop tables that have rows")

// Migration is one step of the schema and whether the database has it.
type Migration struct {
	Version   int64
	Name      string // of its file; "" where this program does not know it
	Applied   bool
	AppliedAt *time.Time // nil while it is not applied
	Known     bool       // to this program; an unknown one is of a newer program
}

// MigrationStatus lists every step that this program knows, and newer ones that the database has.
// It writes nothing.
func (s *Store) MigrationStatus(ctx context.Context) ([]Migration, error) {
	applied, err := s.appliedMigrations(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	list := knownMigrations()
	for i, m := range list {
		if at, found := applied[m.Version]; found {
			list[i].Applied, list[i].AppliedAt = true, &at
			delete(applied, m.Version)
		}
	}
	for version, at := range applied {
		list = append(list, Migration{Version: version, Applied: true, AppliedAt: &at})
	}
	slices.SortFunc(list, func(a, b Migration) int { return int(a.Version - b.Version) })
	return list, nil
}

// CheckSchema returns [ErrOldSchema] where a migration is missing. A newer schema than this program
// knows is accepted, so that a release can be rolled back without its schema. It writes nothing.
func (s *Store) CheckSchema(ctx context.Context) error {
	_, err := s.SchemaVersion(ctx)
	return err
}

// SchemaVersion is [Store.CheckSchema], and the number of the newest migration.
func (s *Store) SchemaVersion(ctx context.Context) (newest int64, err error) {
	if err := s.checkPlace(ctx); err != nil {
		return 0, err
	}
	list, err := s.MigrationStatus(ctx)
	if err != nil {
		return 0, fmt.Errorf("check the schema: %w", err)
	}
	if slices.ContainsFunc(list, func(m Migration) bool { return !m.Applied }) {
		return 0, ErrOldSchema
	}
	return list[len(list)-1].Version, nil
}

// lastMigration is the newest that is applied, nil where there is none.
func (s *Store) lastMigration(ctx context.Context) (*Migration, error) {
	list, err := s.MigrationStatus(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range slices.Backward(list) {
		if m.Applied {
			return &m, nil
		}
	}
	return nil, nil
}

// knownMigrations are those of this program, in order.
func knownMigrations() []Migration {
	names, _ := fs.Glob(migrations.FS, "*.sql") // sorted; the pattern is good
	list := make([]Migration, 0, len(names))
	for _, name := range names {
		if version, err := goose.NumericComponent(name); err == nil {
			list = append(list, Migration{Version: version, Name: path.Base(name), Known: true})
		}
	}
	return list
}

// NewestMigration is the number of the newest migration that this program knows.
func NewestMigration() int64 {
	known := knownMigrations()
	return known[len(known)-1].Version
}

// appliedMigrations are the versions in the database and when each was applied.
func (s *Store) appliedMigrations(ctx context.Context) (map[int64]time.Time, error) {
	table, err := s.versionTableInForce(ctx)
	if err != nil || table == "" {
		return nil, err
	}
	versions, err := s.readVersions(ctx, table)
	applied := make(map[int64]time.Time)
	for _, v := range versions {
		applied[v.ID] = v.At
	}
	return applied, err
}

// version is the record of a migration that is applied.
type version struct {
	ID int64
	At time.Time
}

func (s *Store) readVersions(ctx context.Context, table string) ([]version, error) {
	return collectRows[version](ctx, s.pool, `
		SELECT version_id AS id, tstamp::timestamptz AS at
		FROM (SELECT DISTINCT ON (version_id) version_id, tstamp, is_applied FROM `+table+` ORDER BY version_id, id DESC) AS latest
		WHERE is_applied AND version_id > 0 ORDER BY version_id`)
}

// versionTableInForce is our table, or the shared one where it holds our migrations and no others,
// or "" where there is neither.
func (s *Store) versionTableInForce(ctx context.Context) (string, error) {
	standing, err := tablesStanding(ctx, s.pool)
	if err != nil {
		return "", err
	}
	if _, found := standing[versionTable]; found {
		return versionTable, nil
	}
	if _, found := standing[sharedVersionTable]; !found {
		return "", nil
	}
	versions, err := s.readVersions(ctx, sharedVersionTable)
	if err != nil || !areOurs(versions, standing) {
		return "", err
	}
	return sharedVersionTable, nil
}

// areOurs reports whether versions are the first of our migrations, without a gap, and the tables
// that these make stand with our comments.
func areOurs(versions []version, standing map[string]string) bool {
	known := knownMigrations()
	if len(versions) == 0 || versions[len(versions)-1].ID > maxSharedVersion {
		return false
	}
	comments := make(map[string]string)
	commented := regexp.MustCompile(`COMMENT ON TABLE (\w+) IS '((?:[^']|'')*)'`)
	for i, version := range versions {
		if version.ID != known[i].Version {
			return false
		}
		for _, match := range commented.FindAllStringSubmatch(migrationTexts()[known[i].Name], -1) {
			comments[match[1]] = strings.ReplaceAll(match[2], "''", "'")
		}
	}
	for table, comment := range comments {
		if standing[table] != comment {
			return false
		}
	}
	return true
}

// tablesStanding are the tables of our schema and their comments.
func tablesStanding(ctx context.Context, db queryer) (map[string]string, error) {
	type table struct{ Name, Comment string }
	tables, err := collectRows[table](ctx, db, `
		SELECT relname::text AS name, coalesce(obj_description(oid, 'pg_class'), '') AS comment FROM pg_class
		WHERE relkind IN ('r', 'p') AND relnamespace = to_regnamespace(quote_ident(current_schema()))`)
	standing := make(map[string]string)
	for _, t := range tables {
		standing[t.Name] = t.Comment
	}
	return standing, err
}

// prepareVersions takes an older version table over where it is ours. It refuses tables in the way,
// so that nothing is half done.
func (m Migrator) prepareVersions(ctx context.Context) error {
	if err := m.Store.checkPlace(ctx); err != nil {
		return err
	}
	table, err := m.Store.versionTableInForce(ctx)
	if err != nil || table == versionTable {
		return err
	}
	if table == sharedVersionTable {
		return m.adoptVersions(ctx)
	}
	standing, err := tablesStanding(ctx, m.Store.pool)
	if err != nil {
		return err
	}
	inTheWay := slices.DeleteFunc(ownTables(), func(name string) bool { _, found := standing[name]; return !found })
	if len(inTheWay) > 0 {
		return fmt.Errorf("tables with our names stand in this schema, and no %s tells that they are ours: %s. "+
			"Give the reconciler a schema of its own: CREATE SCHEMA reconciler, and search_path=reconciler in the database URL",
			versionTable, strings.Join(inTheWay, ", "))
	}
	return nil
}

// ownTables are the tables that the migrations make, in the order of their names.
func ownTables() []string {
	made := regexp.MustCompile(`(?m)^CREATE TABLE (\w+)`)
	var tables []string
	for _, text := range migrationTexts() {
		for _, match := range made.FindAllStringSubmatch(text, -1) {
			tables = append(tables, match[1])
		}
	}
	slices.Sort(tables)
	return tables
}

// adoptVersions copies the shared table, which stays: an older program reads it.
func (m Migrator) adoptVersions(ctx context.Context) error {
	return m.Store.pool.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		// One at a time; the number is ours by chance.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(7238411952034776)`); err != nil {
			return err
		}
		standing, err := tablesStanding(ctx, tx)
		if _, done := standing[versionTable]; err != nil || done {
			return err
		}
		_, err = tx.Exec(ctx, createVersionTable+`;
			INSERT INTO `+versionTable+` (version_id, is_applied, tstamp)
			SELECT version_id, is_applied, tstamp FROM `+sharedVersionTable+` ORDER BY id;
			COMMENT ON TABLE `+sharedVersionTable+` IS 'Migrations of the reconciler up to the first release. It uses `+versionTable+` now; this table is for going back to that release.'`)
		return err
	})
}

const createVersionTable = `
CREATE TABLE ` + versionTable + ` (
    id         int         GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    version_id bigint      NOT NULL,
    is_applied boolean     NOT NULL,
    tstamp     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ` + versionTable + ` IS 'The migrations of the reconciler that this database has. Written by reconciler migrate.';
COMMENT ON COLUMN ` + versionTable + `.id IS 'Number of the row.';
COMMENT ON COLUMN ` + versionTable + `.version_id IS 'Number of the migration; 0 is the empty beginning.';
COMMENT ON COLUMN ` + versionTable + `.is_applied IS 'Always true.';
COMMENT ON COLUMN ` + versionTable + `.tstamp IS 'When it was applied.'`

// versionStore is goose's table under our name, with a comment for everything.
type versionStore struct{ database.Store }

func newVersionStore() (database.Store, error) {
	standard, err := database.NewStore(database.DialectPostgres, versionTable)
	return versionStore{standard}, err
}

// CreateVersionTable makes the table.
func (versionStore) CreateVersionTable(ctx context.Context, db database.DBTxConn) error {
	_, err := db.ExecContext(ctx, createVersionTable)
	return err
}

// TableExists looks in the first schema of the search_path.
func (versionStore) TableExists(ctx context.Context, db database.DBTxConn) (bool, error) {
	var exists bool
	err := db.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1)`, versionTable).Scan(&exists)
	return exists, err
}

// checkDroppable refuses a step back that drops a table which has rows.
func (m Migrator) checkDroppable(ctx context.Context, name string) error {
	_, down, _ := strings.Cut(migrationTexts()[name], "-- +goose Down")
	standing, err := tablesStanding(ctx, m.Store.pool)
	if err != nil {
		return err
	}
	var full []string
	for _, match := range regexp.MustCompile(`(?m)^DROP TABLE (\w+)`).FindAllStringSubmatch(down, -1) {
		if _, found := standing[match[1]]; !found {
			continue
		}
		var hasRows bool
		if err := m.Store.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+match[1]+")").Scan(&hasRows); err != nil {
			return err
		}
		if hasRows {
			full = append(full, match[1])
		}
	}
	if len(full) > 0 {
		return fmt.Errorf("%w: %s. Add --drop-data to delete them", ErrHasRows, strings.Join(full, ", "))
	}
	return nil
}
