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
	Started  time.Time `json:"started"`
	Seconds  float64   `json:"seconds"`
	Machine  string    `json:"machine"`
	Postgres string    `json:"postgres"`
	Sizes    sizes     `json:"sizes"`
	Figures  []figure  `json:"figures"`
	Results  []result  `json:"results"`
	Errors   []string  `json:"errors,omitempty"`
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

// mark says whether a value reaches the goal.
func (g goal) mark(value float64) string {
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

// add notes a figure.
func (r *report) add(workload, what string, value float64, unit string, g goal) {
	f := figure{Workload: workload, What: what, Value: value, Unit: unit, Mark: g.mark(value)}
	if g.sign != "" {
		f.Goal = g.sign + " " + number(g.bound)
	}
	r.Figures = append(r.Figures, f)
}

// note keeps the result of a trial.
func (r *report) note(workload string, one result) {
	one.Workload = workload
	r.Results = append(r.Results, one)
}

// of is a measure of a contestant in each round of a workload.
func (r *report) of(workload, who string, measure func(result) float64) []float64 {
	var values []float64
	for _, one := range r.Results {
		if one.Workload == workload && one.Who == who {
			values = append(values, measure(one))
		}
	}
	return values
}

// print shows a workload: its trials, the rounds of one contestant in one line, and its figures.
func (r *report) print(w io.Writer, workload string) error {
	fmt.Fprintf(w, "\n%s\n", workload)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	rows := r.rows(workload)
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
			fmt.Fprintf(table, "  %s\t%s %s\t%s\t%s\n", f.What, number(f.Value), f.Unit, f.Goal, f.Mark)
		}
	}
	return table.Flush()
}

// rows are the medians of equal trials.
func (r *report) rows(workload string) []string {
	type key struct {
		who                            string
		latency                        float64
		concurrency, orders, processes int
	}
	var keys []key
	groups := map[key][]result{}
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
		cells := []string{who, number(k.latency), fmt.Sprint(k.concurrency), fmt.Sprint(k.orders)}
		for _, measure := range []func(result) float64{rate, goCPU, serverCPU, gatewayCPU, commits, roundTrips, wal, peakMB} {
			cells = append(cells, number(median(each(groups[k], measure))))
		}
		rows = append(rows, strings.Join(cells, "\t")+"\t")
	}
	return rows
}

func rate(r result) float64       { return r.Rate }
func goCPU(r result) float64      { return r.GoCPU }
func serverCPU(r result) float64  { return r.ServerCPU }
func gatewayCPU(r result) float64 { return r.GatewayCPU }
func commits(r result) float64    { return r.Commits }
func wal(r result) float64        { return r.WAL }
func peakMB(r result) float64     { return r.PeakMB }

// roundTrips are not a number in a trial that did not count them.
func roundTrips(r result) float64 {
	if r.RoundTrips == 0 {
		return math.NaN()
	}
	return r.RoundTrips
}

func each(results []result, measure func(result) float64) []float64 {
	values := make([]float64, len(results))
	for i, r := range results {
		values[i] = measure(r)
	}
	return values
}

// median ignores what is not a number; of nothing it is not a number.
func median(values []float64) float64 {
	sorted := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	slices.Sort(sorted)
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// ratio is the median of the rounds' ratios.
func ratio(of, to []float64) float64 {
	ratios := make([]float64, min(len(of), len(to)))
	for i := range ratios {
		ratios[i] = of[i] / to[i]
	}
	return median(ratios)
}

// number writes three digits or more.
func number(v float64) string {
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

// save writes the JSON.
func (r *report) save(path string) error {
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
