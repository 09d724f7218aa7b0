// Command bench measures what the reconciler costs, beside two peers that do the same job: a plain
// loop and River, the job queue. It drives the product's binary from outside, as a user would, and
// prints each figure beside its goal. It asserts nothing: how fast a machine is, and how busy, is
// not the program's fault.
//
//	go run . -reconciler ../bin/reconciler            # about twelve minutes on two cores
//	go run . -reconciler ../bin/reconciler -quick     # about two minutes: fewer orders, one round
//	go run . -reconciler ../bin/reconciler -full      # a million orders to drain, five million beside the due ones
//	go run . -reconciler ../bin/reconciler -only drain,flat
//
// # One place for all
//
// Everything runs on this machine: a private Postgres server with durable settings (fsync and
// synchronous_commit on), and for each run a database of its own, copied from one that `reconciler
// migrate up` has made, and a gateway of its own. So the machine's cores are shared by the
// contestant, the server and the gateway, whose own cost is measured too: it compresses the ratios,
// since all pay for it alike. Therefore the gateway is a cheap one, which repeats what it has
// learnt from `reconciler simulator`, wherever speed is measured; where conduct is (four processes,
// idling, stopping), and everywhere with -simulator, it is the simulator itself, which checks
// signatures and calls each order paid but once.
//
// All contestants put the same signed question with the same client, read the same 40 fields, write
// the same columns of the same row and one row of the ledger with the masked answer. The product
// alone writes events and claims orders. Each is a process of its own, so that its CPU and memory
// are its own. After each run the orders are counted: a contestant that did not settle each of
// them, with one ledger row, has no figures but an error.
//
// # What is measured how
//
//   - orders/s: from a contestant's first statement to its last commit, by its own clock
//   - Go CPU: user and system time of the contestant's process (getrusage), start and end included
//   - Postgres CPU: the same of the server and all its processes, from /proc: those that live by
//     their own times, those that ended by the times that the server has inherited of them
//   - commits, WAL: the differences of pg_stat_database.xact_commit and of the log's position; the
//     bench itself is connected to another database meanwhile. No checkpoint falls into a run, so
//     that none pays for another's pages
//   - round trips: in a run of its own, through a proxy that counts how often a client waits for
//     the server
//   - peak memory: VmHWM of the process, looked at all the time. The rusage of a child is no
//     measure of it: the kernel counts the memory of the parent before exec in
//
// Contestants take turns, round by round. Figures are the medians of the rounds, ratios those of
// the ratios within each.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(runBench(os.Args[1:], os.Stdout, os.Stderr))
}

// runBench is the program: the benchmark, or what it starts itself: `bench peer …`, `bench gateway
// …`.
func runBench(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGPIPE) // a reader who has seen enough is an error of the next write: the children are ended first
	command := measureProcess
	if len(args) > 0 {
		switch args[0] {
		case "peer":
			command, args = peerCommand, args[1:]
		case "gateway":
			command, args = gatewayCommand, args[1:]
		}
	}
	err := command(ctx, args, stdout, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}
