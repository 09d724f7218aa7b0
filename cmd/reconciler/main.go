// Command reconciler finds the outcome of ChinaUMS payments whose notification was lost. This
// package is wiring only: settings, one small file per command, and the exit code.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"

	"reconciler/internal/poller"
)

// graceTime is how long a stop may take.
const graceTime = 30 * time.Second

// The stop of a pass is shorter: a negative constant does not compile here.
const _ = uint64(graceTime - poller.MaxStop)

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1 // the run failed, or an order could not be asked
	exitUsage  = 2 // bad usage, bad settings, old schema, missing rights

	exitAttention exitCode = 3 // status: attention; migrate status: pending
	exitCritical  exitCode = 4 // status: critical
)

// exitCode ends the program with a code and says nothing more.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// commands is the command line; each command is in a file of its name.
type commands struct {
	Log logSettings `embed:"" prefix:"log-" group:"Logging:"`

	Run       runCommand       `cmd:"" help:"Run the daemon: ask about orders as they fall due."`
	RunOnce   runOnceCommand   `cmd:"" help:"Do one pass and exit, to catch up by hand."`
	Status    statusCommand    `cmd:"" help:"Tell whether all is well: the verdict, what is open, paused, under review, learned."`
	Why       whyCommand       `cmd:"" help:"Tell one order's story, when it is asked next, and why not now."`
	Plan      planCommand      `cmd:"" help:"Tell when an order will be asked, or the curve and what falls due."`
	Doctor    doctorCommand    `cmd:"" help:"Check settings, database, schema, rights, clock and credentials, before and while it runs."`
	Review    reviewCommand    `cmd:"" help:"Orders that need a person: list them, settle one by hand, ask again."`
	Audit     auditCommand     `cmd:"" help:"List what people did: who, when, what, why."`
	Pauses    pausesCommand    `cmd:"" help:"List the pauses in force, and what waits for each."`
	Incidents incidentsCommand `cmd:"" help:"List the pauses of the past and those that go on."`
	Events    eventsCommand    `cmd:"" help:"List what the application was told, and tell it again."`
	Pause     pauseCommand     `cmd:"" help:"Stop querying a merchant, or everything under an app id, on all instances."`
	Resume    resumeCommand    `cmd:"" help:"End a pause, set by hand or by the circuit breaker."`
	Migrate   migrateCommand   `cmd:"" help:"Change the database's schema; the only command that does."`
	Grants    grantsCommand    `cmd:"" help:"Print the SQL that gives a role the rights that it needs."`
	Console   consoleCommand   `cmd:"" help:"Serve the web pages: status, orders, reviews, gateway, events, audit."`
	Prune     pruneCommand     `cmd:"" help:"Delete old questions and events of finished orders."`
	Query     queryCommand     `cmd:"" help:"Ask the gateway about one order; needs no database."`
	Config    configCommand    `cmd:"" help:"List the settings in force, and where each comes from."`
	Simulator simulatorCommand `cmd:"" help:"Serve a fake gateway that follows a scenario."`
	Demo      demoCommand      `cmd:"" help:"Show everything on this machine, without any configuration."`
	Version   versionCommand   `cmd:"" help:"Print the version, the commit and the newest migration."`

	Healthcheck healthcheckCommand        `cmd:"" help:"Ask the daemon on this machine whether it is healthy."`
	Completion  kongcompletion.Completion `cmd:"" help:"Print how to complete commands with the Tab key."`
	Man         manCommand                `cmd:"" help:"Print the man page."`
}

// process is a command's view of the outside world.
type process struct {
	ctx    context.Context // ends at SIGINT or SIGTERM
	stdout io.Writer
	stderr *os.File
	getenv func(string) string
	log    logSettings

	model    *kong.Application
	flags    []*kong.Flag // of the selected command
	settings []setting    // in force
}

// usageError is a mistake of the caller: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// gcPercent trades memory for time. Live data are a few megabytes, and a drain needs an eighth less
// CPU than with Go's 100. 200 would gain another 2 % for seven megabytes. GOGC in the environment
// wins.
const gcPercent = 150

// With many questions in flight live data are more, and take less room on top.
const (
	manyInFlight  = 128
	gcPercentMany = 70
)

func main() {
	log.SetOutput(standardLog{os.Stderr})
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	unsetEmptyVariables(os.Environ())
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, os.Getenv))
}

// run is the program. A first signal ends its context; a second one, no longer
// caught, ends the process at once.
func run(args []string, stdout io.Writer, stderr *os.File, getenv func(string) string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	finished := context.AfterFunc(ctx, func() {
		stop()
		time.AfterFunc(graceTime, func() {
			fmt.Fprintln(stderr, "reconciler: the stop took longer than", graceTime)
			os.Exit(exitFailed)
		})
	})
	defer finished()
	err := runCommandLine(ctx, args, stdout, stderr, getenv)
	if err == nil {
		return exitDone
	}
	if code, found := errors.AsType[exitCode](err); found {
		return int(code)
	}
	if !errors.Is(err, errIncomplete) { // its summary has said so already
		fmt.Fprintf(stderr, "reconciler: %s\n", visibleLines(err.Error()))
	}
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitFailed
}

// outliveReaders lets the process go on when the reader of its log has gone, such as a journal that
// restarts. Go would end it at its next line, with its questions under way.
func outliveReaders() { signal.Ignore(syscall.SIGPIPE) }

func runCommandLine(ctx context.Context, args []string, stdout io.Writer, stderr *os.File, getenv func(string) string) error {
	var cli commands
	parser, err := kong.New(&cli,
		kong.Name("reconciler"),
		kong.Description("Finds the outcome of ChinaUMS payments whose notification was lost, and writes it into the orders table.\n\n"+
			"Every setting is a flag and an environment variable, shown behind its description. A flag beats the environment; the environment beats the default. "+
			"The gateway's key is read from CHINAUMS_APP_KEY or from a file, never from a flag."),
		kong.Writers(stdout, stderr),
		kong.UsageOnError(),
		kong.Help(printHelp),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Vars{"version": version},
	)
	if err != nil {
		return err
	}
	kongcompletion.Register(parser) // answers the shell and ends here where the shell asks for completions
	if len(args) == 0 {
		args = []string{"--help"}
	}
	selected, err := parser.Parse(args)
	if err != nil {
		return usageError{fmt.Errorf("%w (see %s --help)", err, commandOf(err))}
	}
	p := &process{
		ctx: ctx, stdout: stdout, stderr: stderr, getenv: getenv, log: cli.Log,
		model: parser.Model, flags: selected.Flags(), settings: settingsInForce(selected, getenv),
	}
	p.warnAboutVariables(os.Environ())
	return selected.Run(p)
}

// commandOf names the command whose line could not be read.
func commandOf(err error) string {
	if parse, found := errors.AsType[*kong.ParseError](err); found && parse.Context.Selected() != nil {
		return parse.Context.Selected().FullPath()
	}
	return "reconciler"
}

// printHelp prints the help. That of a command with a default below it has the default's as well:
// its flags are the command's.
func printHelp(options kong.HelpOptions, c *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, c); err != nil {
		return err
	}
	node := c.Selected()
	if node == nil || node.DefaultCmd == nil {
		return nil
	}
	fmt.Fprintln(c.Stdout)
	c.Path = append(c.Path, &kong.Path{Parent: node, Command: node.DefaultCmd, Flags: node.DefaultCmd.Flags})
	return kong.DefaultHelpPrinter(options, c)
}
