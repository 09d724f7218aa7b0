package main

import (
	"reconciler/internal/ops"
	"reconciler/internal/poller"
	"reconciler/internal/store"
)

// serveMetrics serves the daemon's health and metrics at their usual port, or at another one where
// that is taken.
func (d *demo) serveMetrics(p *process) error {
	status := &ops.Status{}
	d.metrics.SetBuild(version, store.NewestMigration())
	d.metrics.SetApps(d.rate, d.clients.appIDs(), poller.AnswerClasses())
	d.metrics.WatchReady(status)
	var err error
	for _, address := range []string{"127.0.0.1:9464", "127.0.0.1:0"} {
		if d.health, err = ops.Listen(p.ctx, address, false, demoLogger(p), status, d.metrics); err == nil {
			status.Serve(d.orders, d.poller)
			d.metrics.Watch(d.orders, d.poller.LastPass)
			return nil
		}
	}
	return err
}
