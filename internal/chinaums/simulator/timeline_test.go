package simulator

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/chinaums"
)

// walk asks at the given minutes, and returns the messages of the steps that answered, "-" after
// the end.
func walk(steps []Step, draw float64, minutes ...int) string {
	start := time.Date(2026, 6, 1, 12, 0, 0, 0, chinaums.China())
	line := newTimeline(steps)
	var told []string
	for _, m := range minutes {
		i, ok := line.nextStep(start.Add(time.Duration(m)*time.Minute), func(int) float64 { return draw })
		if ok {
			told = append(told, steps[i].Message)
		} else {
			told = append(told, "-")
		}
	}
	return strings.Join(told, " ")
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	a, b, c := Step{Message: "a"}, Step{Message: "b"}, Step{Message: "c"}
	times := func(n int, s Step) Step { s.Times = n; return s }
	lasts := func(minutes int, s Step) Step { s.For = time.Duration(minutes) * time.Minute; return s }
	maybe := func(s Step) Step { s.Probability = 0.5; return s }
	tests := []struct {
		name    string
		steps   []Step
		draw    float64
		minutes []int
		want    string
	}{
		{"empty", nil, 0, []int{0}, "-"},
		{"no limit", []Step{a}, 0, []int{0, 999}, "a a"},
		{"by count", []Step{times(2, a), b}, 0, []int{0, 1, 2, 3}, "a a b b"},
		{"ends", []Step{times(1, a), times(1, b)}, 0, []int{0, 1, 2}, "a b -"},
		{"by time from the first question", []Step{lasts(10, a), b}, 0, []int{100, 109, 110}, "a a b"},
		{"time runs on while nobody asks", []Step{lasts(10, a), lasts(10, b), c}, 0, []int{0, 25}, "a c"},
		{"after a count, time runs from the next question", []Step{times(1, a), lasts(10, b), c}, 0, []int{0, 100, 109, 110}, "a b b c"},
		{"count before time", []Step{times(1, lasts(10, a)), b}, 0, []int{0, 1}, "a b"},
		{"time before count", []Step{times(9, lasts(10, a)), b}, 0, []int{0, 10}, "a b"},
		{"chance taken", []Step{maybe(a), b}, 0.49, []int{0, 1}, "a a"},
		{"chance not taken", []Step{maybe(a), times(1, b), c}, 0.5, []int{0, 1}, "b c"},
		{"chance of a limited step", []Step{times(2, maybe(a)), times(3, b), c}, 0.5, []int{0, 1, 2, 3}, "b b b c"},
		{"chances in a row", []Step{maybe(a), maybe(b), c}, 0.5, []int{0}, "c"},
	}
	for _, test := range tests {
		if got := walk(test.steps, test.draw, test.minutes...); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestLastStepLastsForEver(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{}, order(Step{Status: "NEW_ORDER", Times: 1}, Step{Status: "UNKNOWN", Times: 1, For: time.Second}))
	var got []string
	for range 3 {
		got = append(got, g.told(question{}))
		g.clock.advance(time.Minute)
	}
	if diff := cmp.Diff([]string{"200 SUCCESS NEW_ORDER", "200 SUCCESS UNKNOWN", "200 SUCCESS UNKNOWN"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLives(t *testing.T) {
	t.Parallel()
	ordinary := serve(t, Options{}, order(ordinaryLife()...))
	var got []string
	for range 7 {
		members := ordinary.ask(question{}).members(t)
		got = append(got, value(members, "errCode")+value(members, "status")+value(members, "refundAmount"))
	}
	want := []string{
		`"NO_ORDER"`, `"SUCCESS""NEW_ORDER"0`, `"SUCCESS""WAIT_BUYER_PAY"0`, `"SUCCESS""TRADE_SUCCESS"0`,
		`"SUCCESS""TRADE_REFUND"10000`, `"SUCCESS""TRADE_CLOSED"10000`, `"SUCCESS""TRADE_CLOSED"10000`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestExpiringLife(t *testing.T) {
	t.Parallel()
	o := order(expiringLife()...)
	o.Age, o.FromCreation = 20*time.Minute, true
	g := serve(t, Options{}, o)
	if got, want := g.told(question{}), "200 SUCCESS WAIT_BUYER_PAY"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	g.clock.advance(11 * time.Minute)
	members := g.ask(question{}).members(t)
	got := []string{value(members, "status"), value(members, "closeTime"), value(members, "refundAmount"), value(members, "payTime")}
	want := []string{`"TRADE_CLOSED"`, `"2026-06-01 12:10:00"`, "0", `"2026-06-01 11:40:00"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLockForAMinute(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{}, order(Step{Code: "ORDER_PROCESSING", For: time.Minute}, Step{Status: "TRADE_SUCCESS"}))
	var got []string
	for range 3 {
		got = append(got, g.told(question{}))
		g.clock.advance(30 * time.Second)
	}
	want := []string{"200 ORDER_PROCESSING 订单处理中，请稍后再试", "200 ORDER_PROCESSING 订单处理中，请稍后再试", "200 SUCCESS TRADE_SUCCESS"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func flaps(t *testing.T, seed uint64, numbers []string) map[string]string {
	t.Helper()
	g := serve(t, Options{Seed: seed})
	for _, number := range numbers {
		o := order(Step{Code: "9200", Probability: 0.5}, Step{Status: "TRADE_SUCCESS"})
		o.MerOrderID = number
		if err := g.AddOrder(o); err != nil {
			t.Fatal(err)
		}
	}
	told := map[string]string{}
	for range 20 {
		for _, number := range numbers {
			told[number] += fmt.Sprint(g.ask(question{fields: map[string]any{"merOrderId": number}}).status, " ")
		}
	}
	return told
}

// TestChanceRepeats asks two orders in both interleavings.
func TestChanceRepeats(t *testing.T) {
	t.Parallel()
	numbers := []string{"3194000001", "3194000002"}
	first := flaps(t, 1, numbers)
	slices.Reverse(numbers)
	if diff := cmp.Diff(first, flaps(t, 1, numbers)); diff != "" {
		t.Errorf("the same seed differs: %s", diff)
	}
	if cmp.Equal(first, flaps(t, 2, numbers)) || first[numbers[0]] == first[numbers[1]] {
		t.Error("another seed or another order repeats")
	}
	for number, told := range first {
		if !strings.Contains(told, "412") || !strings.Contains(told, "200") {
			t.Errorf("%s does not flap: %s", number, told)
		}
	}
}

func TestPayTime(t *testing.T) {
	t.Parallel()
	paid, at := Step{Status: "TRADE_SUCCESS"}, time.Date(2026, 5, 31, 16, 30, 0, 0, time.UTC)
	tests := []struct {
		name     string
		age      time.Duration
		steps    []Step
		from, to string
	}{
		{"soon after creation", time.Hour, []Step{paid}, "2026-06-01 11:00:05", "2026-06-01 11:00:59"},
		{"not in the future", 0, []Step{paid}, "2026-06-01 12:00:00", "2026-06-01 12:00:00"},
		{"not before an unpaid answer", time.Hour, []Step{{Status: "UNKNOWN", Times: 1}, paid}, "2026-06-01 12:00:00", "2026-06-01 12:00:00"},
		{"as scripted, in China", 0, []Step{{Status: "TRADE_SUCCESS", PayTime: &at}}, "2026-06-01 00:30:00", "2026-06-01 00:30:00"},
	}
	for _, test := range tests {
		o := order(test.steps...)
		o.Age = test.age
		g := serve(t, Options{}, o)
		var told []string
		for range 3 {
			told = append(told, strings.Trim(value(g.ask(question{}).members(t), "payTime"), `"`))
			g.clock.advance(time.Second)
		}
		if told[1] < test.from || told[1] > test.to || told[2] != told[1] {
			t.Errorf("%s: got %q, want between %s and %s, and no change", test.name, told, test.from, test.to)
		}
	}
}
