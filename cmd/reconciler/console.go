package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"reconciler/internal/console"
	"reconciler/internal/operator"
	"reconciler/internal/ops"
	"reconciler/internal/policy"
	"reconciler/internal/store"
)

type consoleCommand struct {
	Serve        consoleServe `cmd:"" default:"withargs" help:"Serve the web pages (the default)."`
	HashPassword hashCommand  `cmd:"" help:"Read a password and print its hash for the users file."`
}

type consoleSettings struct {
	Listen  string `name:"console-listen" env:"RECONCILER_CONSOLE_LISTEN" default:"127.0.0.1:9465" help:"Address of the pages. Without --console-users-file it must be on loopback."`
	Users   string `name:"console-users-file" env:"RECONCILER_CONSOLE_USERS_FILE" placeholder:"FILE" help:"Who may log in: a YAML list under users, each with name, password_bcrypt and role. Read again on SIGHUP."`
	Actions toggle `name:"console-actions" env:"RECONCILER_CONSOLE_ACTIONS" help:"Let people of the role operator settle, retry, pause and resume. Without: the pages only show."`
}

// readUsers reads the users file, or says that it is missing. The warnings are for the log.
func (s consoleSettings) readUsers() (users *console.Users, warnings []string, err error) {
	if s.Users == "" {
		if s.Actions.T || (s.checkListen() == nil && !console.IsLoopback(s.Listen)) {
			err = badSetting{"console-users-file", "is required for an address that is not on loopback, and for --console-actions"}
		}
		return nil, nil, err
	}
	users, warning, err := console.ReadUsers(s.Users)
	if err != nil {
		err = badSetting{"console-users-file", s.Users + " " + err.Error()}
	}
	if warning != "" {
		warnings = []string{s.Users + " " + warning}
	}
	return users, warnings, err
}

func (s consoleSettings) checkListen() error {
	if err := ops.CheckAddress(s.Listen); err != nil || s.Listen == "" {
		return badSetting{"console-listen", fmt.Sprintf("must be host:port or :port, not %q", s.Listen)}
	}
	return nil
}

type consoleServe struct {
	Database databaseSettings `embed:"" group:"Database:"`
	People   peopleSettings   `embed:"" group:"People:"`
	Poll     pollSettings     `embed:"" group:"Polling:"`
	Console  consoleSettings  `embed:"" group:"Console:"`
}

// Run serves the pages until the context ends.
func (c *consoleServe) Run(p *process) error {
	outliveReaders()
	options, warnings, err := c.options(p)
	if err != nil {
		return err
	}
	logger := p.newLogger()
	options.Logger = logger
	p.logSettings(p.ctx, logger)
	warnAboutFiles(p.ctx, logger, warnings)
	orders, err := store.OpenForPages(p.ctx, c.Database.URL)
	if err != nil {
		return usageError{err}
	}
	defer orders.Close()
	if err := c.checkDatabase(p.ctx, orders, logger); err != nil {
		return err
	}
	options.Desk.Store = orders
	listener, err := (&net.ListenConfig{}).Listen(p.ctx, "tcp", c.Console.Listen)
	if err != nil {
		return fmt.Errorf("%s cannot be used: %w", p.flagName("console-listen"), err)
	}
	defer listener.Close()
	if options.Users != nil {
		stop := c.reloadUsers(p.ctx, options.Users, logger)
		defer stop()
	}
	return serveConsole(p.ctx, listener, options)
}

// options checks all settings and names every problem.
func (c *consoleServe) options(p *process) (console.Options, []string, error) {
	zone, zoneErr := c.People.timeZone()
	lang, langErr := c.People.language(p.getenv)
	rules := policy.Rules{Plan: c.Poll.plan()}
	o := console.Options{
		Desk:    operator.Desk{Locale: operator.Locale{Lang: lang, Zone: zone}, Rate: c.Poll.Rate.T, Rules: rules},
		Actions: c.Console.Actions.T, Loopback: console.IsLoopback(c.Console.Listen), Version: version, AppIDs: appIDsAtHand(p),
	}
	users, warnings, usersErr := c.Console.readUsers()
	o.Users = users
	return o, warnings, p.checkSettings(c.Database.validate(p.getenv), zoneErr, langErr, c.Poll.validatePlan(), usersErr, c.Console.checkListen())
}

// checkDatabase refuses an old schema and a role without the rights that the pages need. A database
// that cannot be reached is shown on the pages: they are looked at when something is wrong.
func (c *consoleServe) checkDatabase(ctx context.Context, orders *store.Store, logger *slog.Logger) error {
	audience := store.ForViewer
	if c.Console.Actions.T {
		audience = store.ForOperator
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := checkDatabase(ctx, orders, audience)
	switch {
	case err == nil:
		return nil
	case store.IsTransient(err):
		logger.LogAttrs(ctx, slog.LevelWarn, "database cannot be reached", slog.Any("error", err))
		return nil
	}
	return usageError{err}
}

// reloadUsers reads the users file again at every SIGHUP. A file that cannot be used changes
// nothing.
func (c *consoleServe) reloadUsers(ctx context.Context, users *console.Users, logger *slog.Logger) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
			}
			if _, err := users.Reload(c.Console.Users); err != nil {
				logger.LogAttrs(ctx, slog.LevelError, "users file reload failed, keeping the previous one", slog.Any("error", err))
				continue
			}
			logger.LogAttrs(ctx, slog.LevelInfo, "users file reloaded")
		}
	}()
	return func() { signal.Stop(hangups); cancel(); <-done }
}

// consoleGrace is how long pages may take to end.
const consoleGrace = 10 * time.Second

// serveConsole serves until ctx ends, and lets the pages in flight end.
func serveConsole(ctx context.Context, listener net.Listener, options console.Options) error {
	c, err := console.New(options)
	if err != nil {
		return usageError{err}
	}
	server := c.Server()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	options.Logger.LogAttrs(ctx, slog.LevelInfo, "console listens", slog.String("address", "http://"+listener.Addr().String()+"/"),
		slog.Bool("actions", options.Actions), slog.Bool("log_in", options.Users != nil))
	select {
	case err := <-ended:
		return fmt.Errorf("console: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), consoleGrace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close() // what still runs is cut off
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type hashCommand struct{}

// Run reads a password, unseen on a terminal, and prints its hash.
func (c *hashCommand) Run(p *process) error {
	password, err := readPassword(p)
	if err != nil {
		return err
	}
	hash, err := console.HashPassword(password)
	if err != nil {
		return usageError{err}
	}
	_, err = fmt.Fprintln(p.stdout, hash)
	return err
}

func readPassword(p *process) (string, error) {
	if !isTerminal(os.Stdin) {
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil && line == "" {
			return "", usageError{errors.New("no password: give it on stdin")}
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	fmt.Fprint(p.stderr, "Password: ")
	first, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprint(p.stderr, "\nThe same again: ")
	if err != nil {
		return "", err
	}
	second, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(p.stderr)
	if err == nil && string(first) != string(second) {
		err = usageError{errors.New("the two differ")}
	}
	return string(first), err
}
