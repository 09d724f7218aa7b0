package ops

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"reconciler/internal/store"
)

// Metrics are the daemon's figures, in the Prometheus text form. It is the poller's observer.
type Metrics struct {
	*pipeline
	*events

	registry *prometheus.Registry
	backlog  *backlog
}

// NewMetrics makes them, with those of the Go runtime and the process.
func NewMetrics() *Metrics {
	m := &Metrics{pipeline: newPipeline(), events: newEvents(), registry: prometheus.NewRegistry(), backlog: newBacklog()}
	m.registry.MustRegister(m.collectors()...)
	m.registry.MustRegister(m.deliveries, m.unread, m.backlog, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Watch adds what stands still to what happens: the backlog, read from source when the metrics are,
// and when the last pass ended without failure (zero: none has). Until then reconciler_backlog_up
// is 0.
func (m *Metrics) Watch(source BacklogReader, lastPass func() time.Time) {
	m.backlog.watch(func(ctx context.Context) backlogReading {
		now, err := source.Backlog(ctx)
		return backlogReading{now, err == nil, lastPass}
	})
	m.unread.watch(func(ctx context.Context) []store.Unread {
		list, _, _ := source.UnreadEvents(ctx) // reconciler_backlog_up tells of a database that does not answer
		return list
	})
}

func (m *Metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
