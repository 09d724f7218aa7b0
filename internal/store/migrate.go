package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"reconciler/migrations"
)

const (
	// defaultPatience is how long one step is tried again while its locks are taken.
	defaultPatience = 5 * time.Minute
	// maxLockWait bounds how long a statement waits for a lock: the application's statements queue
	// behind it.
	maxLockWait = 2 * time.Second
)

// Migrator changes the schema beside a running application. A statement that does not get its locks
// within two seconds is undone and tried again, so that nobody queues behind it for longer.
type Migrator struct {
	Store *Store
	// Tell hears who is in the way, one session at a time. Nil is nobody.
	Tell func(blocker string)
	// Patience bounds the tries of one step; 0 is five minutes.
	Patience time.Duration
}

// MigrateUp applies the migrations that are missing, with the defaults of a [Migrator].
func (s *Store) MigrateUp(ctx context.Context) ([]Migration, error) {
	return Migrator{Store: s}.Up(ctx)
}

// Up applies the migrations that are missing and returns those that it applied, also with an error.
// Several instances may do so at once: a session lock makes them take turns, which needs a direct
// connection, not a pooler in transaction mode.
func (m Migrator) Up(ctx context.Context) ([]Migration, error) {
	var applied []Migration
	err := m.withProvider(ctx, func(p *goose.Provider, w *lockWatch) error {
		if err := m.prepareVersions(ctx); err != nil {
			return err
		}
		for {
			result, err := m.retryStep(ctx, w, p.UpByOne)
			if errors.Is(err, goose.ErrNoNextVersion) {
				return nil
			}
			if err != nil {
				return errors.Join(err, m.dropInvalid(ctx))
			}
			applied = append(applied, Migration{Version: result.Source.Version, Name: result.Source.Path, Applied: true, Known: true})
		}
	})
	return applied, err
}

// Down takes one step back and returns it; nil where there is none. It refuses to drop a table that
// has rows ([ErrHasRows]) unless dropData is set.
func (m Migrator) Down(ctx context.Context, dropData bool) (*Migration, error) {
	var undone *Migration
	err := m.withProvider(ctx, func(p *goose.Provider, w *lockWatch) error {
		last, err := m.Store.lastMigration(ctx)
		if err != nil || last == nil {
			return err
		}
		if !last.Known {
			return fmt.Errorf("migration %d is newer than this program: take it back with the program that has it", last.Version)
		}
		if err := m.prepareVersions(ctx); err != nil {
			return err
		}
		if !dropData {
			if err := m.checkDroppable(ctx, last.Name); err != nil {
				return err
			}
		}
		back := func(ctx context.Context) (*goose.MigrationResult, error) {
			return p.ApplyVersion(ctx, last.Version, false)
		}
		if _, err := m.retryStep(ctx, w, back); err != nil {
			return err
		}
		last.Applied, last.AppliedAt = false, nil
		undone = last
		return nil
	})
	return undone, err
}

// retryStep tries a step again while others hold the locks that it needs.
func (m Migrator) retryStep(ctx context.Context, w *lockWatch, step func(context.Context) (*goose.MigrationResult, error)) (*goose.MigrationResult, error) {
	waits := backoff.WithContext(backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(500*time.Millisecond), backoff.WithMaxInterval(5*time.Second),
		backoff.WithMaxElapsedTime(m.lockPatience())), ctx)
	result, err := backoff.RetryWithData(func() (*goose.MigrationResult, error) {
		result, err := step(ctx)
		if err != nil && !isLockTrouble(err) {
			return nil, backoff.Permanent(err)
		}
		return result, err
	}, waits)
	if isLockTrouble(err) {
		return nil, fmt.Errorf("gave up after %v: %s. This step was undone: %w", m.lockPatience(), w.lastBlocker(), err)
	}
	return result, err
}

func (m Migrator) lockPatience() time.Duration {
	if m.Patience > 0 {
		return m.Patience
	}
	return defaultPatience
}

// isLockTrouble reports a lock that was not to be had in time, or a deadlock.
func isLockTrouble(err error) bool {
	return isLockTimeout(err) || sqlState(err) == "40P01"
}

func (m Migrator) withProvider(ctx context.Context, do func(*goose.Provider, *lockWatch) error) error {
	watch := &lockWatch{store: m.Store, tell: m.Tell}
	db := m.openDB(watch)
	provider, err := m.newProvider(ctx, db)
	if err != nil {
		return fmt.Errorf("migrate: %w", errors.Join(err, db.Close()))
	}
	stop := watch.startLooking(ctx, lockPoll, watch.addedSessions)
	err = do(provider, watch)
	stop()
	if err := m.Store.pool.explainError(errors.Join(err, provider.Close())); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// openDB has sessions that never wait long for a lock, and whose statements may take long.
func (m Migrator) openDB(watch *lockWatch) *sql.DB {
	settings := fmt.Sprintf(`SET lock_timeout = '%dms'; SET reconciler.patience = '%dms'; SET statement_timeout = 0;
		SET idle_in_transaction_session_timeout = 0; SET client_min_messages = warning;
		SET default_transaction_isolation = 'read committed'`,
		maxLockWait.Milliseconds(), m.lockPatience().Milliseconds())
	prepare := func(ctx context.Context, conn *pgx.Conn) error {
		watch.addSession(conn.PgConn().PID())
		_, err := conn.Exec(ctx, settings)
		return err
	}
	return stdlib.OpenDB(*m.Store.pool.Config().ConnConfig, stdlib.OptionAfterConnect(prepare), stdlib.OptionResetSession(prepare))
}

func (m Migrator) newProvider(ctx context.Context, db *sql.DB) (*goose.Provider, error) {
	files, err := m.migrationFiles(ctx)
	if err != nil {
		return nil, err
	}
	// A waiter looks again every second, for an hour: an index can take long to build.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 3600))
	if err != nil {
		return nil, err
	}
	versions, err := newVersionStore()
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectCustom, db, files, goose.WithStore(versions), goose.WithSessionLocker(locker))
}

// dropInvalid removes what an interrupted build of an index left. It does not wait for long; the
// next run removes what stays.
func (m Migrator) dropInvalid(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	db := m.openDB(&lockWatch{})
	defer db.Close()
	for _, name := range builtIndexes() {
		if err := dropInvalidIndex(ctx, db, name); err != nil {
			return fmt.Errorf("an interrupted build left the invalid index %s, which is not used; the next migrate up replaces it", name)
		}
	}
	return nil
}

func dropInvalidIndex(ctx context.Context, db *sql.DB, name string) error {
	var invalid bool
	err := db.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
		               WHERE NOT i.indisvalid AND c.relname = $1 AND c.relkind = 'i'
		                 AND c.relnamespace = to_regnamespace(quote_ident(current_schema())))`, name).Scan(&invalid)
	if err != nil || !invalid {
		return err
	}
	_, err = db.ExecContext(ctx, "DROP INDEX CONCURRENTLY IF EXISTS "+name)
	return err
}

// builtIndexes are the indexes that the migrations build beside a running application.
func builtIndexes() []string {
	built := regexp.MustCompile(`CREATE INDEX CONCURRENTLY (\w+)`)
	var names []string
	for _, text := range migrationTexts() {
		for _, match := range built.FindAllStringSubmatch(text, -1) {
			names = append(names, match[1])
		}
	}
	return names
}

// migrationTexts are the files' contents by name.
func migrationTexts() map[string]string {
	texts := make(map[string]string)
	names, _ := fs.Glob(migrations.FS, "*.sql") // the pattern is good
	for _, name := range names {
		if content, err := fs.ReadFile(migrations.FS, name); err == nil {
			texts[name] = string(content)
		}
	}
	return texts
}

// migrationFiles are the migrations. Postgres builds no index of a partitioned table beside
// writers, so where a table was made partitioned, its indexes are built in the plain way.
func (m Migrator) migrationFiles(ctx context.Context) (fs.FS, error) {
	var partitioned bool
	err := m.Store.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_class WHERE relkind = 'p' AND relname IN ('orders', 'order_events')
		               AND relnamespace = to_regnamespace(quote_ident(current_schema())))`).Scan(&partitioned)
	if err != nil || !partitioned {
		return migrations.FS, err
	}
	return plainBuilds{migrations.FS}, nil
}

// plainBuilds are migrations without CONCURRENTLY.
type plainBuilds struct{ fs.ReadDirFS }

// Open reads a file.
func (p plainBuilds) Open(name string) (fs.File, error) {
	file, err := p.ReadDirFS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".sql") {
		return file, err
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	return textFile{file, bytes.NewReader(bytes.ReplaceAll(content, []byte(" CONCURRENTLY"), nil))}, nil
}

// textFile is a file with another content.
type textFile struct {
	fs.File

	content io.Reader
}

// Read reads the other content.
func (f textFile) Read(p []byte) (int, error) { return f.content.Read(p) }
