package policy

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/order"
)

// The default plan, as an operator would write it down.
func TestCurve(t *testing.T) {
	t.Parallel()
	const s, m, h = time.Second, time.Minute, time.Hour
	for _, tt := range []struct {
		name string
		plan Plan
		want []time.Duration
	}{
		{"default", testPlan(), []time.Duration{15 * s, 30 * s, m, 2 * m, 4 * m, 8 * m, 16 * m, 32 * m, h, h, h}},
		{"not growing", Plan{Initial: m, Multiplier: 1, Max: h}, []time.Duration{m, m, m}},
		{"growing by half", Plan{Initial: 10 * s, Multiplier: 1.5, Max: m}, []time.Duration{10 * s, 15 * s, 22500 * time.Millisecond, 33750 * time.Millisecond, 50625 * time.Millisecond, m, m}},
		{"at its maximum from the start", Plan{Initial: m, Multiplier: 2, Max: m}, []time.Duration{m, m}},
		{"a leap over its maximum", Plan{Initial: m, Multiplier: 100, Max: h}, []time.Duration{m, h, h}},
		{"exactly onto its maximum", Plan{Initial: m, Multiplier: 60, Max: h}, []time.Duration{m, h, h}},
		{"compressed, as for a demonstration", Plan{Initial: 50 * time.Millisecond, Multiplier: 2, Max: 300 * time.Millisecond}, []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []time.Duration
			for n := range tt.want {
				got = append(got, tt.plan.Curve(n))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A count that no plan comes near must not cost time: the column may hold anything.
func TestCurveOfAHugeCount(t *testing.T) {
	t.Parallel()
	plan := testPlan()
	if got := plan.Curve(math.MaxInt32); got != time.Hour {
		t.Errorf("got %s, want the maximum", got)
	}
	plan.Multiplier = 1
	if got := plan.Curve(math.MaxInt32); got != plan.Initial {
		t.Errorf("got %s, want the first wait", got)
	}
	if got := plan.Curve(-1); got != plan.Initial {
		t.Errorf("a negative count: got %s, want the first wait", got)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	plan := testPlan()
	for _, tt := range []struct {
		name  string
		order order.Order
		want  time.Duration
	}{
		{"first", anOrder(), 15 * time.Second},
		{"third", anOrder(withQueryCount(2)), time.Minute},
		{"at the age of the slow lane", anOrder(withAge(24 * time.Hour)), 15 * time.Second},
		{"slow lane", anOrder(withAge(24*time.Hour + 1)), 24 * time.Hour},
		{"slow lane, whatever the count", anOrder(withAge(25*time.Hour), withQueryCount(30)), 24 * time.Hour},
		{"created in the future", anOrder(withAge(-time.Hour)), 15 * time.Second},
	} {
		if got := plan.Wait(tt.order, now); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	plan := testPlan()
	plan.Jitter = 0.1
	const orders = 10_000
	var later, neighbours int
	var quarters [4]int
	last := time.Duration(0)
	for id := range int64(orders) {
		o := anOrder(withQueryCount(8))
		o.ID = id
		wait := plan.Wait(o, now)
		if again := plan.Wait(o, now.Add(time.Second)); again != wait {
			t.Fatalf("order %d: first %s, then %s", id, wait, again)
		}
		if wait < 54*time.Minute || wait > 66*time.Minute {
			t.Fatalf("order %d: %s is not within a tenth of an hour", id, wait)
		}
		if wait > time.Hour {
			later++
		}
		if d := wait - last; d < 10*time.Second && d > -10*time.Second {
			neighbours++
		}
		quarters[min(3, int((wait-54*time.Minute)/(3*time.Minute)))]++
		last = wait
	}
	// Two independent waits out of twelve minutes are within ten seconds of each other in
	// about 3 of 100 cases: 280 here. Identical or marching neighbours would be all or none.
	if neighbours < 100 || neighbours > 500 {
		t.Errorf("%d of %d neighbours have almost the same wait", neighbours, orders)
	}
	for i, n := range quarters {
		if n < orders/5 || n > orders*3/10 {
			t.Errorf("quarter %d of the range holds %d of %d orders", i, n, orders)
		}
	}
	if later < orders*2/5 || later > orders*3/5 {
		t.Errorf("%d of %d waits are longer than the plan's", later, orders)
	}
}

// The share of an order is the same on every wait: a slow lane is spread as well.
func TestJitterInProportion(t *testing.T) {
	t.Parallel()
	plan := testPlan()
	plan.Jitter = 0.5
	o := anOrder()
	o.ID = 12345
	share := func(wait, plain time.Duration) float64 { return float64(wait-plain) / float64(plain) }
	first := share(plan.Wait(o, now), 15*time.Second)
	o.QueryCount = 8
	hour := share(plan.Wait(o, now), time.Hour)
	o.CreatedAt = now.Add(-48 * time.Hour)
	day := share(plan.Wait(o, now), 24*time.Hour)
	if math.Abs(first-hour) > 1e-6 || math.Abs(first-day) > 1e-6 || first == 0 {
		t.Errorf("shares %g, %g and %g, want the same one", first, hour, day)
	}
}

// No jitter brings a wait after no answer above its five minutes.
func TestNoAnswerCapWithJitter(t *testing.T) {
	t.Parallel()
	plan := testPlan()
	plan.Jitter = 0.9
	for id := range int64(100) {
		o := anOrder(withQueryCount(5))
		o.ID = id
		if out := (Rules{Plan: plan}).NotAnswered(o, order.ReasonTransient, "x", now); out.NextQueryAt.Sub(now) > 5*time.Minute || !out.NextQueryAt.After(now) {
			t.Fatalf("order %d: %s", id, outcomeLine(out))
		}
	}
}

func TestPlanValidate(t *testing.T) {
	t.Parallel()
	if err := testPlan().Validate(); err != nil {
		t.Errorf("the default plan: %v", err)
	}
	for _, tt := range []struct {
		name   string
		change func(*Plan)
		want   string
	}{
		{"no first wait", func(p *Plan) { p.Initial = 0 }, "Initial must"},
		{"negative first wait", func(p *Plan) { p.Initial = -time.Second }, "Initial must"},
		{"shrinking", func(p *Plan) { p.Multiplier = 0.5 }, "Multiplier must"},
		{"no number", func(p *Plan) { p.Multiplier = math.NaN() }, "Multiplier must"},
		{"endless", func(p *Plan) { p.Multiplier = math.Inf(1) }, "Multiplier must"},
		{"maximum below the first", func(p *Plan) { p.Max = time.Second }, "Max must"},
		{"negative jitter", func(p *Plan) { p.Jitter = -0.1 }, "Jitter must"},
		{"jitter of all", func(p *Plan) { p.Jitter = 1 }, "Jitter must"},
		{"jitter no number", func(p *Plan) { p.Jitter = math.NaN() }, "Jitter must"},
		{"no slow lane", func(p *Plan) { p.SlowAfter = 0 }, "SlowAfter must"},
		{"not found at once", func(p *Plan) { p.NotFoundAfter = 0 }, "NotFoundAfter must"},
		{"given up before it can be not found", func(p *Plan) { p.GiveUpAfter = time.Hour }, "GiveUpAfter must"},
	} {
		p := testPlan()
		tt.change(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want a word about %s", tt.name, err, tt.want)
		}
	}
	err := Plan{Multiplier: 0.5, Max: -1, Jitter: 2, GiveUpAfter: -1}.Validate()
	for _, name := range []string{"Initial must", "Multiplier must", "Max must", "Jitter must", "SlowAfter must", "NotFoundAfter must", "GiveUpAfter must"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("all at once: %v lacks %s", err, name)
		}
	}
}
