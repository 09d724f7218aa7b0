package main

import (
	"math"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		values []float64
		want   float64
	}{
		"odd":        {[]float64{9, 1, 5}, 5},
		"even":       {[]float64{4, 1, 2, 9}, 3},
		"one":        {[]float64{7}, 7},
		"not all":    {[]float64{math.NaN(), 3}, 3},
		"none":       {nil, math.NaN()},
		"no numbers": {[]float64{math.NaN()}, math.NaN()},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := medianOf(test.values); got != test.want && !(math.IsNaN(got) && math.IsNaN(test.want)) {
				t.Errorf("median(%v) = %v, want %v", test.values, got, test.want)
			}
		})
	}
}

// The ratio of each round comes first: rounds differ by more than contestants do.
func TestRatioPairsRounds(t *testing.T) {
	t.Parallel()
	if got := ratioOf([]float64{100, 40, 10}, []float64{50, 10, 10}); got != 2 {
		t.Errorf("ratio = %v, want 2, the median of 2, 4 and 1", got)
	}
	if got := ratioOf([]float64{1}, nil); !math.IsNaN(got) {
		t.Errorf("ratio to nothing = %v, want NaN", got)
	}
}

func TestMark(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		goal  goal
		value float64
		want  string
	}{
		{atLeast(2), 2, "ok"},
		{atLeast(2), 1.9, "short"},
		{atMost(2), 2, "ok"},
		{atMost(2), 2.1, "short"},
		{atMost(2), math.NaN(), "?"},
		{goal{}, 5, ""},
	} {
		if got := test.goal.markGoal(test.value); got != test.want {
			t.Errorf("%v.mark(%v) = %q, want %q", test.goal, test.value, got, test.want)
		}
	}
}

func TestPrintShowsOneWorkload(t *testing.T) {
	t.Parallel()
	r := &report{}
	r.addNote("drain", trialResult{Who: "us", Orders: 100, Rate: 1000, WAL: 10})
	r.addNote("drain", trialResult{Who: "us", Orders: 100, Rate: 3000, WAL: 30})
	r.addNote("long", trialResult{Who: "nobody", Orders: 7})
	r.addLine("drain", "orders/s to them", 4.567, "×", atLeast(4.5))
	r.addLine("long", "other", 1, "", goal{})
	var text strings.Builder
	if err := r.printReport(&text, "drain"); err != nil {
		t.Fatal(err)
	}
	fields := strings.Join(strings.Fields(text.String()), " ")
	for _, want := range []string{"us 0 0 100 2000", "– 20 0", "orders/s to them 4.57 × ≥ 4.50 ok"} {
		if !strings.Contains(fields, want) {
			t.Errorf("%q is missing in:\n%s", want, text.String())
		}
	}
	if strings.Contains(fields, "nobody") || strings.Contains(fields, "other") {
		t.Errorf("another workload is shown too:\n%s", text.String())
	}
}
