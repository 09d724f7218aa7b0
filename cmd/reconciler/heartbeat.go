package main

import (
	"encoding/json"
	"log/slog"

	"reconciler/internal/operator"
	"reconciler/internal/poller"
	"reconciler/internal/store"
)

// newHeartbeat tells the row of this daemon in instances how the poller is.
func (r resolved) newHeartbeat(p *process, orders *store.Store, asker *poller.Poller, logger *slog.Logger) *operator.Heartbeat {
	return &operator.Heartbeat{
		Beat: orders.Heartbeat, Logger: logger, Worker: r.options.Worker, Version: version,
		Pulse: func() operator.Pulse {
			pulse := operator.Pulse{LastPassAt: asker.LastProgress(), Settings: r.instanceSettings(p), Aside: asker.Aside()}
			if err := asker.Trouble(); err != nil {
				pulse.Trouble = err.Error()
			}
			return pulse
		},
	}
}

// instanceSettings are the settings in force without secrets, and the app ids with their merchants.
func (r resolved) instanceSettings(p *process) json.RawMessage {
	settings := make(map[string]any)
	for _, s := range p.settings {
		if s.Value != withheld {
			settings[s.Name] = s.Value
		}
	}
	var apps []operator.InstanceApp
	for _, app := range r.clients.listApps() {
		apps = append(apps, operator.InstanceApp{AppID: app.AppID, MIDs: app.MIDs})
	}
	settings["apps"] = apps
	document, err := json.Marshal(settings)
	if err != nil { // of texts there can be none
		return nil
	}
	return document
}
