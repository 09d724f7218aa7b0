package ops

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"reconciler/internal/order"
)

// scrape is what Prometheus would read.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	response := ask(&Status{}, m, http.MethodGet, "/metrics")
	if kind := response.Header().Get("Content-Type"); response.Code != http.StatusOK || !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Errorf("/metrics = %d, %s", response.Code, kind)
	}
	return response.Body.String()
}

func outcome(decision order.Decision, reason string, roundTrips int, took time.Duration) order.Outcome {
	return order.Outcome{
		Decision: decision, Reason: reason,
		Order:    order.Order{ID: 1, MID: "898340149000005", MerOrderID: "3194202606010900"},
		Question: order.Question{RoundTrips: roundTrips, Duration: took},
	}
}

func TestPipelineCounts(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	for _, o := range []order.Outcome{
		outcome(order.Settled, "trade_success", 1, 20*time.Millisecond),
		outcome(order.Settled, "trade_closed", 2, 300*time.Millisecond),
		outcome(order.NoAnswer, "transient", 3, 20*time.Second),
		outcome(order.Refused, "credentials", 1, time.Millisecond),
		outcome(order.Review, "amount_mismatch", 1, time.Millisecond),
		outcome(order.Deferred, "unknown_status", 1, time.Millisecond),
		outcome(order.Deferred, "unresolved", 1, time.Millisecond),
		outcome(order.NotFound, "not_found", 1, time.Millisecond),
		outcome(order.Superseded, "superseded after: trade_success", 1, time.Millisecond),
	} {
		for range o.Question.RoundTrips {
			m.RoundTripSent("app")
			m.Answered("app", "ok")
		}
		decided := o
		if o.Decision == order.Superseded {
			decided.Decision = order.Settled // only the write knows better
		}
		m.Decided(decided)
		m.Recorded(o)
	}
	m.WriteFailed("rights")
	m.BreakerMoved("app", "open")
	body := scrape(t, m)
	for _, line := range []string{
		`reconciler_questions_total{decision="settled"} 3`,
		`reconciler_questions_total{decision="no_answer"} 1`,
		`reconciler_questions_total{decision="refused"} 1`,
		`reconciler_questions_total{decision="review"} 1`,
		`reconciler_questions_total{decision="deferred"} 2`,
		`reconciler_questions_total{decision="not_found"} 1`,
		`reconciler_questions_total{decision="superseded"} 1`,
		`reconciler_round_trips_total 12`,
		`reconciler_gateway_answers_total{app_id="app",class="ok"} 12`,
		`reconciler_answers_recorded_total 9`,
		`reconciler_write_failures_total{reason="rights"} 1`,
		`reconciler_write_failures_total{reason="room"} 0`,
		`reconciler_breaker_transitions_total{scope="app",to="open"} 1`,
		`reconciler_question_duration_seconds_count 9`,
		`reconciler_question_duration_seconds_bucket{le="0.025"} 7`,
		`reconciler_question_duration_seconds_bucket{le="0.5"} 8`,
		`reconciler_question_duration_seconds_bucket{le="30"} 9`,
		`reconciler_reviews_total{reason="amount_mismatch"} 1`,
		`reconciler_unexpected_answers_total{reason="unknown_status"} 1`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
	// A label with a value for each order would grow without end, and tell who bought where.
	if strings.Contains(body, "898340149000005") || strings.Contains(body, "3194202606010900") {
		t.Error("the metrics name a merchant or an order")
	}
	if strings.Contains(body, "superseded after") {
		t.Error("a reason in words is a label")
	}
}

func TestMetricsAreWellFormed(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	for _, d := range []order.Decision{
		order.Settled, order.Deferred, order.NotFound, order.Review, order.NoAnswer, order.Refused, order.Superseded,
	} {
		m.Decided(outcome(d, "unknown_code", 1, time.Second))
		m.Recorded(outcome(d, "unknown_code", 1, time.Second))
	}
	body := scrape(t, m)
	for _, name := range []string{"reconciler_questions_total counter", "go_goroutines gauge", "process_start_time_seconds gauge"} {
		if !strings.Contains(body, "# TYPE "+name+"\n") {
			t.Errorf("the metrics lack %s", name)
		}
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatalf("the metrics cannot be parsed: %v", err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestObserveByManyAtOnce(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				m.Decided(outcome(order.Settled, "trade_success", 1, time.Millisecond))
			}
		})
		group.Go(func() { scrape(t, m) })
	}
	group.Wait()
	if body := scrape(t, m); !strings.Contains(body, `reconciler_questions_total{decision="settled"} 800`+"\n") {
		t.Error("observations were lost")
	}
}

// Two daemons in one process, as in tests, do not share their figures.
func TestMetricsAreNotGlobal(t *testing.T) {
	t.Parallel()
	a, b := NewMetrics(), NewMetrics()
	a.Decided(outcome(order.Settled, "trade_success", 1, time.Millisecond))
	if !strings.Contains(scrape(t, b), `reconciler_questions_total{decision="settled"} 0`+"\n") {
		t.Error("one's figures are in the other's")
	}
}
