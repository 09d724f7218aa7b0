package ops

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reconciler/internal/store"
	"reconciler/internal/webhook"
)

// events tells how the application hears of outcomes.
type events struct {
	deliveries *prometheus.CounterVec
	unread     *unread
}

func newEvents() *events {
	e := &events{
		deliveries: newCounters("reconciler_webhook_deliveries_total", "Events sent to the application by this instance, by result.", "result"),
		unread:     newUnread(),
	}
	for _, result := range webhook.Results() {
		e.deliveries.WithLabelValues(string(result))
	}
	return e
}

// ObserveDelivery counts an event that was sent.
func (e *events) ObserveDelivery(result webhook.Result) {
	e.deliveries.WithLabelValues(string(result)).Inc()
}

// unread tells how long the consumers of the events have left them unread.
type unread struct {
	kept[[]store.Unread]

	oldest *prometheus.Desc
}

func newUnread() *unread {
	return &unread{oldest: prometheus.NewDesc("reconciler_events_unread_oldest_seconds",
		"How long the oldest event waits that the consumer has not acknowledged; 0 = none.", []string{"consumer"}, nil)}
}

// Describe names the figure.
func (u *unread) Describe(descs chan<- *prometheus.Desc) { descs <- u.oldest }

// Collect tells it for each consumer.
func (u *unread) Collect(metrics chan<- prometheus.Metric) {
	for _, c := range u.latest() {
		age := 0.0
		if c.Oldest != nil {
			age = max(0, time.Since(*c.Oldest).Seconds())
		}
		metrics <- prometheus.MustNewConstMetric(u.oldest, prometheus.GaugeValue, age, labelText(c.Consumer))
	}
}
