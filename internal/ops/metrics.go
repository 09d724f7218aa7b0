package ops

import (
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"reconciler/internal/order"
)

// Metrics are the daemon's figures, in the Prometheus text form.
type Metrics struct {
	registry   *prometheus.Registry
	questions  *prometheus.CounterVec
	roundTrips prometheus.Counter
	seconds    prometheus.Histogram
	reviews    *prometheus.CounterVec
	unexpected *prometheus.CounterVec
	backlog    *backlog
}

// NewMetrics makes them, with those of the Go runtime and the process. What is
// counted by a known set of labels begins at 0: a count that comes into being with
// its first event is an increase that Prometheus does not see, and an alert on it
// is quiet for the wrong reason.
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
		backlog: newBacklog(),
	}
	for counter, labels := range map[*prometheus.CounterVec][]string{
		m.questions: decisions(), m.reviews: order.ReviewReasons(), m.unexpected: order.UnexpectedReasons(),
	} {
		for _, label := range labels {
			counter.WithLabelValues(label)
		}
	}
	m.registry.MustRegister(m.questions, m.roundTrips, m.seconds, m.reviews, m.unexpected, m.backlog,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func decisions() []string {
	var labels []string
	for _, d := range order.Decisions() {
		labels = append(labels, string(d))
	}
	return labels
}

// Watch adds what stands still to what happens: the backlog, read from source when
// the metrics are, and when the last pass ended without failure (zero: none has).
// Until then reconciler_backlog_up is 0.
func (m *Metrics) Watch(source BacklogReader, lastPass func() time.Time) {
	m.backlog.watch(source, lastPass)
}

// Observe counts an outcome.
func (m *Metrics) Observe(out order.Outcome) {
	m.questions.WithLabelValues(string(out.Decision)).Inc()
	m.roundTrips.Add(float64(out.Question.RoundTrips))
	m.seconds.Observe(out.Question.Duration.Seconds())
	if out.Decision == order.Review {
		m.reviews.WithLabelValues(out.Reason).Inc()
	}
	if slices.Contains(order.UnexpectedReasons(), out.Reason) {
		m.unexpected.WithLabelValues(out.Reason).Inc()
	}
}

func (m *Metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
