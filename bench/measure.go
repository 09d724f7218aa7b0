package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// workload is one kind of measurement.
type workload struct {
	name string
	run  func(l *lab, ctx context.Context, r *report) error
}

func listWorkloads() []workload {
	return []workload{
		{"drain", (*lab).runDrain},
		{"before", (*lab).compareBuilds},
		{"bare", (*lab).bareWrite},
		{"latency", (*lab).runLatencies},
		{"flat", (*lab).runFlat},
		{"select", (*lab).runSelection},
		{"merchants", (*lab).runMerchants},
		{"paused", (*lab).runPaused},
		{"hang", (*lab).runHanging},
		{"budgets", (*lab).runBudgets},
		{"newcomers", (*lab).runNewcomers},
		{"snapshot", (*lab).runSnapshot},
		{"long", (*lab).runLongDrain},
		{"four", (*lab).runFourProcesses},
		{"idle", (*lab).runIdle},
		{"rest", (*lab).runRest},
		{"stop", (*lab).runStop},
	}
}

func workloadNames() []string {
	var names []string
	for _, w := range listWorkloads() {
		names = append(names, w.name)
	}
	return names
}

// measureProcess is the benchmark. A workload that fails leaves the others alone.
func measureProcess(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	l, err := newLab(ctx, o, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.closeLab()) }()
	var version string
	if err := l.admin.QueryRow(ctx, "SHOW server_version").Scan(&version); err != nil {
		return fmt.Errorf("ask for the server's version: %w", err)
	}
	r := newReport(l, version)
	for _, w := range listWorkloads() {
		if ctx.Err() != nil || !o.isWanted(w.name) {
			continue
		}
		err := w.run(l, ctx, r)
		if ctx.Err() != nil {
			break // what was cut off has no figures
		}
		if err != nil {
			r.Errors = append(r.Errors, fmt.Sprintf("%s: %v", w.name, err))
		}
		if err := r.printReport(stdout, w.name); err != nil {
			return err
		}
	}
	return r.finishReport(ctx, o.json, stdout)
}

// finishReport writes the figures, also of a benchmark that was stopped.
func (r *report) finishReport(ctx context.Context, path string, stdout io.Writer) error {
	r.Seconds = time.Since(r.Started).Seconds()
	short := 0
	for _, f := range r.Figures {
		if f.Mark == "short" {
			short++
		}
	}
	fmt.Fprintf(stdout, "\n%s, Postgres %s with durable settings; %.0f s. CPU in seconds per 1,000 orders. Figures short of their goals: %d\n",
		r.Machine, r.Postgres, r.Seconds, short)
	errs := []error{r.saveFigures(path), context.Cause(ctx)}
	for _, text := range r.Errors {
		errs = append(errs, errors.New(text))
	}
	return errors.Join(errs...)
}
