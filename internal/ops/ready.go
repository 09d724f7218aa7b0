package ops

import (
	"context"
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"reconciler/internal/store"
)

// errNothingWritten is joined with the reason why nothing could begin.
var errNothingWritten = errors.New("nothing has been written yet")

// checks are the parts of readiness, each with what is wrong. A part that cannot be judged is
// wrong.
type checks struct {
	database, schema, passes, writing error
}

// joinCauses tells each cause once: where the database is away, the schema cannot be read either.
func (c checks) joinCauses() error {
	if c.database != nil {
		return errors.Join(c.database, c.passes, c.writing)
	}
	return errors.Join(c.schema, c.passes, c.writing)
}

func (s *Status) runChecks(ctx context.Context) checks {
	s.mu.Lock()
	database, passes := s.database, s.passes
	s.mu.Unlock()
	if database == nil {
		starting := errors.New("starting: the database has not answered yet")
		return checks{database: starting, schema: starting, passes: errors.New("no pass has begun"), writing: errNothingWritten}
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	c := checks{schema: database.CheckSchema(ctx), passes: passes.PassTrouble(), writing: passes.WritingTrouble()}
	if store.IsTransient(c.schema) {
		c.database = c.schema
	}
	return c
}

// readiness exports the checks.
type readiness struct {
	kept[checks]

	desc *prometheus.Desc
}

// WatchReady adds reconciler_ready, which tells what /readyz tells, and by which check.
func (m *Metrics) WatchReady(status *Status) {
	r := &readiness{desc: prometheus.NewDesc("reconciler_ready",
		"Whether this instance does its work, by check; 0 also while a check cannot be judged.", []string{"check"}, nil)}
	r.watch(status.runChecks)
	m.registry.MustRegister(r)
}

// Describe names the metric.
func (r *readiness) Describe(descs chan<- *prometheus.Desc) { descs <- r.desc }

// Collect tells the checks as they were at most keptFor ago.
func (r *readiness) Collect(metrics chan<- prometheus.Metric) {
	c := r.latest()
	for check, err := range map[string]error{"database": c.database, "schema": c.schema, "passes": c.passes, "writing": c.writing} {
		value := 1.0
		if err != nil {
			value = 0
		}
		metrics <- prometheus.MustNewConstMetric(r.desc, prometheus.GaugeValue, value, check)
	}
}

// SetBuild adds reconciler_build_info. The schema is the newest migration that the program knows.
func (m *Metrics) SetBuild(version string, schema int64) {
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "reconciler_build_info", Help: "1, with the version of the program and the newest migration that it knows.",
	}, []string{"version", "schema"})
	build.WithLabelValues(labelText(version), strconv.FormatInt(schema, 10)).Set(1)
	m.registry.MustRegister(build)
}
