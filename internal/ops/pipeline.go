package ops

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reconciler/internal/order"
)

// pipeline counts what the poller tells as it happens. A question is counted when it is decided,
// its answer when it is written: a daemon that asks and cannot write shows in the difference.
type pipeline struct {
	questions     *prometheus.CounterVec
	roundTrips    prometheus.Counter
	seconds       prometheus.Histogram
	answers       *prometheus.CounterVec
	unexpected    *prometheus.CounterVec
	recorded      prometheus.Counter
	reviews       *prometheus.CounterVec
	settled       *prometheus.CounterVec
	settledAmount *prometheus.CounterVec
	settledAge    prometheus.Histogram
	writeFailures *prometheus.CounterVec
	breaker       *prometheus.CounterVec
	budgets       *budgets
}

// newPipeline makes the counters. Those with a known set of labels begin at 0. Prometheus does not
// see the increase of a counter that comes into being with its first event: an alert on it would
// stay silent.
func newPipeline() *pipeline {
	p := &pipeline{
		questions:  newCounters("reconciler_questions_total", "Questions decided, by decision.", "decision"),
		roundTrips: newCounter("reconciler_round_trips_total", "Requests sent to the gateway, retries included."),
		seconds: newHistogram("reconciler_question_duration_seconds", "Duration of a question, retries and waits included.",
			.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60),
		answers:       newCounters("reconciler_gateway_answers_total", "Round trips that ended, by app id and class of trouble (ok for none).", "app_id", "class"),
		unexpected:    newCounters("reconciler_unexpected_answers_total", "Answers with a status or code that is missing or unknown, by reason.", "reason"),
		recorded:      newCounter("reconciler_answers_recorded_total", "Questions whose answer is written."),
		reviews:       newCounters("reconciler_reviews_total", "Orders given to a person, by reason.", "reason"),
		settled:       newCounters("reconciler_settled_total", "Orders settled by an answer, by status.", "status"),
		settledAmount: newCounters("reconciler_settled_amount_fen_total", "Amount of the orders settled by an answer, in fen, by status.", "status"),
		settledAge: newHistogram("reconciler_settled_age_seconds", "Age of an order when an answer settled it.",
			30, 60, 120, 300, 600, 1800, 3600, 14400, 86400, 604800),
		writeFailures: newCounters("reconciler_write_failures_total", "Writes of answers that failed, by reason.", "reason"),
		breaker:       newCounters("reconciler_breaker_transitions_total", "Changes of the circuit breakers, by scope and new state.", "scope", "to"),
		budgets:       newBudgets(),
	}
	for _, d := range order.Decisions() {
		p.questions.WithLabelValues(string(d))
	}
	for _, s := range order.SettledStatuses() {
		p.settled.WithLabelValues(string(s))
		p.settledAmount.WithLabelValues(string(s))
	}
	for counter, labels := range map[*prometheus.CounterVec][]string{
		p.reviews: order.ReviewReasons(), p.unexpected: order.UnexpectedReasons(),
		p.writeFailures: {"rights", "read_only", "room", "connection", "locked", "refused"},
	} {
		for _, label := range labels {
			counter.WithLabelValues(label)
		}
	}
	for _, scope := range []string{"app", "mid"} {
		for _, state := range []string{"open", "half_open", "closed"} {
			p.breaker.WithLabelValues(scope, state)
		}
	}
	return p
}

func newCounter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func newCounters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func newHistogram(name, help string, buckets ...float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
}

func (p *pipeline) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		p.questions, p.roundTrips, p.seconds, p.answers, p.unexpected, p.recorded, p.reviews,
		p.settled, p.settledAmount, p.settledAge, p.writeFailures, p.breaker, p.budgets,
	}
}

// SetApps begins the figures of app ids at 0: those of the budget, which is rate round trips a
// second (0 = no limit), and of the answers by these classes. An app id that comes later begins
// with its first round trip.
func (p *pipeline) SetApps(rate float64, appIDs, classes []string) {
	p.budgets.setRate(rate, appIDs)
	for _, id := range appIDs {
		for _, class := range classes {
			p.answers.WithLabelValues(labelText(id), class)
		}
	}
}

// RoundTripSent counts a request.
func (p *pipeline) RoundTripSent(appID string) {
	p.roundTrips.Inc()
	p.budgets.countTrip(appID, time.Now())
}

// Answered counts the end of a round trip.
func (p *pipeline) Answered(appID, class string) {
	p.answers.WithLabelValues(labelText(appID), class).Inc()
}

// Decided counts a question.
func (p *pipeline) Decided(out order.Outcome) {
	p.questions.WithLabelValues(string(out.Decision)).Inc()
	p.seconds.Observe(out.Question.Duration.Seconds())
	if slices.Contains(order.UnexpectedReasons(), out.Reason) {
		p.unexpected.WithLabelValues(out.Reason).Inc()
	}
}

// Recorded counts a written answer. That an order had changed meanwhile is known only now.
func (p *pipeline) Recorded(out order.Outcome) {
	p.recorded.Inc()
	switch out.Decision {
	case order.Superseded:
		p.questions.WithLabelValues(string(out.Decision)).Inc()
	case order.Review:
		p.reviews.WithLabelValues(out.Reason).Inc()
	case order.Settled:
		amount := out.Order.OrderAmount
		if out.Booking.TotalAmount != nil {
			amount = *out.Booking.TotalAmount
		}
		p.settled.WithLabelValues(string(out.Status)).Inc()
		p.settledAmount.WithLabelValues(string(out.Status)).Add(float64(amount))
		p.settledAge.Observe(max(0, out.Question.At.Sub(out.Order.CreatedAt)).Seconds())
	}
}

// WriteFailed counts a write that failed.
func (p *pipeline) WriteFailed(reason string) { p.writeFailures.WithLabelValues(reason).Inc() }

// BreakerMoved counts a change of a circuit breaker.
func (p *pipeline) BreakerMoved(scope, state string) { p.breaker.WithLabelValues(scope, state).Inc() }
