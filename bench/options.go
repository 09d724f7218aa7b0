package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// options are the command line.
type options struct {
	product string // the product's binary
	before  string // another build of it, to be compared with; "" = none
	json    string // where the figures are written to as well; "" = nowhere
	only    []string
	sizes   sizes

	simulator bool // as the gateway of every run
}

// sizes say how much is measured.
type sizes struct {
	Rounds int `json:"rounds"`
	// Orders of a drain, by contestant: about as long for each.
	Product int `json:"product_orders"`
	Loop    int `json:"loop_orders"`
	River   int `json:"river_orders"`
	RiverTx int `json:"river_tx_orders"`
	Counted int `json:"counted_orders"` // of the runs that count round trips, for the slowest peer
	Bare    int `json:"bare_orders"`

	Steady      time.Duration `json:"steady_ns"` // length of a run at a latency
	SteadyPeers bool          `json:"steady_peers"`
	FlatSettled []int         `json:"flat_settled"`

	SelectSettled    []int         `json:"select_settled"`
	Merchants        int           `json:"merchants"`        // where there are many
	OfMerchants      int           `json:"of_merchants"`     // orders of them
	PausedEach       int           `json:"paused_each"`      // orders of each paused merchant
	HangingFor       time.Duration `json:"hanging_for_ns"`   // while some merchants hang
	SnapshotSettled  int           `json:"snapshot_settled"` // orders, while a snapshot is held
	BudgetsFor       time.Duration `json:"budgets_for_ns"`
	NewcomersBacklog int           `json:"newcomers_backlog"`
	NewcomersFor     time.Duration `json:"newcomers_for_ns"`
	Long             int           `json:"long_orders"`
	Four             int           `json:"four_orders"`
	Idle             time.Duration `json:"idle_ns"`
	Stops            int           `json:"stops"`
	FlatDue          int           `json:"flat_due"`
	ShortBacklog     int           `json:"short_backlog"`
}

func defaultSizes() sizes {
	return sizes{
		Rounds: 3, Product: 25_000, Loop: 7_000, River: 6_000, RiverTx: 3_500, Counted: 3_000, Bare: 50_000,
		Steady: 12 * time.Second, FlatSettled: []int{10_000, 1_000_000}, FlatDue: 10_000,
		SelectSettled: []int{10_000, 500_000}, Merchants: 10_000, OfMerchants: 50_000, PausedEach: 1000, HangingFor: 30 * time.Second,
		SnapshotSettled: 200_000, BudgetsFor: 15 * time.Second, NewcomersBacklog: 200_000, NewcomersFor: 20 * time.Second,
		Long: 200_000, ShortBacklog: 10_000, Four: 40_000, Idle: 30 * time.Second, Stops: 5,
	}
}

func quickSizes() sizes {
	s := defaultSizes()
	s.Rounds, s.Product, s.Loop, s.River, s.RiverTx, s.Counted, s.Bare = 1, 12_000, 5_000, 4_000, 2_000, 1_000, 20_000
	s.Steady, s.FlatSettled, s.Long, s.Four, s.Idle, s.Stops, s.FlatDue = 6*time.Second, []int{10_000, 200_000}, 25_000, 10_000, 10*time.Second, 2, 4_000
	s.SelectSettled, s.OfMerchants, s.PausedEach, s.HangingFor, s.SnapshotSettled = []int{10_000, 100_000}, 20_000, 200, 10*time.Second, 50_000
	s.BudgetsFor, s.NewcomersBacklog, s.NewcomersFor = 6*time.Second, 50_000, 10*time.Second
	return s
}

func fullSizes() sizes {
	s := defaultSizes()
	s.SelectSettled, s.OfMerchants, s.HangingFor, s.SnapshotSettled = []int{10_000, 5_000_000}, 200_000, 60*time.Second, 500_000
	s.BudgetsFor, s.NewcomersBacklog, s.NewcomersFor = 60*time.Second, 1_000_000, 120*time.Second
	s.Rounds, s.FlatSettled, s.Long, s.SteadyPeers = 7, []int{10_000, 1_000_000, 5_000_000}, 1_000_000, true
	return s
}

// parseOptions reads the command line.
func parseOptions(args []string, stderr io.Writer) (options, error) {
	o := options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	quick := flags.Bool("quick", false, "about two minutes: fewer orders, one round")
	full := flags.Bool("full", false, "everything at full size; most of an hour")
	rounds := flags.Int("rounds", 0, "how often contestants take turns; 0 is what the size says")
	only := flags.String("only", "", "only these `workloads`, separated by commas: "+strings.Join(workloadNames(), ","))
	flags.BoolVar(&o.simulator, "simulator", false, "the gateway is always the simulator, never the cheap one")
	flags.StringVar(&o.product, "reconciler", "../bin/reconciler", "the product's `binary`")
	flags.StringVar(&o.before, "before", "", "the `binary` of another build, for the workload before")
	flags.StringVar(&o.json, "json", "results.json", "`file` for the figures; empty is none")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.sizes = defaultSizes()
	switch {
	case *quick && *full:
		return o, errors.New("-quick and -full exclude each other")
	case *quick:
		o.sizes = quickSizes()
	case *full:
		o.sizes = fullSizes()
	}
	if *rounds > 0 {
		o.sizes.Rounds = *rounds
	}
	return o, o.fillDefaults(*only, flags.Args())
}

// fillDefaults checks what was given.
func (o *options) fillDefaults(only string, rest []string) error {
	if len(rest) > 0 {
		return fmt.Errorf("unexpected %q", rest)
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(workloadNames(), name) {
			return fmt.Errorf("there is no workload %q, only %s", name, strings.Join(workloadNames(), ", "))
		}
	}
	for _, binary := range []*string{&o.product, &o.before} {
		if *binary == "" {
			continue
		}
		path, err := filepath.Abs(*binary)
		if err != nil {
			return err
		}
		*binary = path
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("the product's binary (make build makes it): %w", err)
		}
	}
	return nil
}

// isWanted reports whether a workload was asked for.
func (o *options) isWanted(name string) bool {
	return len(o.only) == 0 || slices.Contains(o.only, name)
}
