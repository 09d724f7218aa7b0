package ops

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBudgetUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := NewMetrics()
		m.SetApps(2, []string{"idle", "busy"}, nil)
		want := func(when string, busy float64) {
			t.Helper()
			want := map[string]float64{
				`reconciler_budget_used_ratio{app_id="busy"}`: busy, `reconciler_budget_used_ratio{app_id="idle"}`: 0,
			}
			if diff := cmp.Diff(want, figures(t, m, "reconciler_budget_used_ratio")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		want("at the start", 0)
		for range 2 * budgetWindow { // all of it, for two minutes
			m.RoundTripSent("busy")
			m.RoundTripSent("busy")
			time.Sleep(time.Second)
		}
		want("after two minutes", 1)
		m.RoundTripSent("busy")
		want("in a second that has begun", 1)
		time.Sleep(budgetWindow / 2 * time.Second)
		want("after half a minute's quiet", (budgetWindow+1.0)/2/budgetWindow)
		time.Sleep(budgetWindow * time.Second)
		want("after a minute's quiet", 0)
	})
}

func TestBudgetWithoutLimit(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	m.SetApps(0, []string{"app"}, []string{"ok"})
	m.RoundTripSent("app")
	if got := figures(t, m, "reconciler_budget_used_ratio"); len(got) > 0 {
		t.Errorf("figures = %v, want none", got)
	}
}

// An alert does not see the increase of a counter that begins with its first event.
func TestAnswersBeginAtZero(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	m.SetApps(50, []string{"app\xff"}, []string{"ok", "credentials"})
	m.Answered("app\xff", "ok")
	want := map[string]float64{
		"reconciler_gateway_answers_total{app_id=\"app\uFFFD\",class=\"ok\"}":          1,
		"reconciler_gateway_answers_total{app_id=\"app\uFFFD\",class=\"credentials\"}": 0,
	}
	if diff := cmp.Diff(want, figures(t, m, "reconciler_gateway_answers_total")); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
}
