package postgrestest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"reconciler/internal/postgres"
)

// prefix marks the databases that are ours to drop.
const prefix = "reconciler_test_"

// harness is what the tests of a package share. Its parts are made when first asked for.
type harness struct {
	foreign  string // URL of the server to use instead of a private one, or ""
	server   func() (*postgres.Server, error)
	template func() (template, error)
	cleanups cleanups
	copying  copySession
}

// copySession is the session that makes the copies, one after the other. A session for each copy
// would be a third of all sessions, and to start one costs more than the copy.
type copySession struct {
	mu   sync.Mutex
	conn *pgx.Conn // nil before the first copy, and after a failure
}

func (c *copySession) exec(ctx context.Context, admin, sql string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil || c.conn.IsClosed() {
		conn, err := pgx.Connect(ctx, admin)
		if err != nil {
			return fmt.Errorf("postgrestest: %w", err)
		}
		c.conn = conn
	}
	if _, err := c.conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("postgrestest: %s: %w", sql, err)
	}
	return nil
}

func (c *copySession) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		_ = c.conn.Close(context.Background())
	}
}

// template is the database that is cloned.
type template struct {
	name   string
	admin  string // URL of another database of the same server
	clause string // of CREATE DATABASE
}

func newHarness(foreign string, migrate func(context.Context, string) error) *harness {
	h := &harness{foreign: foreign}
	h.server = sync.OnceValues(h.startServer)
	h.template = sync.OnceValues(func() (template, error) { return h.makeTemplate(migrate) })
	return h
}

// startServer leaves the hundreds of small databases to themselves: to visit each of them once a
// minute cost a third of the processors, and statistics that come at any moment change plans. Its
// errors hold the statements' parameters, as an audited shop may have it: they must not mislead.
func (h *harness) startServer() (*postgres.Server, error) {
	server, err := postgres.Start(context.Background(), postgres.Options{Settings: []string{"autovacuum_naptime=1d", "log_parameter_max_length_on_error=-1"}})
	if err == nil {
		h.cleanups.add(server.Stop)
	}
	return server, err
}

// adminURL leads to a database that is there already.
func (h *harness) adminURL() (string, error) {
	if h.foreign != "" {
		return h.foreign, nil
	}
	server, err := h.server()
	if err != nil {
		return "", err
	}
	return server.URL("postgres"), nil
}

// makeTemplate is done on behalf of all tests, so it does not end with the test that came first.
func (h *harness) makeTemplate(migrate func(context.Context, string) error) (template, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	admin, err := h.adminURL()
	if err != nil {
		return template{}, err
	}
	tmpl := template{name: randomName(), admin: admin}
	target, err := withDatabase(admin, tmpl.name)
	if err != nil {
		return template{}, err
	}
	if tmpl.clause, err = cloneClause(ctx, admin); err != nil {
		return template{}, err
	}
	if err := exec(ctx, admin, "CREATE DATABASE "+tmpl.name); err != nil {
		return template{}, err
	}
	if h.foreign != "" {
		h.cleanups.add(func() error { return h.drop(context.Background(), target) })
	}
	if migrate != nil {
		err = migrate(ctx, target)
	}
	return tmpl, err
}

func (h *harness) clone(ctx context.Context) (string, error) {
	tmpl, err := h.template()
	if err != nil {
		return "", fmt.Errorf("postgrestest: template: %w", err)
	}
	name := randomName()
	if err := h.copying.exec(ctx, tmpl.admin, "CREATE DATABASE "+name+" TEMPLATE "+tmpl.name+tmpl.clause); err != nil {
		return "", err
	}
	return withDatabase(tmpl.admin, name)
}

// drop removes a database that was made here, also under open connections. Of a private server none
// is dropped: that would take longer than making it did, and its folder goes anyway.
func (h *harness) drop(ctx context.Context, target string) error {
	config, err := pgx.ParseConfig(target)
	if err != nil {
		return fmt.Errorf("postgrestest: %w", err)
	}
	if !strings.HasPrefix(config.Database, prefix) {
		return fmt.Errorf("postgrestest: refuse to drop %s", config.Database)
	}
	return exec(ctx, h.foreign, "DROP DATABASE IF EXISTS "+config.Database+" WITH (FORCE)")
}

func (h *harness) close() error {
	h.copying.close()
	return h.cleanups.run()
}

// cloneClause asks for the copy that is faster for small databases, where the server knows it.
func cloneClause(ctx context.Context, admin string) (string, error) {
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return "", fmt.Errorf("postgrestest: %w", err)
	}
	defer conn.Close(ctx)
	var version int
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		return "", fmt.Errorf("postgrestest: %w", err)
	}
	if version < 150000 {
		return "", nil
	}
	return " STRATEGY FILE_COPY", nil
}

func exec(ctx context.Context, admin, sql string) error {
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return fmt.Errorf("postgrestest: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("postgrestest: %s: %w", sql, err)
	}
	return nil
}

func randomName() string { return prefix + strings.ToLower(rand.Text()) }

func withDatabase(server, name string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme == "" {
		return "", errors.New("postgrestest: " + urlVariable + " is not a URL like postgres://user@host/database")
	}
	u.Path = "/" + name
	return u.String(), nil
}

// cleanups run at the end, last one first.
type cleanups struct {
	mu    sync.Mutex
	funcs []func() error
}

func (c *cleanups) add(f func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.funcs = append(c.funcs, f)
}

func (c *cleanups) run() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, f := range slices.Backward(c.funcs) {
		errs = append(errs, f())
	}
	c.funcs = nil
	return errors.Join(errs...)
}
