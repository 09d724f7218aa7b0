// Package postgres runs a private, throw-away Postgres server as a child of this process, for the
// demo and the tests.
//
// A server lives in one fresh folder: cluster, socket and log. It listens on that folder's socket
// only, so no port can collide and nobody but its user and root gets in. The folder is named after
// our pid. Nothing outlives us. The child is told to stop when we die, however we die. The folder
// of a process that was killed is swept at the next Start.
//
// Postgres refuses to run as root. Started by root, the server runs as user postgres, or nobody
// where there is none.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// readyWithin bounds the making and starting of a cluster: one to two seconds, but a minute on a
// machine with no time to spare.
const readyWithin = 5 * time.Minute

// Options says what kind of server is wanted. The zero value is a server for throw-away data.
type Options struct {
	// Durable keeps fsync and its kin on, and the cluster on disk. Off, a power cut may corrupt the
	// data.
	Durable bool
	// MaxConnections is the server's limit; 0 means 200.
	MaxConnections int
	// Settings are more of the server's parameters, each as name=value.
	Settings []string
	// Logf, if set, hears what was started where.
	Logf func(format string, args ...any)
}

// Server is a running server that only this process knows of.
type Server struct {
	dir  string
	proc *process
	stop func() error
}

// Start finds the server programs, makes a cluster in a fresh temp folder and starts it as a child.
// The context bounds the start only: a server that was returned runs until Stop, or until this
// process ends.
func Start(ctx context.Context, opts Options) (*Server, error) {
	began := time.Now()
	bin, err := findPrograms()
	if err != nil {
		return nil, err
	}
	who, err := serverAccount()
	if err != nil {
		return nil, err
	}
	removeStale(ctx, who)
	dir, err := makeFolder(who, opts.Durable)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("postgres: not ready within %v", readyWithin))
	defer cancel()
	s := &Server{dir: dir}
	s.stop = sync.OnceValue(s.end)
	if err := s.launchServer(ctx, launcher{bin: bin, dir: dir, who: who}, opts); err != nil {
		return nil, errors.Join(fmt.Errorf("%w%s", err, logTail(dir)), s.Stop())
	}
	if opts.Logf != nil {
		opts.Logf("postgres: %s runs in %s as pid %d, ready after %v", bin, dir, s.PID(), time.Since(began).Round(time.Millisecond))
	}
	return s, nil
}

// URL names a database of this server in the form that pgx and psql take.
func (s *Server) URL(database string) string {
	// The port and sslmode are spelled out so that PGPORT and PGSSLMODE of the environment do not
	// matter.
	query := url.Values{"host": {s.dir}, "port": {port}, "user": {"postgres"}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: query.Encode()}).String()
}

// Dir is the folder of the server's socket, for psql -h DIR -U postgres.
func (s *Server) Dir() string { return s.dir }

// PID is the process id of the server.
func (s *Server) PID() int { return s.proc.cmd.Process.Pid }

// Stop ends the server, cutting off its clients, and removes its folder. Further calls return what
// the first did.
func (s *Server) Stop() error { return s.stop() }

func (s *Server) end() error {
	var err error
	if s.proc != nil {
		err = s.proc.stop()
	}
	return errors.Join(err, removeFolder(s.dir))
}

// launchServer makes the cluster, starts its server and waits until it answers.
func (s *Server) launchServer(ctx context.Context, l launcher, opts Options) error {
	data := filepath.Join(s.dir, "data")
	if err := l.run(ctx, "initdb", initdbArgs(data, opts)...); err != nil {
		return err
	}
	proc, err := l.spawnProgram("postgres", serverArgs(data, s.dir, opts)...)
	if err != nil {
		return err
	}
	s.proc = proc
	return s.awaitReady(ctx)
}

func (s *Server) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-s.proc.done:
			return fmt.Errorf("postgres: server ended while starting: %w", errors.Join(s.proc.err, err))
		case <-ctx.Done():
			return fmt.Errorf("postgres: %w", errors.Join(context.Cause(ctx), err))
		}
	}
}

// initdbArgs gives the cluster a locale of its own: no test may depend on how a laptop sorts text.
func initdbArgs(data string, opts Options) []string {
	args := []string{"-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"}
	if !opts.Durable {
		args = append(args, "-N")
	}
	return args
}

func serverArgs(data, dir string, opts Options) []string {
	limit := opts.MaxConnections
	if limit == 0 {
		limit = 200
	}
	args := []string{
		"-D", data, "-k", dir, "-p", port,
		"-c", "listen_addresses=", "-c", "max_connections=" + strconv.Itoa(limit),
		"-c", "dynamic_shared_memory_type=mmap", // in our folder, so that a server that is killed leaves none behind
	}
	if !opts.Durable {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	for _, setting := range opts.Settings {
		args = append(args, "-c", setting)
	}
	return args
}

// launcher runs the server's programs in its folder, as its user.
type launcher struct {
	bin, dir string
	who      *account
}

// run waits for a program to end; the context's end stops it.
func (l launcher) run(ctx context.Context, name string, args ...string) error {
	proc, err := l.spawnProgram(name, args...)
	if err != nil {
		return err
	}
	select {
	case <-proc.done:
	case <-ctx.Done():
		return fmt.Errorf("postgres: %s: %w", name, errors.Join(context.Cause(ctx), proc.stop()))
	}
	if proc.err != nil {
		return fmt.Errorf("postgres: %s: %w", name, proc.err)
	}
	return nil
}

func (l launcher) spawnProgram(name string, args ...string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(l.dir, logName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(l.bin, name), args...) //nolint:noctx // a context would kill it; stop lets it tidy up
	cmd.Dir = l.dir                                          // ours may be closed to the server's user
	// Nothing of our own surroundings gets in: not PGPORT or PGDATA, not a secret of the program
	// around us.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = l.who.processAttributes()
	proc, err := startProcess(cmd)
	if err != nil {
		return nil, fmt.Errorf("postgres: start %s as %s: %w", cmd.Path, l.who, errors.Join(err, l.who.canWalk(l.bin)))
	}
	return proc, nil
}
