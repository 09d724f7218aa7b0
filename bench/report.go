package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report collects what was measured.
type report struct {
	Started  time.Time     `json:"started"`
	Seconds  float64       `json:"seconds"`
	Machine  string        `json:"machine"`
	Postgres string        `json:"postgres"`
	Sizes    sizes         `json:"sizes"`
	Figures  []figure      `json:"figures"`
	Results  []trialResult `json:"results"`
	Errors   []string      `json:"errors,omitempty"`
}

// figure is one of the numbers that matter, beside its goal if it has one.
type figure struct {
	Workload string  `json:"workload"`
	What     string  `json:"what"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit,omitempty"`
	Goal     string  `json:"goal,omitempty"`
	Mark     string  `json:"mark,omitempty"` // ok or short
}

// goal is a bound, or none.
type goal struct {
	sign  string
	bound float64
}

func atLeast(bound float64) goal { return goal{"≥", bound} }
func atMost(bound float64) goal  { return goal{"≤", bound} }

// markGoal says whether a value reaches the goal.
func (g goal) markGoal(value float64) string {
	switch {
	case g.sign == "":
		return ""
	case math.IsNaN(value):
		return "?"
	case g.sign == "≥" && value >= g.bound, g.sign == "≤" && value <= g.bound:
		return "ok"
	}
	return "short"
}

func newReport(l *lab, version string) *report {
	return &report{
		Started: time.Now(), Sizes: l.sizes, Postgres: version,
		Machine: fmt.Sprintf("%s/%s, %d cores, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version()),
	}
}

// addLine notes a figure.
func (r *report) addLine(workload, what string, value float64, unit string, g goal) {
	f := figure{Workload: workload, What: what, Value: value, Unit: unit, Mark: g.markGoal(value)}
	if g.sign != "" {
		f.Goal = g.sign + " " + formatNumber(g.bound)
	}
	r.Figures = append(r.Figures, f)
}

// addNote keeps the result of a trial.
func (r *report) addNote(workload string, one trialResult) {
	one.Workload = workload
	r.Results = append(r.Results, one)
}

// linesOf is a measure of a contestant in each round of a workload.
func (r *report) linesOf(workload, who string, measure func(trialResult) float64) []float64 {
	var values []float64
	for _, one := range r.Results {
		if one.Workload == workload && one.Who == who {
			values = append(values, measure(one))
		}
	}
	return values
}

// printReport shows a workload: its trials, the rounds of one contestant in one line, and its
// figures.
func (r *report) printReport(w io.Writer, workload string) error {
	fmt.Fprintf(w, "\n%s\n", workload)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	rows := r.tableRows(workload)
	if len(rows) > 0 {
		fmt.Fprintln(table, "who\tms\tin flight\torders\torders/s\tGo CPU\tPG CPU\tgateway\tcommits\ttrips\tWAL B\tpeak MB\t")
	}
	for _, row := range rows {
		fmt.Fprintln(table, row)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	table = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range r.Figures {
		if f.Workload == workload {
			fmt.Fprintf(table, "  %s\t%s %s\t%s\t%s\n", f.What, formatNumber(f.Value), f.Unit, f.Goal, f.Mark)
		}
	}
	return table.Flush()
}

// tableRows are the medians of equal trials.
func (r *report) tableRows(workload string) []string {
	type key struct {
		who                            string
		latency                        float64
		concurrency, orders, processes int
	}
	var keys []key
	groups := map[key][]trialResult{}
	for _, one := range r.Results {
		if one.Workload != workload {
			continue
		}
		k := key{one.Who, one.LatencyMS, one.Concurrency, one.Orders, one.Processes}
		if groups[k] == nil {
			keys = append(keys, k)
		}
		groups[k] = append(groups[k], one)
	}
	var rows []string
	for _, k := range keys {
		who := k.who
		if k.processes > 1 {
			who = fmt.Sprintf("%s, %d processes", who, k.processes)
		}
		cells := []string{who, formatNumber(k.latency), fmt.Sprint(k.concurrency), fmt.Sprint(k.orders)}
		for _, measure := range []func(trialResult) float64{perSecond, goCPU, serverCPU, gatewayCPU, commitsPerOrder, roundTrips, walPerOrder, peakMB} {
			cells = append(cells, formatNumber(medianOf(perOrder(groups[k], measure))))
		}
		rows = append(rows, strings.Join(cells, "\t")+"\t")
	}
	return rows
}

func perSecond(r trialResult) float64       { return r.Rate }
func goCPU(r trialResult) float64           { return r.GoCPU }
func serverCPU(r trialResult) float64       { return r.ServerCPU }
func gatewayCPU(r trialResult) float64      { return r.GatewayCPU }
func commitsPerOrder(r trialResult) float64 { return r.Commits }
func walPerOrder(r trialResult) float64     { return r.WAL }
func peakMB(r trialResult) float64          { return r.PeakMB }

// roundTrips are not a number in a trial that did not count them.
func roundTrips(r trialResult) float64 {
	if r.RoundTrips == 0 {
		return math.NaN()
	}
	return r.RoundTrips
}

func perOrder(results []trialResult, measure func(trialResult) float64) []float64 {
	values := make([]float64, len(results))
	for i, r := range results {
		values[i] = measure(r)
	}
	return values
}

// medianOf ignores what is not a number; of nothing it is not a number.
func medianOf(values []float64) float64 {
	sorted := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	slices.Sort(sorted)
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// ratioOf is the median of the rounds' ratios.
func ratioOf(of, to []float64) float64 {
	ratios := make([]float64, min(len(of), len(to)))
	for i := range ratios {
		ratios[i] = of[i] / to[i]
	}
	return medianOf(ratios)
}

// formatNumber writes three digits or more.
func formatNumber(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case v == math.Trunc(v), math.Abs(v) >= 100:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	case math.Abs(v) >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// saveFigures writes the JSON.
func (r *report) saveFigures(path string) error {
	if path == "" {
		return nil
	}
	figures := slices.Clone(r.Figures)
	figures = slices.DeleteFunc(figures, func(f figure) bool { return math.IsNaN(f.Value) || math.IsInf(f.Value, 0) })
	saved := *r
	saved.Figures = figures
	text, err := json.MarshalIndent(saved, "", "  ")
	if err != nil {
		return fmt.Errorf("write the figures: %w", err)
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
