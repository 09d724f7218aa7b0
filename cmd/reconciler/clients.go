package main

import (
	"sync"

	"reconciler/internal/chinaums"
	"reconciler/internal/credentials"
	"reconciler/internal/poller"
)

// gatewayClients are the clients of all app ids.
type gatewayClients struct {
	options chinaums.Options // of each client, without the credentials
	mu      sync.Mutex       // of apps, which the heartbeat reads
	apps    []credentials.App
	// opened outlives a reload. A client holds the access token that all questions of its app id
	// share.
	opened map[chinaums.Credentials]*chinaums.Client
}

func newGatewayClients(options chinaums.Options, apps []credentials.App) *gatewayClients {
	return &gatewayClients{options: options, apps: apps, opened: make(map[chinaums.Credentials]*chinaums.Client)}
}

// useApps puts apps into force and returns them as the poller takes them.
func (g *gatewayClients) useApps(apps []credentials.App) ([]poller.App, error) {
	var all []poller.App
	for _, app := range apps {
		client, err := g.openClient(app.Credentials)
		if err != nil {
			return nil, err
		}
		all = append(all, poller.App{AppID: app.AppID, Gateway: client, MIDs: app.MIDs})
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.apps = apps
	return all, nil
}

func (g *gatewayClients) openClient(pair chinaums.Credentials) (*chinaums.Client, error) {
	if client := g.opened[pair]; client != nil {
		return client, nil
	}
	options := g.options
	options.Credentials = pair
	client, err := chinaums.New(options)
	if err == nil {
		g.opened[pair] = client
	}
	return client, err
}

func (g *gatewayClients) appIDs() []string {
	apps := g.listApps()
	ids := make([]string, len(apps))
	for i, app := range apps {
		ids[i] = app.AppID
	}
	return ids
}

// listApps are the apps in force.
func (g *gatewayClients) listApps() []credentials.App {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.apps
}

// closeAll closes the idle connections.
func (g *gatewayClients) closeAll() {
	for _, client := range g.opened {
		client.Close()
	}
}
