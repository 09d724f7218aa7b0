package ops

import (
	"context"
	"sync"
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

// unread tells how long the consumers of the events have left them unread. It reads like the
// backlog: when it is scraped, at most every backlogKept, and an old figure is never shown for a
// new one.
type unread struct {
	mu     sync.Mutex // held while reading, as in backlog
	source BacklogReader
	last   []store.Unread
	readAt time.Time
	oldest *prometheus.Desc
}

func newUnread() *unread {
	return &unread{oldest: prometheus.NewDesc("reconciler_events_unread_oldest_seconds",
		"How long the oldest event waits that the consumer has not acknowledged; 0 = none.", []string{"consumer"}, nil)}
}

func (u *unread) watchSource(source BacklogReader) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.source, u.readAt = source, time.Time{}
}

// Describe names the figure.
func (u *unread) Describe(descs chan<- *prometheus.Desc) { descs <- u.oldest }

// Collect tells it for each consumer.
func (u *unread) Collect(metrics chan<- prometheus.Metric) {
	for _, c := range u.readUnread() {
		age := 0.0
		if c.Oldest != nil {
			age = max(0, time.Since(*c.Oldest).Seconds())
		}
		metrics <- prometheus.MustNewConstMetric(u.oldest, prometheus.GaugeValue, age, labelText(c.Consumer))
	}
}

func (u *unread) readUnread() []store.Unread {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.source == nil {
		return nil
	}
	if time.Since(u.readAt) >= backlogKept {
		ctx, cancel := context.WithTimeout(context.Background(), backlogTimeout)
		defer cancel()
		u.last, _, _ = u.source.UnreadEvents(ctx) // reconciler_backlog_up tells of a database that does not answer
		u.readAt = time.Now()
	}
	return u.last
}
