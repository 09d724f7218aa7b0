package ops

import (
	"net/http"
	"time"

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
		m.questions: decisions(), m.reviews: reviewReasons(), m.unexpected: unexpectedReasons(),
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
	return []string{
		string(store.Settled), string(store.Deferred), string(store.NotFound), string(store.Review),
		string(store.NoAnswer), string(store.Refused), string(store.Superseded),
	}
}

// reviewReasons are those that poller and store give.
func reviewReasons() []string {
	return []string{
		"identity_mismatch", "amount_missing", "amount_mismatch", "bad_request", "not_found_unconfirmed",
		"query_window_over", "no_credentials", "poison", store.ReviewConflict, store.ReviewUnwritable,
	}
}

// unexpectedReasons are those that [poller.Unexpected] knows.
func unexpectedReasons() []string {
	return []string{"unknown_code", "no_code", "unknown_status", "no_status", "unreadable_status"}
}

// Watch adds what stands still to what happens: the backlog, read from source when
// the metrics are, and when the last pass ended without failure (zero: none has).
// Until then reconciler_backlog_up is 0.
func (m *Metrics) Watch(source BacklogReader, lastPass func() time.Time) {
	m.backlog.watch(source, lastPass)
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
