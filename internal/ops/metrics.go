package ops

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"reconciler/internal/poller"
	"reconciler/internal/store"
)

// Metrics are the daemon's figures, in the Prometheus text form.
type Metrics struct {
	registry   *prometheus.Registry
	questions  *prometheus.CounterVec
	roundTrips prometheus.Counter
	seconds    prometheus.Histogram
	reviews    *prometheus.CounterVec
	unexpected *prometheus.CounterVec
}

// NewMetrics makes them, with those of the Go runtime and the process.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		questions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reconciler_questions_total", Help: "Questions asked about orders, by decision.",
		}, []string{"decision"}),
		roundTrips: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "reconciler_round_trips_total", Help: "Requests sent to the gateway, retries included.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "reconciler_question_duration_seconds", Help: "Duration of a question, retries and waits included.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
		reviews: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reconciler_reviews_total", Help: "Orders given to a person, by reason.",
		}, []string{"reason"}),
		unexpected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reconciler_unexpected_answers_total", Help: "Answers with a status or code that is missing or unknown, by reason.",
		}, []string{"reason"}),
	}
	m.registry.MustRegister(m.questions, m.roundTrips, m.seconds, m.reviews, m.unexpected,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Observe counts an outcome.
func (m *Metrics) Observe(out store.Outcome) {
	m.questions.WithLabelValues(string(out.Decision)).Inc()
	m.roundTrips.Add(float64(out.Question.RoundTrips))
	m.seconds.Observe(out.Question.Duration.Seconds())
	if out.Decision == store.Review {
		m.reviews.WithLabelValues(out.Reason).Inc()
	}
	if poller.Unexpected(out) {
		m.unexpected.WithLabelValues(out.Reason).Inc()
	}
}

func (m *Metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
